"""What an answer rests on: pictures, sound, the field with the clip's words, and the model's own reasons.

    v(S) = log p(answer | what is in S)

What is not in S is absent, not blank: no placeholder of it stands in the prompt (`Features.without`). With the reasons
in S the answer is scored after them. Without them it is scored in the same format with empty reasons, and divided by
the sum over the label set: a model that learned to reason hardly ever answers without, and what it loses by that form
is no evidence. After reasons little but a label follows, and nothing is divided there. Values are in nats;
the shares are exact Shapley values (`scoring.shapley`), so that they add up to v(all) - v(nothing).

The reasons are the model's own work: what they bring is what the answer takes from them beyond what it would take from
the clip directly. A prompt is computed once for the answer with and the answer without reasons, so that four players
take 8 prefills. The same passes give which words of the reasons lean on a side,

    lean(word, side) = log p(word | everything, the words before) - log p(word | everything but the side, ...)

The reasons come from the clip themselves, so a side can matter through them alone. `retell` lets the model reason anew
from what is in each S, and `Attribution.retold` has the Shapley values of

    w(S) = log p(answer | what is in S, the reasons that the model writes from it)

among what was given: of the two games the one that says which side the answer comes from. It takes a generation per S
besides; with three things given only the first game is played.

Further prompts, each with one span left out, give the curve over time: by how much the answer loses where the span
is missing, as the mean over the answer with and without reasons (the Shapley value of the span beside the reasons).

Left out on purpose: sampling of coalitions, gradients and attention as explanations.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.labels import MAFW_LABELS
from r1omni.infer.embedding import stop_ids
from r1omni.infer.features import Features, Side
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling
from r1omni.infer.scorer import Scorer, common_length
from r1omni.model.processing import HumanOmniProcessor
from r1omni.scoring.shapley import coalitions, shapley_values, shares

Player = Literal["pictures", "sound", "subtitle", "reasons"]
CLIP_PLAYERS: tuple[Player, ...] = ("pictures", "sound", "subtitle")
"""Those that are given to the model."""
_MOST_RETOLD = 2
"""Things given, at most, for the model to reason anew from each set of them."""
_REASONS: frozenset[Player] = frozenset({"reasons"})
MAX_PREFILLS = 16
"""Prompts that are computed for one clip, at most."""


@dataclass(frozen=True)
class LeftOut:
    """The features of a clip without a span of one side."""

    side: Side
    start_s: float
    """From the file's beginning."""
    stop_s: float
    """Exclusive."""
    features: Features


@dataclass(frozen=True)
class AnsweredClip:
    """What was asked, and what the model wrote."""

    features: Features
    instruction: str
    text: str
    """The whole output."""
    left_out: tuple[LeftOut, ...] = ()
    """For the curves over time."""
    retold: Mapping[frozenset[Player], str] = field(default_factory=dict)
    """Output for each set of what was given but the whole, see `retell`; empty leaves that game out."""

    @property
    def num_prefills(self) -> int:
        """Prompts that are computed for it, those of `retell` included."""
        return 2 ** len(self.clip_players) + len(self.left_out) + len(self.retold)

    @property
    def clip_players(self) -> tuple[Player, ...]:
        """The players that the model was given."""
        has = {
            "pictures": self.features.video is not None,
            "sound": self.features.audio is not None,
            "subtitle": self.features.text is not None,
        }
        return tuple(player for player in CLIP_PLAYERS if has[player])


@dataclass(frozen=True)
class SpanEffect:
    """What a span of one side brings, in nats."""

    side: Side
    start_s: float
    stop_s: float
    effect: float
    """v with the span minus v without it, the mean over the answer with and without reasons."""
    after_reasons: float | None
    """The same with the reasons given; None without reasons."""
    directly: float
    """The same without the reasons."""


@dataclass(frozen=True)
class WordLean:
    """How much more likely a word of the reasons is because of each side, in nats."""

    start: int
    """First character in the reasoning."""
    stop: int
    """Exclusive."""
    leans: dict[Player, float]
    """Side -> lean; the sides that the clip has."""


