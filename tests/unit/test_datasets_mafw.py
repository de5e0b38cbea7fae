"""MAFW: names for ids, GB18030 captions, compound classes, the split that has no neutral."""

from pathlib import Path

import openpyxl
import pytest

from r1omni.core.errors import DatasetError
from r1omni.datasets.release import read_release

CLIPS = {"00001": "anger", "00002": "neutral", "03747": "happiness", "10045": "disappointment", "00005": "contempt"}


def write_lists(root: Path, classes: str, mode: str, rows: dict[str, str]) -> None:
    for k in range(1, 6):
        for part in ("train", "test"):
            lines = [line for i, line in enumerate(rows.values()) if (i % 5 + 1 == k) == (part == "test")]
            path = root / "split" / classes / mode / f"set_{k}" / f"{part}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(("\n".join(lines) + "\n").encode("gb18030"))


def write_clips(root: Path) -> None:
    (root / "data/clips").mkdir(parents=True)
    for name in CLIPS:
        (root / "data/clips" / f"{name}.mp4").touch()


def test_single_labels_become_our_names(tmp_path: Path) -> None:
    write_lists(tmp_path, "single", "no_caption", {n: f"{n}.mp4 {label}" for n, label in CLIPS.items()})
    write_clips(tmp_path)
    release = read_release("mafw", tmp_path)
    assert {clip.id: (clip.label, clip.fold) for clip in release.clips} == {
        "00001": ("angry", 1),
        "00002": ("neutral", 2),
        "03747": ("happy", 3),
        "10045": ("disappointed", 4),
        "00005": ("contemptuous", 5),
    }
    assert any("all 5 against 9,172 (9,167 fewer)" in text for text in release.warnings)


def test_captions_are_read_as_gb18030_and_have_no_neutral(tmp_path: Path) -> None:
    rows = {n: f"{n}.mp4\t{label}\t一位男子说着话。\tA man speaks." for n, label in CLIPS.items() if label != "neutral"}
    write_lists(tmp_path, "single", "with_caption", rows)
    write_clips(tmp_path)
    release = read_release("mafw", tmp_path, captions="true")
    assert len(release.clips) == 4
    assert release.clips[0].meta == {"caption": "A man speaks.", "caption_zh": "一位男子说着话。"}
    assert not any("neutral" in text for text in release.warnings)


def test_a_compound_clip_keeps_every_emotion_and_its_class(tmp_path: Path) -> None:
    rows = {"00001": "00001.mp4 anger", "03747": "03747.mp4 sadness_helplessness_disappointment"}
    write_lists(tmp_path, "compound", "no_caption", rows)
    write_clips(tmp_path)
    single, compound = read_release("mafw", tmp_path, classes="compound").clips
    assert (single.label, single.labels) == ("angry", ("angry",))
    assert compound.labels == ("sad", "helpless", "disappointed")
    assert compound.label == "sad_helpless_disappointed"


def test_workbook_ids_are_those_of_mafw(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (("clip", "single_label"), ("00001.mp4", 1), ("00002.mp4", 0), ("03747.mp4", 4), ("10045.mp4", 11)):
        book.worksheets[0].append(row)
    book.save(tmp_path / "single-set.xlsx")
    write_clips(tmp_path)
    clips = read_release("mafw", tmp_path, annotations="xlsx").clips
    assert [(clip.id, clip.label) for clip in clips] == [
        ("00001", "angry"),
        ("03747", "happy"),
        ("10045", "disappointed"),
    ]


def test_an_unknown_class_is_named_with_its_line(tmp_path: Path) -> None:
    write_lists(tmp_path, "single", "no_caption", {"1": "00001.mp4 rage"})
    write_clips(tmp_path)
    with pytest.raises(DatasetError, match=r"txt:1: found the label 'rage'"):
        read_release("mafw", tmp_path)


def test_missing_lists_are_named(tmp_path: Path) -> None:
    write_clips(tmp_path)
    with pytest.raises(DatasetError, match="compound/no_caption/set_1/train.txt"):
        read_release("mafw", tmp_path, classes="compound")
