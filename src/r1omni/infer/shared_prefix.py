"""Log-probabilities of a group of answers whose prompt is computed once.

One packed row holds `[prompt | answer 1 | .. | answer G]`. Positions restart after the prompt for each answer, and an
answer attends to the prompt and to itself, never to its siblings:

    attention(answer g) = softmax(q_g [k_prompt | k_g]^T) [v_prompt | v_g]

so that every answer sees exactly what it would see in a row of its own, and gradients through the prompt add up over
the group. The packing is an attention function registered with transformers: projections, norms, adapters, gradient
checkpointing and sharded wrappers work on the packed row as on any other. Logits exist only at the positions that
predict a token of an answer, in chunks.

Dropout in attention is left out on purpose: the sampled distribution must be the scored one.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, Qwen2Model
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION_NAME = "r1omni_shared_prefix"
MAX_LOGITS = 2**26
"""Logits held at once, elements; a chunk beyond the first is recomputed in the backward pass."""


@dataclass(frozen=True)
class PackedRow:
    """How the tokens of a row are laid out, handed to every layer's attention."""

    prompt_tokens: int
    num_answers: int
    answer_tokens: int
    answer_mask: Tensor
    """Added to the scores of an answer's tokens, [batch * group or 1, 1, repeat * answer, prompt + answer]; `repeat` is
    the number of query heads that share a key."""


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed_row: PackedRow | None = None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if packed_row is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    batch, num_heads, _, width = query.shape
    num_kv_heads = key.shape[1]
    prompt, group, answer = packed_row.prompt_tokens, packed_row.num_answers, packed_row.answer_tokens
    prompt_out = functional.scaled_dot_product_attention(
        query[:, :, :prompt],
        key[:, :, :prompt],
        value[:, :, :prompt],
        is_causal=True,
        scale=scaling,
        enable_gqa=num_heads != num_kv_heads,
    )

    def own(x: Tensor) -> Tensor:
        return x[:, :, prompt:].unflatten(2, (group, answer)).transpose(1, 2)

    def with_prompt(x: Tensor) -> Tensor:
        shared = x[:, None, :, :prompt].expand(batch, group, num_kv_heads, prompt, width)
        return torch.cat([shared, own(x)], dim=3).flatten(0, 1)

    # Query heads that share a key are folded into the query length: CUDA has no kernel that shares keys under a mask.
    answer_out = functional.scaled_dot_product_attention(
        own(query).flatten(0, 1).unflatten(1, (num_kv_heads, -1)).flatten(2, 3),
        with_prompt(key),
        with_prompt(value),
        attn_mask=packed_row.answer_mask.to(query.dtype),
        scale=scaling,
    )
    # [batch * group, kv heads, repeat * answer, width] -> [batch, group * answer, heads, width]
    answer_out = answer_out.unflatten(2, (-1, answer)).flatten(1, 2)
    answer_out = answer_out.unflatten(0, (batch, group)).permute(0, 1, 3, 2, 4).flatten(1, 2)
    return torch.cat([prompt_out.transpose(1, 2), answer_out], dim=1), None


AttentionInterface.register(ATTENTION_NAME, _attend)  # pyright: ignore[reportArgumentType]
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


def prompt_positions(prompt_mask: Tensor) -> Tensor:
    """Positions of a padded prompt: the first real token is at 0; padding is at 0 as well.

    Args:
        prompt_mask: true at real tokens, [batch, prompt].
    """
    return (prompt_mask.long().cumsum(-1) - 1).clamp_min(0)


