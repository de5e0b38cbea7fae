import json
import subprocess
import sys
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, ManifestError, MediaError
from r1omni.core.instruction import format_answer
from r1omni.core.labels import DFEW_LABELS
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import evaluate

CLIPS = [
    Clip(f"clip-{index:02}", Path(f"/made/{index}.mp4"), label=DFEW_LABELS[index % 3], meta={"sex": "fm"[index % 2]})
    for index in range(11)
]


def answer_of(clip: Clip) -> str | MediaError:
    """Clip 4 cannot be read; clips of every fourth id are answered wrongly or outside the label set."""
    number = int(clip.id[-2:])
    if number == 4:
        return MediaError("truncated", "clip 4 ends early")
    said = {3: "Surprise", 7: "bliss", 8: "nonsense"}.get(number, clip.label or "")
    return format_answer(f"reasons of {clip.id} \u2028 with\nlines", said)


class Model:
    """Answers, remembers whom it was asked about, and dies when told to."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.dies_after = dies_after

    def __call__(self, clips: list[Clip]) -> list[str | MediaError]:
        if self.dies_after is not None and len(self.asked) + len(clips) > self.dies_after:
            raise KeyboardInterrupt
        self.asked += [clip.id for clip in clips]
        return [answer_of(clip) for clip in clips]


def run(out: Path, generate: Model, **options):
    return evaluate(generate, CLIPS, DFEW_LABELS, out_dir=out, **({"batch_size": 2, "manifest_hash": "abc"} | options))


def test_scores_by_hand(tmp_path: Path):
    scores = run(tmp_path, Model(), group_by=["sex"])
    assert scores is not None
    # Labels cycle happy, sad, neutral. Clip 4 (sad) is an error; 3 (happy), 7 (sad), 8 (neutral) are wrong: 7 of 10.
    assert (scores["num_clips"], scores["num_scored"], scores["num_errors"]) == (11, 10, 1)
    assert scores["errors"] == {"truncated": 1}
    assert scores["war"] == 70.0
    # happy 0 3 6 9: 3/4; sad 1 7 10: 2/3; neutral 2 5 8: 2/3
    assert scores["uar"] == pytest.approx(100 * (3 / 4 + 2 / 3 + 2 / 3) / 3, abs=1e-4)
    assert scores["oov_rate"] == 20.0 and scores["format_rate"] == 100.0
    assert scores["recall"]["happy"] == 75.0 and scores["recall"]["fear"] is None
    assert scores["confusion"]["counts"][0] == [3, 0, 0, 0, 1, 0, 0, 0]
    assert scores["answers_out_of_vocabulary"] == {"bliss": 1, "nonsense": 1}
    assert scores["war_interval"][0] < 70 < scores["war_interval"][1]
    # Odd numbers are "m": 1 3 5 7 9, of which 3 and 7 are wrong.
    assert scores["groups"]["sex"]["m"]["war"] == 60.0 and scores["groups"]["sex"]["m"]["num_errors"] == 0
    assert json.loads((tmp_path / "scores.json").read_text()) == scores


def test_prediction_lines_have_the_agreed_fields(tmp_path: Path):
    run(tmp_path, Model())
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_bytes().split(b"\n") if line]
    assert [line["id"] for line in lines] == [clip.id for clip in CLIPS]
    assert list(lines[3]) == ["id", "text", "reasoning", "answer", "normalised", "gold"]
    assert lines[3]["answer"] == "surprise" and lines[3]["gold"] == "happy"
    assert lines[4] == {"id": "clip-04", "gold": "sad", "error": {"kind": "truncated", "sentence": "clip 4 ends early"}}


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 3}, {"batch_size": 100}])
def test_predictions_are_the_same_bytes_whatever_the_batch_size(tmp_path: Path, options):
    run(tmp_path / "one", Model())
    run(tmp_path / "two", Model(), **options)
    for name in ("predictions.jsonl", "scores.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("count", [2, 3, 20])
def test_predictions_are_the_same_bytes_whatever_the_number_of_shards(tmp_path: Path, count: int):
    run(tmp_path / "one", Model())
    results = [run(tmp_path / "two", Model(), shard=(index, count)) for index in reversed(range(count))]
    assert results[:-1] == [None] * (count - 1) and results[-1] is not None
    for name in ("predictions.jsonl", "scores.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_killed_run_resumes_without_repeating_or_losing_a_clip(tmp_path: Path, cut: int):
    run(tmp_path / "whole", Model())
    first, second = Model(dies_after=5), Model()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", first)
    path = tmp_path / "killed" / "predictions.jsonl"
    assert not (tmp_path / "killed" / "scores.json").exists()
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])  # the kill came in the middle of a line
    run(tmp_path / "killed", second)
    kept = first.asked if not cut else first.asked[:-1]
    assert kept + second.asked == [clip.id for clip in CLIPS]
    assert path.read_bytes() == (tmp_path / "whole" / "predictions.jsonl").read_bytes()


def test_run_killed_from_outside_keeps_every_flushed_batch(tmp_path: Path):
    script = f"""
