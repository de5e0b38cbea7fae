"""One more token for every row: the language model's layers over one token per row, and the draw.

A token is drawn by inverting the cumulative distribution at a uniform number that was made from the request's seed, so
that what a request samples never depends on the rows beside it; no top-k, no top-p: the sampled distribution is the
scored one. At temperature 0 the most likely token is taken, under the checkpoint's repetition penalty.

The layers' modules are called as they are, so that adapters and weights gathered from shards work unchanged.
"""

from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from r1omni.infer.kv_pool import KVPool, Layout

PACK_FROM_TOKENS = 8
"""Fewer tokens would not pay for laying the weights out."""
PACK_BYTES = 4 * 2**30
"""Weights that are laid out at most, for their copies need as much memory again."""


class PackedLinears:
    """Applies linear layers to few rows; in bfloat16 on a CPU from weights laid out once for its products.

    torch lays a bfloat16 weight out anew at every product, which for few rows costs as much as the product. The copies
    do not follow weights in training: make a new object after every update.

    Args:
        layers: what will be applied; only plain linear layers are laid out.
        num_tokens: tokens that the longest answer may have.
    """

    def __init__(self, layers: Iterable[nn.Module], num_tokens: int) -> None:
        self._packed: dict[nn.Module, Tensor] = {}
        plain = [layer for layer in layers if type(layer) is nn.Linear]
        weights = [layer.weight for layer in plain]
        wanted = num_tokens >= PACK_FROM_TOKENS and sum(weight.nbytes for weight in weights) <= PACK_BYTES
        wanted = wanted and all(weight.dtype == torch.bfloat16 and weight.is_cpu for weight in weights)
        if wanted and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            self._packed = {layer: torch.ops.mkldnn._reorder_linear_weight(layer.weight) for layer in plain}

    def __call__(self, layer: nn.Module, x: Float[Tensor, "rows inner"]) -> Float[Tensor, "rows outer"]:
        """Apply a layer."""
        weight = self._packed.get(layer)
        if weight is None:
            return layer(x)
        return torch.ops.mkldnn._linear_pointwise(x, weight, layer.bias, "none", [], "")


def next_hidden(
    language_model: Qwen2Model,
    linear: PackedLinears,
    pool: KVPool,
    layout: Layout,
    tokens: Int[Tensor, " rows"],
    positions: Int[Tensor, " rows"],
) -> Float[Tensor, "rows hidden"]:
    """Return the last hidden state of one new token per row; its keys and values go into the pool.

    Args:
        language_model: a Qwen2-type decoder of transformers.
        linear: applies its linear layers.
        pool: keys and values so far.
        layout: of this step.
        tokens: the new tokens.
        positions: their places, prompt included.
    """
    hidden = language_model.get_input_embeddings()(tokens)
    cos, sin = language_model.rotary_emb(hidden, positions[:, None])
    width = cos.shape[-1]
    half = width // 2
    signed_sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
    heads = pool.shape.num_heads
    for index, layer in enumerate(cast("Iterable[Qwen2DecoderLayer]", language_model.layers)):
        attention, mlp = layer.self_attn, layer.mlp
        normed = layer.input_layernorm(hidden)
        query_key = torch.cat([linear(attention.q_proj, normed), linear(attention.k_proj, normed)], dim=-1)
        query_key = query_key.view(len(hidden), -1, width)
        # rotate_half(x) * sin = roll(x) * signed_sin
        query_key = query_key * cos + query_key.roll(half, -1) * signed_sin
        value = linear(attention.v_proj, normed)
        query, key = query_key[:, :-heads] * attention.scaling, query_key[:, -heads:]
        hidden = hidden + linear(attention.o_proj, pool.attend(index, query, key, value, layout))
        normed = layer.post_attention_layernorm(hidden)
        hidden = hidden + linear(mlp.down_proj, mlp.act_fn(linear(mlp.gate_proj, normed)) * linear(mlp.up_proj, normed))
    return language_model.norm(hidden)


def draw_greedy(
    logits: Float[Tensor, "rows vocab"],
    repetition_penalty: float = 1.0,
    written: Int[Tensor, "rows tokens"] | None = None,
    num_written: Int[Tensor, " rows"] | None = None,
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Return the most likely tokens and their log-probabilities under the model's own distribution.

    Args:
        logits: of the next token.
        repetition_penalty: makes tokens that were written less likely, as transformers does it; 1 changes nothing.
        written: tokens of each row; None before the first one.
        num_written: how many of them count.
    """
    logits = logits.float()
    wanted = logits
    if repetition_penalty != 1.0 and written is not None and num_written is not None:
        # Places that do not count repeat the first token, which counts if any does.
        counts = torch.arange(written.shape[1], device=written.device) < num_written[:, None]
        written = torch.where(counts, written, written[:, :1])
        own = logits.gather(-1, written)
        penalised = torch.where(own < 0, own * repetition_penalty, own / repetition_penalty)
        wanted = logits.scatter(-1, written, torch.where(counts[:, :1], penalised, own))
    tokens = wanted.argmax(-1)
    return tokens, logits.gather(-1, tokens[:, None]).squeeze(1) - logits.logsumexp(-1)


def draw_sampled(
    logits: Float[Tensor, "rows vocab"], temperatures: Float[Tensor, " rows"], uniforms: Float[Tensor, " rows"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Return drawn tokens and their log-probabilities under the distribution they were drawn from.

    Args:
        logits: of the next token.
        temperatures: above 0; the logits are divided by them.
        uniforms: in [0, 1).
    """
    logprobs = (logits.float() / temperatures[:, None]).log_softmax(-1)
    # Summed in double precision: float32 would carry rounding from the first tokens of the vocabulary to the last, and
    # what is drawn would depend on the rows beside, which round logits differently.
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # Below the total, so that the found token always has a probability above zero.
    wanted = torch.minimum(uniforms[:, None] * total, total.nextafter(torch.zeros_like(total)))
    # Where the logits are no numbers the search runs off the end; the log-probability shows it.
    tokens = torch.searchsorted(cumulative, wanted, right=True).clamp_max(logits.shape[-1] - 1)
    return tokens.squeeze(1), logprobs.gather(-1, tokens).squeeze(1)
