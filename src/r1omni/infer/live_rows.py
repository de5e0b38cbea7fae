"""The rows that are being written, and one step for all of them.

A group of rows enters with its prompt, at any step; rows leave one by one. Each has a length, limit, temperature and
uniform numbers of its own. What is queued, what may enter and what a caller gets to read is left to the generator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Qwen2Model

from r1omni.infer.decoding_step import PACK_FROM_TOKENS, PackedLinears, draw_greedy, draw_sampled, next_hidden
from r1omni.infer.kv_pool import EMPTY, KVPool, KVShape, Layout, PoolSize
from r1omni.infer.places import Group, Places, Row
from r1omni.infer.shared_prefix import prompt_positions
from r1omni.model.modeling import CACHE

Ending = Literal["stop", "length", "failed"]

COMPACT_BELOW = 0.85
"""Rows, or prompts, are moved together once the share of places in use falls below this."""
ROUND_TOKENS = 32
"""Buffers hold multiples of so many tokens where the budget allows it, so that they seldom have to grow."""


@dataclass(frozen=True)
class Drawn:
    """One new token for each of some rows."""

    rows: list[Row]
    token_ids: list[int]
    """One per row."""
    logprobs: list[float]
    endings: dict[Row, Ending]
    """The rows that this token ended; they stay until `leave` removes them."""


@dataclass
class _Written:
    """What each place holds besides keys and values."""

    token_ids: Int[Tensor, "places tokens"]
    logprobs: Float[Tensor, "places tokens"]
    uniforms: Float[Tensor, "places tokens"]
    last: Int[Tensor, " places"]
    """The newest token."""

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.token_ids, self.logprobs, self.uniforms, self.last


@dataclass(frozen=True)
class _Kinds:
    """Which rows take the most likely token and which are sampled; None for all of them."""

    greedy: Int[Tensor, " greedy"] | None
    sampled: Int[Tensor, " sampled"] | None


@dataclass(frozen=True)
class _Table:
    """What follows from which rows lie where; made anew when that changes. A gap counts one token at position 0."""

    rows: list[Row]
    places: list[int]
    num_tokens: Int[Tensor, " places"]
    """Tokens drawn; counts on with each step."""
    is_row: Int[Tensor, " places"]
    """1 for a row, 0 for a gap."""
    prompt_tokens: Int[Tensor, " places"]
    temperatures: Float[Tensor, " places"]
    kinds: _Kinds
    share: int
    fold_to: Int[Tensor, " places"] | None
    unfold_from: Int[Tensor, " places"] | None
    longest_prompt: int
    prompt_bias: Float[Tensor, "slots_heads 1 prompt"] | None
    own_bias: Float[Tensor, "places_heads 1 tokens"]
    """0 at the tokens drawn, -inf behind; filled up with each step."""
    new_token: Int[Tensor, " places_heads"]
    """Where the newest token of each place lies in a layer's buffer; moves on with each step."""
    is_row_of_heads: Int[Tensor, " places_heads"]


