"""The baseline of `generation.py`: a batch of prompts is answered to its end before the next one begins.

Each prompt's G new tokens are folded into the query length against the one prefix, and rows that ended are dropped when
enough of them have, but none takes their place.
"""

from collections.abc import Generator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.models.qwen2.modeling_qwen2 import rotate_half

from r1omni.infer.shared_prefix import prompt_positions
from r1omni.model.modeling import CACHE

COMPACT_BELOW = 0.85
"""Rows that ended are dropped once the live share falls below this."""
PACK_FROM_TOKENS = 8
"""Fewer tokens would not pay for laying the weights out."""
PACK_BYTES = 4 * 2**30
"""Weights that are laid out at most, for their copies need as much memory again."""


class _Rows:
    """The live rows: whose prompt they read, where their own keys and values lie."""

    def __init__(
        self, prefix: list[tuple[Tensor, Tensor]], prompt_mask: Tensor, group: int, max_new_tokens: int
    ) -> None:
        batch, heads, _, width = prefix[0][0].shape
        device = prompt_mask.device
        self.prefix = prefix
        self.bias = torch.zeros(prompt_mask.shape, dtype=prefix[0][0].dtype, device=device)
        self.bias = self.bias.masked_fill(~prompt_mask, -torch.inf)[:, None, None]
        self.own = prefix[0][0].new_empty(len(prefix), 2, batch * group, heads, max_new_tokens, width)
        self.ids = torch.arange(batch * group, device=device)
        self.prompt_of = self.ids // group
        self.lengths = prompt_mask.sum(-1)[self.prompt_of]
        self.alive = torch.ones_like(self.ids, dtype=torch.bool)
        self.num_prompts, self.per_prompt = batch, group
        self.slots: Tensor | None = None
        """Place of each row among num_prompts * per_prompt; None where rows fill them in order."""

    def compact(self, num_tokens: int) -> None:
        """Drop the rows that ended, and the prompts without rows."""
        keep = self.alive.nonzero().squeeze(1)
        own = self.own.new_empty(*self.own.shape[:2], len(keep), *self.own.shape[3:])
        own[..., :num_tokens, :] = self.own[..., :num_tokens, :].index_select(2, keep)
        self.own = own
        self.ids, self.lengths, self.alive = self.ids[keep], self.lengths[keep], self.alive[keep]
        prompts, local, counts = self.prompt_of[keep].unique_consecutive(return_inverse=True, return_counts=True)
        if len(prompts) < self.num_prompts:
            self.prefix = [(k.index_select(0, prompts), v.index_select(0, prompts)) for k, v in self.prefix]
            self.bias = self.bias.index_select(0, prompts)
        self.prompt_of, self.num_prompts, self.per_prompt = local, len(prompts), int(counts.max())
        rank = torch.arange(len(keep), device=keep.device) - (counts.cumsum(0) - counts)[local]
        full = len(keep) == self.num_prompts * self.per_prompt
        self.slots = None if full else local * self.per_prompt + rank

    def attend(self, layer: int, query: Tensor, num_tokens: int, scaling: float) -> Tensor:
        """Attention of one new token per row over the row's prompt and its own tokens.

        Args:
            layer: which keys and values.
            query: [rows, heads * repeat, width].
            num_tokens: own tokens so far, the new one included.
            scaling: factor on the scores.
        """
        prefix_key, prefix_value = self.prefix[layer]
        own_key, own_value = self.own[layer, 0, :, :, :num_tokens], self.own[layer, 1, :, :, :num_tokens]
        rows, _, width = query.shape
        heads, prompt = prefix_key.shape[1], prefix_key.shape[2]
        query = query.view(rows, heads, -1, width) * scaling
        own_scores = query @ own_key.transpose(-1, -2)
        scores = torch.cat(
            [self._fold(query) @ prefix_key.transpose(-1, -2) + self.bias, self._fold(own_scores)], dim=-1
        )
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        shared = self._unfold(weights[..., :prompt] @ prefix_value)
        return (shared + self._unfold(weights[..., prompt:]) @ own_value).reshape(rows, -1)

    def _fold(self, x: Tensor) -> Tensor:
        """[rows, heads, repeat, n] -> [prompts, heads, per_prompt * repeat, n], empty places zero."""
        if self.slots is not None:
            x = x.new_zeros(self.num_prompts * self.per_prompt, *x.shape[1:]).index_copy_(0, self.slots, x)
        return x.unflatten(0, (self.num_prompts, self.per_prompt)).transpose(1, 2).flatten(2, 3)

    def _unfold(self, x: Tensor) -> Tensor:
        x = x.unflatten(2, (self.per_prompt, -1)).transpose(1, 2).flatten(0, 1)
        return x if self.slots is None else x.index_select(0, self.slots)


