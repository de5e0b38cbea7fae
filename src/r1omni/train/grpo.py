"""RLVR by GRPO: sample groups, grade them, compare within the group, step.

    for each step:  groups <- G answers per clip, prompt prefilled once      (rollout.py, infer/)
                    advantages <- rewards against the group                   (loss.py, eq. 4)
                    log-probabilities of policy and reference, prompt once    (micro_batch.py, infer/scorer.py)
                    loss = clipped ratio x advantage + beta x KL              (loss.py, eq. 3 and 6)

One step covers `prompts_per_device x gradient_accumulation_steps x processes` clips. They are sampled together and
scored part by part; each part is divided by the whole batch's counts, so the parts add up to the larger batch. Groups
stay whole on a process. The router's dropout and every other is off, in sampling and in scoring alike.

Source: arXiv 2503.05379, section 2.2; option names from TRL's GRPOConfig.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from accelerate import Accelerator
from torch import nn

from r1omni.config.grpo_run import GrpoSettings
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DivergedError, R1OmniError
from r1omni.core.instruction import LABEL_INSTRUCTION
from r1omni.infer.engine import Engine
from r1omni.infer.scorer import Scorer, release_towers
from r1omni.model.adapters import beneath_adapters
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.train.bookkeeping import Bookkeeping, OnStep, Summary, TrainingRun
from r1omni.train.loss import policy_loss
from r1omni.train.micro_batch import accumulate_gradients, batch_counts, score_reference, split_groups
from r1omni.train.optimise import (
    build_optimizer,
    learning_rate_schedule,
    recompute_activations,
    take_step,
    trainable_parameters,
)
from r1omni.train.processes import gather_rows, start_processes
from r1omni.train.rollout import (
    ClipOrder,
    Group,
    Reward,
    Sampler,
    check_ready,
    draw_key,
    rollout_metrics,
    sample_lines,
    sample_step,
    set_advantages,
)
from r1omni.train.sharding import distribute, distribute_frozen, whole_weights
from r1omni.train.training_data import content_hash, readable_clips
from r1omni.train.validation import Validate

__all__ = ["GrpoSummary", "Reward", "TrainingRun", "train_grpo"]

MAX_SAMPLING_GAP = 0.2
"""Mean difference, nats per token, of answers' log-probabilities as sampled and as scored: rounding is far below it;
another temperature, or weights that are not the policy's, are beyond it."""


@dataclass
class GrpoSummary(Summary):
    """What a run did."""

    num_reward_errors: int = 0
    """Rewards that raised and counted as 0."""
    start: dict[str, float] = field(default_factory=dict)
    """Sampled format and accuracy of the start; empty without the readiness check."""


