"""Probabilities beside a run's answers, and the calibration error in its scores."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from r1omni.config.evaluation_run import EvaluationConfig
from r1omni.core.clip import Clip
from r1omni.evaluate.answer_probabilities import calibration_scores, hash_of_text, read_probabilities
from r1omni.evaluate.label_chances import write_probabilities
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import Grading, evaluate, score_again
from r1omni.infer.engine import Engine
from r1omni.infer.greedy_answers import greedy_outcomes
from r1omni.scoring.prediction import Prediction
from small_model import LABELS, MadeUpFeatures, small_clips, small_model


def test_the_calibration_error_is_of_the_likeliest_label_and_in_percent():
    # Confidences .9, .7, .7 and .5, right, right, wrong and wrong: gaps .1 in the bin of .9, |1 - 1.4| = .4 in that of
    # .7, .5 in that of .5; together 1 over 4 clips.
    said = [
        Prediction("a", "sad", "sad", normalised="sad"),
        Prediction("b", "sad", "happy", normalised="happy"),
        Prediction("c", "happy", "gloomy", normalised="gloomy"),
        Prediction("d", "angry", "sad", normalised="sad"),
        Prediction("e", None, "sad", normalised="sad"),
        Prediction("f", "sad", None, error_kind="truncated"),
    ]
    chances = {
        "a": {"sad": 0.9, "happy": 0.1},
        "b": {"sad": 0.7, "happy": 0.3},
        "c": {"sad": 0.7, "happy": 0.3},
        "d": {"sad": 0.5, "happy": 0.4, "angry": 0.1},
        "e": {"sad": 1.0},
    }
    assert calibration_scores(said, chances) == {
        "ece": 25.0,
        "num_bins": 15,
        "mean_confidence": 70.0,
        "accuracy": 50.0,
        "num_clips": 4,
    }
    assert calibration_scores(said, {}) is None


def answered(out: Path, clips: list[Clip]) -> tuple[Engine, Grading]:
    engine, grading = MadeUpFeatures(*small_model()), Grading(LABELS)
    evaluate(lambda pending: greedy_outcomes(engine, pending, "Which?", 6), clips, grading, out_dir=out)
    return engine, grading


def test_probabilities_are_kept_beside_the_answers_and_scored(tmp_path: Path):
    clips = [*small_clips(4), Clip("x-cut", Path("cut.mp4"), label="sad")]
    engine, grading = answered(tmp_path, clips)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    assert "calibration" not in json.loads((tmp_path / "scores.json").read_text())
    said = read_predictions(tmp_path / "predictions.jsonl")
    write_probabilities(lambda: engine, clips, said, "Which?", LABELS, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "probabilities.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [clip.id for clip in clips[:4]]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in rows)
    scores = score_again(tmp_path, clips, grading)
    assert scores is not None and scores["calibration"] == calibration_scores(
        said, {row["id"]: row["probabilities"] for row in rows}
    )
    assert (tmp_path / "predictions.jsonl").read_bytes() == before


def test_rows_are_asked_once_and_only_of_the_same_text_and_labels(tmp_path: Path):
    clips = small_clips(3)
    engine, _ = answered(tmp_path, clips)
    said = read_predictions(tmp_path / "predictions.jsonl")
    path = tmp_path / "probabilities.jsonl"
    known = {
        "id": clips[0].id,
        "text_hash": hash_of_text(said[0].text or ""),
        "probabilities": {"happy": 0.5, "sad": 0.5},
    }
    kept = known | {"probabilities": {"happy": 0.5, "sad": 0.25, "angry": 0.25}}
    stale = kept | {"id": clips[1].id, "text_hash": "of another text"}
    path.write_text(f"{json.dumps(known)}\n{json.dumps(stale)}\n{json.dumps(kept)}\n" + '{"id": "half')
    write_probabilities(lambda: engine, clips, said, "Which?", LABELS, tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [clip.id for clip in clips] and rows[0] == kept
    assert rows[1]["probabilities"] != kept["probabilities"]

    def nobody() -> Engine:
        raise AssertionError("asked again")

    write_probabilities(nobody, clips, said, "Which?", LABELS, tmp_path)
    assert set(read_probabilities(tmp_path, said, ["Happy ", "sad", "angry"])) == {clip.id for clip in clips}
    assert read_probabilities(tmp_path, said, ["happy", "sad"]) == {}


def test_windows_have_no_probability_of_their_own(tmp_path: Path):
    with pytest.raises(ValidationError, match="windows' mean"):
        EvaluationConfig(model="m", data=(Path("a.jsonl"),), out=tmp_path, windows=True, probabilities=True)
