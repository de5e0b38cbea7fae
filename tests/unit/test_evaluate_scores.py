from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.evaluate.scores import closed_set_scores, compare, fold_summary, scores_by_group
from r1omni.scoring.prediction import Prediction, predict_from

CLIPS = [Clip(f"c{index}", Path("/x.mp4"), label=label) for index, label in enumerate(["happy"] * 4 + ["sad"] * 4)]


def said(words: str) -> list[Prediction]:
    return [predict_from(clip, word, "exact") for clip, word in zip(CLIPS, words.split(), strict=True)]


A = said("happy happy sad sad sad sad sad sad")
B = said("happy happy happy happy sad sad happy happy")


def test_comparison_by_hand():
    result = compare(A, list(reversed(B)))
    # A: 6/8, recalls 2/4 and 4/4. B: 6/8, recalls 4/4 and 2/4. Each is alone right on two clips.
    assert result["num_clips"] == 8
    assert result["war"]["difference"] == 0.0 and result["uar"]["difference"] == 0.0
    assert result["mcnemar"] == {"only_a": 2, "only_b": 2, "p_value": 1.0}


def test_comparison_of_runs_over_other_clips_is_refused():
    with pytest.raises(ConfigError, match="no scored clip in common"):
        compare(A, [])
    other = [Prediction("c0", "fear", "fear", None, "fear", "fear")]
    with pytest.raises(ConfigError, match="disagree on the gold label of 1"):
        compare(A, other)


def test_five_folds_are_summed_up_with_their_spread():
    folds = [closed_set_scores(A, ("happy", "sad"), "exact"), closed_set_scores(A[:4], ("happy", "sad"), "exact")]
    summary = fold_summary(folds)
    # WAR 75 and 50: mean 62.5, deviation sqrt(2 x 12.5^2 / 1)
    assert summary["num_folds"] == 2 and summary["normaliser"] == "exact"
    assert summary["war"] == {"mean": 62.5, "standard_deviation": pytest.approx(2**0.5 * 12.5), "num_values": 2}


def test_folds_with_different_normalisers_are_not_averaged():
    with pytest.raises(ConfigError, match="different normalisers"):
        fold_summary([{"normaliser": "exact"}, {"normaliser": "synonym"}])


def test_unknown_group_field_names_the_known_ones():
    with pytest.raises(ConfigError, match="'actor'"):
        scores_by_group(CLIPS, A, "actor")
    assert scores_by_group(CLIPS, A, "label")["happy"]["war"] == 50.0
