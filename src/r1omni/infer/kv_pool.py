"""The keys and values of everything that is being written: prompts once per group, own tokens per row.

Per layer there are two buffers,

    prompts  [2, slots, kv heads, prompt, width]    a prompt ends at the right edge, whatever its length
    own      [2, rows, kv heads, tokens, width]     a row's tokens begin at the left edge

of which the first slots and rows, the last prompt positions and the first own positions are in use. Queries of the rows
of a slot are folded into the query length against the one prompt, and one softmax runs over `[prompt | own]`:

    scores = [q k_prompt^T | q k_own^T]             q: [slots, kv heads, places * repeat, width]

`repeat` query heads share a key head; `places` rows share a slot. What lies outside a prompt or a row is masked by
`-inf`, so it must be finite: buffers start at zero, and what a failed request wrote is cleared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


@dataclass(frozen=True)
class PoolSize:
    """Extents of the buffers."""

    slots: int
    prompt_tokens: int
    rows: int
    own_tokens: int

    def grown_to(self, other: "PoolSize") -> "PoolSize":
        """Return the smallest size that holds both."""
        return PoolSize(
            max(self.slots, other.slots),
            max(self.prompt_tokens, other.prompt_tokens),
            max(self.rows, other.rows),
            max(self.own_tokens, other.own_tokens),
        )


EMPTY = PoolSize(0, 0, 0, 0)


@dataclass(frozen=True)
class KVShape:
    """What the keys and values of one token are, over all layers."""

    num_layers: int
    num_heads: int
    """Key heads."""
    width: int
    """Of a head."""
    dtype: torch.dtype

    def num_bytes(self, size: PoolSize) -> int:
        """Return what buffers of a size take, padding included."""
        tokens = size.slots * size.prompt_tokens + size.rows * size.own_tokens
        return 2 * self.num_layers * self.num_heads * self.width * self.dtype.itemsize * tokens


@dataclass(frozen=True)
class Layout:
    """How the rows lie on the slots in one step. Batched products run over `slots * heads` and `rows * heads`."""

    num_slots: int
    num_rows: int
    share: int
    """Rows that share a slot, at most."""
    heads: int
    """Key heads."""
    fold_to: Int[Tensor, " rows"] | None
    """Place of each row among num_slots * share, which is one past the end for a row without a slot; None where row i
    is place i."""
    unfold_from: Int[Tensor, " rows"] | None
    """The same with any place for a row without a slot."""
    prompt_tokens: int
    """Of the longest prompt."""
    prompt_bias: Float[Tensor, "slots_heads 1 prompt"] | None
    """0 at a prompt's tokens and -inf before; None where all prompts are equally long."""
    own_tokens: int
    """Of the longest row, the new token included."""
    own_bias: Float[Tensor, "rows_heads 1 tokens"] | None
    """0 up to each row's new token and -inf behind; None where all rows are equally long."""
    new_token: Int[Tensor, " rows_heads"] | None
    """Where each row's new token lies among the own positions of a layer; None where all rows are equally long."""

    def fold(self, x: Float[Tensor, "rows_heads repeat n"]) -> Float[Tensor, "slots_heads queries n"]:
        """Bring the rows of each slot together; empty places are zero."""
        repeat, n = x.shape[1:]
        if self.fold_to is not None:
            spread = x.new_zeros(self.num_slots * self.share + 1, self.heads * repeat * n)
            x = spread.index_copy_(0, self.fold_to, x.reshape(self.num_rows, -1))[:-1]
        elif self.share == 1:
            return x
        x = x.view(self.num_slots, self.share, self.heads, repeat * n).transpose(1, 2)
        return x.reshape(self.num_slots * self.heads, self.share * repeat, n)

    def unfold(self, x: Float[Tensor, "slots_heads queries n"]) -> Float[Tensor, "rows_heads repeat n"]:
        """The inverse of `fold`."""
        if self.share == 1 and self.unfold_from is None:
            return x
        n = x.shape[-1]
        x = x.reshape(self.num_slots, self.heads, self.share, -1).transpose(1, 2)
        x = x.reshape(self.num_slots * self.share, -1)
        if self.unfold_from is not None:
            x = x.index_select(0, self.unfold_from)
        return x.view(self.num_rows * self.heads, -1, n)


@dataclass
class _Buffers:
    """Keys and values of one layer, heads folded into slots and rows."""

    prompt_keys: Float[Tensor, "slots_heads prompt width"]
    prompt_values: Float[Tensor, "slots_heads prompt width"]
    own_keys: Float[Tensor, "rows_heads tokens width"]
    own_values: Float[Tensor, "rows_heads tokens width"]