def train_grpo(
    engine: Engine,
    reference: HumanOmniForConditionalGeneration | None,
    clips: Sequence[Clip],
    rewards: Sequence[Reward],
    settings: GrpoSettings,
    run: TrainingRun,
    *,
    validate: Validate | None = None,
    on_step: OnStep | None = None,
) -> GrpoSummary:
    """Train a policy on labels alone; on return it holds the best weights by validation, or the last.

    Args:
        engine: over the policy, which is changed in place.
        reference: what the KL holds the policy to, frozen, its towers dropped; None where beta is 0, or where the
            policy has adapters: then the policy without them.
        clips: what is asked about.
        rewards: named, weighted functions of a parsed answer and its clip.
        settings: how it learns.
        run: where it lies.
        validate: measures the policy.
        on_step: called with the metrics of each step.

    Returns:
        What the run did; that of the earlier run where the folder holds it whole.

    Raises:
        ConfigError: settings that do not fit together, or a folder that holds another run.
        NotReadyError: the start is below `min_format` or `min_accuracy` when sampled.
        MediaError: too many clips cannot be read.
        DivergedError: a gradient is not a finite number, or the KL exploded.
        StoppedError: SIGTERM came; the same call goes on from there.
    """
    model = engine.model
    if settings.beta != 0.0 and reference is None and not hasattr(model, "disable_adapter"):
        raise ConfigError(f"beta is {settings.beta:g} and there is no reference; pass the cold start, or set beta = 0.")
    accelerator = start_processes(settings.mixed_precision)
    prompts_per_step = settings.prompts_per_process * accelerator.num_processes
    num_steps = settings.steps(len(clips), accelerator.num_processes)
    books = Bookkeeping(run, settings, accelerator, engine, GrpoSummary(), validate)
    instruction = settings.instruction or engine.answer_format.request(LABEL_INSTRUCTION)
    identity = {"instruction": instruction, "clips": content_hash(clips)}
    identity |= {"rewards": {reward.name: reward.weight for reward in rewards}}
    if books.begin("grpo", identity | {"num_steps": num_steps, "prompts_per_step": prompts_per_step}):
        return books.summary
    rate_at = learning_rate_schedule(
        num_steps, settings.learning_rate, settings.lr_scheduler_type, settings.warmup_ratio
    )
    readable = readable_clips(engine, clips, books.files, settings.max_error_share, accelerator)
    clips, books.summary.num_errors = readable.clips, readable.num_errors
    order = ClipOrder(clips, run.seed)
    sampler = Sampler(
        engine,
        rewards,
        instruction,
        num_generations=settings.num_generations,
        temperature=settings.temperature,
        max_completion_length=settings.max_completion_length,
        one_sided=settings.one_sided,
    )
    objective = partial(
        policy_loss,
        beta=settings.beta,
        epsilon=settings.epsilon,
        epsilon_high=settings.epsilon_high,
        loss_type=settings.loss_type,
        importance_sampling_level=settings.importance_sampling_level,
        max_completion_length=settings.max_completion_length,
    )
    if settings.gradient_checkpointing:
        recompute_activations(model.language_model)
    scorer, optimizer = distribute(
        accelerator,
        Scorer(model, engine.processor),
        lambda: build_optimizer(model, settings.learning_rate, settings.weight_decay),
    )
    trained = list(trainable_parameters(model).values())
    reference_scorer, without_adapters = scorer, getattr(model, "disable_adapter", nullcontext)
    if settings.beta != 0.0 and reference is not None:
        reference_scorer, without_adapters = freeze_reference(accelerator, reference, engine), nullcontext
    order.position = books.resume(optimizer).get("position", 0)
    if books.step == 0 and settings.readiness_prompts:
        check_start(books, sampler, scorer, clips, settings)

    rollout = partial(
        sample_step,
        accelerator,
        sampler,
        order,
        settings.prompts_per_process,
        settings.zero_variance,
        settings.max_resample_rounds,
    )
    update = partial(take_step, accelerator, trained, optimizer, max_grad_norm=settings.max_grad_norm)

    model.eval()
    with books:
        while books.step < num_steps:
            started_s, before = time.monotonic(), books.step
            # Rollout: G answers per clip, graded.
            with accelerator.autocast(), whole_weights(scorer):
                groups, variance = rollout(partial(draw_key, run.seed, books.step))
            sampling_s = time.monotonic() - started_s
            # Advantages within the groups, and the groups as tensors.
            set_advantages(accelerator, groups, settings.scale_rewards)
            parts = split_groups(
                groups, settings.prompts_per_device, settings.mask_truncated_completions, accelerator.num_processes
            )
            counts = batch_counts(accelerator, groups, parts)
            # Reference: log-probabilities that the KL is measured against.
            if settings.beta != 0.0:
                with accelerator.autocast():
                    score_reference(reference_scorer, parts, settings.temperature, without_adapters)
            # Update: one or more optimiser steps on these groups.
            rate = grad_norm = 0.0
            figures: dict[str, float] = {}
            for _ in range(min(settings.num_iterations, num_steps - books.step)):
                set_scoring_mode(model, settings.gradient_checkpointing)
                figures = accumulate_gradients(accelerator, scorer, parts, objective, settings.temperature, counts)
                check_update(figures, settings.max_kl, books.step + 1, books.checkpoints.newest)
                rate = rate_at(books.step)
                grad_norm = update(learning_rate=rate, last_good=books.checkpoints.newest)
                books.step += 1
            model.eval()
            # Bookkeeping: metrics, samples, validation, checkpoint.
            record_failures(books, sampler, groups)
            metrics = mean_over_processes(accelerator, rollout_metrics(groups, rewards))
            elapsed_s = time.monotonic() - started_s
            tokens_per_s = metrics.pop("tokens") * accelerator.num_processes / elapsed_s
            metrics |= (
                figures
                | variance
                | {
                    "step": books.step,
                    "num_steps": num_steps,
                    "epoch": order.position / len(clips),
                    "learning_rate": rate,
                    "grad_norm": grad_norm,
                    "sampling_s": sampling_s,
                    "step_s": elapsed_s,
                    "seconds": books.seconds,
                    "tokens_per_s": tokens_per_s,
                }
            )
            books.files.record(metrics)
            if before // settings.num_iterations % settings.log_samples_every_steps == 0:
                books.files.append("samples.jsonl", sample_lines(books.step, groups))
            if on_step is not None:
                on_step(metrics)
            at_end = books.step >= num_steps
            books.end_step(
                scorer,
                metrics["epoch"],
                validates=at_end or passed(before, books.step, settings.validate_every_steps),
                saves=at_end or passed(before, books.step, settings.save_every_steps),
                loop={"position": order.position},
            )
    return books.finish()


