"""`data check` finds the problems of real files, and drops unusable clips."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets.check import check_file, check_manifest, check_text, clean_clips, look
from r1omni.datasets.manifest import read_manifest, write_manifest
from r1omni.datasets.stats import manifest_stats, read_durations, stats_svg, stats_text
from r1omni.media.decode import Media
from r1omni.media.encode import write_video

RATE_HZ = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    pictures = rng.integers(60, 200, (10, 32, 32, 3), dtype=np.uint8)
    tone = 0.3 * np.sin(np.arange(RATE_HZ) * 0.1).astype(np.float32)
    write_video(root / "good.mp4", pictures, 10, tone)
    write_video(root / "other.mp4", pictures[::-1], 10, tone)
    write_video(root / "silent.mp4", pictures, 10, np.zeros_like(tone))
    write_video(root / "black.mp4", np.zeros_like(pictures), 10, tone)
    write_video(root / "short_sound.mp4", np.tile(pictures, (3, 1, 1, 1)), 10, tone)
    (root / "copy.mp4").write_bytes((root / "good.mp4").read_bytes())
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("no clip")
    return root


def clip(folder: Path, name: str, label: str | None = "happy", **fields: object) -> Clip:
    return replace(Clip(id=name, path=folder / f"{name}.mp4", label=label, corpus="made"), **fields)


def kinds(report: dict, name: str) -> list[str]:
    return [problem["kind"] for problem in report["problems"] if problem["id"] == name]


def test_every_problem_is_found_and_the_clean_manifest_has_the_rest(folder: Path) -> None:
    clips = [
        clip(folder, "good"),
        clip(folder, "other", "rage"),
        clip(folder, "silent", "angry_disgust"),
        clip(folder, "black", None),
        clip(folder, "short_sound"),
        clip(folder, "empty"),
        clip(folder, "text"),
        clip(folder, "missing"),
    ]
    shares: list[float] = []
    report = check_manifest(clips, progress=lambda stage, share: shares.append(share))
    assert kinds(report, "good") == []
    assert kinds(report, "other") == ["unknown-label"]
    assert kinds(report, "silent") == ["silent"]
    assert kinds(report, "black") == ["black"]
    assert kinds(report, "short_sound") == ["duration"]
    assert kinds(report, "empty") == ["zero-length"]
    assert kinds(report, "text") == kinds(report, "missing") == ["unreadable"]
    assert [kept.id for kept in clean_clips(clips, report)] == ["good", "other", "silent", "black", "short_sound"]
    assert (report["clips"], report["clean"], report["unlabelled"]) == (8, 5, 1)
    assert report["durations_s"]["good"] == pytest.approx(1.0, abs=0.1)
    assert shares[-1] == 1.0
    json.dumps(report, allow_nan=False)


def test_the_copy_that_can_be_trained_on_is_the_leak(folder: Path) -> None:
    train, test = clip(folder, "good", split="train"), clip(folder, "copy", split="test")
    for order in ([train, test], [test, train]):
        report = check_manifest(order)
        assert kinds(report, "good") == ["leak"]
        assert [kept.id for kept in clean_clips(order, report)] == ["copy"]


def test_a_copy_in_another_fold_is_a_leak_and_in_the_same_a_duplicate(folder: Path) -> None:
    folds = [clip(folder, "good", fold=1), clip(folder, "copy", fold=2)]
    assert kinds(check_manifest(folds), "copy") == ["leak"]
    same = [clip(folder, "good"), clip(folder, "copy", "sad")]
    (problem,) = check_manifest(same)["problems"]
    assert (problem["id"], problem["kind"]) == ("copy", "duplicate")
    assert "their labels differ: sad, happy" in problem["message"]


def test_parts_of_one_file_are_copies_only_where_they_overlap(folder: Path) -> None:
    first = clip(folder, "good", start_s=0.0, stop_s=0.5)
    second = replace(first, id="second", start_s=0.5, stop_s=1.0)
    third = replace(first, id="third", start_s=0.4, stop_s=0.9)
    report = check_manifest([first, second, third])
    assert [problem["id"] for problem in report["problems"]] == ["third"]


def test_a_wrong_duration_in_the_manifest_is_reported(folder: Path) -> None:
    wrong = [clip(folder, "good", meta={"duration_s": 3.0}), clip(folder, "other", stop_s=4.0)]
    report = check_manifest(wrong)
    assert kinds(report, "good") == kinds(report, "other") == ["duration"]


def test_an_own_label_set_replaces_ours(folder: Path) -> None:
    report = check_manifest([clip(folder, "good", "bored"), clip(folder, "other")], labels=["bored"])
    assert [(problem["id"], problem["kind"]) for problem in report["problems"]] == [("other", "oov-label")]


def test_expected_labels_are_compared_as_evaluation_compares_them(folder: Path) -> None:
    # A manifest of ours says angry where the release said anger; a hand-made one may say Angry.
    for expected in (["anger"], [" Angry"], ["angry"]):
        report = check_manifest([clip(folder, "good", "angry"), clip(folder, "other", "Angry ")], labels=expected)
        assert report["problems"] == []


def test_a_corpus_with_labels_of_its_own_keeps_its_clips(folder: Path) -> None:
    report = check_manifest([clip(folder, "good", "bored"), clip(folder, "other", "amused")])
    assert report["clean"] == 2
    assert report["counts"]["unknown-label"] == 2
    assert "label 'bored' is not one of ours; give your own as --labels" in check_text(report)


def test_gaps_and_damage_of_the_sound_are_listed(folder: Path) -> None:
    media = Media(None, None, np.ones(80000, np.float32), 16000, 5.0, sound_gaps_s=((1.0, 2.5),), num_damaged_packets=3)
    found = dict(look(clip(folder, "good"), media))
    assert "1.00 to 2.50 s" in found["sound-gap"]
    assert "3 packets" in found["damaged"]


def test_several_processes_report_the_same(folder: Path) -> None:
    clips = [clip(folder, name) for name in ("good", "text", "black", "copy")]
    assert check_manifest(clips, workers=2) == check_manifest(clips)


def test_a_clip_that_kills_its_process_is_unreadable(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "stuck.mp4"
    pipe.touch()
    clips = [clip(folder, "good"), Clip(id="killer", path=Killer(pipe)), clip(folder, "other")]
    report = check_manifest(clips, workers=2)
    assert kinds(report, "killer") == ["unreadable"]
    assert report["clean"] == 2


class Killer(type(Path())):
    """A path whose opening ends the process, as a decoder's crash does."""

    def open(self, *args: object, **kwargs: object) -> object:
        os.kill(os.getpid(), signal.SIGKILL)


