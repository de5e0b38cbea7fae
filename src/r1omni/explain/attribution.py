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

and further prompts, each with one span left out, give the curve over time: by how much the answer loses where the span
is missing, as the mean over the answer with and without reasons (the Shapley value of the span beside the reasons).

Left out on purpose: sampling of coalitions, gradients and attention as explanations.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.labels import MAFW_LABELS
from r1omni.infer.embedding import stop_ids
from r1omni.infer.features import Features, Side
from r1omni.infer.prompt import Prompt
from r1omni.infer.scorer import Scorer, common_length
from r1omni.scoring.shapley import coalitions, shapley_values, shares

Player = Literal["pictures", "sound", "subtitle", "reasons"]
CLIP_PLAYERS: tuple[Player, ...] = ("pictures", "sound", "subtitle")
"""Those that are given to the model."""
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

    @property
    def shares(self) -> dict[Player, float] | None:
        """Each player's share of the absolute values; None where nothing changes the answer."""
        return shares(self.shapley)

    @property
    def clip_shares(self) -> dict[Player, float] | None:
        """The same among what the model was given, without the reasons."""
        return shares(self.shapley, CLIP_PLAYERS)

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
            "values": {
                "+".join(player for player in self.players if player in members): value
                for members, value in self.values.items()
            },
            "shapley": self.shapley,
            "shares": self.shares,
            "clip_shares": self.clip_shares,
            "num_prefills": self.num_prefills,
        }


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
        return None if self.after_reasons is None else sum(scored[-1][self.after_start :])


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
    for entry, row in zip(answered, rows, strict=True):
        asked = _prompts(entry) if row is not None else []
        prompts += asked
        groups += [row.group for _ in asked] if row is not None else []
    scored = iter(scorer.score(prompts, groups))
    found: list[Attribution | None] = []
    for entry, row in zip(answered, rows, strict=True):
        if row is None:
            found.append(None)
            continue
        count = 2 ** len(entry.clip_players) + len(entry.left_out)
        found.append(_attribution(entry, row, [next(scored) for _ in range(count)]))
    return found


def _prompts(entry: AnsweredClip) -> list[Prompt]:
    """Return the prompt of each coalition of what was given, then those with a span left out."""
    sides = entry.clip_players
    members_of = coalitions(sides)
    if len(members_of) + len(entry.left_out) > MAX_PREFILLS:
        raise ValueError(
            f"{len(members_of)} coalitions and {len(entry.left_out)} spans; expected at most {MAX_PREFILLS} prefills: "
            "leave fewer spans out."
        )
    prompts = []
    for members in members_of:
        features = entry.features
        for side in ("pictures", "sound"):
            if side not in members:
                features = features.without(side)
        # The words are a player of their own, also where they were read from a side that is not in the coalition.
        features = replace(features, text=entry.features.text if "subtitle" in members else None)
        prompts.append(Prompt.ask(entry.instruction, features))
    return prompts + [Prompt.ask(entry.instruction, span.features) for span in entry.left_out]


def _rows(scorer: Scorer, text: str, labels: Sequence[str]) -> _Rows | None:
    """Tokenise an answer and the labels it could have been; None where the output holds no answer."""
    processor = scorer.processor
    answer_format = AnswerFormat.spelled(processor.answer_format)
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


def _attribution(entry: AnsweredClip, rows: _Rows, scored: list[list[list[float]]]) -> Attribution:
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
        given = sum(scored[everything][-1][place] for place in places)
        leans: dict[Player, float] = {
            side: given - sum(scored[other][-1][place] for place in places) for side, other in without.items()
        }
        words.append(WordLean(start, stop, leans))
    return Attribution(
        rows.answer, players, values, shapley_values(players, values), tuple(curve), tuple(words), len(scored)
    )
