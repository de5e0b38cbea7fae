"""Open-vocabulary scoring: a set of predicted emotion words against a set of gold words, grouped by the wheel.

    precision = mean over clips of |P ∩ G| / |P|        P, G: the groups of the predicted and the gold words
    recall    = mean over clips of |P ∩ G| / |G|
    F1        = 2 precision recall / (precision + recall), of the averages
    hit rate  = share of single-label clips whose gold group is among the predicted ones

A word that the wheel lacks is a group of its own, so an invented word costs precision instead of being dropped.
A clip without a predicted word scores 0; a clip without a gold word is left out and counted. The hit rate rises with
the number of words given, so `mean_num_predicted` is reported with it.
Source: the set measure of AffectGPT (`wheel.py`). Deviation: our own wheel and no dropped words, so its figures are not
comparable.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from r1omni.scoring.normalise import synonym
from r1omni.scoring.wheel import FAMILY_OF, SECTOR_OF

WheelLevel = Literal["family", "sector"]

_SEPARATORS = re.compile(r"[,;/|、，；\n]+|\band\b")


@dataclass(frozen=True)
class SetScore:
    """Figures of an open-vocabulary run, as fractions; None over nothing."""

    precision: float | None
    recall: float | None
    f1: float | None
    num_clips: int
    """Clips that were scored: those with at least one gold word."""
    num_without_gold: int
    num_outside_wheel: int
    """Predicted words that the wheel lacks, over all scored clips."""


@dataclass(frozen=True)
class HitRate:
    """Figures of single-label clips answered with a set of words; None over nothing."""

    hit_rate: float | None
    mean_num_predicted: float | None
    num_clips: int


def wheel_rule() -> str:
    """Return a short hash of the tables that open-vocabulary scores rest on."""
    content = json.dumps([FAMILY_OF, SECTOR_OF, _SEPARATORS.pattern], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def split_words(answer: str | None) -> tuple[str, ...]:
    """Split an answer such as "happy, surprised and moved" into its words, lower-cased, without repeats.

    Args:
        answer: the answer part; None for a missing answer.
    """
    words = (part.strip(" \t.!?\"'()[]").lower() for part in _SEPARATORS.split((answer or "").lower()))
    return tuple(dict.fromkeys(word for word in words if word))


def group_of(word: str, level: WheelLevel = "sector") -> str:
    """Return the group of a word: its family or sector on the wheel, or the word itself if the wheel lacks it.

    Args:
        word: an emotion word.
        level: families, or the coarser sectors.
    """
    bare = synonym(word)
    family = FAMILY_OF.get(bare)
    if family is None:
        return bare
    return family if level == "family" else SECTOR_OF[family]


def _groups(words: Iterable[str], level: WheelLevel) -> set[str]:
    return {group_of(word, level) for word in words}


def set_scores(
    golds: Sequence[Iterable[str]], predictions: Sequence[Iterable[str]], level: WheelLevel = "sector"
) -> SetScore:
    """Score predicted sets of words against gold sets.

    Args:
        golds: the gold words of each clip.
        predictions: the predicted words of each clip, same order.
        level: families, or the coarser sectors.
    """
    precisions, recalls, outside, without_gold = [], [], 0, 0
    for gold_words, predicted_words in zip(golds, predictions, strict=True):
        predicted = tuple(predicted_words)
        gold, groups = _groups(gold_words, level), _groups(predicted, level)
        if not gold:
            without_gold += 1
            continue
        outside += sum(synonym(word) not in FAMILY_OF for word in predicted)
        common = len(gold & groups)
        precisions.append(common / len(groups) if groups else 0.0)
        recalls.append(common / len(gold))
    if not precisions:
        return SetScore(None, None, None, 0, without_gold, 0)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return SetScore(precision, recall, f1, len(precisions), without_gold, outside)


def hit_rate(golds: Sequence[str], predictions: Sequence[Iterable[str]], level: WheelLevel = "sector") -> HitRate:
    """Share of single-label clips whose gold group is among the predicted groups.

    Args:
        golds: one gold word per clip.
        predictions: the predicted words of each clip, same order.
        level: families, or the coarser sectors.
    """
    if not golds:
        return HitRate(None, None, 0)
    groups = [_groups(words, level) for words in predictions]
    hits = sum(group_of(gold, level) in found for gold, found in zip(golds, groups, strict=True))
    return HitRate(hits / len(golds), sum(map(len, groups)) / len(groups), len(golds))
