"""RLVR by GRPO: sample groups, grade them, compare within the group, step.

    for each step:  groups <- G answers per clip, prompt prefilled once      (rollout.py, infer/)
                    advantages <- rewards against the group                   (loss.py, eq. 4)
                    log-probabilities of policy and reference, prompt once    (infer/shared_prefix.py)
                    loss = clipped ratio x advantage + beta x KL              (loss.py, eq. 3 and 6)

One step covers `prompts_per_device x gradient_accumulation_steps x processes` clips. They are sampled together and
scored part by part; each part is divided by the whole batch's counts, so the parts add up to the larger batch. Groups
stay whole on a process. The router's dropout and every other is off, in sampling and in scoring alike.

Source: arXiv 2503.05379, section 2.2; option names from TRL's GRPOConfig.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor

from r1omni.config.grpo_run import LossType, SamplingLevel, ScaleRewards
from r1omni.config.sections import TRAINED_PARTS, Part, Schedule, Tracker
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DivergedError, R1OmniError, StoppedError
from r1omni.core.instruction import REASONING_INSTRUCTION
from r1omni.infer.engine import Engine
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, pad_answers, release_towers
from r1omni.train.checkpoints import Checkpoints, generator_state, restore_generators
from r1omni.train.loss import BatchCounts, group_advantages, policy_loss
from r1omni.train.optimise import (
    build_optimizer,
    learning_rate_schedule,
    recompute_activations,
    set_trainable,
    take_step,
    trainable_parameters,
)
from r1omni.train.processes import gather_rows, start_processes, sum_over
from r1omni.train.rollout import ClipOrder, Group, Reward, Sampler, check_ready, draw_key, rollout_metrics, sample_lines
from r1omni.train.run_folder import RESUMES, RunFolder, StopRequest, readable_clips
from r1omni.train.sharding import Validate, accumulate, distribute, validate_on_first, whole_weights
from r1omni.train.trackers import start_trackers

__all__ = ["GRPOSummary", "Reward", "train_grpo"]


MAX_SAMPLING_GAP = 0.2
"""Mean difference, nats per token, of answers' log-probabilities as sampled and as scored: rounding is far below it;
another temperature, or weights that are not the policy's, are beyond it."""


@dataclass
class GRPOSummary:
    """What a run did."""

    steps: int = 0
    best_step: int | None = None
    """None without validation."""
    best_value: float | None = None
    seconds: float = 0.0
    num_errors: int = 0
    """Clips left out because they cannot be read."""
    num_reward_errors: int = 0
    """Rewards that raised and counted as 0."""
    start: dict[str, float] = field(default_factory=dict)
    """Sampled format and accuracy of the start; empty without the readiness check."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Validations: step, epoch and metrics."""


@dataclass
class _Part:
    """A micro-batch: what is scored at once."""

    groups: list[Group]
    ids: Tensor
    mask: Tensor
    """Tokens that are scored, [batch, group, answer]."""
    counted: Tensor
    """Tokens that count in the loss; none where the answer or its group is left out."""
    advantages: Tensor
    sampled: Tensor
    """Log-probabilities under the distribution the answers were drawn from, [batch, group, answer]."""
    reference: Tensor | None = None
    old: Tensor | None = None


