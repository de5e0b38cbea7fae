"""Supervised fine-tuning: base pretraining, the cold start and the label-only baseline are this loop.

    loss = -sum of log p(token | clip, instruction, tokens before) / number of tokens of the answers of the step

Only the answer and its end-of-turn token count. Examples with a clip and examples of text alone mix freely. Batches are
made of examples of about one length, in an order that depends on the seed and the epoch alone, so that a resumed run
and a run over several processes see the same batches. The towers are never run here: features come from the engine.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from r1omni.config.sections import TRAINED_PARTS, Part, Schedule, Tracker
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, StoppedError
from r1omni.infer.embedding import stop_ids
from r1omni.infer.features import NO_FEATURES, Features
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, pad_answers
from r1omni.train.checkpoints import Checkpoints, generator_state, restore_generators
from r1omni.train.optimise import (
    build_optimizer,
    learning_rate_schedule,
    recompute_activations,
    set_trainable,
    take_step,
    trainable_parameters,
)
from r1omni.train.processes import gather_rows, start_processes, sum_over
from r1omni.train.run_folder import RESUMES, FeaturesOf, RunFolder, StopRequest, readable_clips
from r1omni.train.sharding import Validate, accumulate, distribute, validate_on_first
from r1omni.train.trackers import start_trackers

_POOL_BATCHES = 16
"""Batches that are shuffled together before examples are sorted by length."""


@dataclass(frozen=True)
class Example:
    """What is asked and what is to be answered."""

    instruction: str
    answer: str
    """Its end-of-turn token is added."""
    clip: Clip | None = None
    """None is text alone."""
    given: str = ""
    """Stands before the answer and is read, not learnt."""


@dataclass
class SFTSummary:
    """What a run did."""

    steps: int = 0
    epochs: int = 0
    best_step: int | None = None
    """None without validation."""
    best_value: float | None = None
    final_loss: float | None = None
    seconds: float = 0.0
    num_errors: int = 0
    """Clips left out because they cannot be read."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Validations: step, epoch and metrics."""


@dataclass(frozen=True)
class _Row:
    """A tokenised example."""

    example: Example
    ids: list[int]
    num_given: int