def freeze_reference(
    accelerator: Accelerator, reference: HumanOmniForConditionalGeneration, engine: Engine
) -> nn.Module:
    """Return the scorer of the reference policy, which keeps no towers.

    Args:
        accelerator: of the run.
        reference: changed in place.
        engine: its processor is the reference's too.
    """
    reference.eval().requires_grad_(False)
    release_towers(reference)
    reference.to(accelerator.device)
    return distribute_frozen(accelerator, Scorer(reference, engine.processor))


def check_start(
    books: Bookkeeping[GrpoSummary], sampler: Sampler, scorer: nn.Module, clips: Sequence[Clip], settings: GrpoSettings
) -> None:
    """Sample from the start and refuse it where it is not good enough; every process samples the same.

    Args:
        books: of the run.
        sampler: of the start.
        scorer: what `distribute` returned.
        clips: readable clips.
        settings: how many are asked about, and both floors.

    Raises:
        NotReadyError: a share is below its floor.
    """
    asked = ClipOrder(clips, books.run.seed).take(min(settings.readiness_prompts, len(clips)))
    with books.accelerator.autocast(), whole_weights(scorer):
        groups = sampler.sample(asked, f"{books.run.seed}/start")
    books.summary.start = check_ready(groups, settings.min_format, settings.min_accuracy, sampler.engine.answer_format)
    sampler.failures = sampler.failures if books.accelerator.is_main_process else []
    record_failures(books, sampler, groups)


def set_scoring_mode(model: nn.Module, gradient_checkpointing: bool) -> None:
    """Turn dropout off, since the ratio compares with what was sampled.

    Checkpointing works in training mode only; the language model has nothing else that differs there.

    Args:
        model: the policy.
        gradient_checkpointing: whether its activations are computed again.
    """
    model.eval()
    beneath_adapters(model).language_model.train(gradient_checkpointing)


def check_update(figures: dict[str, float], max_kl: float, step: int, newest: str) -> None:
    """Refuse to take a step that would do harm.

    Args:
        figures: of `accumulate_gradients`.
        max_kl: largest mean KL to the reference.
        step: number of the step, from 1.
        newest: the newest checkpoint, in words.

    Raises:
        DivergedError: the answers were not sampled from the policy, or the KL is too large.
    """
    if figures["sampling_gap"] > MAX_SAMPLING_GAP:
        raise DivergedError(
            f"Answers of step {step} were scored {figures['sampling_gap']:.3g} nats per token away from how they "
            f"were sampled, expected at most {MAX_SAMPLING_GAP:g}: the engine does not sample from the "
            "policy. Pass an engine over the model that is trained, at the same temperature."
        )
    if not math.isfinite(figures["kl"]) or figures["kl"] > max_kl:
        raise DivergedError(
            f"The mean KL to the reference is {figures['kl']:.3g} at step {step}, expected at most {max_kl:g}; "
            f"training was stopped. The last good weights: {newest}. Lower the learning rate "
            "or raise beta and start again from there."
        )


def record_failures(books: Bookkeeping[GrpoSummary], sampler: Sampler, groups: Sequence[Group]) -> None:
    """Write down every process's rewards that raised; too many of them stop the run.

    Args:
        books: of the run.
        sampler: collected the failures.
        groups: what was graded.

    Raises:
        R1OmniError: more rewards failed than `max_error_share` allows.
    """
    failures = gather_rows(books.accelerator, sampler.failures)
    sampler.failures = []
    books.files.append("errors.jsonl", [{"step": books.step, **failure} for failure in failures])
    graded = sum(len(group.answers) for group in groups) * len(sampler.rewards)
    graded, allowed = sum(gather_rows(books.accelerator, [graded])), books.settings.max_error_share
    if len(failures) > allowed * graded:
        first = failures[0]
        raise R1OmniError(
            f"{len(failures)} of {graded} rewards failed at step {books.step}, more than max_error_share = "
            f"{allowed:g} allows. The first: {first['reward']} on clip {first['clip']}: {first['error']}. "
            "Fix the reward."
        )
    books.summary.num_reward_errors += len(failures)


def mean_over_processes(accelerator: Accelerator, metrics: dict[str, float]) -> dict[str, float]:
    """Average each metric over the processes."""
    gathered = gather_rows(accelerator, [metrics])
    return {name: sum(row[name] for row in gathered) / len(gathered) for name in metrics}


def passed(before: int, step: int, every: int | None) -> bool:
    """Whether a multiple of `every` lies beyond `before` and not beyond `step`; False where `every` is None."""
    return every is not None and step // every > before // every
