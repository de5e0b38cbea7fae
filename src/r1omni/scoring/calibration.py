"""Whether probabilities are as often right as they say, and the two numbers that bring them closest to it.

    p(label) = (1 - lapse_rate) softmax over the labels of score(label) / temperature + lapse_rate / num_labels
    ECE      = sum over bins of confidence, of equal width: share of answers in it * |share right - mean confidence|

The temperature says how sure the scores may make us, the lapse rate how often they have nothing to do with the truth,
as after reasons that are wrong: a temperature alone would have to make every probability low for the sake of those few.
The pair that makes the gold labels of held-out clips most probable is kept. The likeliest label stays the likeliest.

Where a known share e of the gold labels is wrong, and each other label equally likely then, they are taken as drawn
from (1 - e) p(gold) + e (1 - p(gold)) / (num_labels - 1). Without it probabilities come out as low as the labels'
errors make the accuracy.

Source: Guo et al., "On calibration of modern neural networks" (ICML 2017, arXiv 1706.04599), sections 2 and 4.2, for
temperature and ECE; Wichmann and Hill, "The psychometric function: I" (Perception & Psychophysics 2001), for the lapse
rate. Deviation: the errors of the gold labels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from r1omni.core.errors import ConfigError

MAX_TEMPERATURE = 100.0
"""Temperatures are searched from its inverse up to it."""
MAX_LAPSE_RATE = 0.9
NUM_BINS = 15
"""Equal-width bins of the calibration error, as in the source."""
_NUM_TEMPERATURES = 97
_NUM_RATES = 19
_NUM_NARROWINGS = 40
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class LabelCalibration:
    """How scores of labels become probabilities; as it is by default, by a softmax alone."""

    temperature: float = 1.0
    """Above 0."""
    lapse_rate: float = 0.0
    """In [0, 1)."""

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        """Return the probabilities of labels; they sum to 1.

        Args:
            scores: log-probability of each label, up to a constant.
        """
        return _probabilities(_padded([scores]), self)[0].tolist()


def _padded(scores: Sequence[Sequence[float]]) -> Float[np.ndarray, "clips labels"]:
    """Return scores of label sets of different sizes in one array, without the highest; what is not there is -inf."""
    rows = np.full((len(scores), max(map(len, scores))), -np.inf)
    for row, given in zip(rows, scores, strict=True):
        row[: len(given)] = given
    return rows - rows.max(1, keepdims=True)


def _probabilities(
    scores: Float[np.ndarray, "clips labels"], calibration: LabelCalibration
) -> Float[np.ndarray, "clips labels"]:
    weights = np.exp(scores / calibration.temperature)
    softmax = weights / weights.sum(1, keepdims=True)
    there = np.isfinite(scores)
    return (1 - calibration.lapse_rate) * softmax + calibration.lapse_rate * there / there.sum(1, keepdims=True)


def negative_log_likelihood(
    scores: Sequence[Sequence[float]],
    golds: Sequence[int],
    calibration: LabelCalibration,
    *,
    label_errors: float = 0.0,
) -> float:
    """Return the mean surprise of the gold labels in nats.

    Args:
        scores: of each clip, the log-probability of each label; label sets may differ between clips.
        golds: of each clip, the place of its gold label.
        calibration: how the scores become probabilities.
        label_errors: share of the gold labels that is wrong.

    Raises:
        ConfigError: no clips, not one gold label per clip, or a share outside [0, 1).
    """
    return _surprise(scores, golds, label_errors)(calibration)


def _surprise(
    scores: Sequence[Sequence[float]], golds: Sequence[int], label_errors: float
) -> Callable[[LabelCalibration], float]:
    """Check the clips once, and return the mean surprise of their gold labels as a function of the calibration."""
    if not scores or len(scores) != len(golds):
        raise ConfigError(f"Found {len(scores)} clips and {len(golds)} gold labels; expected one each, at least one.")
    if not 0.0 <= label_errors < 1.0:
        raise ConfigError(f"label_errors is {label_errors}; expected a share of at least 0 and below 1.")
    padded, clips = _padded(scores), np.arange(len(scores))
    others = np.maximum(np.isfinite(padded).sum(1) - 1, 1)
    errors = np.where(np.isfinite(padded).sum(1) > 1, label_errors, 0.0)

    def surprise(calibration: LabelCalibration) -> float:
        if not label_errors and not calibration.lapse_rate:
            # In logarithms, so that a label that is out of the question costs what its score says, not infinity.
            tempered = padded / calibration.temperature
            return float((np.log(np.exp(tempered).sum(1)) - tempered[clips, golds]).mean())
        chance = _probabilities(padded, calibration)[clips, golds]
        return float(-np.log((1 - errors) * chance + errors * (1 - chance) / others).mean())

    return surprise


def fit_calibration(
    scores: Sequence[Sequence[float]], golds: Sequence[int], *, label_errors: float = 0.0
) -> LabelCalibration:
    """Return the calibration under which the gold labels are most probable, to four significant digits.

    For each lapse rate the logarithm of the temperature is searched, so that equal scores give equal numbers.

    Args:
        scores: of each clip, the log-probability of each label; label sets may differ between clips.
        golds: of each clip, the place of its gold label.
        label_errors: share of the gold labels that is wrong.

    Raises:
        ConfigError: see `negative_log_likelihood`.
    """
    surprise, limit = _surprise(scores, golds, label_errors), math.log(MAX_TEMPERATURE)

    def warmest(lapse_rate: float) -> LabelCalibration:
        def cost(exponent: float) -> float:
            return surprise(LabelCalibration(math.exp(exponent), lapse_rate))

        return LabelCalibration(math.exp(_lowest(cost, -limit, limit, _NUM_TEMPERATURES)), lapse_rate)

    rate = _lowest(lambda rate: surprise(warmest(rate)), 0.0, MAX_LAPSE_RATE, _NUM_RATES)
    found = warmest(rate)
    return LabelCalibration(float(f"{found.temperature:.4g}"), float(f"{found.lapse_rate:.4g}"))


def _lowest(cost: Callable[[float], float], low: float, high: float, num_starts: int) -> float:
    """Return where a function is lowest: on a grid, then by golden sections around its best point.

    The best point itself is returned where the sections find nothing lower, so that a border is found exactly.
    """
    step = (high - low) / (num_starts - 1)
    best = min((low + place * step for place in range(num_starts)), key=cost)
    start, stop = max(low, best - step), min(high, best + step)
    left, right = stop - _GOLDEN * (stop - start), start + _GOLDEN * (stop - start)
    cost_left, cost_right = cost(left), cost(right)
    for _ in range(_NUM_NARROWINGS):
        if cost_left <= cost_right:
            stop, right, cost_right = right, left, cost_left
            left = stop - _GOLDEN * (stop - start)
            cost_left = cost(left)
        else:
            start, left, cost_left = left, right, cost_right
            right = start + _GOLDEN * (stop - start)
            cost_right = cost(right)
    return min(best, (start + stop) / 2, key=cost)


def expected_calibration_error(
    confidences: Sequence[float], right: Sequence[bool], num_bins: int = NUM_BINS
) -> float | None:
    """Return how far confidences are from the share of right answers, as a fraction; None over nothing.

    Args:
        confidences: the probability of each answer, in [0, 1].
        right: whether each answer is right.
        num_bins: bins of equal width; a confidence on a border belongs to the bin below it.

    Raises:
        ConfigError: not one entry each.
    """
    if len(confidences) != len(right):
        raise ConfigError(f"Found {len(confidences)} confidences and {len(right)} answers; expected one each.")
    if not confidences:
        return None
    gaps = [0.0] * num_bins
    for confidence, is_right in zip(confidences, right, strict=True):
        gaps[min(num_bins - 1, max(0, math.ceil(confidence * num_bins) - 1))] += is_right - confidence
    return math.fsum(map(abs, gaps)) / len(confidences)
