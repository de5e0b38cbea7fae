"""Temperature, lapse rate and calibration error, worked by hand."""

import math

import pytest

from r1omni.core.errors import ConfigError
from r1omni.scoring.calibration import (
    LabelCalibration,
    expected_calibration_error,
    fit_calibration,
    negative_log_likelihood,
)


def test_a_temperature_divides_the_scores_and_keeps_their_order():
    # exp(log 9 / 2) = 3, exp(0) = 1: 3/4 and 1/4; at temperature 1 it is 9/10 and 1/10.
    assert LabelCalibration().probabilities([math.log(9), 0.0]) == pytest.approx([0.9, 0.1])
    assert LabelCalibration(2.0).probabilities([math.log(9), 0.0]) == pytest.approx([0.75, 0.25])
    far = LabelCalibration().probabilities([-1000.0, -1001.0])
    assert far == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_a_lapse_rate_gives_its_share_to_all_labels_alike():
    # 0.8 x 3/4 + 0.1 and 0.8 x 1/4 + 0.1; of four labels each gets 0.05.
    assert LabelCalibration(2.0, 0.2).probabilities([math.log(9), 0.0]) == pytest.approx([0.7, 0.3])
    four = LabelCalibration(1.0, 0.2).probabilities([0.0, -2000.0, -2000.0, -2000.0])
    assert four == pytest.approx([0.85, 0.05, 0.05, 0.05])


def test_the_surprise_of_an_impossible_label_is_what_its_score_says():
    assert negative_log_likelihood([[0.0, -2000.0]], [1], LabelCalibration()) == pytest.approx(2000.0)
    assert negative_log_likelihood([[0.0, -2000.0]], [1], LabelCalibration(10.0)) == pytest.approx(200.0)
    assert negative_log_likelihood([[0.0, -2000.0]], [1], LabelCalibration(1.0, 0.2)) == pytest.approx(-math.log(0.1))


def test_sure_clips_tell_the_lapse_rate_and_unsure_ones_the_temperature():
    # Ten clips beyond doubt, of which nine are right: (1 - r) + r/2 = 0.9, r = 0.2. Ten clips at log 9, of which seven
    # are right: 0.8 x + 0.1 = 0.7, x = 3/4, 9^(1/T) = 3, T = 2.
    scores = [[5000.0, 0.0]] * 10 + [[math.log(9), 0.0]] * 10
    golds = [0] * 9 + [1] + [0] * 7 + [1] * 3
    found = fit_calibration(scores, golds)
    assert (found.temperature, found.lapse_rate) == pytest.approx((2.0, 0.2), rel=1e-2)


def test_without_a_lapse_to_be_seen_the_temperature_is_alone():
    # Clips at log 81 are right in 9 of 10 and at log 9 in 3 of 4: 81^(1/T) = 9 and 9^(1/T) = 3, so T = 2 fits both.
    scores = [[math.log(81), 0.0]] * 20 + [[math.log(9), 0.0]] * 20
    golds = [0] * 18 + [1] * 2 + [0] * 15 + [1] * 5
    found = fit_calibration(scores, golds)
    assert (found.temperature, found.lapse_rate) == pytest.approx((2.0, 0.0), abs=1e-2)


@pytest.mark.parametrize(("label_errors", "confidence"), [(0.0, 0.68), (0.2, 0.8)])
def test_known_errors_of_the_gold_labels_do_not_lower_the_probabilities(label_errors: float, confidence: float):
    # Two labels, a fifth of the gold labels wrong, and the model agrees with 0.68 of them. Agreement of an answer that
    # is right with probability p: 0.8 p + 0.2 (1 - p) = 0.68, so p = 0.8.
    scores, golds = [[math.log(99), 0.0]] * 25, [0] * 17 + [1] * 8
    found = fit_calibration(scores, golds, label_errors=label_errors)
    assert found.probabilities(scores[0])[0] == pytest.approx(confidence, rel=1e-3)


def test_label_sets_may_differ_between_clips():
    scores = [[math.log(99), 0.0], [math.log(99), 0.0, -4000.0]]
    plain = negative_log_likelihood(scores, [0, 1], LabelCalibration(2.0, 0.3))
    # 0.7 of the softmax of log 99 / 2, and 0.3 shared by two labels or by three.
    likely = 99**0.5 / (99**0.5 + 1)
    assert plain == pytest.approx(-(math.log(0.7 * likely + 0.15) + math.log(0.7 * (1 - likely) + 0.1)) / 2)


def test_clips_that_are_all_right_or_all_wrong_stop_at_the_borders():
    always = fit_calibration([[1.0, 0.0]], [0])
    assert (always.temperature, always.lapse_rate) == pytest.approx((0.01, 0.0), abs=1e-6)  # ever surer
    assert fit_calibration([[1.0, 0.0]], [1]).probabilities([1.0, 0.0]) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    # Two bins: (0, 0.5] holds 0.5 and 0.3 with one right: |1 - 0.8| = 0.2; (0.5, 1] holds 0.9 and 0.7 with both right:
    # |2 - 1.6| = 0.4. Together 0.6 over four answers.
    assert expected_calibration_error([0.5, 0.3, 0.9, 0.7], [True, False, True, True], 2) == pytest.approx(0.15)
    # One bin: |3 - 2.4| / 4.
    assert expected_calibration_error([0.5, 0.3, 0.9, 0.7], [True, False, True, True], 1) == pytest.approx(0.15)
    assert expected_calibration_error([0.5, 0.3, 0.9, 0.7], [True, True, True, False], 2) == pytest.approx(
        (1.2 + 0.6) / 4
    )
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [False, True]) == 0.5
    assert expected_calibration_error([], []) is None


def test_what_cannot_be_fitted_is_a_sentence():
    with pytest.raises(ConfigError, match="Found 1 clips and 2 gold labels"):
        fit_calibration([[0.0, 1.0]], [0, 1])
    with pytest.raises(ConfigError, match="Found 0 clips"):
        fit_calibration([], [])
    with pytest.raises(ConfigError, match="label_errors is 1.0"):
        fit_calibration([[0.0, 1.0]], [0], label_errors=1.0)
    with pytest.raises(ConfigError, match="Found 1 confidences and 2 answers"):
        expected_calibration_error([0.5], [True, False])