@dataclass(frozen=True)
class Attribution:
    """What one answer rests on."""

    answer: str
    """As it was written."""
    players: tuple[Player, ...]
    values: dict[frozenset[Player], float]
    """v of each coalition, in nats."""
    shapley: dict[Player, float]
    curve: tuple[SpanEffect, ...]
    """Spans in order, pictures first; empty where none were left out."""
    words: tuple[WordLean, ...]
    """Of the reasons, in order."""
    num_prefills: int
    retold_values: dict[frozenset[Player], float] = field(default_factory=dict)
    """w of each set of what was given, in nats; empty where the model did not reason anew."""

    @property
    def retold(self) -> dict[Player, float]:
        """Shapley values of `retold_values`; empty without them."""
        given: list[Player] = [player for player in self.players if player != "reasons"]
        found: dict[Player, float] = shapley_values(given, self.retold_values) if self.retold_values else {}
        return found

    @property
    def shares(self) -> dict[Player, float] | None:
        """Each player's share of the absolute values; None where nothing changes the answer."""
        return shares(self.shapley)

    @property
    def clip_shares(self) -> dict[Player, float] | None:
        """The same among what the model was given, with reasons written anew where that was tried."""
        return shares(self.retold or self.shapley, CLIP_PLAYERS)

    def to_json(self) -> dict[str, Any]:
        """Return the attribution as JSON values; a coalition is its players joined by `+`, nobody is empty."""
        return self.summary() | {
            "curve": [vars(span) for span in self.curve],
            "words": [vars(word) for word in self.words],
        }

    def summary(self) -> dict[str, Any]:
        """Return the same without the curve and the words."""
        return {
            "answer": self.answer,
            "unit": "nats",
            "players": list(self.players),
            "values": {self._name(members): value for members, value in self.values.items()},
            "shapley": self.shapley,
            "retold": None
            if not self.retold_values
            else {
                "values": {self._name(members): value for members, value in self.retold_values.items()},
                "shapley": self.retold,
            },
            "shares": self.shares,
            "clip_shares": self.clip_shares,
            "num_prefills": self.num_prefills,
        }

    def _name(self, members: frozenset[Player]) -> str:
        return "+".join(player for player in self.players if player in members)


@dataclass(frozen=True)
class _Rows:
    """The token rows that are scored for one answer."""

    answer: str
    directly: list[list[int]]
    """Empty reasons and a label each; the answer's own row is the first."""
    direct_start: int
    """Place of the first token in which they differ; a token may straddle the border of tag and label."""
    after_reasons: list[int] | None
    """Reasons and answer; None without reasons."""
    after_start: int
    """Place of the first token in it that would differ for another label."""
    words: list[tuple[int, int, list[int]]]
    """Start and stop in the reasoning, and the places of the word's tokens in `after_reasons`."""

    @property
    def group(self) -> list[list[int]]:
        return self.directly if self.after_reasons is None else [*self.directly, self.after_reasons]

    def value_directly(self, scored: list[list[float]]) -> float:
        """Return the answer's log-probability among the labels."""
        sums = [sum(row[self.direct_start :]) for row in scored[: len(self.directly)]]
        highest = max(sums)
        return sums[0] - highest - math.log(sum(math.exp(value - highest) for value in sums))

    def value_after(self, scored: list[list[float]]) -> float | None:
        """Return the answer's log-probability after the reasons; None without reasons."""
        return None if self.after_reasons is None else sum(self.after(scored)[self.after_start :])

    def after(self, scored: list[list[float]]) -> list[float]:
        """Return the scores of the row with the reasons."""
        return scored[len(self.directly)]


def attribute(
    scorer: Scorer, answered: Sequence[AnsweredClip], labels: Sequence[str] = MAFW_LABELS
) -> list[Attribution | None]:
    """Attribute answers to what they rest on.

    Args:
        scorer: over the model that answered.
        answered: any number of clips; each takes at most `MAX_PREFILLS` prefills.
        labels: the label set.

    Returns:
        One per clip; None where the output holds no answer.

    Raises:
        ValueError: so many spans are left out that a clip would exceed `MAX_PREFILLS`.
    """
    prompts: list[Prompt] = []
    groups: list[list[list[int]]] = []
    rows = [_rows(scorer, entry.text, labels) for entry in answered]
    retold = [
        {} if row is None else _retold_rows(scorer, entry, row, labels)
        for entry, row in zip(answered, rows, strict=True)
    ]
    for entry, row, others in zip(answered, rows, retold, strict=True):
        if row is not None:
            prompts += _prompts(entry)
            groups += [
                [*row.group, others[members][0]] if members in others else row.group
                for members in coalitions(entry.clip_players)
            ]
            groups += [row.group for _ in entry.left_out]
    scored = iter(scorer.score(prompts, groups))
    found: list[Attribution | None] = []
    for entry, row, others in zip(answered, rows, retold, strict=True):
        if row is None:
            found.append(None)
            continue
        count = 2 ** len(entry.clip_players) + len(entry.left_out)
        part = [next(scored) for _ in range(count)]
        found.append(_attribution(entry, row, part, {members: start for members, (_, start) in others.items()}))
    return found


