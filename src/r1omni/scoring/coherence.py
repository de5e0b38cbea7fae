"""Do the reasons fit the answer? Agreement of one answer, and the published figures over a corpus.

With e the emotion that the reasons alone imply, a the answer and g the gold label:

    EEA = share of e = g        explanation emotion accuracy
    EPC = share of e = a        explanation-prediction consistency
    FCR = share of e = a = g    faithful consistency rate

Each is over the answers whose reasons imply an emotion; the share of these is reported too (`implied_rate`). Answers
without reasons (a label-only model) are not counted. Figures are fractions; a figure over nothing is None.

Source: "Emotion-Coherent Reasoning for Multimodal LLMs via Emotional Rationale Verifier" (AAAI 2026), which asks a paid
language model for e; here e is read offline (`implied_emotion`, and by the model itself in `explain/`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from r1omni.core.labels import EMOTIONS
from r1omni.scoring.implied_emotion import ImpliedEmotion, implied_emotion
from r1omni.scoring.intervals import Interval, ratio_interval
from r1omni.scoring.normalise import exact, normalise


@dataclass(frozen=True)
class Figure:
    """A share or a mean over answers, with what it is over."""

    value: float | None
    """None over nothing."""
    interval: Interval | None
    """95 % bootstrap over answers; None over nothing."""
    count: float
    """The numerator."""
    total: float
    """The denominator."""


@dataclass(frozen=True)
class AnswerWithReasons:
    """What coherence needs of one answer."""

    implied: str | None
    """The emotion that the reasons imply; None where they imply none."""
    agrees: bool | None
    """Whether the reasons imply the answer; None where they imply none."""
    gold: str | None
    """The true label; None where there is none."""
    is_correct: bool
    """Whether the answer is the true label."""


@dataclass(frozen=True)
class RiskPoint:
    """One point of the risk-coverage curve: what happens if only the surest answers are given."""

    coverage: float
    """Share of the answers that are given."""
    risk: float
    """Share of these that are wrong."""
    threshold: float
    """The least confidence among them."""


@dataclass(frozen=True)
class ReasonsFit:
    """What the reasons of one answer imply, and whether that is the answer."""

    implied: ImpliedEmotion
    agrees: bool | None
    """None where the reasons imply no emotion, or there is no answer."""


def reasons_fit(reasoning: str | None, answer: str | None, labels: Collection[str] = EMOTIONS) -> ReasonsFit:
    """Read what reasons imply and compare it with the answer, synonyms apart.

    Args:
        reasoning: the text between the think tags; None without one.
        answer: the answer part, in any words; None without one.
        labels: the label set.
    """
    known = [exact(label) for label in labels]
    implied = implied_emotion(reasoning, known)
    return ReasonsFit(implied, agreement_of(implied.label, normalise(answer, "synonym", known)))


def agreement_of(implied: str | None, answer: str | None) -> bool | None:
    """Return whether reasons imply the answer; None where what they imply, or the answer, is missing.

    Args:
        implied: the emotion that the reasons imply.
        answer: the normalised answer.
    """
    return None if implied is None or answer is None else implied == answer


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Figure:
    """Return the sum of one over the sum of the other, with its interval over answers.

    Args:
        numerators: one per answer.
        denominators: one per answer.
    """
    total = float(sum(denominators))
    value = float(sum(numerators)) / total if total else None
    return Figure(value, ratio_interval(numerators, denominators), float(sum(numerators)), total)


def coherence_figures(rows: Sequence[AnswerWithReasons]) -> dict[str, Figure]:
    """Return `implied_rate`, `eea`, `epc` and `fcr`.

    Args:
        rows: answers with reasons; EEA and FCR are over those that have a gold label.
    """
    is_implied = [row.implied is not None for row in rows]
    has_gold = [row.implied is not None and row.gold is not None for row in rows]
    is_faithful = [bool(row.agrees) and row.is_correct and row.implied == row.gold for row in rows]
    return {
        "implied_rate": ratio(is_implied, [1] * len(rows)),
        "eea": ratio([known and row.implied == row.gold for row, known in zip(rows, has_gold, strict=True)], has_gold),
        "epc": ratio([bool(row.agrees) for row in rows], is_implied),
        "fcr": ratio([known and faithful for faithful, known in zip(is_faithful, has_gold, strict=True)], has_gold),
    }


def accuracy_by_agreement(rows: Sequence[AnswerWithReasons]) -> Mapping[str, Figure]:
    """Return the share of right answers among those whose reasons agree, disagree, and imply nothing clear.

    Args:
        rows: answers with reasons; those without a gold label are left out.
    """
    known = [row for row in rows if row.gold is not None]
    groups = {"agree": True, "disagree": False, "unknown": None}
    return {
        name: ratio([row.is_correct and row.agrees is state for row in known], [row.agrees is state for row in known])
        for name, state in groups.items()
    }


def agreement_confidence(agrees: bool | None) -> float:
    """Return how sure agreement alone makes an answer: 1 if the reasons agree, .5 if that is unknown, else 0.

    Args:
        agrees: see `agreement_of`.
    """
    return 0.5 if agrees is None else float(agrees)


def risk_coverage(confidences: Sequence[float], correct: Sequence[bool], max_points: int = 50) -> list[RiskPoint]:
    """Return the risk at growing coverage, the surest answers first; answers of one confidence enter together.

    Args:
        confidences: one per answer, higher is surer.
        correct: whether each answer is right.
        max_points: of more, an even choice is returned, the last one always.

    Source:
        El-Yaniv and Wiener, "On the foundations of noise-free selective classification" (JMLR 2010).
    """
    ranked = sorted(zip(confidences, correct, strict=True), key=lambda pair: -pair[0])
    points, wrong = [], 0
    for place, (confidence, is_right) in enumerate(ranked, start=1):
        wrong += not is_right
        if place == len(ranked) or ranked[place][0] != confidence:
            points.append(RiskPoint(place / len(ranked), wrong / place, confidence))
    step = -(-len(points) // max_points) if points else 1
    return points[::-1][::step][::-1]


def area_under_risk(points: Sequence[RiskPoint]) -> float | None:
    """Return the mean risk over coverage, each point holding for the answers that it adds; None over nothing.

    Args:
        points: of `risk_coverage`, all of them.
    """
    if not points:
        return None
    widths = [
        point.coverage - before for point, before in zip(points, [0.0, *(p.coverage for p in points)], strict=False)
    ]
    return sum(width * point.risk for width, point in zip(widths, points, strict=True)) / points[-1].coverage