import os, signal
from pathlib import Path
from r1omni.core.clip import Clip
from r1omni.evaluate.run import evaluate
clips = [Clip(f"c{{i}}", Path("/x.mp4"), label="happy") for i in range(6)]
def generate(batch):
    if batch[0].id == "c4":
        os.kill(os.getpid(), signal.SIGKILL)
    return ["happy"] * len(batch)
evaluate(generate, clips, ["happy"], out_dir={str(tmp_path)!r}, batch_size=2)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert [prediction.id for prediction in read_predictions(tmp_path / "predictions.jsonl")] == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]


def test_finished_run_asks_nothing_again_and_another_normaliser_needs_no_generation(tmp_path: Path):
    run(tmp_path, Model())
    again = Model()
    scores = run(tmp_path, again, normaliser="synonym")
    assert again.asked == [] and scores is not None
    assert scores["normaliser"] == "synonym"
    assert read_predictions(tmp_path / "predictions.jsonl")[7].normalised == "happy"  # bliss


def test_other_number_of_shards_takes_over_a_partial_run(tmp_path: Path):
    run(tmp_path / "whole", Model())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", Model(dies_after=4))
    takers = [Model(), Model()]
    for index, model in enumerate(takers):
        run(tmp_path / "two", model, shard=(index, 2))
    assert sorted(takers[0].asked + takers[1].asked) == [clip.id for clip in CLIPS[4:]]
    whole, two = (tmp_path / name / "predictions.jsonl" for name in ("whole", "two"))
    assert whole.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("changed", [{"manifest_hash": "other"}, {"instruction": "else"}, {"model": "other"}])
def test_folder_of_another_run_is_refused_unless_started_over(tmp_path: Path, changed):
    run(tmp_path, Model())
    with pytest.raises(ConfigError, match="holds another run"):
        run(tmp_path, Model(), **changed)
    model = Model()
    run(tmp_path, model, resume=False, **changed)
    assert len(model.asked) == len(CLIPS)


def test_damaged_line_in_the_middle_is_an_error_with_its_number(tmp_path: Path):
    run(tmp_path, Model())
    path = tmp_path / "predictions.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"{]", *lines[2:]]))
    with pytest.raises(ManifestError, match="line 2"):
        run(tmp_path, Model())


def test_wrong_use_is_refused_before_anything_is_generated(tmp_path: Path):
    model = Model()
    with pytest.raises(ConfigError, match="calm"):
        evaluate(model, [Clip("a", Path("/a"), label="calm")], DFEW_LABELS, out_dir=tmp_path)
    with pytest.raises(ManifestError, match="stands twice"):
        evaluate(model, [CLIPS[0], CLIPS[0]], DFEW_LABELS, out_dir=tmp_path)
    with pytest.raises(ConfigError, match="Shard 2 of 2"):
        run(tmp_path, model, shard=(2, 2))
    with pytest.raises(ConfigError, match="Unknown normaliser 'fuzzy'"):
        run(tmp_path, model, normaliser="fuzzy")
    with pytest.raises(ConfigError, match="No clip has the field 'accent'"):
        run(tmp_path, model, group_by=["accent"])
    assert model.asked == [] and list(tmp_path.iterdir()) == []


def test_too_few_answers_from_the_model_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="gave 1 answers for 2 clips"):
        evaluate(lambda clips: ["happy"], CLIPS[:2], DFEW_LABELS, out_dir=tmp_path)


def test_scores_over_no_readable_clip_are_null(tmp_path: Path):
    scores = evaluate(
        lambda clips: [MediaError("missing", "not there") for _ in clips], CLIPS[:2], DFEW_LABELS, out_dir=tmp_path
    )
    assert scores is not None
    assert scores["war"] is None and scores["uar"] is None and scores["war_interval"] is None
    assert scores["oov_rate"] is None and scores["format_rate"] is None and scores["num_errors"] == 2


def test_open_vocabulary_clips_are_scored_as_sets(tmp_path: Path):
    clips = [Clip("a", Path("/a"), labels=("happy", "surprised")), Clip("b", Path("/b"), labels=())]
    scores = evaluate(lambda batch: ["joyful"] * len(batch), clips, None, out_dir=tmp_path)
    assert scores is not None
    assert (scores["sector"]["precision"], scores["sector"]["recall"]) == (100.0, 50.0)
    assert (scores["num_scored"], scores["num_without_gold"]) == (1, 1)


def test_progress_counts_resumed_clips(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Model(dies_after=4))
    seen = []
    run(tmp_path, Model(), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(6, 11), (8, 11), (10, 11), (11, 11)]


def test_timing_is_recorded_with_the_predictions(tmp_path: Path):
    run(tmp_path, Model())
    rows = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert sum(row["num_clips"] for row in rows) == len(CLIPS) and all(row["seconds"] >= 0 for row in rows)