def _pad_right(embeds: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move the padding behind the tokens, where a causal prompt cannot see it and needs no mask."""
    order = mask.long().argsort(dim=-1, descending=True, stable=True)
    return embeds.gather(1, order[..., None].expand_as(embeds)), mask.gather(1, order)


def _layout(prompt_mask: Tensor, group: int, answer: int, repeat: int, dtype: torch.dtype) -> PackedRow:
    """Lay out rows whose prompts end in padding; a single row of `prompt_mask` applies to all."""
    batch, prompt = prompt_mask.shape
    width = prompt + answer
    # CUDA's kernel copies a mask whose rows do not start at multiples of 16.
    padded = torch.zeros(batch, answer, -(-width // 16) * 16, dtype=dtype, device=prompt_mask.device)
    mask = padded[..., :width]
    mask[..., :prompt].masked_fill_(~prompt_mask[:, None, :], -torch.inf)
    future = torch.ones(answer, answer, dtype=torch.bool, device=mask.device).triu(1)
    mask[..., prompt:].masked_fill_(future, -torch.inf)
    padded = padded.repeat_interleave(group if batch > 1 else 1, dim=0).repeat(1, repeat, 1)
    return PackedRow(prompt, group, answer, padded[:, None, :, :width])


def _token_logprobs(
    hidden: Float[Tensor, "tokens hidden"], targets: Int[Tensor, " tokens"], lm_head: nn.Linear, temperature: float
) -> Float[Tensor, " tokens"]:
    logits = lm_head(hidden).float()
    if temperature != 1.0:
        logits = logits / temperature
    return logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)


def answer_logprobs(
    language_model: Qwen2Model,
    lm_head: nn.Linear,
    prompt_embeds: Float[Tensor, "batch prompt hidden"],
    prompt_mask: Int[Tensor, "batch prompt"] | Bool[Tensor, "batch prompt"],
    answer_ids: Int[Tensor, "batch group answer"],
    answer_mask: Bool[Tensor, "batch group answer"],
    temperature: float = 1.0,
    max_logits: int = MAX_LOGITS,
) -> Float[Tensor, "batch group answer"]:
    """Log-probability of every token of every answer; 0 where masked. Differentiable.

    Args:
        language_model: a Qwen2-type decoder of transformers; its attention is switched to the packed one, which is
            plain scaled dot product attention for ordinary calls.
        lm_head: hidden state to logits.
        prompt_embeds: embedded prompts, padded on the left.
        prompt_mask: true at real tokens.
        answer_ids: tokens of the answers with the end-of-turn token, padded on the right with any valid id.
        answer_mask: true at the tokens of the answers.
        temperature: logits are divided by it, as in sampling.
        max_logits: logits held at once, elements.
    """
    if language_model.config._attn_implementation != ATTENTION_NAME:
        language_model.config._attn_implementation = ATTENTION_NAME
    batch, group, answer = answer_ids.shape
    prompt_mask = prompt_mask.bool()
    visible = prompt_mask[:1]
    if not bool(prompt_mask.all()):
        prompt_embeds, prompt_mask = _pad_right(prompt_embeds, prompt_mask)
        visible = prompt_mask
    lengths = prompt_mask.sum(-1)
    config = language_model.config
    repeat = config.num_attention_heads // (config.num_key_value_heads or config.num_attention_heads)
    layout = _layout(visible, group, answer, repeat, prompt_embeds.dtype)
    answer_embeds = language_model.get_input_embeddings()(answer_ids.flatten(1))
    positions = lengths[:, None, None] + torch.arange(answer, device=lengths.device)
    hidden = language_model(
        inputs_embeds=torch.cat([prompt_embeds, answer_embeds.to(prompt_embeds.dtype)], dim=1),
        position_ids=torch.cat([prompt_positions(prompt_mask), positions.expand(-1, group, -1).flatten(1)], dim=1),
        attention_mask={"full_attention": None},
        use_cache=False,
        packed_row=layout,
    ).last_hidden_state
    # The last prompt position predicts the first token of each answer, a token of an answer the next one.
    last = hidden[torch.arange(batch, device=hidden.device), lengths - 1]
    first = last[:, None, None].expand(-1, group, 1, -1)
    rest = hidden[:, layout.prompt_tokens :].unflatten(1, (group, answer))[:, :, :-1]
    predicting = torch.cat([first, rest], dim=2)[answer_mask]
    targets = answer_ids[answer_mask]
    chunk = max(1, max_logits // lm_head.out_features)
    if len(targets) <= chunk:
        logprobs = _token_logprobs(predicting, targets, lm_head, temperature)
    else:
        logprobs = torch.cat(
            [
                checkpoint(_token_logprobs, states, ids, lm_head, temperature, use_reentrant=False)
                for states, ids in zip(predicting.split(chunk), targets.split(chunk), strict=True)
            ]
        )
    return torch.zeros(answer_ids.shape, device=logprobs.device).masked_scatter(answer_mask, logprobs)
