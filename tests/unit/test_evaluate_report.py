"""From run folders to the page: which clips are picked, and which runs are listed and compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.instruction import format_answer
from r1omni.core.labels import DFEW_LABELS, MAFW_LABELS
from r1omni.datasets.manifest import write_manifest
from r1omni.evaluate.picks import Pick, keep_picks, pick_clips, read_picks
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import Grading, evaluate
from r1omni.evaluate.side_by_side import side_by_side
from r1omni.media.encode import write_video
from r1omni.scoring.normalise import NormaliserName
from r1omni.scoring.prediction import predict_from

CLIPS = [Clip(f"c{index}", Path(f"clips/c{index}.mp4"), label="happy" if index % 2 else "sad") for index in range(6)]
SAID = {"c0": "sad", "c1": "happy", "c2": "happy", "c3": "sad", "c4": "bliss", "c5": "happy"}
CHANCE = {"c0": 0.6, "c1": 0.9, "c2": 0.7, "c3": 0.8, "c4": 0.5, "c5": 0.4}


def likelihood(clips: Sequence[Clip], texts: Sequence[str]) -> list[dict[str, float] | MediaError]:
    assert len(clips) == len(texts)
    return [{SAID[clip.id]: CHANCE[clip.id]} if SAID[clip.id] != "bliss" else {"sad": 1.0} for clip in clips]


def test_the_surest_right_and_the_surest_wrong_answers_are_picked():
    predictions = [predict_from(clip, format_answer("why", SAID[clip.id]), "exact") for clip in CLIPS]
    # Right: c0 .6, c1 .9, c5 .4. Wrong: c2 .7, c3 .8, and c4 outside the label set.
    assert pick_clips(CLIPS, predictions, likelihood, 2) == [
        Pick("c1", "best", 0.9), Pick("c0", "best", 0.6), Pick("c3", "worst", 0.8), Pick("c2", "worst", 0.7),
    ]  # fmt: skip
    assert pick_clips(CLIPS, predictions, likelihood, 3)[-1] == Pick("c4", "worst", None)


def run_of(folder: Path, model: str, said: dict[str, str], *, fold: int | None = None) -> Path:
    placed = [replace(clip, path=folder.parent / clip.path) for clip in CLIPS]
    write_manifest(folder.parent / "manifest.jsonl", placed)
    facts = {"manifest": str(folder.parent / "manifest.jsonl"), "corpus": "dfew", "fold": fold, "split": None}
    evaluate(
        lambda batch: [format_answer(f"reasons of {clip.id}", said[clip.id]) for clip in batch],
        CLIPS,
        Grading(DFEW_LABELS),
        out_dir=folder,
        identity={"weights": model},
        facts={**facts, "model": model},
    )
    return folder


def test_picks_are_kept_until_the_predictions_change(tmp_path: Path):
    folder = run_of(tmp_path / "run", "m", SAID)
    predictions = read_predictions(folder / "predictions.jsonl")
    keep_picks(folder, CLIPS, predictions, likelihood, 1, DFEW_LABELS)
    assert [pick.id for pick in read_picks(folder)] == ["c1", "c3"]
    keep_picks(folder, CLIPS, predictions, lambda clips, texts: pytest.fail("asked again"), 1, DFEW_LABELS)
    (folder / "predictions.jsonl").write_text("")
    assert read_picks(folder) == []


def test_picks_over_another_label_set_are_made_again_and_not_shown_before(tmp_path: Path):
    folder = run_of(tmp_path / "run", "m", SAID)
    predictions = read_predictions(folder / "predictions.jsonl")
    keep_picks(folder, CLIPS, predictions, likelihood, 1, DFEW_LABELS)
    evaluate(lambda batch: [], CLIPS, Grading(MAFW_LABELS), out_dir=folder, identity={"weights": "m"})
    assert read_picks(folder) == []
    keep_picks(folder, CLIPS, predictions, lambda clips, texts: [{"sad": 0.25}] * len(clips), 1, MAFW_LABELS)
    assert read_picks(folder)[0] == Pick("c0", "best", 0.25)


def test_runs_are_shown_side_by_side_with_their_clips_and_comparisons(tmp_path: Path):
    (tmp_path / "clips").mkdir()
    for clip in CLIPS[:4]:
        write_video(tmp_path / clip.path, np.full((4, 32, 48, 3), 90, np.uint8), 4, np.full(16000, 0.1, np.float32))
    perfect = {clip.id: clip.label or "" for clip in CLIPS}
    first, second = run_of(tmp_path / "a", "runs/base/model", SAID), run_of(tmp_path / "b", "runs/r1/model", perfect)
    keep_picks(first, CLIPS, read_predictions(first / "predictions.jsonl"), likelihood, 3, DFEW_LABELS)
    page, figures = side_by_side([first, second])
    # 3 of 6 against 6 of 6: only the second is right on 3 clips, p = 2 * (1/2)^3.
    assert [run["model"] for run in figures["runs"]] == ["base", "r1"]
    (row,) = figures["comparisons"]
    assert row["war"]["difference"] == 50.0 and row["mcnemar"] == {"only_a": 0, "only_b": 3, "p_value": 0.25}
    assert "reasons of c3" in page and "Probability of the answer among the labels: 80 %" in page
    assert page.count("data:image/jpeg") == 4 * 6, "six frames of each of the four clips that are there"
    assert "clips/c4.mp4" in page, "a clip that is gone is named"


def test_the_mean_over_folds_is_shown_with_the_folds(tmp_path: Path):
    perfect = {clip.id: clip.label or "" for clip in CLIPS}
    folders = [run_of(tmp_path / "1", "m", SAID, fold=1), run_of(tmp_path / "2", "m", perfect, fold=2)]
    page, figures = side_by_side(folders)
    (mean,) = figures["folds"]
    # (50 + 100) / 2, and the deviation sqrt(2 * 25^2 / 1)
    assert mean["war"]["mean"] == 75.0 and mean["war"]["standard_deviation"] == pytest.approx(35.3553, abs=1e-3)
    assert mean["folds"] == [1, 2] and "75.00<small>± 35.36</small>" in page and "dfew fold 1" in page


def test_a_run_without_its_manifest_keeps_its_figures(tmp_path: Path):
    folder = run_of(tmp_path / "run", "m", SAID)
    keep_picks(folder, CLIPS, read_predictions(folder / "predictions.jsonl"), likelihood, 1, DFEW_LABELS)
    (tmp_path / "manifest.jsonl").unlink()
    page, figures = side_by_side([folder])
    assert figures["runs"][0]["scores"]["war"] == 50.0 and "reasons of" not in page


def test_learning_curves_of_trainings_are_in_the_page(tmp_path: Path):
    (tmp_path / "grpo").mkdir()
    rows = [{"step": step, "reward": {"accuracy": step / 10}} for step in range(5)] + [{"step": 5, "validation": {}}]
    (tmp_path / "grpo" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = run_of(tmp_path / "run", "m", SAID)
    assert "Accuracy reward" in side_by_side([folder], [tmp_path / "grpo"])[0]
    with pytest.raises(ConfigError, match="metrics.jsonl"):
        side_by_side([folder], [tmp_path])


def test_a_folder_without_a_finished_run_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"found no run\.json"):
        side_by_side([tmp_path])


def test_compound_classes_are_scored_with_the_manifests_own_labels(tmp_path: Path):
    labels = ("angry", "angry_disgust", "fear_surprise_anxious")
    clips = [Clip(f"c{i}", Path("x.mp4"), label=label) for i, label in enumerate([*labels, "angry_disgust"])]
    said = ["Anger", "disgust and anger.", "anxiety, fear, surprised", "disgust"]
    exact, scores = (
        evaluate(
            lambda batch: [said[int(clip.id[1])] for clip in batch],
            clips,
            Grading(labels, normaliser),
            out_dir=tmp_path / normaliser,
        )
        for normaliser in get_args(NormaliserName)
    )
    # By `exact` every answer is outside the classes; by `synonym` a part alone (disgust) is.
    assert exact is not None and (exact["war"], exact["oov_rate"]) == (0.0, 100.0)
    assert scores is not None and (scores["war"], scores["oov_rate"]) == (75.0, 25.0)
    assert scores["recall"] == {"angry": 100.0, "angry_disgust": 50.0, "fear_surprise_anxious": 100.0}
    line = json.loads((tmp_path / "synonym" / "predictions.jsonl").read_text().splitlines()[1])
    assert (line["answer"], line["normalised"]) == ("disgust and anger.", "angry_disgust")


def test_single_gold_words_are_also_scored_by_hit(tmp_path: Path):
    clips = [
        Clip("a", Path("x"), label="happy"),
        Clip("b", Path("x"), label="sad"),
        Clip("c", Path("x"), labels=("sad", "fear")),
    ]
    said = {"a": "joyful, proud", "b": "angry", "c": "sad"}
    scores = evaluate(lambda batch: [said[clip.id] for clip in batch], clips, Grading(None), out_dir=tmp_path)
    assert scores is not None
    assert (scores["hit_rate"], scores["hit_rate_clips"], scores["mean_num_predicted"]) == (50.0, 2, 1.5)
