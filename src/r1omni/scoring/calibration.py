"""Whether probabilities are as often right as they say, and the one temperature that brings them closest to it.

    p_T(label) = softmax over the labels of score(label) / T
    T*         = the T > 0 that makes the gold labels of held-out clips most probable under p_T
    ECE        = sum over bins of confidence, of equal width: share of answers in it * |share right - mean confidence|

The likeliest label stays the likeliest under any T. Where a known share e of the gold labels is wrong, and each other
label equally likely then, they are taken as drawn from (1 - e) p_T(gold) + e (1 - p_T(gold)) / (num_labels - 1).
Without it T makes probabilities as low as the labels' errors make the accuracy.

Source: Guo et al., "On calibration of modern neural networks" (ICML 2017, arXiv 1706.04599), sections 2 and 4.2.
Deviation: the errors of the gold labels.
"""

import math
from collections.abc import Sequence

from r1omni.core.errors import ConfigError

MAX_TEMPERATURE = 100.0
"""Temperatures are searched from its inverse up to it."""
NUM_BINS = 15
"""Equal-width bins of the calibration error, as in the source."""
_NUM_STARTS = 97
_NUM_NARROWINGS = 40
_GOLDEN = (math.sqrt(5) - 1) / 2


def tempered(scores: Sequence[float], temperature: float) -> list[float]:
    """Return the probabilities of labels at a temperature; they sum to 1.

    Args:
        scores: log-probability of each label, up to a constant.
        temperature: above 0; 1 leaves the scores as they are.
    """
    highest = max(scores)
    weights = [math.exp((score - highest) / temperature) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def negative_log_likelihood(
    scores: Sequence[Sequence[float]], golds: Sequence[int], temperature: float, *, label_errors: float = 0.0
) -> float:
    """Return the mean surprise of the gold labels in nats.

    Args:
        scores: of each clip, the log-probability of each label; label sets may differ between clips.
        golds: of each clip, the place of its gold label.
        temperature: above 0.
        label_errors: share of the gold labels that is wrong.

    Raises:
        ConfigError: no clips, not one gold label per clip, or a share outside [0, 1).
    """
    if not scores or len(scores) != len(golds):
        raise ConfigError(f"Found {len(scores)} clips and {len(golds)} gold labels; expected one each, at least one.")
    if not 0.0 <= label_errors < 1.0:
        raise ConfigError(f"label_errors is {label_errors}; expected a share of at least 0 and below 1.")
    surprises = []
    for row, gold in zip(scores, golds, strict=True):
        if label_errors and len(row) > 1:
            chance = tempered(row, temperature)[gold]
            surprises.append(-math.log((1 - label_errors) * chance + label_errors * (1 - chance) / (len(row) - 1)))
            continue
        # In logarithms, so that a label that is out of the question costs what its score says, not infinity.
        highest = max(row)
        total = math.fsum(math.exp((score - highest) / temperature) for score in row)
        surprises.append(math.log(total) - (row[gold] - highest) / temperature)
    return math.fsum(surprises) / len(surprises)


def fit_temperature(scores: Sequence[Sequence[float]], golds: Sequence[int], *, label_errors: float = 0.0) -> float:
    """Return the temperature under which the gold labels are most probable, to four significant digits.

    The logarithm of the temperature is searched on a grid and then by golden sections around the best point, so that
    equal scores give equal temperatures.

    Args:
        scores: of each clip, the log-probability of each label; label sets may differ between clips.
        golds: of each clip, the place of its gold label.
        label_errors: share of the gold labels that is wrong.

    Raises:
        ConfigError: see `negative_log_likelihood`.
    """

    def cost(exponent: float) -> float:
        return negative_log_likelihood(scores, golds, math.exp(exponent), label_errors=label_errors)

    limit = math.log(MAX_TEMPERATURE)
    step = 2 * limit / (_NUM_STARTS - 1)
    best = min((-limit + place * step for place in range(_NUM_STARTS)), key=cost)
    low, high = max(-limit, best - step), min(limit, best + step)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    cost_left, cost_right = cost(left), cost(right)
    for _ in range(_NUM_NARROWINGS):
        if cost_left <= cost_right:
            high, right, cost_right = right, left, cost_left
            left = high - _GOLDEN * (high - low)
            cost_left = cost(left)
        else:
            low, left, cost_left = left, right, cost_right
            right = low + _GOLDEN * (high - low)
            cost_right = cost(right)
    return float(f"{math.exp((low + high) / 2):.4g}")


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