def train_grpo(
    model: Any,
    reference: Any | None,
    processor: Any,
    engine: Engine,
    clips: Sequence[Clip],
    rewards: Sequence[Reward],
    *,
    output_dir: str | Path,
    max_steps: int,
    instruction: str = REASONING_INSTRUCTION,
    num_generations: int = 8,
    prompts_per_device: int = 8,
    gradient_accumulation_steps: int = 1,
    num_iterations: int = 1,
    beta: float = 0.04,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    temperature: float = 1.0,
    loss_type: LossType = "grpo",
    importance_sampling_level: SamplingLevel = "token",
    scale_rewards: ScaleRewards = "group",
    mask_truncated_completions: bool = False,
    max_completion_length: int = 512,
    learning_rate: float = 1e-6,
    lr_scheduler_type: Schedule = "cosine",
    warmup_ratio: float = 0.0,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    trainable: Sequence[Part] | None = TRAINED_PARTS,
    zero_variance: Literal["keep", "skip", "resample"] = "keep",
    max_resample_rounds: int = 2,
    min_format: float = 0.85,
    min_accuracy: float = 0.25,
    readiness_prompts: int = 64,
    seed: int = 0,
    mixed_precision: Literal["no", "bf16"] = "no",
    gradient_checkpointing: bool = False,
    validate: Validate | None = None,
    validation_metric: str = "war",
    validate_every_steps: int | None = None,
    save_every_steps: int | None = None,
    keep_checkpoints: int = 2,
    resume: bool = True,
    log_samples_every_steps: int = 10,
    max_error_share: float = 0.05,
    max_kl: float = 10.0,
    trackers: Sequence[Tracker] = (),
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> GRPOSummary:
    """Train a policy on labels alone; on return it holds the best weights by validation, or the last.

    Args:
        model: the policy, changed in place.
        reference: what the KL holds the policy to, frozen, its towers dropped; None where beta is 0, or where the
            policy has adapters: then the policy without them.
        processor: the models' processor.
        engine: samples from `model`.
        clips: what is asked about.
        rewards: named, weighted functions of a parsed answer and its clip.
        output_dir: the run's folder.
        max_steps: optimiser steps.
        instruction: what is asked.
        num_generations: G, the answers per prompt.
        prompts_per_device: groups per micro-batch and process.
        gradient_accumulation_steps: micro-batches per optimiser step.
        num_iterations: optimiser steps on each batch of samples.
        beta: weight of the KL.
        epsilon: clip range of the ratio below 1.
        epsilon_high: clip range above 1; None takes `epsilon`.
        temperature: of the sampling and of the log-probabilities that are differentiated.
        loss_type: how token losses are averaged.
        importance_sampling_level: ratio per token, or per answer (GSPO).
        scale_rewards: what advantages are divided by.
        mask_truncated_completions: leave answers that ran into the limit out of the loss.
        max_completion_length: tokens of an answer.
        learning_rate: peak.
        lr_scheduler_type: course of the learning rate after the warm-up.
        warmup_ratio: share of the steps in which the rate rises.
        weight_decay: decoupled.
        max_grad_norm: gradients are scaled down to this norm.
        trainable: parts that train; None leaves the model's freezing as it is.
        zero_variance: what happens to a group whose answers all got one reward: `keep` counts it (its KL pulls), `skip`
            leaves it out, `resample` puts other clips in its place and leaves out what is flat in the end.
        max_resample_rounds: rounds of other clips.
        min_format: share of well-formed sampled answers the start needs.
        min_accuracy: share of right sampled answers the start needs.
        readiness_prompts: clips that decide whether the start is ready; 0 asks none.
        seed: of the order of clips and of every sampled token.
        mixed_precision: arithmetic of sampling and training steps.
        gradient_checkpointing: recompute activations in the backward pass.
        validate: measures the policy.
        validation_metric: the best weights are those with the highest value of this.
        validate_every_steps: steps between validations; None validates only at the end.
        save_every_steps: steps between checkpoints, besides those at validations and at the end.
        keep_checkpoints: newest checkpoints kept, besides the best.
        resume: go on from the newest checkpoint in `output_dir`.
        log_samples_every_steps: steps between samples written to samples.jsonl.
        max_error_share: stop where more clips cannot be read, or more rewards raise, than this.
        max_kl: stop where a step's mean KL exceeds this.
        trackers: told the metrics besides metrics.jsonl.
        on_step: told each step's metrics.

    Raises:
        ConfigError: settings that do not fit together.
        NotReadyError: the start is below `min_format` or `min_accuracy` when sampled.
        MediaError: too many clips cannot be read.
        DivergedError: a gradient is not a finite number, or the KL exploded.
    """
    started_s = time.monotonic()
    accelerator = start_processes(mixed_precision)
    world = accelerator.num_processes
    folder = RunFolder(output_dir, accelerator.is_main_process, start_trackers(trackers, Path(output_dir)))
    checkpoints = Checkpoints(folder.path, keep_checkpoints)
    adapters = hasattr(model, "disable_adapter")
    if beta != 0.0 and reference is None and not adapters:
        raise ConfigError(f"beta is {beta:g} and there is no reference; pass the cold start, or set beta = 0.")
    model.to(accelerator.device)
    if trainable is not None:
        set_trainable(model, trainable)
    if resume and (facts := folder.done) is not None:
        checkpoints.load_model(facts["best_step"] or facts["steps"], model)
        return GRPOSummary(**facts)
    if not resume:
        folder.clear()

    clips, num_errors = readable_clips(engine.features, clips, folder, max_error_share, accelerator)
    sampler = Sampler(
        engine,
        rewards,
        instruction,
        num_generations=num_generations,
        temperature=temperature,
        max_completion_length=max_completion_length,
    )
    if gradient_checkpointing:
        recompute_activations(model.language_model)
    scorer, optimizer = distribute(
        accelerator, Scorer(model, processor), lambda: build_optimizer(model, learning_rate, weight_decay)
    )
    trained = list(trainable_parameters(model).values())
    judge = None
    if beta != 0.0 and reference is not None:
        reference.eval().requires_grad_(False)
        release_towers(reference)
        reference.to(accelerator.device)
        judge, _ = distribute(accelerator, Scorer(reference, processor))
    summary = GRPOSummary(num_errors=num_errors)
    order = ClipOrder(clips, seed)
    step = 0
    if steps := checkpoints.steps():
        state = checkpoints.load(steps[-1], model, optimizer)
        restore_generators(state["generators"], accelerator.process_index)
        step, summary, order.position = state["step"], GRPOSummary(**state["summary"]), state["position"]
    folder.rewind(step)
    if step == 0:
        torch.manual_seed(seed)
        if readiness_prompts:
            with accelerator.autocast(), whole_weights(scorer):
                probe = sampler.sample(ClipOrder(clips, seed).take(min(readiness_prompts, len(clips))), f"{seed}/start")
            summary.start = check_ready(probe, min_format, min_accuracy)
            # Every process sampled the same.
            sampler.failures = sampler.failures if accelerator.is_main_process else []
            summary.num_reward_errors += _record_failures(accelerator, folder, sampler, step, probe, max_error_share)
    prompts_per_process = prompts_per_device * gradient_accumulation_steps
    rate_at = learning_rate_schedule(max_steps, learning_rate, lr_scheduler_type, warmup_ratio)

    def save() -> None:
        generators = gather_rows(accelerator, [generator_state()])
        state = {"generators": generators, "position": order.position, "summary": asdict(summary)}
        state["best_step"] = summary.best_step
        checkpoints.save(step, model, optimizer, state, writes=accelerator.is_main_process)
        folder.draw_curves()

    with StopRequest() as stop:
        while step < max_steps:
            step_started_s = time.monotonic()
            with accelerator.autocast(), whole_weights(scorer):
                groups, variance = _sample_step(
                    accelerator, sampler, order, prompts_per_process, zero_variance, max_resample_rounds, seed, step
                )
            sampled_s = time.monotonic() - step_started_s
            _set_advantages(accelerator, groups, scale_rewards)
            parts = _split(groups, prompts_per_device, gradient_accumulation_steps, mask_truncated_completions, world)
            counts = _batch_counts(accelerator, groups, parts)
            if beta != 0.0:
                with torch.no_grad(), accelerator.autocast():
                    for part in parts:
                        with nullcontext() if judge else model.disable_adapter():
                            part.reference = _score(judge or scorer, part, instruction, temperature)
            drawn = rollout_metrics(groups, rewards)
            totals, kl, rate, grad_norm, gap = {}, 0.0, 0.0, 0.0, 0.0
            taken = min(num_iterations, max_steps - step)
            for _ in range(taken):
                # No dropout: the ratio compares with what was sampled. Checkpointing works in training mode only, and
                # nothing in the language model differs there.
                model.eval()
                model.language_model.train(gradient_checkpointing)
                sums: dict[str, Tensor] = {}
                for number, part in enumerate(parts):
                    last = number + 1 == len(parts)
                    with accumulate(accelerator, scorer, last):
                        with accelerator.autocast():
                            logprobs = _score(scorer, part, instruction, temperature)
                        if part.old is None:
                            part.old = logprobs.detach()
                            gap += float(((part.old - part.sampled).abs() * part.mask).sum())
                        loss, part_sums = policy_loss(
                            logprobs.flatten(0, 1),
                            part.old.flatten(0, 1),
                            part.advantages.flatten(),
                            part.counted.flatten(0, 1),
                            reference_logprobs=None if part.reference is None else part.reference.flatten(0, 1),
                            beta=beta,
                            epsilon=epsilon,
                            epsilon_high=epsilon_high,
                            loss_type=loss_type,
                            importance_sampling_level=importance_sampling_level,
                            max_completion_length=max_completion_length,
                            counts=counts,
                        )
                        accelerator.backward(loss * world)
                    for name, value in {**part_sums, "loss": loss.detach()}.items():
                        sums[name] = sums.get(name, 0.0) + value
                sums["gap"] = torch.tensor(gap)
                sums["scored"] = torch.tensor([int(part.mask.sum()) for part in parts]).sum()
                totals = dict(zip(sums, sum_over(accelerator, *map(float, sums.values())), strict=True))
                kl = totals.get("kl", 0.0) / max(counts.num_tokens, 1.0)
                gap_per_token = totals["gap"] / max(totals["scored"], 1.0)
                if gap_per_token > MAX_SAMPLING_GAP:
                    raise DivergedError(
                        f"Answers of step {step + 1} were scored {gap_per_token:.3g} nats per token away from how they "
                        f"were sampled, expected at most {MAX_SAMPLING_GAP:g}: the engine does not sample from the "
                        "policy. Pass an engine over the model that is trained, at the same temperature."
                    )
                if not math.isfinite(kl) or kl > max_kl:
                    raise DivergedError(
                        f"The mean KL to the reference is {kl:.3g} at step {step + 1}, expected at most {max_kl:g}; "
                        f"training was stopped. The last good weights: {checkpoints.newest}. Lower the learning rate "
                        "or raise beta and start again from there."
                    )
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
            model.eval()

            summary.num_reward_errors += _record_failures(accelerator, folder, sampler, step, groups, max_error_share)
            elapsed_s = time.monotonic() - step_started_s
            metrics = _mean_over_processes(accelerator, drawn) | {
                "step": step,
                "num_steps": max_steps,
                "epoch": order.position / len(clips),
                "loss": totals["loss"],
                "kl": kl,
                "clip_fraction": totals["clipped"] / max(counts.num_tokens, 1.0),
                "sampling_gap": totals["gap"] / max(totals["scored"], 1.0),
                **variance,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "sampling_s": sampled_s,
                "step_s": elapsed_s,
                "seconds": time.monotonic() - started_s,
            }
            metrics["tokens_per_s"] = metrics.pop("tokens") * world / elapsed_s
            folder.record(metrics)
            if (step - 1) // num_iterations % log_samples_every_steps == 0:
                folder.append("samples.jsonl", sample_lines(step, groups))
            summary.steps = step
            if on_step is not None:
                on_step(metrics)
            at_end = step >= max_steps
            due = at_end or (validate_every_steps and _passed(step, taken, validate_every_steps))
            if validate is not None and due:
                measured = validate_on_first(accelerator, validate, model, scorer)
                summary.history.append({"step": step, "epoch": metrics["epoch"], **measured})
                folder.record({"step": step, "epoch": metrics["epoch"], "validation": measured})
                if summary.best_value is None or measured[validation_metric] > summary.best_value:
                    summary.best_step, summary.best_value = step, measured[validation_metric]
                save()
            elif at_end or (save_every_steps and _passed(step, taken, save_every_steps)):
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


def _sample_step(
    accelerator: Accelerator,
    sampler: Sampler,
    order: ClipOrder,
    count: int,
    zero_variance: str,
    max_resample_rounds: int,
    seed: int,
    step: int,
) -> tuple[list[Group], dict[str, float]]:
    """This process's groups of a step, and what became of those without variance, over all processes."""
    world, rank = accelerator.num_processes, accelerator.process_index
    groups = sampler.sample(order.take(count * world)[rank::world], draw_key(seed, step, 0))
    report: dict[str, float] = {}
    report["zero_variance"] = sum_over(accelerator, sum(group.is_flat for group in groups))[0] / (count * world)
    if zero_variance == "keep":
        return groups, report
    if zero_variance == "resample":
        report["resampled"] = 0.0
        for round_number in range(1, max_resample_rounds + 1):
            missing = sum(group.is_flat for group in groups)
            needed = max(gather_rows(accelerator, [missing]))
            if needed == 0:
                break
            others = sampler.sample(order.take(needed * world)[rank::world], draw_key(seed, step, round_number))
            report["resampled"] += needed * world
            alive = iter([group for group in others if not group.is_flat])
            groups = [next(alive, group) if group.is_flat else group for group in groups]
    for group in groups:
        group.counts = not group.is_flat
    flat = sum_over(accelerator, sum(group.is_flat for group in groups))[0]
    report["left_out"] = flat / (count * world)
    if flat == count * world:
        report["left_out"] = 0.0
        for group in groups:
            group.counts = True  # nothing has variance: only the KL acts
    return groups, report


def _set_advantages(accelerator: Accelerator, groups: list[Group], scale_rewards: ScaleRewards) -> None:
    totals = torch.tensor([group.totals for group in groups])
    batch_std = None
    if scale_rewards == "batch":
        batch_std = torch.tensor(gather_rows(accelerator, [group.totals for group in groups])).std()
    for group, row in zip(groups, group_advantages(totals, scale_rewards, batch_std).tolist(), strict=True):
        group.advantages = row


def _split(
    groups: list[Group], prompts_per_device: int, num_parts: int, mask_truncated: bool, world: int
) -> list[_Part]:
    """Micro-batches of groups; alone, a process does not score what does not count."""
    scored = [group for group in groups if group.counts] if world == 1 else groups
    # Answers of about one length together: less padding.
    scored = sorted(scored, key=lambda group: max(len(answer.token_ids) for answer in group.answers))
    parts = []
    for start in range(0, len(scored), prompts_per_device):
        chunk = scored[start : start + prompts_per_device]
        ids, mask = pad_answers([[answer.token_ids for answer in group.answers] for group in chunk])
        kept = torch.tensor(
            [[group.counts and not (mask_truncated and a.truncated) for a in group.answers] for group in chunk]
        )
        advantages = torch.tensor([group.advantages for group in chunk])
        sampled = torch.zeros(mask.shape)
        sampled[mask] = torch.tensor(
            [value for group in chunk for answer in group.answers for value in answer.logprobs]
        )
        parts.append(_Part(chunk, ids, mask, mask & kept[..., None], advantages, sampled))
    assert len(parts) <= num_parts
    return parts


def _batch_counts(accelerator: Accelerator, groups: list[Group], parts: list[_Part]) -> BatchCounts:
    """Answers and tokens that count, over all processes; a truncated answer that is masked counts as an answer."""
    answers = sum(len(group.answers) for group in groups if group.counts)
    tokens = sum(int(part.counted.sum()) for part in parts)
    return BatchCounts(*sum_over(accelerator, answers, tokens))


def _score(scorer: Any, part: _Part, instruction: str, temperature: float) -> Tensor:
    prompts = [Prompt.ask(instruction, group.features) for group in part.groups]
    return scorer(prompts, part.ids, part.mask, temperature).cpu()


def _mean_over_processes(accelerator: Accelerator, metrics: dict[str, float]) -> dict[str, float]:
    gathered = gather_rows(accelerator, [metrics])
    return {name: sum(row[name] for row in gathered) / len(gathered) for name in metrics}


def _record_failures(
    accelerator: Accelerator,
    folder: RunFolder,
    sampler: Sampler,
    step: int,
    groups: list[Group],
    max_error_share: float,
) -> int:
    """Write down every process's rewards that raised; too many of them stop the run."""
    failures = gather_rows(accelerator, sampler.failures)
    sampler.failures = []
    folder.append("errors.jsonl", [{"step": step, **failure} for failure in failures])
    graded = sum(gather_rows(accelerator, [sum(len(group.answers) for group in groups) * len(sampler.rewards)]))
    if len(failures) > max_error_share * graded:
        first = failures[0]
        raise R1OmniError(
            f"{len(failures)} of {graded} rewards failed at step {step}, more than max_error_share = "
            f"{max_error_share:g} allows. The first: {first['reward']} on clip "
            f"{first['clip']}: {first['error']}. Mend the reward."
        )
    return len(failures)


def _passed(step: int, stride: int, every: int) -> bool:
    """Whether the last `stride` steps crossed a multiple of `every`."""
    return step // every > (step - stride) // every
