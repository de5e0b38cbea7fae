"""How certain figures are: bootstrap intervals, paired comparison of two models, mean and spread over folds or worlds.

Resampling clips with replacement only changes how many clips fall into each cell (class, right or wrong). The counts of
the cells follow a multinomial, so the counts are drawn from it: the same distribution, at a cost independent of the
number of clips. Clips are taken as independent; where one actor speaks many of them, the true interval is wider.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1omni.core.errors import ConfigError
from r1omni.scoring.metrics import Golds, Predictions


@dataclass(frozen=True)
class Interval:
    """A percentile interval, in the metric's own unit (fractions)."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A metric of model B minus that of model A on the same clips."""

    value: float
    interval: Interval
    p_value: float
    """Two-sided: twice the smaller share of resamples on either side of no difference, at most 1."""


@dataclass(frozen=True)
class McNemar:
    """The clips on which exactly one of two models is right, and the exact two-sided test that they split evenly."""

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over folds, seeds or worlds."""

    mean: float | None
    standard_deviation: float | None
    """Sample standard deviation (n - 1); None below two values."""
    num_values: int


def _resampled(
    golds: Golds, outcomes: Sequence[np.ndarray], num_resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw resamples of the cells (class, hit of each model).

    Returns:
        Support [resamples, classes] and hits [models, resamples, classes].
    """
    classes, class_ids = np.unique(np.asarray(golds, dtype=object).astype(str), return_inverse=True)
    num_models, num_cells = len(outcomes), 2 ** len(outcomes)
    pattern = sum(outcome.astype(np.int64) << model for model, outcome in enumerate(outcomes))
    counts = np.bincount(class_ids * num_cells + pattern, minlength=len(classes) * num_cells)
    drawn = np.random.default_rng(seed).multinomial(len(golds), counts / counts.sum(), size=num_resamples)
    drawn = drawn.reshape(num_resamples, len(classes), num_cells)
    hits = [drawn[..., [cell >> model & 1 == 1 for cell in range(num_cells)]].sum(-1) for model in range(num_models)]
    return drawn.sum(-1), np.stack(hits)


def _war_and_uar(support: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    present = support > 0
    recall = hits / np.where(present, support, 1)
    war, uar = hits.sum(-1) / support.sum(-1), (recall * present).sum(-1) / present.sum(-1)
    return np.asarray(war), np.asarray(uar)


def _interval(values: np.ndarray, confidence: float) -> Interval:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _hits(golds: Golds, predictions: Predictions) -> np.ndarray:
    if len(golds) != len(predictions):
        raise ConfigError(
            f"Found {len(golds)} gold labels and {len(predictions)} answers; expected one answer per clip."
        )
    return np.array([gold == prediction for gold, prediction in zip(golds, predictions, strict=True)], dtype=bool)


def bootstrap(
    golds: Golds, predictions: Predictions, *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval] | None:
    """Percentile bootstrap of WAR and UAR over clips; None over nothing.

    Args:
        golds: true labels.
        predictions: normalised answers in the same order.
        num_resamples: number of resamples.
        confidence: share of the resamples inside the interval.
        seed: seeds the resampling.

    Returns:
        `{"war": Interval, "uar": Interval}`. UAR is over the classes present in each resample.
    """
    if not golds:
        return None
    support, hits = _resampled(golds, [_hits(golds, predictions)], num_resamples, seed)
    wars, uars = _war_and_uar(support, hits[0])
    return {"war": _interval(wars, confidence), "uar": _interval(uars, confidence)}


def paired_bootstrap(
    golds: Golds,
    predictions_a: Predictions,
    predictions_b: Predictions,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Difference] | None:
    """Bootstrap of B minus A in WAR and UAR on the same clips; None over nothing.

    Args:
        golds: true labels.
        predictions_a: normalised answers of the first model.
        predictions_b: normalised answers of the second model, same clips in the same order.
        num_resamples: number of resamples.
        confidence: share of the resamples inside the interval.
        seed: seeds the resampling.
    """
    if not golds:
        return None
    outcomes = [_hits(golds, predictions_a), _hits(golds, predictions_b)]
    support, hits = _resampled(golds, outcomes, num_resamples, seed)
    classes = [np.array([gold == label for gold in golds]) for label in sorted(set(golds))]
    true_support = np.array([members.sum() for members in classes])
    true_hits = np.array([[outcome[members].sum() for members in classes] for outcome in outcomes])
    points = [_war_and_uar(true_support, model_hits) for model_hits in true_hits]
    samples = [_war_and_uar(support, model_hits) for model_hits in hits]
    result = {}
    for index, name in enumerate(("war", "uar")):
        differences = samples[1][index] - samples[0][index]
        tail = min(float(np.mean(differences <= 0)), float(np.mean(differences >= 0)))
        value = float(points[1][index] - points[0][index])
        result[name] = Difference(value, _interval(differences, confidence), min(1.0, 2 * tail))
    return result


def mcnemar(golds: Golds, predictions_a: Predictions, predictions_b: Predictions) -> McNemar | None:
    """Exact McNemar test of two models on the same clips; None over nothing, p = 1 where they never differ.

    Args:
        golds: true labels.
        predictions_a: normalised answers of the first model.
        predictions_b: normalised answers of the second model, same clips in the same order.
    """
    if not golds:
        return None
    right_a, right_b = _hits(golds, predictions_a), _hits(golds, predictions_b)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total = only_a + only_b
    tail = sum(math.comb(total, count) for count in range(min(only_a, only_b) + 1))
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**total))


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap over clips of a sum over a sum: a share, a mean, or claims of one kind among all claims.

    Clips are resampled whole, so that the claims of one text stay together. None where the denominators are all 0.

    Args:
        numerators: one per clip.
        denominators: one per clip, at least 0; 0 leaves the clip out.
        num_resamples: number of resamples.
        confidence: share of the resamples inside the interval.
        seed: seeds the resampling.
    """
    pairs = np.array([numerators, denominators], dtype=float).T.reshape(-1, 2)
    if not pairs[:, 1].any():
        return None
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(pairs), counts / counts.sum(), size=num_resamples)
    top, bottom = (drawn @ cells).T
    return _interval(top[bottom > 0] / bottom[bottom > 0], confidence)


def ratio_difference_interval(
    first: Sequence[tuple[float, float]],
    second: Sequence[tuple[float, float]],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Paired bootstrap over clips of the second ratio of sums minus the first; None where a denominator is always 0.

    Args:
        first: (numerator, denominator) of each clip for the first model.
        second: the same for the second model, same clips in the same order.
        num_resamples: number of resamples.
        confidence: share of the resamples inside the interval.
        seed: seeds the resampling.
    """
    rows = np.array([[*one, *other] for one, other in zip(first, second, strict=True)], dtype=float).reshape(-1, 4)
    if not rows[:, 1].any() or not rows[:, 3].any():
        return None
    cells, counts = np.unique(rows, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(rows), counts / counts.sum(), size=num_resamples)
    top_a, bottom_a, top_b, bottom_b = (drawn @ cells).T
    known = (bottom_a > 0) & (bottom_b > 0)
    return _interval(top_b[known] / bottom_b[known] - top_a[known] / bottom_a[known], confidence)


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and standard deviation over folds, seeds or worlds; folds without a figure are left out of mean and count.

    Args:
        values: one figure per fold.
    """
    known = [value for value in values if value is not None]
    return Spread(
        mean=statistics.fmean(known) if known else None,
        standard_deviation=statistics.stdev(known) if len(known) > 1 else None,
        num_values=len(known),
    )
