"""A step's groups as tensors, in the parts that are scored at once.

A part is divided by the counts of the whole batch over all processes (`loss.py`), so that parts and processes add up to
one large batch.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import pad_answers
from r1omni.train.loss import BatchCounts
from r1omni.train.processes import sum_over
from r1omni.train.rollout import Group
from r1omni.train.sharding import accumulate


@dataclass
class MicroBatch:
    """What is scored at once."""

    prompts: list[Prompt]
    ids: Int[Tensor, "batch group answer"]
    mask: Bool[Tensor, "batch group answer"]
    """True at the tokens that are scored."""
    is_trained_on: Bool[Tensor, "batch group answer"]
    """True at the tokens in the loss; false throughout where the answer or its group is left out."""
    advantages: Float[Tensor, "batch group"]
    sampled: Float[Tensor, "batch group answer"]
    """Log-probabilities under the distribution the answers were drawn from."""
    reference: Float[Tensor, "batch group answer"] | None = None
    """Log-probabilities under the reference policy; None without a KL."""
    old: Float[Tensor, "batch group answer"] | None = None
    """Log-probabilities under the policy before the first update on this batch; None until then."""


Objective = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""`policy_loss` with the settings of the run."""


def split_groups(
    groups: Sequence[Group], prompts_per_part: int, mask_truncated: bool, num_processes: int
) -> list[MicroBatch]:
    """Lay groups out in parts, answers of about one length together, so that there is less padding.

    Args:
        groups: of this process.
        prompts_per_part: groups that are scored at once.
        mask_truncated: leave answers that ran into the limit out of the loss.
        num_processes: with one process, groups that are left out of the loss are not scored at all.
    """
    scored = [group for group in groups if group.is_trained_on] if num_processes == 1 else list(groups)
    scored.sort(key=lambda group: max(len(answer.token_ids) for answer in group.answers))
    parts = []
    for start in range(0, len(scored), prompts_per_part):
        chunk = scored[start : start + prompts_per_part]
        ids, mask = pad_answers([[answer.token_ids for answer in group.answers] for group in chunk])
        kept = torch.tensor(
            [[g.is_trained_on and not (mask_truncated and a.truncated) for a in g.answers] for g in chunk]
        )
        sampled = torch.zeros(mask.shape)
        sampled[mask] = torch.tensor([p for group in chunk for answer in group.answers for p in answer.logprobs])
        advantages = torch.tensor([group.advantages for group in chunk])
        prompts = [group.prompt for group in chunk]
        parts.append(MicroBatch(prompts, ids, mask, mask & kept[..., None], advantages, sampled))
    return parts


def batch_counts(accelerator: Accelerator, groups: Sequence[Group], parts: Sequence[MicroBatch]) -> BatchCounts:
    """Count answers and tokens over all processes; a truncated answer that is masked counts as an answer."""
    answers = sum(len(group.answers) for group in groups if group.is_trained_on)
    tokens = sum(int(part.is_trained_on.sum()) for part in parts)
    return BatchCounts(*sum_over(accelerator, answers, tokens))


def score(scorer: nn.Module, part: MicroBatch, temperature: float) -> Float[Tensor, "batch group answer"]:
    """Return the log-probabilities of a part's answers, on the CPU.

    Args:
        scorer: what `distribute` returned.
        part: prompts and answers.
        temperature: of the sampling.
    """
    return scorer(part.prompts, part.ids, part.mask, temperature).cpu()


@torch.no_grad()
def score_reference(
    scorer: nn.Module,
    parts: Sequence[MicroBatch],
    temperature: float,
    without_adapters: Callable[[], AbstractContextManager[object]],
) -> None:
    """Set the log-probabilities under the reference policy.

    Args:
        scorer: of the reference, or of the policy where its adapters can be taken off.
        parts: of a batch.
        temperature: of the sampling.
        without_adapters: entered around each pass.
    """
    for part in parts:
        with without_adapters():
            part.reference = score(scorer, part, temperature)


def accumulate_gradients(
    accelerator: Accelerator,
    scorer: nn.Module,
    parts: Sequence[MicroBatch],
    objective: Objective,
    temperature: float,
    counts: BatchCounts,
) -> dict[str, float]:
    """Run the forward and backward passes of one optimiser step.

    Args:
        accelerator: of the run.
        scorer: of the policy.
        parts: of the batch; their `old` is set in the first of several steps on it.
        objective: loss of a part; see `policy_loss`.
        temperature: of the sampling.
        counts: of the whole batch.

    Returns:
        Over all processes and per token in the loss: `loss`, `kl` and `clip_fraction`; and `sampling_gap`, the mean
        difference, nats per token, between answers as they were sampled and as they were first scored.
    """
    sums: dict[str, float | Tensor] = {}
    for number, part in enumerate(parts):
        with accumulate(accelerator, scorer, last=number + 1 == len(parts)):
            with accelerator.autocast():
                logprobs = score(scorer, part, temperature)
            if part.old is None:
                part.old = logprobs.detach()
            loss, part_sums = objective(
                logprobs.flatten(0, 1),
                part.old.flatten(0, 1),
                part.advantages.flatten(),
                part.is_trained_on.flatten(0, 1),
                reference_logprobs=None if part.reference is None else part.reference.flatten(0, 1),
                counts=counts,
            )
            accelerator.backward(loss * accelerator.num_processes)
        gap = ((part.old - part.sampled).abs() * part.mask).sum()
        for name, value in {**part_sums, "loss": loss.detach(), "gap": gap, "scored": part.mask.sum()}.items():
            sums[name] = sums.get(name, 0.0) + value
    totals = dict(zip(sums, sum_over(accelerator, *map(float, sums.values())), strict=True))
    num_tokens = max(counts.num_tokens, 1.0)
    return {
        "loss": totals["loss"],
        "kl": totals.get("kl", 0.0) / num_tokens,
        "clip_fraction": totals["clipped"] / num_tokens,
        "sampling_gap": totals["gap"] / max(totals["scored"], 1.0),
    }