def retell(
    generator: Generator, answered: Sequence[AnsweredClip], max_new_tokens: int
) -> list[dict[frozenset[Player], str]]:
    """Let the model answer anew, greedily, from each set of what it was given but the whole.

    Args:
        generator: over the model that answered.
        answered: any number of clips.
        max_new_tokens: limit of an answer.

    Returns:
        One per clip: set -> output; empty where more than two things were given, or the output has no reasons.
    """
    wanted = [
        (place, members)
        for place, entry in enumerate(answered)
        if len(entry.clip_players) <= _MOST_RETOLD and has_reasons(_format(generator.processor), entry.text)
        for members in coalitions(entry.clip_players)[:-1]
    ]
    prompts = [_prompt(answered[place], members) for place, members in wanted]
    written = generator.run(prompts, Sampling(max_tokens=max_new_tokens)) if prompts else []
    found: list[dict[frozenset[Player], str]] = [{} for _ in answered]
    for (place, members), (completion,) in zip(wanted, written, strict=True):
        found[place][members] = completion.text
    return found


def _format(processor: HumanOmniProcessor) -> AnswerFormat:
    return AnswerFormat.spelled(processor.answer_format)


def has_reasons(answer_format: AnswerFormat, text: str) -> bool:
    """Return whether an output gives reasons before its answer, so that the answer could hang on them.

    Args:
        answer_format: its tagged parts.
        text: the whole output.
    """
    head, tag, _ = text.partition(answer_format.opening)
    return bool(tag) and answer_format.parse(head + tag).reasoning is not None


def _prompts(entry: AnsweredClip) -> list[Prompt]:
    """Return the prompt of each coalition of what was given, then those with a span left out."""
    if entry.num_prefills > MAX_PREFILLS:
        raise ValueError(
            f"{entry.num_prefills} prompts, of which {len(entry.left_out)} leave out a span; expected at most "
            f"{MAX_PREFILLS} prefills: leave fewer spans out."
        )
    prompts = [_prompt(entry, members) for members in coalitions(entry.clip_players)]
    return prompts + [Prompt.ask(entry.instruction, span.features) for span in entry.left_out]


def _prompt(entry: AnsweredClip, members: frozenset[Player]) -> Prompt:
    """Return the prompt with nothing but what is in a set."""
    features = entry.features
    for side in ("pictures", "sound"):
        if side not in members:
            features = features.without(side)
    # The words are a player of their own, also where they were read from a side that is not in the coalition.
    features = replace(features, text=entry.features.text if "subtitle" in members else None)
    return Prompt.ask(entry.instruction, features)


def _retold_rows(
    scorer: Scorer, entry: AnsweredClip, rows: _Rows, labels: Sequence[str]
) -> dict[frozenset[Player], tuple[list[int], int]]:
    """Return the row with the answer after each set's own reasons, and the place where labels begin to differ.

    An output without reasons before an answer leaves its set to `_Rows.value_directly`.
    """
    answer_format = _format(scorer.processor)
    found: dict[frozenset[Player], tuple[list[int], int]] = {}
    for members, text in entry.retold.items():
        if has_reasons(answer_format, text):
            head = text.partition(answer_format.opening)[0] + answer_format.opening
            others = [label for label in labels if label != rows.answer.lower()]
            ids = [
                scorer.processor.text_ids(f"{head}{label}{answer_format.closing}") for label in (rows.answer, *others)
            ]
            found[members] = ids[0], common_length(ids)
    return found


