"""GRPO's objective as pure functions.

    advantage   A_i = (r_i - mean(r)) / (std(r) + 1e-4)                                       eq. 4
    ratio       w   = exp(logp - old_logp), per token, or its mean over the answer (GSPO)
    KL (k3)     KL  = exp(ref - logp) - (ref - logp) - 1                                      eq. 3
    token loss  L   = -min(w A, clip(w, 1 - epsilon, 1 + epsilon_high) A) + beta KL

The token losses are averaged by `loss_type`: `grpo` over each answer and then over answers, `bnpo` and `dapo` over all
tokens, `dr_grpo` over answers times the longest allowed length. A batch that is scored in parts passes the counts of
the whole to each, so that the parts add up; with that, `bnpo` and `dapo` are the same here.

Source: arXiv 2503.05379, equations 1 to 6; options and their names from TRL 1.16's GRPOTrainer.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from r1omni.config.grpo_run import LossType, SamplingLevel, ScaleRewards

STD_FLOOR = 1e-4
"""Added to the standard deviation of rewards."""


@dataclass(frozen=True)
class BatchCounts:
    """What the sums of a whole batch are divided by."""

    num_answers: float
    """Answers, masked ones included."""
    num_tokens: float
    """Tokens that count."""


def group_advantages(
    rewards: Float[Tensor, "batch group"], scale_rewards: ScaleRewards = "group", batch_std: Tensor | None = None
) -> Float[Tensor, "batch group"]:
    """Advantage of each answer over its group.

    Args:
        rewards: summed rewards; a row is a group.
        scale_rewards: what the difference to the group's mean is divided by: the group's standard deviation, that of
            all rewards of the batch, or nothing.
        batch_std: standard deviation of all rewards where the batch is spread over processes; None takes it from
            `rewards`.
    """
    centred = rewards - rewards.mean(-1, keepdim=True)
    if scale_rewards == "none":
        return centred
    if scale_rewards == "batch":
        return centred / ((rewards.std() if batch_std is None else batch_std) + STD_FLOOR)
    return centred / (rewards.std(-1, keepdim=True) + STD_FLOOR)


def kl_k3(
    logprobs: Float[Tensor, "answers tokens"], reference_logprobs: Float[Tensor, "answers tokens"]
) -> Float[Tensor, "answers tokens"]:
    """KL of the policy to the reference per token, estimated without bias and never negative.

    Args:
        logprobs: of the policy.
        reference_logprobs: of the reference.
    """
    difference = reference_logprobs - logprobs
    return difference.exp() - difference - 1


def policy_loss(
    logprobs: Float[Tensor, "answers tokens"],
    old_logprobs: Float[Tensor, "answers tokens"],
    advantages: Float[Tensor, " answers"],
    mask: Bool[Tensor, "answers tokens"],
    *,
    reference_logprobs: Float[Tensor, "answers tokens"] | None = None,
    beta: float = 0.0,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    loss_type: LossType = "grpo",
    importance_sampling_level: SamplingLevel = "token",
    max_completion_length: int = 1,
    counts: BatchCounts | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch of answers, or of a part of one.

    Args:
        logprobs: log-probabilities under the policy; gradients flow through them.
        old_logprobs: of the policy that sampled.
        advantages: one per answer.
        mask: true at tokens that count; a truncated answer that is left out is false throughout and still counts as an
            answer.
        reference_logprobs: needed where beta is not 0.
        beta: weight of the KL.
        epsilon: clip range of the ratio below 1.
        epsilon_high: clip range above 1; None takes `epsilon`.
        loss_type: how token losses are averaged.
        importance_sampling_level: ratio per token, or per answer.
        max_completion_length: the longest allowed answer, tokens; read by `dr_grpo`.
        counts: of the whole batch; None takes them from `mask`.

    Returns:
        The loss, and sums over tokens for the log: `kl`, `clipped`, `tokens`.
    """
    if counts is None:
        counts = BatchCounts(len(mask), float(mask.sum()))
    epsilon_high = epsilon if epsilon_high is None else epsilon_high
    weights = mask.to(logprobs.dtype)
    log_ratio = logprobs - old_logprobs
    if importance_sampling_level == "sequence":
        log_ratio = ((log_ratio * weights).sum(-1) / weights.sum(-1).clamp_min(1.0))[:, None]
    ratio = log_ratio.exp()
    gain = advantages[:, None]
    token_loss = -torch.min(ratio * gain, ratio.clamp(1 - epsilon, 1 + epsilon_high) * gain)
    clipped = ((ratio < 1 - epsilon) & (gain < 0)) | ((ratio > 1 + epsilon_high) & (gain > 0))
    sums = {"clipped": (clipped * weights).sum().detach(), "tokens": weights.sum().detach()}
    if beta != 0.0:
        if reference_logprobs is None:
            raise ValueError("beta is not 0 and there are no reference_logprobs; pass them, or set beta = 0.")
        divergence = kl_k3(logprobs, reference_logprobs)
        token_loss = token_loss + beta * divergence
        sums["kl"] = (divergence * weights).sum().detach()
    token_loss = token_loss * weights
    if loss_type == "grpo":
        loss = (token_loss.sum(-1) / weights.sum(-1).clamp_min(1.0)).sum() / max(counts.num_answers, 1.0)
    elif loss_type == "dr_grpo":
        loss = token_loss.sum() / max(counts.num_answers * max_completion_length, 1.0)
    else:
        loss = token_loss.sum() / max(counts.num_tokens, 1.0)
    return loss, sums