class LiveRows:
    """The rows that are being written.

    Args:
        language_model: a Qwen2-type decoder of transformers; its weights must not change while a row is live.
        lm_head: hidden state to logits.
        stop_ids: end-of-turn tokens.
        repetition_penalty: of greedy rows.
        max_prompts: prompts that are live at once; buffers do not grow beyond.
        num_bytes: keys and values that may be allocated; None sets no bound.
    """

    def __init__(
        self,
        language_model: Qwen2Model,
        lm_head: nn.Module,
        *,
        stop_ids: Sequence[int],
        repetition_penalty: float = 1.0,
        max_prompts: int = 32,
        num_bytes: int | None = None,
    ) -> None:
        self.language_model, self.lm_head = language_model, lm_head
        self.repetition_penalty, self.max_prompts, self.num_bytes = repetition_penalty, max_prompts, num_bytes
        self.pool = KVPool(kv_shape(language_model), language_model.device)
        self._stop_ids = frozenset(stop_ids)
        self.clear()

    def clear(self) -> None:
        """Drop all rows, their memory, and the weights that were laid out."""
        self._places = Places()
        self._table: _Table | None = None
        self._written: _Written | None = None
        self._linear: PackedLinears | None = None
        self._linear_tokens = 0
        self.pool.clear()

    @property
    def groups(self) -> list[Group]:
        """Those with a live row."""
        return self._places.groups

    def fits(self, groups: Sequence[Group]) -> bool:
        """Whether groups can enter within the budget, beside all that is live, each at its longest."""
        return self.num_bytes is None or self.pool.shape.num_bytes(self._least_size(groups)) <= self.num_bytes

    def _least_size(self, groups: Sequence[Group]) -> PoolSize:
        together = [*self.groups, *groups]
        return PoolSize(
            slots=len(together),
            prompt_tokens=max(group.prompt_tokens for group in together),
            rows=len(self._places.live_rows) + sum(group.num_samples for group in groups),
            own_tokens=max(group.max_tokens for group in together),
        )

    @torch.no_grad()
    def enter(
        self,
        embeds: Float[Tensor, "batch prompt hidden"],
        mask: Bool[Tensor, "batch prompt"],
        groups: Sequence[Group],
    ) -> Drawn:
        """Read prompts and draw the first token of each of their rows.

        Args:
            embeds: embedded prompts, padded on the left.
            mask: true at real tokens.
            groups: one per prompt; they must fit.

        Raises:
            Exception: whatever the language model raises. No group has entered then; where memory ran out while the
                buffers grew, all rows are gone.
        """
        rows = [Row(group, sample) for group in groups for sample in range(group.num_samples)]
        try:
            self._make_room(groups)
            slots, places = self._places.choose(groups)
            logits = self._read_prompts(embeds, mask, slots)
            tokens, logprobs = self._draw_first(logits, groups, rows)
        except BaseException:
            if self.pool.size == EMPTY:
                self.clear()
            raise
        self._places.put(groups, slots, rows, places)
        self._table = None
        written, begin = self._written, 0
        assert written is not None
        where = torch.tensor(places, device=tokens.device)
        written.token_ids[where, 0], written.logprobs[where, 0], written.last[where] = tokens, logprobs, tokens
        for group in groups:
            taken = where[begin : begin + group.num_samples]
            written.uniforms[taken, : group.max_tokens] = group.uniforms.to(tokens.device)
            begin += group.num_samples
        return self._record(rows, tokens.tolist(), logprobs.tolist())

    def _make_room(self, groups: Sequence[Group]) -> None:
        """Enlarge the buffers: generously, else just enough, else to the least size after closing all gaps."""
        size, least = self.pool.size, self._least_size(groups)
        slots, places = self._places.choose(groups)
        needed = PoolSize(max(slots) + 1, least.prompt_tokens, max(places) + 1, least.own_tokens).grown_to(size)
        num_slots = needed.slots
        if num_slots > size.slots:
            num_slots = max(num_slots, min(2 * size.slots, self.max_prompts))
        generous = PoolSize(
            num_slots,
            -(-needed.prompt_tokens // ROUND_TOKENS) * ROUND_TOKENS,
            -(-needed.rows * num_slots // needed.slots),
            -(-needed.own_tokens // ROUND_TOKENS) * ROUND_TOKENS,
        )
        wanted = next((s for s in (generous, needed) if self._is_within_budget(s)), least)
        self._table = None
        if wanted is least:
            self._close_row_gaps()
            self._close_slot_gaps()
        self.pool.resize(wanted)
        self._resize_written(wanted)

    def _is_within_budget(self, size: PoolSize) -> bool:
        return self.num_bytes is None or self.pool.shape.num_bytes(size) <= self.num_bytes

    def _resize_written(self, size: PoolSize) -> None:
        shape, device, old = (size.rows, size.own_tokens), self.pool.device, self._written
        if old is not None and old.token_ids.shape == shape:
            return
        made = _Written(
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(shape[:1], dtype=torch.long, device=device),
        )
        for new, part in zip(made.parts(), () if old is None else old.parts(), strict=old is not None):
            kept = tuple(slice(min(pair)) for pair in zip(new.shape, part.shape, strict=True))
            new[kept] = part[kept]
        self._written = made

    def _read_prompts(
        self, embeds: Float[Tensor, "batch prompt hidden"], mask: Bool[Tensor, "batch prompt"], slots: list[int]
    ) -> Float[Tensor, "batch vocab"]:
        """Fill slots with prompts; returns the logits of the last position, the only ones that are computed."""
        output = self.language_model(
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            position_ids=prompt_positions(mask),
            use_cache=True,
            **{CACHE: self.pool.prompt_cache(slots, mask)},
        )
        return self.lm_head(output.last_hidden_state[:, -1])

    def _draw_first(
        self, logits: Float[Tensor, "batch vocab"], groups: Sequence[Group], rows: list[Row]
    ) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
        device = logits.device
        counts = torch.tensor([group.num_samples for group in groups], device=device)
        temperatures = torch.tensor([row.group.temperature for row in rows], device=device)
        uniforms = torch.cat([group.uniforms[:, 0] for group in groups]).to(device)
        kinds = _kinds(rows, list(range(len(rows))), device)
        return self._draw(logits.repeat_interleave(counts, dim=0), temperatures, uniforms, None, None, kinds)

    @torch.no_grad()
    def step(self) -> Drawn | None:
        """Draw one token for every live row; None without rows."""
        if not self._places.groups:
            return None
        self._compact()
        if self._table is None:
            self._table = self._make_table()
        table, written, linear = self._table, self._written, self._packed()
        assert written is not None
        num_places, own_tokens = len(self._places.rows), max(row.num_tokens for row in table.rows)
        hidden = next_hidden(
            self.language_model,
            linear,
            self.pool,
            self._layout(table, own_tokens),
            written.last[:num_places],
            table.prompt_tokens + table.num_tokens - 1,
        )
        now = table.num_tokens[:, None]
        tokens, logprobs = self._draw(
            linear(self.lm_head, hidden),
            table.temperatures,
            written.uniforms[:num_places].gather(1, now).squeeze(1),
            written.token_ids[:num_places, :own_tokens],
            table.num_tokens,
            table.kinds,
        )
        written.token_ids[:num_places].scatter_(1, now, tokens[:, None])
        written.logprobs[:num_places].scatter_(1, now, logprobs[:, None])
        written.last[:num_places] = tokens
        table.num_tokens.add_(table.is_row)
        table.new_token.add_(table.is_row_of_heads)
        ids, chances = tokens.tolist(), logprobs.tolist()
        return self._record(table.rows, [ids[place] for place in table.places], [chances[p] for p in table.places])

    def _packed(self) -> PackedLinears:
        """The linear layers, laid out once until all rows have gone."""
        longest = max(group.max_tokens for group in self.groups)
        if self._linear is None or self._linear_tokens < PACK_FROM_TOKENS <= longest:
            self._linear = PackedLinears([*self.language_model.layers.modules(), self.lm_head], longest)
            self._linear_tokens = longest
        return self._linear

    def _draw(
        self,
        logits: Float[Tensor, "rows vocab"],
        temperatures: Float[Tensor, " rows"],
        uniforms: Float[Tensor, " rows"],
        token_ids: Int[Tensor, "rows tokens"] | None,
        num_tokens: Int[Tensor, " rows"] | None,
        kinds: _Kinds,
    ) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
        greedy, sampled = kinds.greedy, kinds.sampled
        if greedy is None:
            return draw_greedy(logits, self.repetition_penalty, token_ids, num_tokens)
        if sampled is None:
            return draw_sampled(logits, temperatures, uniforms)
        tokens, logprobs = greedy.new_zeros(len(logits)), uniforms.new_zeros(len(logits))
        tokens[greedy], logprobs[greedy] = draw_greedy(
            logits[greedy],
            self.repetition_penalty,
            None if token_ids is None else token_ids[greedy],
            None if num_tokens is None else num_tokens[greedy],
        )
        tokens[sampled], logprobs[sampled] = draw_sampled(logits[sampled], temperatures[sampled], uniforms[sampled])
        return tokens, logprobs

    def _record(self, rows: list[Row], token_ids: list[int], logprobs: list[float]) -> Drawn:
        """Count the tokens and find the rows that they end."""
        endings: dict[Row, Ending] = {}
        for row, token_id, logprob in zip(rows, token_ids, logprobs, strict=True):
            row.num_tokens += 1
            if not math.isfinite(logprob):
                endings[row] = "failed"
            elif token_id in self._stop_ids:
                endings[row] = "stop"
            elif row.num_tokens == row.group.max_tokens:
                endings[row] = "length"
        return Drawn(rows, token_ids, logprobs, endings)

    def read(self, rows: Sequence[Row]) -> list[tuple[list[int], list[float]]]:
        """Return the tokens and log-probabilities of live rows.

        Args:
            rows: live ones.
        """
        if not rows:
            return []
        assert self._written is not None
        where = torch.tensor([row.place for row in rows], device=self.pool.device)
        longest = max(row.num_tokens for row in rows)
        ids = self._written.token_ids[where, :longest].tolist()
        logprobs = self._written.logprobs[where, :longest].tolist()
        return [(ids[nth][: row.num_tokens], logprobs[nth][: row.num_tokens]) for nth, row in enumerate(rows)]

    def leave(self, rows: Sequence[Row], wipe: bool = False) -> None:
        """Free the places of rows, and of prompts that no row reads any more.

        Args:
            rows: live ones.
            wipe: overwrite what they wrote, which may not be finite.
        """
        if not rows:
            return
        emptied = self._places.remove(rows)
        if wipe:
            self.pool.wipe(emptied, [row.place for row in rows])
        self._table = None

    def _compact(self) -> None:
        places = self._places
        if len(places.live_rows) < COMPACT_BELOW * len(places.rows):
            self._close_row_gaps()
        if len(places.groups) < COMPACT_BELOW * len(places.slots):
            self._close_slot_gaps()

    def _close_row_gaps(self) -> None:
        sources, targets = self._places.close_row_gaps()
        self._table = None
        if not sources or self._written is None:
            return
        self.pool.move_rows(sources, targets)
        read, filled = (torch.tensor(places, device=self.pool.device) for places in (sources, targets))
        for part in self._written.parts():
            part[filled] = part[read]

    def _close_slot_gaps(self) -> None:
        self.pool.move_slots(*self._places.close_slot_gaps())
        self._table = None

    def _make_table(self) -> _Table:
        places, device, shape = self._places, self.pool.device, self.pool.shape
        places.trim()
        rows = places.live_rows
        at = [row.place for row in rows]
        counts = torch.tensor(
            [(0, 1, 0) if row is None else (1, row.num_tokens, row.group.prompt_tokens) for row in places.rows],
            device=device,
        )
        temperatures = [1.0 if row is None else row.group.temperature for row in places.rows]
        share, fold_to = places.fold()
        where = None if fold_to is None else torch.tensor(fold_to, device=device)
        lengths = [0 if group is None else group.prompt_tokens for group in places.slots]
        longest = max(lengths)
        bias = None
        if any(0 < length < longest for length in lengths):
            begins = longest - torch.tensor([length or longest for length in lengths], device=device)
            bias = torch.zeros(len(lengths), longest, dtype=shape.dtype, device=device)
            bias = bias.masked_fill_(torch.arange(longest, device=device) < begins[:, None], -torch.inf)
            bias = bias.repeat_interleave(shape.num_heads, dim=0)[:, None]
        capacity, of_heads = self.pool.size.own_tokens, counts.repeat_interleave(shape.num_heads, dim=0)
        own_bias = torch.zeros(len(of_heads), capacity, dtype=shape.dtype, device=device)
        own_bias.masked_fill_(torch.arange(capacity, device=device) >= of_heads[:, 1:2], -torch.inf)
        return _Table(
            rows=rows,
            places=at,
            is_row=counts[:, 0],
            num_tokens=counts[:, 1].contiguous(),
            prompt_tokens=counts[:, 2],
            temperatures=torch.tensor(temperatures, device=device),
            kinds=_kinds(rows, at, device),
            share=share,
            fold_to=where,
            unfold_from=None if where is None else where.clamp_max(share * len(lengths) - 1),
            longest_prompt=longest,
            prompt_bias=bias,
            own_bias=own_bias[:, None],
            new_token=torch.arange(len(of_heads), device=device) * capacity + of_heads[:, 1] - 1,
            is_row_of_heads=of_heads[:, 0].contiguous(),
        )

    def _layout(self, table: _Table, own_tokens: int) -> Layout:
        is_ragged = any(row.num_tokens < own_tokens for row in table.rows)
        table.own_bias.view(-1).index_fill_(0, table.new_token, 0)
        return Layout(
            num_slots=len(self._places.slots),
            num_rows=len(self._places.rows),
            share=table.share,
            heads=self.pool.shape.num_heads,
            fold_to=table.fold_to,
            unfold_from=table.unfold_from,
            prompt_tokens=table.longest_prompt,
            prompt_bias=table.prompt_bias,
            own_tokens=own_tokens,
            own_bias=table.own_bias[..., :own_tokens] if is_ragged else None,
            new_token=table.new_token if is_ragged else None,
        )


def kv_shape(language_model: Qwen2Model) -> KVShape:
    """Return what a token's keys and values are.

    Args:
        language_model: a Qwen2-type decoder of transformers.
    """
    config = language_model.config
    num_heads = config.num_key_value_heads or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return KVShape(config.num_hidden_layers, num_heads, width, language_model.embed_tokens.weight.dtype)


def _kinds(rows: Sequence[Row], places: Sequence[int], device: torch.device) -> _Kinds:
    greedy = [place for row, place in zip(rows, places, strict=True) if row.group.temperature == 0]
    sampled = [place for row, place in zip(rows, places, strict=True) if row.group.temperature != 0]
    where = [torch.tensor(kind, dtype=torch.long, device=device) for kind in (greedy, sampled)]
    return _Kinds(where[0] if sampled else None, where[1] if greedy else None)