def _rows(scorer: Scorer, text: str, labels: Sequence[str]) -> _Rows | None:
    """Tokenise an answer and the labels it could have been; None where the output holds no answer."""
    processor = scorer.processor
    answer_format = _format(processor)
    parsed = answer_format.parse(text)
    if parsed.answer is None:
        return None
    head, tag, rest = text.partition(answer_format.opening)
    answer = (rest.partition(answer_format.closing)[0] if tag else text).strip()
    candidates = [answer, *(label for label in labels if label != answer.lower())]
    if not tag:
        end = stop_ids(scorer.model, processor)[0]
        rows = [[*processor.text_ids(label), end] for label in candidates]
        return _Rows(answer, rows, common_length(rows), None, 0, [])
    before = answer_format.parts[: answer_format.parts.index(answer_format.answer)]
    empty = "".join(f"<{name}></{name}>\n" for name in before) + tag
    directly = [processor.text_ids(f"{empty}{label}{answer_format.closing}") for label in candidates]
    start = common_length(directly)
    if not answer_format.without_tags(head):
        return _Rows(answer, directly, start, None, 0, [])
    after = [processor.text_tokens(f"{head}{tag}{label}{answer_format.closing}") for label in candidates]
    ids = [[token_id for token_id, _, _ in row] for row in after]
    words = _words(after[0], head, parsed.reasoning or "")
    return _Rows(answer, directly, start, ids[0], common_length(ids), words)


def _words(tokens: Sequence[tuple[int, int, int]], head: str, reasoning: str) -> list[tuple[int, int, list[int]]]:
    """Return the words of the reasoning with the places of their tokens; a token belongs to the word it begins in."""
    found: list[tuple[int, int, list[int]]] = []
    cursor = place = offset = 0
    # Paragraphs of the reasoning follow each other in the text, with tags between them.
    for line in reasoning.split("\n"):
        begins = head.find(line, cursor)
        if begins < 0:  # a part that stands behind the answer
            break
        cursor = begins + len(line)
        for match in re.finditer(r"\S+", line):
            first, last = begins + match.start(), begins + match.end()
            while place < len(tokens) and _begins(head, tokens[place]) < first:
                place += 1
            mine = []
            while place < len(tokens) and _begins(head, tokens[place]) < last:
                mine.append(place)
                place += 1
            found.append((offset + match.start(), offset + match.end(), mine))
        offset += len(line) + 1
    return found


def _begins(text: str, token: tuple[int, int, int]) -> int:
    """Return where a token begins, the space before a word not counted."""
    _, start, stop = token
    written = text[start:stop]
    return start + len(written) - len(written.lstrip())


def _attribution(
    entry: AnsweredClip,
    rows: _Rows,
    scored: list[list[list[float]]],
    retold_starts: Mapping[frozenset[Player], int],
) -> Attribution:
    sides = entry.clip_players
    members_of = coalitions(sides)
    direct = [rows.value_directly(group) for group in scored]
    after = [value for group in scored if (value := rows.value_after(group)) is not None]
    values: dict[frozenset[Player], float] = {}
    for place, members in enumerate(members_of):
        values[members] = direct[place]
        if after:
            values[members | _REASONS] = after[place]
    everything = len(members_of) - 1
    curve = []
    for place, span in enumerate(entry.left_out, start=len(members_of)):
        directly = direct[everything] - direct[place]
        after_reasons = after[everything] - after[place] if after else None
        effect = directly if after_reasons is None else (directly + after_reasons) / 2
        curve.append(SpanEffect(span.side, span.start_s, span.stop_s, effect, after_reasons, directly))
    players: tuple[Player, ...] = (*sides, "reasons") if after else sides
    words = []
    without: dict[Player, int] = {side: members_of.index(frozenset(sides) - {side}) for side in sides}
    for start, stop, places in rows.words:
        given = sum(rows.after(scored[everything])[place] for place in places)
        leans: dict[Player, float] = {
            side: given - sum(rows.after(scored[other])[place] for place in places) for side, other in without.items()
        }
        words.append(WordLean(start, stop, leans))
    retold_values: dict[frozenset[Player], float] = {}
    if entry.retold and after:
        for place, members in enumerate(members_of[:-1]):
            start = retold_starts.get(members)
            retold_values[members] = direct[place] if start is None else sum(scored[place][-1][start:])
        retold_values[members_of[-1]] = after[everything]
    return Attribution(
        rows.answer,
        players,
        values,
        shapley_values(players, values),
        tuple(curve),
        tuple(words),
        entry.num_prefills,
        retold_values,
    )
