"""DFEW: folds, both paddings, both annotation files, the counts table."""

from pathlib import Path

import openpyxl
import pytest

from r1omni.core.errors import DatasetError
from r1omni.core.labels import DFEW_LABELS
from r1omni.datasets import counts
from r1omni.datasets.release import read_release

LABEL_OF = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 2522: 5, 16000: 7}
TEST_FOLD_OF = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 2522: 1, 16000: 2}


def write_lists(root: Path, *, padded: bool) -> None:
    for k in range(1, 6):
        for part in ("train", "test"):
            ids = [n for n in LABEL_OF if (TEST_FOLD_OF[n] == k) == (part == "test")]
            lines = [f"{n:05d},{LABEL_OF[n]}" if padded else f"{n},{LABEL_OF[n]}" for n in ids]
            name = f"{part}_set_{k}.csv" if padded else f"set_{k}.csv"
            path = root / "EmoLabel_DataSplit" / f"{part}(single-labeled)" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\r\n".join(lines if padded else ["video_name,label", *lines]) + "\r\n")


def write_clips(root: Path, names: list[str], folder: str = "Clip/original/part_1") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / folder / name).touch()


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("padded_files", [True, False])
def test_either_padding_of_ids_and_files_gives_the_same_clips(tmp_path: Path, padded: bool, padded_files: bool) -> None:
    write_lists(tmp_path, padded=padded)
    write_clips(tmp_path, [f"{n:05d}.mp4" if padded_files else f"{n}.mp4" for n in LABEL_OF])
    release = read_release("dfew", tmp_path, fold="1")
    assert [clip.id for clip in release.clips] == ["00001", "00002", "00003", "00004", "00005", "02522", "16000"]
    found = {clip.id: clip for clip in release.clips}
    assert (found["02522"].label, found["02522"].fold, found["02522"].split) == ("surprise", 1, "test")
    assert (found["16000"].label, found["16000"].fold, found["16000"].split) == ("fear", 2, "train")
    assert all(clip.path.is_file() for clip in release.clips)


def test_missing_clips_are_left_out_and_counted(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    write_clips(tmp_path, ["1.mp4", "2.mp4", "._3.mp4"])
    release = read_release("dfew", tmp_path)
    assert [clip.id for clip in release.clips] == ["00001", "00002"]
    assert any("5 of 7 listed clips not found under" in text for text in release.warnings)


def test_original_clips_win_over_the_cropped_copies(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    write_clips(tmp_path, ["00001.mp4"], "Clip/clip_224x224")
    write_clips(tmp_path, ["1.mp4"])
    assert read_release("dfew", tmp_path).clips[0].path == tmp_path / "Clip/original/part_1/1.mp4"


def test_frame_folders_are_taken_when_asked_for(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    write_clips(tmp_path, ["00001.jpg", "00002.jpg"], "Clip/jpg_256/02522")
    release = read_release("dfew", tmp_path, media="frames")
    assert [(clip.id, clip.path) for clip in release.clips] == [("02522", tmp_path / "Clip/jpg_256/02522")]
    assert release.clips[0].meta == {}
    (slow,) = read_release("dfew", tmp_path, media="frames", frame_rate_fps="12.5").clips
    assert slow.meta == {"frame_rate_fps": 12.5}


def test_workbook_leaves_out_what_is_not_single_labelled(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (("order", "label"), (1, 1), (2, 0), (2522, 5.0)):
        sheet.append(row)
    (tmp_path / "Annotation").mkdir()
    book.save(tmp_path / "Annotation/annotation.xlsx")
    write_clips(tmp_path, ["1.mp4", "2.mp4", "2522.mp4"])
    clips = read_release("dfew", tmp_path, annotations="xlsx").clips
    assert [(clip.id, clip.label, clip.fold) for clip in clips] == [
        ("00001", "happy", None),
        ("02522", "surprise", None),
    ]


def test_no_list_at_all_names_the_file_that_is_missing(tmp_path: Path) -> None:
    write_clips(tmp_path, ["1.mp4"])
    with pytest.raises(DatasetError, match=r"test\(single-labeled\)/set_1\.csv"):
        read_release("dfew", tmp_path)


def test_no_clip_at_all_is_an_error_with_an_example(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    with pytest.raises(DatasetError, match=r"none of 7 listed clips .* Clip/original/1\.mp4"):
        read_release("dfew", tmp_path)


def test_a_label_beyond_the_seven_is_an_error(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    (tmp_path / "EmoLabel_DataSplit/test(single-labeled)/set_1.csv").write_text("video_name,label\n1,8\n")
    with pytest.raises(DatasetError, match="found the label '8'; expected 1 to 7"):
        read_release("dfew", tmp_path)


def test_one_fold_on_disk_is_read_with_a_warning(tmp_path: Path) -> None:
    write_lists(tmp_path, padded=False)
    write_clips(tmp_path, [f"{n}.mp4" for n in LABEL_OF])
    for path in tmp_path.glob("EmoLabel_DataSplit/*/set_[2-5].csv"):
        path.unlink()
    release = read_release("dfew", tmp_path)
    assert {clip.id: clip.fold for clip in release.clips}["16000"] is None
    assert {clip.id: clip.fold for clip in release.clips}["02522"] == 1
    assert any("train(single-labeled)/set_2.csv" in text for text in release.warnings)


def test_the_published_lists_differ_in_nothing(tmp_path: Path) -> None:
    # Labels by class, folds by the published test sizes; fold 1 must hold its published share of each class.
    left = {label: counts.DFEW[label] for label in DFEW_LABELS}
    rows: list[tuple[int, int, int]] = []
    for label in DFEW_LABELS:
        share = counts.DFEW[f"fold 1 test {label}"]
        left[label] -= share
        rows += [(0, 1, DFEW_LABELS.index(label) + 1)] * share
    rest = [DFEW_LABELS.index(label) + 1 for label, count in left.items() for _ in range(count)]
    for k in range(2, 6):
        size = counts.DFEW[f"fold {k} test"]
        rows += [(0, k, label) for label in rest[:size]]
        del rest[:size]
    assert not rest
    for k in range(1, 6):
        for part in ("train", "test"):
            lines = [f"{n},{label}" for n, (_, fold, label) in enumerate(rows, 1) if (fold == k) == (part == "test")]
            path = tmp_path / f"{part}(single-labeled)" / f"set_{k}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("video_name,label\n" + "\n".join(lines))
    write_clips(tmp_path, ["1.mp4"])
    release = read_release("dfew", tmp_path)
    assert len(release.warnings) == 1
    assert "11,696 of 11,697 listed clips" in release.warnings[0]


def test_every_difference_has_its_size() -> None:
    found = counts.tally(["happy", "happy", "sad"], [1, 1, 2], 2)
    sentence = counts.differences("DFEW", found, {"all": 3, "happy": 1, "fold 1 test": 3})
    assert sentence == [
        "DFEW differs from the published counts: happy 2 against 1 (1 more); fold 1 test 2 against 3 (1 fewer)"
    ]
