import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, ManifestError, MediaError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION, format_answer
from r1omni.core.labels import DFEW_LABELS, MAFW_LABELS
from r1omni.evaluate.predictions import read_predictions
from r1omni.evaluate.run import Grading, evaluate
from r1omni.runs.run_folder import read_record
from r1omni.scoring.normalise import normaliser_rule

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


IDENTITY = {
    "weights": "aa",
    "video_pooling": "none",
    "modality": "auto",
    "num_frames": None,
    "instruction": LABEL_INSTRUCTION,
    "max_new_tokens": 512,
    "manifest": "abc",
}


class Model:
    """Answers in batches, remembers which clips it was asked about, and dies when it is set to."""

    def __init__(self, dies_after: int | None = None, batch_size: int = 2) -> None:
        self.asked: list[str] = []
        self.dies_after, self.batch_size = dies_after, batch_size

    def __call__(self, clips: Sequence[Clip]) -> Iterator[str | MediaError]:
        for start in range(0, len(clips), self.batch_size):
            batch = clips[start : start + self.batch_size]
            if self.dies_after is not None and len(self.asked) + len(batch) > self.dies_after:
                raise KeyboardInterrupt
            self.asked += [clip.id for clip in batch]
            yield from [answer_of(clip) for clip in batch]


PLAIN = Grading(DFEW_LABELS)


def run(out: Path, answer: Model, grading: Grading = PLAIN, *, identity=None, **options):
    return evaluate(answer, CLIPS, grading, out_dir=out, identity=IDENTITY | (identity or {}), **options)


