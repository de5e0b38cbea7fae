"""Supervised examples as token ids, and which of them each step takes.

The order of an epoch depends on the seed and the epoch alone: shuffled, sorted by length within pools of batches, then
step by step in shuffled order. So are the sides that are taken away.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from r1omni.core.errors import ConfigError
from r1omni.infer.embedding import stop_ids
from r1omni.infer.engine import Engine
from r1omni.infer.features import Side
from r1omni.model.processing import HumanOmniProcessor
from r1omni.train.one_sided import drawn_side
from r1omni.train.training_data import Example

_POOL_BATCHES = 16
"""Batches that are shuffled together before examples are sorted by length."""


@dataclass(frozen=True)
class Row:
    """A tokenised example."""

    example: Example
    ids: list[int]
    """What is read after the prompt: what is given, the answer and its end-of-turn token."""
    num_given: int
    """Tokens at the beginning that are read and not learnt."""
    lacking: Side | None = None
    """The side of the clip that is taken away."""
    one_sided: Mapping[Side, "Row"] = field(default_factory=dict)
    """Side -> the row that takes the place of this one where that side is taken away."""


def text_ids(processor: HumanOmniProcessor, texts: Sequence[str]) -> list[list[int]]:
    """Tokenise texts of annotators, in which nothing becomes a control token.

    Args:
        processor: its tokenizer is used.
        texts: any.
    """
    controls = (*processor.tokenizer.get_added_vocab(), *processor.tokenizer.all_special_tokens)
    found: list[list[int]] = processor.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [
        processor.text_ids(text) if any(control in text for control in controls) else ids
        for text, ids in zip(texts, found, strict=True)
    ]


def tokenise(examples: Sequence[Example], engine: Engine, max_length: int) -> list[Row]:
    """Tokenise what is read after each prompt, with the rows for one side alone.

    What is given ends where its tokens and those of the whole part.

    Args:
        examples: at least one.
        engine: its tokenizer is used.
        max_length: tokens of the longest answer accepted.

    Raises:
        ConfigError: no examples, or an answer that is too long.
    """
    if not examples:
        raise ConfigError("There are no examples to train on; check the manifest, the split and the fold.")
    rows = _rows(examples, engine, max_length)
    for side in get_args(Side):
        places = [place for place, example in enumerate(examples) if side in example.one_sided]
        parts = [replace(examples[place], answer=examples[place].one_sided[side]) for place in places]
        for place, part in zip(places, _rows(parts, engine, max_length) if parts else [], strict=True):
            row = replace(part, example=examples[place], lacking=side)
            rows[place] = replace(rows[place], one_sided={**rows[place].one_sided, side: row})
    return rows


def _rows(examples: Sequence[Example], engine: Engine, max_length: int) -> list[Row]:
    end = stop_ids(engine.model, engine.processor)[0]
    both = text_ids(engine.processor, [example.given + example.answer for example in examples])
    given = text_ids(engine.processor, [example.given for example in examples])
    rows = []
    for example, ids, before in zip(examples, both, given, strict=True):
        if len(ids) + 1 > max_length:
            raise ConfigError(
                f"An answer has {len(ids) + 1} tokens, max_length is {max_length}: {example.answer[:60]!r}...; raise "
                "max_length or leave the example out."
            )
        pairs = zip(ids, before, strict=False)
        num_given = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(before)))
        rows.append(Row(example, [*ids, end], num_given))
    return rows


class ExampleOrder:
    """Which examples each step takes.

    Args:
        rows: the examples.
        step_size: examples of a step, over all processes.
        seed: of the shuffles.
        one_sided: share of the rows of an epoch from which a side is taken away.
    """

    def __init__(self, rows: Sequence[Row], step_size: int, seed: int, one_sided: float = 0.0) -> None:
        self.rows, self.step_size, self.seed, self.one_sided = rows, step_size, seed, one_sided
        self._shown = list(rows)
        self.steps_per_epoch = -(-len(rows) // step_size)
        self._epoch, self._order = -1, list(range(len(rows)))

    def batch(self, step: int) -> list[Row]:
        """Return the examples of a step, counted from 0; the last step of an epoch may have fewer."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shown = [self._drawn(row, epoch, place) for place, row in enumerate(self.rows)]
            self._order = self._shuffled(epoch)
        return [self._shown[i] for i in self._order[place * self.step_size : (place + 1) * self.step_size]]

    def _drawn(self, row: Row, epoch: int, place: int) -> Row:
        side = drawn_side(self.one_sided, row.one_sided, f"{self.seed}/{epoch}/{place}")
        return row if side is None else row.one_sided[side]

    def _shuffled(self, epoch: int) -> list[int]:
        generator = random.Random(f"{self.seed}/{epoch}")
        order = list(range(len(self.rows)))
        generator.shuffle(order)
        pool = self.step_size * _POOL_BATCHES

        def length(index: int) -> tuple[bool, int]:
            row = self._shown[index]
            return row.example.clip is not None, len(row.example.instruction) + len(row.ids)

        order = [i for start in range(0, len(order), pool) for i in sorted(order[start : start + pool], key=length)]
        steps = [order[start : start + self.step_size] for start in range(0, len(order), self.step_size)]
        full = [part for part in steps if len(part) == self.step_size]
        generator.shuffle(full)
        rest = [part for part in steps if len(part) < self.step_size]
        return [index for part in full + rest for index in part]
