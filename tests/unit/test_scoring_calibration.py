"""Temperature and calibration error, worked by hand."""

import math

import pytest

from r1omni.core.errors import ConfigError
from r1omni.scoring.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    tempered,
)


def test_a_temperature_divides_the_scores_and_keeps_their_order():
    # exp(log 9 / 2) = 3, exp(0) = 1: 3/4 and 1/4; at temperature 1 it is 9/10 and 1/10.
    assert tempered([math.log(9), 0.0], 1.0) == pytest.approx([0.9, 0.1])
    assert tempered([math.log(9), 0.0], 2.0) == pytest.approx([0.75, 0.25])
    assert tempered([-1000.0, -1001.0], 1.0) == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


def test_the_surprise_of_an_impossible_label_is_what_its_score_says():
    assert negative_log_likelihood([[0.0, -2000.0]], [1], 1.0) == pytest.approx(2000.0)
    assert negative_log_likelihood([[0.0, -2000.0]], [1], 10.0) == pytest.approx(200.0)


def test_the_fitted_temperature_makes_confidence_the_share_of_right_answers():
    # Every clip scores its first label log 99 higher: p = 1 / (1 + 99^(-1/T)). Three of four are right, and the
    # surprise is least where p = 3/4: 99^(1/T) = 3, T = log 99 / log 3 = 4.1827.
    scores = [[math.log(99), 0.0]] * 4
    assert fit_temperature(scores, [0, 0, 0, 1]) == pytest.approx(math.log(99) / math.log(3), rel=1e-3)
    # An unsure model that is right in nine of ten: p = 1 / (1 + 2^(-1/T)) = 9/10, T = log 2 / log 9.
    scores = [[math.log(2), 0.0]] * 10
    assert fit_temperature(scores, [0] * 9 + [1]) == pytest.approx(math.log(2) / math.log(9), rel=1e-3)


def test_label_sets_may_differ_between_clips():
    # As above: labels far below the others do not change anything.
    scores = [[math.log(99), 0.0], [math.log(99), 0.0, -4000.0]] * 2
    assert fit_temperature(scores, [0, 0, 0, 1]) == pytest.approx(math.log(99) / math.log(3), rel=1e-3)


def test_known_errors_of_the_gold_labels_do_not_lower_the_probabilities():
    # Two labels, a fifth of the gold labels wrong, and the model agrees with 0.68 of them. Agreement of an answer that
    # is right with probability p: 0.8 p + 0.2 (1 - p) = 0.68, so p = 0.8 and T = log 99 / log 4.
    scores, golds = [[math.log(99), 0.0]] * 25, [0] * 17 + [1] * 8
    assert fit_temperature(scores, golds, label_errors=0.2) == pytest.approx(math.log(99) / math.log(4), rel=1e-3)
    assert fit_temperature(scores, golds) == pytest.approx(math.log(99) / math.log(17 / 8), rel=1e-3)


def test_a_temperature_without_a_best_value_stops_at_the_border():
    assert fit_temperature([[1.0, 0.0]], [0]) == pytest.approx(0.01, rel=1e-3)  # always right: ever surer
    assert fit_temperature([[1.0, 0.0]], [1]) == pytest.approx(100.0, rel=1e-3)  # always wrong: ever less sure


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
        fit_temperature([[0.0, 1.0]], [0, 1])
    with pytest.raises(ConfigError, match="Found 0 clips"):
        fit_temperature([], [])
    with pytest.raises(ConfigError, match="label_errors is 1.0"):
        fit_temperature([[0.0, 1.0]], [0], label_errors=1.0)
    with pytest.raises(ConfigError, match="Found 1 confidences and 2 answers"):
        expected_calibration_error([0.5], [True, False])