class _Linears:
    """Applies linear layers to few rows; in bfloat16 on a CPU from weights laid out once for its products.

    torch lays a bfloat16 weight out anew at every product, which for few rows costs as much as the product. The copies
    live as long as one call: weights in training are read as they are.
    """

    def __init__(self, language_model: Any, lm_head: Any, num_tokens: int) -> None:
        self.packed: dict[nn.Module, Tensor] = {}
        layers = [m for m in (*language_model.layers.modules(), lm_head) if type(m) is nn.Linear]
        weights = [layer.weight for layer in layers]
        wanted = num_tokens >= PACK_FROM_TOKENS and sum(weight.nbytes for weight in weights) <= PACK_BYTES
        wanted = wanted and all(weight.dtype == torch.bfloat16 and weight.is_cpu for weight in weights)
        if wanted and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            self.packed = {layer: torch.ops.mkldnn._reorder_linear_weight(layer.weight) for layer in layers}

    def __call__(self, layer: Any, x: Tensor) -> Tensor:
        weight = self.packed.get(layer)
        if weight is None:
            return layer(x)
        return torch.ops.mkldnn._linear_pointwise(x, weight, layer.bias, "none", [], "")


def _step(language_model: Any, linear: _Linears, rows: _Rows, tokens: Tensor, num_tokens: int) -> Tensor:
    """Hidden states, [rows, hidden], after one more token per row; `num_tokens` own tokens include it."""
    hidden = language_model.get_input_embeddings()(tokens)
    positions = rows.lengths + (num_tokens - 1)
    cos, sin = language_model.rotary_emb(hidden, positions[:, None])
    for index, layer in enumerate(language_model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        normed = layer.input_layernorm(hidden)
        query = linear(attention.q_proj, normed).unflatten(-1, (-1, attention.head_dim))
        key = linear(attention.k_proj, normed).unflatten(-1, (-1, attention.head_dim))
        query = query * cos + rotate_half(query) * sin
        rows.own[index, 0, :, :, num_tokens - 1] = key * cos + rotate_half(key) * sin
        value = linear(attention.v_proj, normed)
        rows.own[index, 1, :, :, num_tokens - 1] = value.unflatten(-1, (-1, attention.head_dim))
        hidden = hidden + linear(attention.o_proj, rows.attend(index, query, num_tokens, attention.scaling))
        normed = layer.post_attention_layernorm(hidden)
        hidden = hidden + linear(mlp.down_proj, mlp.act_fn(linear(mlp.gate_proj, normed)) * linear(mlp.up_proj, normed))
    return language_model.norm(hidden)


def _draw(
    logits: Tensor, temperature: float, uniforms: Tensor, repetition_penalty: float, written: Tensor
) -> tuple[Tensor, Tensor]:
    """Token ids and their log-probabilities, [rows]; `written` is each row's answer so far."""
    logits = logits.float()
    if temperature == 0:
        tokens = _penalised(logits, repetition_penalty, written).argmax(-1)
        return tokens, logits.gather(-1, tokens[:, None]).squeeze(1) - logits.logsumexp(-1)
    logprobs = (logits / temperature).log_softmax(-1)
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # Below the total, so that the found token always has a probability above zero.
    wanted = torch.minimum(uniforms[:, None] * total, total.nextafter(torch.zeros_like(total)))
    tokens = torch.searchsorted(cumulative, wanted, right=True)
    return tokens.squeeze(1), logprobs.gather(-1, tokens).squeeze(1)


def _penalised(logits: Tensor, repetition_penalty: float, written: Tensor) -> Tensor:
    """Logits with the tokens already written made less likely, as transformers does it."""
    if repetition_penalty == 1.0 or written.shape[1] == 0:
        return logits
    own = logits.gather(-1, written)
    return logits.scatter(-1, written, torch.where(own < 0, own * repetition_penalty, own / repetition_penalty))


def answer_batch(
    language_model: Any,
    lm_head: Any,
    prompt_embeds: Float[Tensor, "batch prompt hidden"],
    prompt_mask: Bool[Tensor, "batch prompt"],
    *,
    temperature: float,
    stop_ids: list[int],
    uniforms: Float[Tensor, "batch group answer"],
    limits: Int[Tensor, " batch"],
    repetition_penalty: float = 1.0,
) -> Generator[None, None, list[list[list[int]]]]:
    """Read prompts and write a group of answers to each; yields after every token, and returns the tokens.

    Args:
        language_model: a Qwen2-type decoder of transformers.
        lm_head: hidden state to logits.
        prompt_embeds: embedded prompts, padded on the left.
        prompt_mask: true at real tokens.
        temperature: 0 takes the most likely token.
        stop_ids: end-of-turn tokens.
        uniforms: in [0, 1), one number per token.
        limits: tokens that the answers to each prompt may have.
        repetition_penalty: of greedy answers.
    """
    cache: Any = DynamicCache()
    output = language_model(
        inputs_embeds=prompt_embeds,
        attention_mask=prompt_mask.long(),
        position_ids=prompt_positions(prompt_mask),
        use_cache=True,
        **{CACHE: cache},
    )
    batch, group, max_tokens = uniforms.shape
    device = prompt_mask.device
    rows = _Rows([(layer.keys, layer.values) for layer in cache.layers], prompt_mask, group, max_tokens)
    linear = _Linears(language_model, lm_head, max_tokens)
    uniforms = uniforms.flatten(0, 1)
    limits = limits.repeat_interleave(group)
    stops = torch.tensor(stop_ids, device=device)
    token_ids = torch.full((batch * group, max_tokens), stop_ids[0], device=device)
    logprobs = torch.zeros(batch * group, max_tokens, device=device)
    lengths = limits.clone()
    logits = lm_head(output.last_hidden_state[:, -1]).repeat_interleave(group, dim=0)
    for index in range(max_tokens):
        tokens, drawn = _draw(
            logits, temperature, uniforms[rows.ids, index], repetition_penalty, token_ids[rows.ids, :index]
        )
        token_ids[rows.ids, index] = torch.where(rows.alive, tokens, stop_ids[0])
        logprobs[rows.ids, index] = drawn * rows.alive
        stopped = rows.alive & torch.isin(tokens, stops)
        lengths[rows.ids[stopped]] = index + 1
        rows.alive = rows.alive & ~stopped & (limits[rows.ids] > index + 1)
        num_alive = int(rows.alive.sum())
        if num_alive == 0 or index + 1 == max_tokens:
            break
        if num_alive < COMPACT_BELOW * len(rows.ids):
            tokens = tokens[rows.alive]
            rows.compact(index)
        logits = linear(lm_head, _step(language_model, linear, rows, tokens, index + 1))
        yield
    ids = [row[:length] for row, length in zip(token_ids.tolist(), lengths.tolist(), strict=True)]
    return [ids[start : start + group] for start in range(0, len(ids), group)]
