"""Where live prompts and rows lie: slots and rows of the key and value buffers, by number.

A group takes the lowest free slot. Its n rows take the places from slot * n on where these are free, so that groups of
one size lie in a grid, which costs no gathering; else any free ones. Gaps are filled by newcomers, or by the last
entries when too few places are in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(eq=False)
class Group:
    """One prompt and the rows that continue it."""

    request: int
    """The caller's name for it."""
    num_samples: int
    max_tokens: int
    temperature: float
    """0 takes the most likely token."""
    uniforms: Float[Tensor, "samples tokens"]
    """In [0, 1), one number per token."""
    prompt_tokens: int
    slot: int = -1
    """Where its prompt lies while a row of it is live."""
    num_live: int = 0


@dataclass(eq=False)
class Row:
    """One answer that is being written."""

    group: Group
    sample: int
    """Which of the group's answers."""
    place: int = -1
    """Where its own tokens lie."""
    num_tokens: int = 0
    """Tokens drawn so far."""


class Places:
    """Slots of prompts and places of rows; None is a gap."""

    def __init__(self) -> None:
        self.slots: list[Group | None] = []
        self.rows: list[Row | None] = []

    @property
    def groups(self) -> list[Group]:
        """Those with a live row."""
        return [group for group in self.slots if group is not None]

    @property
    def live_rows(self) -> list[Row]:
        """The rows, by place."""
        return [row for row in self.rows if row is not None]

    def choose(self, groups: Sequence[Group]) -> tuple[list[int], list[int]]:
        """Return free slots and free places for groups and all their rows, without taking them.

        Args:
            groups: the newcomers.
        """
        slots = _free(self.slots, len(groups))
        taken = [row is not None for row in self.rows]
        places: list[int] = []
        for slot, group in zip(slots, groups, strict=True):
            begin, count = slot * group.num_samples, group.num_samples
            if begin <= len(taken) and not any(taken[begin : begin + count]):
                chosen = list(range(begin, begin + count))
            else:
                chosen = _free([True if is_taken else None for is_taken in taken], count)
            taken += [False] * (max(chosen) + 1 - len(taken))
            for place in chosen:
                taken[place] = True
            places += chosen
        return slots, places

    def put(self, groups: Sequence[Group], slots: Sequence[int], rows: Sequence[Row], places: Sequence[int]) -> None:
        """Put groups and their rows where `choose` said."""
        self.slots += [None] * (max(slots) + 1 - len(self.slots))
        self.rows += [None] * (max(places) + 1 - len(self.rows))
        for slot, group in zip(slots, groups, strict=True):
            self.slots[slot], group.slot, group.num_live = group, slot, group.num_samples
        for place, row in zip(places, rows, strict=True):
            self.rows[place], row.place = row, place

    def remove(self, rows: Sequence[Row]) -> list[int]:
        """Take rows away; returns the slots that have no row any more."""
        emptied = []
        for row in rows:
            self.rows[row.place] = None
            row.group.num_live -= 1
            if row.group.num_live == 0:
                self.slots[row.group.slot] = None
                emptied.append(row.group.slot)
        return emptied

    def trim(self) -> None:
        """Drop the gaps at the ends."""
        while self.rows and self.rows[-1] is None:
            self.rows.pop()
        while self.slots and self.slots[-1] is None:
            self.slots.pop()

    def close_row_gaps(self) -> tuple[list[int], list[int]]:
        """Move the last rows into the gaps; returns from where to where."""
        sources, targets = _moves(self.rows)
        for source, target in zip(sources, targets, strict=True):
            row = self.rows[source]
            assert row is not None
            self.rows[source], self.rows[target], row.place = None, row, target
        self.trim()
        return sources, targets

    def close_slot_gaps(self) -> tuple[list[int], list[int]]:
        """Move the last prompts into the gaps; returns from where to where."""
        sources, targets = _moves(self.slots)
        for source, target in zip(sources, targets, strict=True):
            group = self.slots[source]
            assert group is not None
            self.slots[source], self.slots[target], group.slot = None, group, target
        self.trim()
        return sources, targets

    def fold(self) -> tuple[int, list[int] | None]:
        """Return how many rows share a slot at most, and which of the slots' shares each row is.

        The latter is None where rows and slots form a grid: row i is share i. A gap gets one past the last share.
        """
        rows = self.live_rows
        share = len(self.rows) // len(self.slots)
        if share * len(self.slots) == len(self.rows) and all(row.place // share == row.group.slot for row in rows):
            return share, None
        counts = [0] * len(self.slots)
        shares = []
        for row in rows:
            shares.append(counts[row.group.slot])
            counts[row.group.slot] += 1
        share = max(counts)
        fold_to = [share * len(self.slots)] * len(self.rows)
        for row, number in zip(rows, shares, strict=True):
            fold_to[row.place] = row.group.slot * share + number
        return share, fold_to


def _free(entries: Sequence[object | None], count: int) -> list[int]:
    """The lowest free numbers, those past the end included."""
    free = [number for number, entry in enumerate(entries) if entry is None][:count]
    return [*free, *range(len(entries), len(entries) + count - len(free))]


def _moves(entries: Sequence[object | None]) -> tuple[list[int], list[int]]:
    """From where to where the last entries move so that no gap is left."""
    num_live = sum(entry is not None for entry in entries)
    targets = [number for number in range(num_live) if entries[number] is None]
    sources = [number for number in range(num_live, len(entries)) if entries[number] is not None]
    return sources, targets