class KVPool:
    """Buffers of keys and values, and attention over them.

    Args:
        shape: of a token's keys and values.
        device: where they lie.
    """

    def __init__(self, shape: KVShape, device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.clear()

    def clear(self) -> None:
        """Give all memory back."""
        self.size = EMPTY
        self._layers: list[_Buffers] = []

    @property
    def num_bytes(self) -> int:
        """What is allocated."""
        return self.shape.num_bytes(self.size)

    def resize(self, size: PoolSize) -> None:
        """Change the extents, one layer after the other; what fits the new ones is kept.

        Args:
            size: the new extents.

        Raises:
            RuntimeError: memory ran out (torch's own error); the pool is empty then.
        """
        if size == self.size:
            return
        old, heads, width = self.size, self.shape.num_heads, self.shape.width
        if old == EMPTY:
            nothing = torch.zeros(0, 0, width, dtype=self.shape.dtype, device=self.device)
            self._layers = [_Buffers(nothing, nothing, nothing, nothing) for _ in range(self.shape.num_layers)]
        prompts = (size.slots * heads, size.prompt_tokens, width)
        own = (size.rows * heads, size.own_tokens, width)
        try:
            for layer in self._layers:
                layer.prompt_keys = _resized(layer.prompt_keys, prompts, ends_right=True)
                layer.prompt_values = _resized(layer.prompt_values, prompts, ends_right=True)
                layer.own_keys = _resized(layer.own_keys, own, ends_right=False)
                layer.own_values = _resized(layer.own_values, own, ends_right=False)
        except BaseException:
            self.clear()
            raise
        self.size = size

    def move_slots(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy prompts to other slots.

        Args:
            sources: slots that are read.
            targets: slots that are written; none is among the sources.
        """
        self._move(
            [part for layer in self._layers for part in (layer.prompt_keys, layer.prompt_values)], sources, targets
        )

    def move_rows(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows' own tokens to other rows; arguments as for `move_slots`."""
        self._move([part for layer in self._layers for part in (layer.own_keys, layer.own_values)], sources, targets)

    def _move(self, buffers: list[Tensor], sources: Sequence[int], targets: Sequence[int]) -> None:
        if not sources:
            return
        read, written = self._with_heads(sources), self._with_heads(targets)
        for buffer in buffers:
            buffer.index_copy_(0, written, buffer.index_select(0, read))

    def _with_heads(self, places: Sequence[int]) -> Int[Tensor, " places_heads"]:
        heads = torch.arange(self.shape.num_heads)
        return (torch.tensor(places, dtype=torch.long)[:, None] * len(heads) + heads).flatten().to(self.device)

    def wipe(self, slots: Sequence[int], rows: Sequence[int]) -> None:
        """Overwrite with zeros what may not be finite."""
        slot_index, row_index = self._with_heads(slots), self._with_heads(rows)
        for layer in self._layers:
            for buffer in (layer.prompt_keys, layer.prompt_values):
                buffer.index_fill_(0, slot_index, 0)
            for buffer in (layer.own_keys, layer.own_values):
                buffer.index_fill_(0, row_index, 0)

    def prompt_cache(self, slots: Sequence[int], mask: Bool[Tensor, "batch prompt"]) -> Cache:
        """Return a cache through which a forward pass over left-padded prompts fills slots.

        Args:
            slots: one per prompt.
            mask: true at real tokens.
        """
        where, padding = self._with_heads(slots), ~mask[:, None, :, None]
        layers: list[Any] = [  # transformers' own unions, which it does not export
            _PromptLayer(layer.prompt_keys, layer.prompt_values, where, padding) for layer in self._layers
        ]
        return Cache(layers=layers)

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "rows heads width"],
        key: Float[Tensor, "rows kv_heads width"],
        value: Float[Tensor, "rows kv_hidden"],
        layout: Layout,
    ) -> Float[Tensor, "rows hidden"]:
        """Attention of one new token per row over the row's prompt and its own tokens, the new one included.

        Args:
            layer: which keys and values.
            query: already scaled.
            key: of the new token; kept.
            value: of the new token; kept.
            layout: of this step.
        """
        buffers, width, prompt = self._layers[layer], self.shape.width, layout.prompt_tokens
        num_rows, num_slots = layout.num_rows * layout.heads, layout.num_slots * layout.heads
        for buffer, new in ((buffers.own_keys, key), (buffers.own_values, value)):
            if layout.new_token is None:
                buffer[:num_rows, layout.own_tokens - 1] = new.reshape(-1, width)
            else:
                buffer.view(-1, width).index_copy_(0, layout.new_token, new.reshape(-1, width).to(buffer.dtype))
        own_keys = buffers.own_keys[:num_rows, : layout.own_tokens]
        own_values = buffers.own_values[:num_rows, : layout.own_tokens]
        prompt_keys = buffers.prompt_keys[:num_slots, -prompt:]
        prompt_values = buffers.prompt_values[:num_slots, -prompt:]
        query = query.reshape(num_rows, -1, width)
        shared = _product(layout.prompt_bias, layout.fold(query), prompt_keys.transpose(1, 2))
        alone = layout.fold(_product(layout.own_bias, query, own_keys.transpose(1, 2)))
        weights = torch.cat([shared, alone], dim=-1).softmax(-1, dtype=torch.float32).to(query.dtype)
        read = layout.unfold(torch.bmm(weights[..., :prompt], prompt_values))
        read = torch.baddbmm(read, layout.unfold(weights[..., prompt:]), own_values)
        return read.view(layout.num_rows, -1)


def _product(bias: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)


def _resized(buffer: Tensor, shape: tuple[int, int, int], ends_right: bool) -> Tensor:
    """A buffer of another shape, zero where nothing was; what it holds stays at the left or at the right edge."""
    if buffer.shape == shape:
        return buffer
    made = buffer.new_zeros(shape)
    places, tokens = min(len(buffer), shape[0]), min(buffer.shape[1], shape[1])
    if places and tokens:
        kept = slice(-tokens, None) if ends_right else slice(tokens)
        made[:places, kept] = buffer[:places, kept]
    return made


class _PromptLayer(DynamicLayer):
    """One layer's part of `KVPool.prompt_cache`: keys and values are handed on as they are and kept in their slots."""

    def __init__(self, keys: Tensor, values: Tensor, places: Tensor, padding: Tensor) -> None:
        super().__init__()
        self._buffers, self._places, self._padding = (keys, values), places, padding

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        tokens = key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            kept = states.masked_fill(self._padding, 0).flatten(0, 1).to(buffer.dtype)
            buffer[:, -tokens:].index_copy_(0, self._places, kept)
        return key_states, value_states
