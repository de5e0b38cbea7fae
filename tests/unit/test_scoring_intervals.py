import numpy as np
import pytest
from scipy import stats

from r1omni.scoring.intervals import (
    Interval,
    Spread,
    bootstrap,
    mcnemar,
    paired_bootstrap,
    ratio_difference_interval,
    ratio_interval,
    spread,
)
from r1omni.scoring.metrics import uar, war

GOLDS = ["happy"] * 60 + ["sad"] * 30 + ["fear"] * 10
RIGHT_A = [True] * 40 + [False] * 20 + [True] * 12 + [False] * 18 + [True] * 2 + [False] * 8
RIGHT_B = [True] * 50 + [False] * 10 + [False] * 12 + [True] * 18 + [True] * 6 + [False] * 4


def _answers(right):
    return [gold if hit else "neutral" for gold, hit in zip(GOLDS, right, strict=True)]


A, B = _answers(RIGHT_A), _answers(RIGHT_B)


def test_bootstrap_interval_of_war_is_that_of_a_binomial():
    interval = bootstrap(GOLDS, A, num_resamples=20000)
    assert interval is not None
    # WAR = 54/100; its resamples are Binomial(100, 0.54) / 100.
    low, high = stats.binom(100, 0.54).ppf([0.025, 0.975]) / 100
    assert (interval["war"].low, interval["war"].high) == pytest.approx((low, high), abs=0.011)


def test_bootstrap_by_cells_agrees_with_resampling_the_clips():
    rng = np.random.default_rng(3)
    values = []
    for _ in range(1500):
        picks = rng.integers(0, len(GOLDS), len(GOLDS))
        values.append(uar([GOLDS[i] for i in picks], [A[i] for i in picks]))
    interval = bootstrap(GOLDS, A, num_resamples=8000)
    assert interval is not None
    low, high = np.quantile(values, [0.025, 0.975])
    assert (interval["uar"].low, interval["uar"].high) == pytest.approx((low, high), abs=0.012)


def test_bootstrap_is_the_same_for_the_same_seed_and_none_over_nothing():
    assert bootstrap(GOLDS, A, seed=1) == bootstrap(GOLDS, A, seed=1)
    assert bootstrap([], []) is None


def test_perfect_answers_have_a_point_interval():
    interval = bootstrap(GOLDS, GOLDS)
    assert interval is not None and interval["war"].low == interval["uar"].high == 1.0


def test_mcnemar_counts_the_clips_where_one_model_is_right():
    # Happy: only B right on 10. Sad: A right on the first 12, B on the other 18. Fear: only B right on 4.
    result = mcnemar(GOLDS, A, B)
    assert result is not None
    assert (result.only_a, result.only_b) == (12, 32)
    assert result.p_value == pytest.approx(stats.binomtest(12, 44).pvalue)


def test_mcnemar_by_hand():
    # One clip for A, three for B: 2 x (C(4,0) + C(4,1)) / 2^4 = 10/16
    result = mcnemar(["sad"] * 4, ["sad", "x", "x", "x"], ["x", "sad", "sad", "sad"])
    assert result is not None and result.p_value == 10 / 16


def test_mcnemar_of_equal_models_is_one_and_of_nothing_none():
    result = mcnemar(GOLDS, A, A)
    assert result is not None and result.p_value == 1.0
    assert mcnemar([], [], []) is None


def test_paired_bootstrap_gives_the_true_difference_and_a_narrower_interval_than_unpaired():
    result = paired_bootstrap(GOLDS, A, B, num_resamples=4000)
    assert result is not None
    assert result["war"].value == pytest.approx(20 / 100)  # 32 - 12
    expected = (uar(GOLDS, B) or 0) - (uar(GOLDS, A) or 0)
    assert result["uar"].value == pytest.approx(expected)
    # Var of the paired difference per clip: 0.44 - 0.2^2 = 0.40; 1.96 x sqrt(0.40 / 100) = 0.124
    assert result["war"].interval.low == pytest.approx(0.2 - 0.124, abs=0.015)
    assert result["war"].interval.high == pytest.approx(0.2 + 0.124, abs=0.015)
    assert result["war"].p_value < 0.01


def test_paired_bootstrap_of_a_model_with_itself_is_nought():
    result = paired_bootstrap(GOLDS, A, A)
    assert result is not None
    assert result["war"].value == result["uar"].value == 0.0 and result["war"].p_value == 1.0


def test_five_fold_mean_and_spread_by_hand():
    # Mean 50; squared deviations 16 + 4 + 0 + 4 + 16 = 40; / 4 = 10; sqrt
    assert spread([46, 48, 50, 52, 54]) == Spread(50.0, 10**0.5, 5)


def test_spread_leaves_out_folds_without_a_figure():
    assert spread([None, 40.0]) == Spread(40.0, None, 1)
    assert spread([None]) == Spread(None, None, 0)


def test_order_of_clips_does_not_change_an_interval():
    order = np.random.default_rng(0).permutation(len(GOLDS))
    assert bootstrap([GOLDS[i] for i in order], [A[i] for i in order]) == bootstrap(GOLDS, A)
    assert war(GOLDS, A) == 0.54


def test_a_ratio_resamples_clips_with_all_their_claims():
    # 2 of 4 claims of one clip, none of the other clips' one claim each
    interval = ratio_interval([2, 0, 0], [4, 1, 1])
    assert interval is not None and 0 <= interval.low < 2 / 6 < interval.high <= 0.5
    assert ratio_interval([1, 1], [1, 1]) == Interval(1.0, 1.0)
    assert ratio_interval([0, 0], [0, 0]) is None and ratio_interval([], []) is None


def test_a_difference_of_ratios_is_paired_by_clip():
    same = [(1.0, 2.0), (0.0, 3.0), (2.0, 2.0)]
    assert ratio_difference_interval(same, same) == Interval(0.0, 0.0)
    always = ratio_difference_interval([(0.0, 1.0)] * 5, [(1.0, 1.0)] * 5)
    assert always == Interval(1.0, 1.0)
    assert ratio_difference_interval([(0.0, 0.0)], [(1.0, 1.0)]) is None