def train_sft(
    model: Any,
    processor: Any,
    examples: Sequence[Example],
    features: FeaturesOf | None,
    *,
    output_dir: str | Path,
    num_epochs: int = 5,
    max_steps: int | None = None,
    batch_size: int = 16,
    gradient_accumulation_steps: int = 1,
    learning_rate: float = 2e-5,
    lr_scheduler_type: Schedule = "cosine",
    warmup_ratio: float = 0.03,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    trainable: Sequence[Part] | None = TRAINED_PARTS,
    max_length: int = 2048,
    seed: int = 0,
    mixed_precision: Literal["no", "bf16"] = "no",
    gradient_checkpointing: bool = False,
    validate: Validate | None = None,
    validation_metric: str = "war",
    validate_every_epochs: int = 1,
    patience: int | None = None,
    save_every_steps: int | None = None,
    keep_checkpoints: int = 2,
    resume: bool = True,
    log_every_steps: int = 10,
    max_error_share: float = 0.05,
    trackers: Sequence[Tracker] = (),
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> SFTSummary:
    """Train a model on examples; on return it holds the best weights by validation, or the last.

    Args:
        model: HumanOmni, changed in place.
        processor: its processor.
        examples: what to learn.
        features: clips to features; None where all examples are text alone.
        output_dir: the run's folder.
        num_epochs: passes over the examples.
        max_steps: optimiser steps; None goes by `num_epochs`.
        batch_size: examples per micro-batch and process.
        gradient_accumulation_steps: micro-batches per optimiser step.
        learning_rate: peak.
        lr_scheduler_type: course of the learning rate after the warm-up.
        warmup_ratio: share of the steps in which the rate rises.
        weight_decay: decoupled; norms and biases do not decay.
        max_grad_norm: gradients are scaled down to this norm.
        trainable: parts that train; None leaves the model's freezing as it is.
        max_length: tokens of the longest answer accepted.
        seed: of the order of examples.
        mixed_precision: arithmetic of the training step.
        gradient_checkpointing: recompute activations in the backward pass.
        validate: measures the model.
        validation_metric: the best weights are those with the highest value of this.
        validate_every_epochs: epochs between validations.
        patience: stop after this many validations without a better value.
        save_every_steps: steps between checkpoints, besides those at validations and at the end.
        keep_checkpoints: newest checkpoints kept, besides the best.
        resume: go on from the newest checkpoint in `output_dir`.
        log_every_steps: steps between lines of metrics.jsonl; each line averages over them.
        max_error_share: stop where more clips than this cannot be read.
        trackers: told the metrics besides metrics.jsonl.
        on_step: told each step's metrics.

    Raises:
        ConfigError: no examples, or an answer that is too long.
        MediaError: too many clips cannot be read.
        DivergedError: a gradient is not a finite number.
    """
    started_s = time.monotonic()
    accelerator = start_processes(mixed_precision)
    world, rank = accelerator.num_processes, accelerator.process_index
    folder = RunFolder(output_dir, accelerator.is_main_process, start_trackers(trackers, Path(output_dir)))
    checkpoints = Checkpoints(folder.path, keep_checkpoints)
    model.to(accelerator.device)
    if trainable is not None:
        set_trainable(model, trainable)
    if resume and (facts := folder.done) is not None:
        checkpoints.load_model(facts["best_step"] or facts["steps"], model)
        return SFTSummary(**facts)
    if not resume:
        folder.clear()

    clips = list({example.clip.id: example.clip for example in examples if example.clip is not None}.values())
    num_errors = 0
    if clips:
        if features is None:
            raise ConfigError("Examples have clips and features is None; pass the engine's features.")
        readable, num_errors = readable_clips(features, clips, folder, max_error_share, accelerator)
        kept = {clip.id for clip in readable}
        examples = [example for example in examples if example.clip is None or example.clip.id in kept]
    rows = _tokenise(examples, model, processor, max_length)
    step_size = batch_size * gradient_accumulation_steps * world
    steps_per_epoch = -(-len(rows) // step_size)
    num_steps = max_steps or steps_per_epoch * num_epochs
    rate_at = learning_rate_schedule(num_steps, learning_rate, lr_scheduler_type, warmup_ratio)

    if gradient_checkpointing:
        recompute_activations(model.language_model)
    scorer, optimizer = distribute(
        accelerator, Scorer(model, processor), lambda: build_optimizer(model, learning_rate, weight_decay)
    )
    trained = list(trainable_parameters(model).values())
    summary = SFTSummary(num_errors=num_errors)
    step = 0
    window: list[list[float]] = []
    """Loss and tokens of the steps since the last line of metrics."""
    if steps := checkpoints.steps():
        state = checkpoints.load(steps[-1], model, optimizer)
        restore_generators(state["generators"], accelerator.process_index)
        step, window, summary = state["step"], state["window"], SFTSummary(**state["summary"])
    folder.rewind(step)
    if step == 0:
        torch.manual_seed(seed)
    without_better = sum(row["step"] > (summary.best_step or 0) for row in summary.history)
    order: list[int] = []
    order_epoch = -1

    def save() -> None:
        generators = gather_rows(accelerator, [generator_state()])
        state = {"generators": generators, "window": window, "summary": asdict(summary)}
        state["best_step"] = summary.best_step
        checkpoints.save(step, model, optimizer, state, writes=accelerator.is_main_process)
        folder.draw_curves()

    model.train()
    with StopRequest() as stop:
        while step < num_steps and (patience is None or without_better < patience):
            epoch, place = divmod(step, steps_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = _epoch_order(rows, step_size, seed, epoch), epoch
            batch = order[place * step_size : (place + 1) * step_size]
            num_tokens = sum(len(rows[index].ids) - rows[index].num_given for index in batch)
            # Every process takes equally many micro-batches; one that has nothing left scores an example at weight 0.
            own = batch[rank::world]
            loss_sum = 0.0
            for micro in range(gradient_accumulation_steps):
                part = own[micro * batch_size : (micro + 1) * batch_size]
                if not part and world == 1:
                    break
                last = micro + 1 == gradient_accumulation_steps
                with accumulate(accelerator, scorer, last):
                    with accelerator.autocast():
                        loss = _negative_logprob(scorer, [rows[index] for index in part or batch[:1]], features)
                    loss = loss * (len(part) > 0)
                    accelerator.backward(loss * (world / num_tokens))
                loss_sum += float(loss.detach())
            rate = rate_at(step)
            grad_norm = take_step(
                accelerator,
                trained,
                optimizer,
                learning_rate=rate,
                max_grad_norm=max_grad_norm,
                last_good=checkpoints.newest,
            )
            step += 1
            window.append([*sum_over(accelerator, loss_sum), num_tokens])
            summary.final_loss = sum(value for value, _ in window) / sum(count for _, count in window)
            summary.steps, summary.epochs = step, -(-step // steps_per_epoch)
            metrics = {
                "step": step,
                "num_steps": num_steps,
                "epoch": step / steps_per_epoch,
                "loss": summary.final_loss,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "seconds": time.monotonic() - started_s,
            }
            if step % log_every_steps == 0 or step == num_steps:
                folder.record(metrics)
                window = []
            if on_step is not None:
                on_step(metrics)
            at_end = step == num_steps
            if validate is not None and (at_end or step % (steps_per_epoch * validate_every_epochs) == 0):
                measured = validate_on_first(accelerator, validate, model, scorer)
                model.train()
                summary.history.append({"step": step, "epoch": step / steps_per_epoch, **measured})
                folder.record({"step": step, "epoch": step / steps_per_epoch, "validation": measured})
                without_better += 1
                if summary.best_value is None or measured[validation_metric] > summary.best_value:
                    summary.best_step, summary.best_value, without_better = step, measured[validation_metric], 0
                save()
            elif at_end or (save_every_steps and step % save_every_steps == 0):
                save()
            if stop.agreed(accelerator):
                save()
                raise StoppedError(f"Stopped on request after step {step}; {RESUMES}")

    accelerator.wait_for_everyone()
    if summary.best_step is not None and summary.best_step != step:
        checkpoints.load_model(summary.best_step, model)
    summary.seconds = time.monotonic() - started_s
    model.eval()
    folder.finish(model, processor, asdict(summary))
    return summary


def _tokenise(examples: Sequence[Example], model: Any, processor: Any, max_length: int) -> list[_Row]:
    """Tokenise what is read after the prompt; the border between given and answer is where their tokens part."""
    if not examples:
        raise ConfigError("There are no examples to train on; check the manifest, the split and the fold.")
    end = stop_ids(model, processor)[0]
    both = processor.tokenizer([e.given + e.answer for e in examples], add_special_tokens=False)["input_ids"]
    given = processor.tokenizer([e.given for e in examples], add_special_tokens=False)["input_ids"]
    rows = []
    for example, ids, before in zip(examples, both, given, strict=True):
        if len(ids) + 1 > max_length:
            raise ConfigError(
                f"An answer has {len(ids) + 1} tokens, max_length is {max_length}: {example.answer[:60]!r}...; raise "
                "max_length or leave the example out."
            )
        pairs = zip(ids, before, strict=False)
        num_given = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(before)))
        rows.append(_Row(example, [*ids, end], num_given))
    return rows


def _epoch_order(rows: Sequence[_Row], step_size: int, seed: int, epoch: int) -> list[int]:
    """Indices of an epoch: shuffled, sorted by length within pools, then step by step in shuffled order."""
    generator = random.Random(f"{seed}/{epoch}")
    order = list(range(len(rows)))
    generator.shuffle(order)
    pool = step_size * _POOL_BATCHES

    def length(index: int) -> tuple[bool, int]:
        row = rows[index]
        return row.example.clip is not None, len(row.example.instruction) + len(row.ids)

    order = [i for start in range(0, len(order), pool) for i in sorted(order[start : start + pool], key=length)]
    steps = [order[start : start + step_size] for start in range(0, len(order), step_size)]
    full = [part for part in steps if len(part) == step_size]
    generator.shuffle(full)
    rest = [part for part in steps if len(part) < step_size]
    return [index for part in full + rest for index in part]


def _negative_logprob(scorer: Any, rows: Sequence[_Row], features: FeaturesOf | None) -> torch.Tensor:
    """Sum over the answers' tokens."""
    clips = [row.example.clip for row in rows if row.example.clip is not None]
    found = iter(features(clips)) if features is not None and clips else iter(())
    inputs = [NO_FEATURES if row.example.clip is None else next(found) for row in rows]
    prompts = []
    for row, entry in zip(rows, inputs, strict=True):
        if not isinstance(entry, Features):
            raise entry
        prompts.append(Prompt.ask(row.example.instruction, entry))
    ids, mask = pad_answers([[row.ids] for row in rows])
    for row, counted in zip(rows, mask, strict=True):
        counted[0, : row.num_given] = False
    return -scorer(prompts, ids, mask).sum()