def dies_halfway(out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(out, Model(dies_after=5))


def test_scores_by_hand(tmp_path: Path):
    scores = run(tmp_path, Model(), Grading(DFEW_LABELS, group_by=("sex",)))
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
    assert list(lines[3]) == [
        "id",
        "text",
        "reasoning",
        "answer",
        "normalised",
        "gold",
        "implied",
        "reasons_agree",
        "read",
    ]
    assert lines[3]["read"] is None  # this model says nothing about it
    assert lines[3]["answer"] == "surprise" and lines[3]["gold"] == "happy"
    assert lines[4] == {"id": "clip-04", "gold": "sad", "error": {"kind": "truncated", "sentence": "clip 4 ends early"}}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_predictions_are_the_same_bytes_whatever_the_batch_size(tmp_path: Path, batch_size: int):
    run(tmp_path / "one", Model())
    run(tmp_path / "two", Model(batch_size=batch_size))
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


def test_run_killed_from_outside_keeps_every_answer_that_came(tmp_path: Path):
    script = f"""
import os, signal
from pathlib import Path
from r1omni.core.clip import Clip
from r1omni.evaluate.run import Grading, evaluate
clips = [Clip(f"c{{i}}", Path("/x.mp4"), label="happy") for i in range(6)]
def answer(clips):
    for clip in clips:
        if clip.id == "c4":
            os.kill(os.getpid(), signal.SIGKILL)
        yield "happy"
evaluate(answer, clips, Grading(("happy",)), out_dir={str(tmp_path)!r})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert [prediction.id for prediction in read_predictions(tmp_path / "predictions.jsonl")] == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]


OTHER_GRADINGS = {
    "normaliser": Grading(DFEW_LABELS, "synonym"),
    "label set": Grading(MAFW_LABELS),
    "groups": Grading(DFEW_LABELS, group_by=("sex",)),
    "open vocabulary": Grading(None),
}


@pytest.mark.parametrize("changed", OTHER_GRADINGS)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "half-done"])
def test_another_grading_of_a_run_is_what_a_fresh_run_gives_and_asks_no_clip_twice(
    tmp_path: Path, changed: str, finished: bool
):
    if finished:
        run(tmp_path / "run", Model())
    else:
        dies_halfway(tmp_path / "run")
    record, again = (tmp_path / "run/run.json").read_bytes(), Model()
    scores = run(tmp_path / "run", again, OTHER_GRADINGS[changed])
    assert scores == run(tmp_path / "fresh", Model(), OTHER_GRADINGS[changed])
    assert again.asked == [clip.id for clip in (CLIPS[len(CLIPS) :] if finished else CLIPS[4:])]
    assert (tmp_path / "run/run.json").read_bytes() == record
    for name in ("predictions.jsonl", "scores.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_synonyms_are_credited_by_grading_alone(tmp_path: Path):
    run(tmp_path, Model())
    scores = run(tmp_path, Model(dies_after=0), OTHER_GRADINGS["normaliser"])
    assert scores is not None and scores["normaliser"] == "synonym"
    assert scores["normaliser_rule"] == normaliser_rule("synonym") != normaliser_rule("exact")
    assert read_predictions(tmp_path / "predictions.jsonl")[7].normalised == "happy"  # bliss


OTHER_IDENTITIES = {
    "weights": "bb",
    "video_pooling": "slow_fast",
    "modality": "video",
    "num_frames": 4,
    "instruction": REASONING_INSTRUCTION,
    "max_new_tokens": 64,
    "manifest": "other",
    "fold": 1,
}


@pytest.mark.parametrize("name", OTHER_IDENTITIES)
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "half-done"])
def test_figures_of_one_evaluation_never_come_back_for_another(tmp_path: Path, name: str, finished: bool):
    if finished:
        run(tmp_path, Model())
    else:
        dies_halfway(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=rf"holds another run: its {name} is .*, this one's is .*--no-resume"):
        run(tmp_path, Model(), identity={name: OTHER_IDENTITIES[name]})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    model = Model()
    assert run(tmp_path, model, identity={name: OTHER_IDENTITIES[name]}, resume=False) is not None
    assert len(model.asked) == len(CLIPS)


@pytest.mark.parametrize(
    "changed", [{"label": "fear"}, {"id": "clip-99"}, {"stop_s": 1.0}, {"labels": ("happy", "sad")}], ids=str
)
def test_other_clips_are_another_run(tmp_path: Path, changed: dict):
    run(tmp_path, Model())
    clips = [replace(CLIPS[0], **changed), *CLIPS[1:]]
    with pytest.raises(ConfigError, match="its clips is"):
        evaluate(Model(), clips, Grading(DFEW_LABELS), out_dir=tmp_path, identity=IDENTITY)
    with pytest.raises(ConfigError, match="its num_clips is 11, this one's is 10"):
        evaluate(Model(), CLIPS[1:], Grading(DFEW_LABELS), out_dir=tmp_path, identity=IDENTITY)


def test_the_record_of_a_run_keeps_what_it_was_made_with(tmp_path: Path):
    run(tmp_path, Model(), facts={"versions": "1"})
    before = (tmp_path / "run.json").stat()
    run(tmp_path, Model(dies_after=0), facts={"versions": "2"})
    after = (tmp_path / "run.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert read_record(tmp_path)["facts"] == {"versions": "1"}


def test_no_clip_is_asked_before_the_answers_of_the_batch_before_are_written(tmp_path: Path):
    def answer(clips: Sequence[Clip]) -> Iterator[str | MediaError]:
        for number, clip in enumerate(clips):
            assert len((tmp_path / "predictions.jsonl").read_bytes().splitlines() if number else []) == number
            yield clip.label or ""

    clips = [replace(CLIPS[0], id=f"clip-{number}") for number in range(40)]
    assert evaluate(answer, clips, Grading(DFEW_LABELS), out_dir=tmp_path) is not None


def test_the_model_is_let_go_when_a_run_is_broken_off(tmp_path: Path):
    closed = []

    def answer(clips: Sequence[Clip]) -> Iterator[str | MediaError]:
        try:
            yield from ["happy"] * len(clips)
        finally:
            closed.append(True)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(answer, CLIPS, Grading(DFEW_LABELS), out_dir=tmp_path, on_progress=stop)
    assert closed == [True]


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
        evaluate(model, [Clip("a", Path("/a"), label="calm")], Grading(DFEW_LABELS), out_dir=tmp_path)
    with pytest.raises(ManifestError, match="Duplicate clip id 'clip-00'"):
        evaluate(model, [CLIPS[0], CLIPS[0]], Grading(DFEW_LABELS), out_dir=tmp_path)
    with pytest.raises(ConfigError, match="Shard index 2 is out of range for 2 shards; expected 0 to 1"):
        run(tmp_path, model, shard=(2, 2))
    with pytest.raises(ConfigError, match="No clip has the field 'accent'"):
        run(tmp_path, model, Grading(DFEW_LABELS, group_by=("accent",)))
    assert model.asked == [] and list(tmp_path.iterdir()) == []


def test_too_few_and_too_many_answers_from_the_model_are_refused(tmp_path: Path):
    grading = Grading(DFEW_LABELS)
    with pytest.raises(ConfigError, match="gave 1 answers for 2 clips"):
        evaluate(lambda clips: ["happy"], CLIPS[:2], grading, out_dir=tmp_path / "few")
    with pytest.raises(ConfigError, match="gave more than 2 answers"):
        evaluate(lambda clips: ["happy"] * 3, CLIPS[:2], grading, out_dir=tmp_path / "many")


def test_scores_over_no_readable_clip_are_null(tmp_path: Path):
    scores = evaluate(
        lambda clips: [MediaError("missing", "not there") for _ in clips],
        CLIPS[:2],
        Grading(DFEW_LABELS),
        out_dir=tmp_path,
    )
    assert scores is not None
    assert scores["war"] is None and scores["uar"] is None and scores["war_interval"] is None
    assert scores["oov_rate"] is None and scores["format_rate"] is None and scores["num_errors"] == 2


def test_gold_labels_and_the_label_set_are_written_like_answers(tmp_path: Path):
    clips = [Clip("a", Path("/a"), label=" Happy"), Clip("b", Path("/b"), label="SAD")]
    scores = evaluate(lambda batch: ["happy", "happy"], clips, Grading(("Happy", "sad ")), out_dir=tmp_path)
    assert scores is not None and (scores["war"], scores["oov_rate"]) == (50.0, 0.0)
    assert scores["recall"] == {"happy": 100.0, "sad": 0.0}


def test_open_vocabulary_clips_are_scored_as_sets(tmp_path: Path):
    clips = [Clip("a", Path("/a"), labels=("happy", "surprised")), Clip("b", Path("/b"), labels=())]
    scores = evaluate(lambda batch: ["joyful"] * len(batch), clips, Grading(None), out_dir=tmp_path)
    assert scores is not None
    assert (scores["sector"]["precision"], scores["sector"]["recall"]) == (100.0, 50.0)
    assert (scores["num_scored"], scores["num_without_gold"]) == (1, 1)


def test_progress_counts_resumed_clips(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Model(dies_after=4))
    seen = []
    run(tmp_path, Model(), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 11) for done in range(5, 12)]


def test_timing_is_recorded_with_the_predictions(tmp_path: Path):
    run(tmp_path, Model())
    rows = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [clip.id for clip in CLIPS] and all(row["seconds"] >= 0 for row in rows)