def test_stats_count_a_label_once_however_it_is_spelled(folder: Path) -> None:
    clips = [clip(folder, "good", "Bored"), clip(folder, "other", "bored "), clip(folder, "good")]
    assert manifest_stats(clips)["label"] == {"bored": 2, "happy": 1}


def test_stats_count_labels_parts_folds_and_lengths(tmp_path: Path) -> None:
    clips = [
        Clip("a", tmp_path / "a.mp4", label="sad", stop_s=2.5, fold=2, split="train", meta={"language": "en"}),
        Clip("b", tmp_path / "b.mp4", label="sad", meta={"duration_s": 4.0}, fold=1, reasoning="x"),
        Clip("c", tmp_path / "c.mp4", start_s=1.0, labels=("awe", "sad")),
    ]
    stats = manifest_stats(clips, {"c": 12.0})
    assert stats["label"] == {"sad": 2, "none": 1}
    assert stats["labels"] == {"awe": 1, "sad": 1}
    assert stats["fold"] == {"1": 1, "2": 1, "none": 1}
    assert stats["language"] == {"en": 1, "none": 2}
    # 2.5, 4 and 12 s: total 18.5, median 4, mean 18.5 / 3.
    lengths = stats["length_s"]
    assert (lengths["total"], lengths["median"], lengths["mean"], lengths["unknown"]) == (18.5, 4.0, 6.167, 0)
    assert lengths["histogram"] == {"2 to 3 s": 1, "3 to 5 s": 1, "10 to 20 s": 1}
    # The most frequent gets 40 marks, half as many clips 20.
    assert f"  sad          2  {'#' * 40}\n  none         1  {'#' * 20}\n" in stats_text(stats)
    assert "<svg" in stats_svg(stats)


def test_unknown_durations_are_null_and_counted(tmp_path: Path) -> None:
    stats = manifest_stats([Clip("a", tmp_path / "a.mp4")])
    assert stats["length_s"]["mean"] is None
    assert stats["length_s"]["unknown"] == 1
    assert "run `r1omni data check`" in stats_text(stats)
    assert manifest_stats([])["length_s"]["count"] == 0
    assert stats_text(manifest_stats([])).startswith("0 clips")


def test_check_writes_its_report_and_a_clean_manifest(folder: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [clip(folder, "good"), clip(folder, "text")])
    report = check_file(tmp_path / "m.jsonl", tmp_path / "out")
    assert json.loads((tmp_path / "out/check.json").read_text())["counts"]["unreadable"] == 1
    assert [kept.id for kept in read_manifest(tmp_path / "out/manifest.jsonl")] == ["good"]
    assert check_text(report).startswith("2 clips checked, 1 clean\nunreadable 1 (dropped): text: not-media")


def test_durations_come_from_a_check_report_and_from_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "check.json").write_text('{"durations_s": {"a": 1.5}}')
    assert read_durations(tmp_path / "check.json") == {"a": 1.5}
    (tmp_path / "other.json").write_text('["a"]')
    with pytest.raises(DatasetError, match=r"other\.json: found no durations"):
        read_durations(tmp_path / "other.json")
