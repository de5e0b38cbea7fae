"""Supervised fine-tuning: base pretraining, the cold start and the label-only baseline are this loop.

    loss = -sum of log p(token | clip, instruction, tokens before) / number of tokens of the answers of the step

Only the answer and its end-of-turn token count. Examples with a clip and examples of text alone mix freely. Batches are
made of examples of about one length, in an order that depends on the seed and the epoch alone, so that a resumed run
and a run over several processes see the same batches. The towers are never run here: features come from the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from r1omni.config.sft_run import SftSettings
from r1omni.core.errors import MediaError
from r1omni.infer.engine import Engine
from r1omni.infer.features import NO_FEATURES
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, pad_answers
from r1omni.train.bookkeeping import Bookkeeping, OnStep, Summary, TrainingRun
from r1omni.train.examples_order import ExampleOrder, Row, tokenise
from r1omni.train.optimise import (
    build_optimizer,
    learning_rate_schedule,
    recompute_activations,
    take_step,
    trainable_parameters,
)
from r1omni.train.processes import start_processes, sum_over
from r1omni.train.sharding import accumulate, distribute
from r1omni.train.training_data import Example, content_hash, readable_examples
from r1omni.train.validation import Validate

__all__ = ["Example", "SftSummary", "TrainingRun", "train_sft"]


@dataclass
class SftSummary(Summary):
    """What a run did."""

    epochs: int = 0
    final_loss: float | None = None


def train_sft(
    engine: Engine,
    examples: Sequence[Example],
    settings: SftSettings,
    run: TrainingRun,
    *,
    validate: Validate | None = None,
    on_step: OnStep | None = None,
) -> SftSummary:
    """Train a model on examples; on return it holds the best weights by validation, or the last.

    Args:
        engine: over the model, which is changed in place.
        examples: what to learn.
        settings: how it learns.
        run: where it lies.
        validate: measures the model.
        on_step: called with the metrics of each step.

    Returns:
        What the run did; that of the earlier run where the folder holds it whole.

    Raises:
        ConfigError: no examples, an answer that is too long, or a folder that holds another run.
        MediaError: too many clips cannot be read.
        DivergedError: a gradient is not a finite number.
        StoppedError: SIGTERM came; the same call goes on from there.
    """
    model = engine.model
    accelerator = start_processes(settings.mixed_precision)
    step_size = settings.batch_size * settings.gradient_accumulation_steps * accelerator.num_processes
    books = Bookkeeping(run, settings, accelerator, engine, SftSummary(), validate)
    if books.begin("sft", {"examples": content_hash(examples), "examples_per_step": step_size}):
        return books.summary
    examples, books.summary.num_errors = readable_examples(
        engine, examples, books.files, settings.max_error_share, accelerator
    )
    rows = tokenise(examples, engine, settings.max_length)
    order = ExampleOrder(rows, step_size, run.seed, settings.one_sided)
    num_steps = settings.max_steps or order.steps_per_epoch * settings.num_epochs
    rate_at = learning_rate_schedule(
        num_steps, settings.learning_rate, settings.lr_scheduler_type, settings.warmup_ratio
    )
    if settings.gradient_checkpointing:
        recompute_activations(model.language_model)
    scorer, optimizer = distribute(
        accelerator,
        Scorer(model, engine.processor),
        lambda: build_optimizer(model, settings.learning_rate, settings.weight_decay),
    )
    trained = list(trainable_parameters(model).values())
    window: list[Sequence[float]] = books.resume(optimizer).get("window", [])
    """Loss and tokens of the steps since the last line of metrics."""

    model.train()
    with books:
        while books.step < num_steps and books.has_patience(settings.patience):
            batch = order.batch(books.step)
            loss_sum = accumulate_gradients(
                accelerator, scorer, engine, batch, settings.batch_size, settings.gradient_accumulation_steps
            )
            rate = rate_at(books.step)
            grad_norm = take_step(
                accelerator,
                trained,
                optimizer,
                learning_rate=rate,
                max_grad_norm=settings.max_grad_norm,
                last_good=books.checkpoints.newest,
            )
            books.step += 1
            window.append((*sum_over(accelerator, loss_sum), num_answer_tokens(batch)))
            loss = sum(value for value, _ in window) / sum(count for _, count in window)
            epoch, at_end = books.step / order.steps_per_epoch, books.step == num_steps
            books.summary.final_loss, books.summary.epochs = loss, -(-books.step // order.steps_per_epoch)
            metrics = {
                "step": books.step,
                "num_steps": num_steps,
                "epoch": epoch,
                "loss": loss,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "seconds": books.seconds,
            }
            if books.step % settings.log_every_steps == 0 or at_end:
                books.files.record(metrics)
                window = []
            if on_step is not None:
                on_step(metrics)
            books.end_step(
                scorer,
                epoch,
                validates=at_end or books.step % (order.steps_per_epoch * settings.validate_every_epochs) == 0,
                saves=at_end or books.step % (settings.save_every_steps or num_steps) == 0,
                loop={"window": window},
            )
    return books.finish()


def accumulate_gradients(
    accelerator: Accelerator,
    scorer: nn.Module,
    engine: Engine,
    batch: Sequence[Row],
    batch_size: int,
    num_parts: int,
) -> float:
    """Run the forward and backward passes of one step.

    Every process takes equally many micro-batches; one that has nothing left scores an example at weight 0.

    Args:
        accelerator: of the run.
        scorer: what `distribute` returned.
        engine: clips to features.
        batch: of all processes, which take turns in it.
        batch_size: examples per micro-batch.
        num_parts: micro-batches of the step.

    Returns:
        The sum of this process's token losses.
    """
    world = accelerator.num_processes
    own, num_tokens, loss_sum = batch[accelerator.process_index :: world], num_answer_tokens(batch), 0.0
    for number in range(num_parts):
        part = own[number * batch_size : (number + 1) * batch_size]
        if not part and world == 1:
            break
        with accumulate(accelerator, scorer, last=number + 1 == num_parts):
            with accelerator.autocast():
                loss = negative_logprob(scorer, engine, part or batch[:1])
            loss = loss * (len(part) > 0)
            accelerator.backward(loss * (world / num_tokens))
        loss_sum += float(loss.detach())
    return loss_sum


def num_answer_tokens(batch: Sequence[Row]) -> int:
    """Number of tokens in the loss."""
    return sum(len(row.ids) - row.num_given for row in batch)


def negative_logprob(scorer: nn.Module, engine: Engine, rows: Sequence[Row]) -> Tensor:
    """Return the sum of the token losses of some examples.

    Args:
        scorer: what `distribute` returned.
        engine: clips to features.
        rows: at least one.

    Raises:
        MediaError: a clip that was readable cannot be read any more.
    """
    clips = [row.example.clip for row in rows if row.example.clip is not None]
    found = iter(engine.encoder.features(clips) if clips else [])
    prompts = []
    for row in rows:
        features = NO_FEATURES if row.example.clip is None else next(found)
        if isinstance(features, MediaError):
            raise features
        if row.lacking is not None:
            features = features.without(row.lacking)
        prompts.append(Prompt.ask(row.example.instruction, features))
    ids, mask = pad_answers([[row.ids] for row in rows])
    given = torch.tensor([row.num_given for row in rows])
    return -scorer(prompts, ids, mask & (torch.arange(ids.shape[-1]) >= given[:, None, None])).sum()
