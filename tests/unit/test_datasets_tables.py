"""Tables, lists and folders as people have them: no row lost, no clip with another clip's label, no word mangled."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from r1omni.cli.app import app
from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets.cells import fold_number, is_missing, seconds, whole_number
from r1omni.datasets.locate import locate
from r1omni.datasets.reasoned_examples import read_annotations, validate, write_template
from r1omni.datasets.release import Release, read_release
from r1omni.media.encode import write_video


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def read(folder: Path, text: str | bytes, name: str = "t.csv", **options: str) -> Release:
    """Read a table beside the clips a, b and c."""
    touch(folder, "a.mp4", "b.mp4", "c.mp4")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_release("table", folder / name, **options)


def test_parts_of_one_video_are_clips_of_their_own(tmp_path: Path) -> None:
    clips = read(
        tmp_path, "path,start,end,label\na.mp4,0,0.8,angry\na.mp4,0.8,1.6,sad\na.mp4,1.6,2.3,happy\nb.mp4,0,1,fear\n"
    ).clips
    assert [(clip.id, clip.start_s, clip.stop_s, clip.label) for clip in clips] == [
        ("a@0-0.8", 0.0, 0.8, "angry"),
        ("a@0.8-1.6", 0.8, 1.6, "sad"),
        ("a@1.6-2.3", 1.6, 2.3, "happy"),
        ("b", 0.0, 1.0, "fear"),
    ]


def test_a_clip_number_that_starts_again_for_each_video_is_no_id(tmp_path: Path) -> None:
    text = "video_id,clip_id,start,end,label\na,0,0,0.8,angry\na,1,0.8,1.6,sad\nb,0,0,1,fear\nb,1,1,2,happy\n"
    clips = read(tmp_path, text).clips
    assert [(clip.id, clip.path.name, clip.label) for clip in clips] == [
        ("a@0-0.8", "a.mp4", "angry"),
        ("a@0.8-1.6", "a.mp4", "sad"),
        ("b@0-1", "b.mp4", "fear"),
        ("b@1-2", "b.mp4", "happy"),
    ]
    assert [clip.meta["clip_id"] for clip in clips] == ["0", "1", "0", "1"]


@pytest.mark.parametrize("missing", ["", "nan", "N/A"])
def test_a_column_of_ids_with_a_gap_is_used_only_if_it_was_named_and_then_refused(tmp_path: Path, missing: str) -> None:
    text = f"id,path,label\n1,a.mp4,sad\n{missing},b.mp4,angry\n"
    assert [clip.id for clip in read(tmp_path, text).clips] == ["a", "b"]
    with pytest.raises(DatasetError, match=r"t\.csv:3: no id in the column 'id'"):
        read(tmp_path, text, id="id")


@pytest.mark.parametrize("missing", ["", "nan"])
def test_rows_without_a_clip_are_skipped_and_counted(tmp_path: Path, missing: str) -> None:
    release = read(tmp_path, f"path,label\n{missing},sad\nb.mp4,angry\n")
    assert [(clip.id, clip.label) for clip in release.clips] == [("b", "angry")]
    assert release.warnings == [f"{tmp_path / 't.csv'}: 1 row without a clip in the column 'path' skipped"]
    with pytest.raises(DatasetError, match="the column 'path' is empty"):
        read(tmp_path, f"path,label\n{missing},sad\n")


def test_a_part_that_ends_before_it_begins_is_refused_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"t\.csv:2: the part ends at 1 s and begins at 2 s"):
        read(tmp_path, "path,start,end,label\na.mp4,2,1,sad\n")


def test_a_table_without_names_of_columns_is_refused_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="write the columns' names into the first line"):
        read(tmp_path, "a.mp4,sad\nb.mp4,angry\n")


def test_clips_that_are_elsewhere_are_searched_where_media_root_says(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found none of 1 listed clip .* give their folder as --media-root"):
        read(tmp_path, "path,label\nother.mp4,sad\n")


def test_a_folder_without_folders_of_labels_names_its_tables(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "labels.csv").write_text("path,label\na.mp4,sad\n")
    with pytest.raises(DatasetError, match=r"or one of its tables as --root: labels\.csv"):
        read_release("table", tmp_path)


def test_the_name_of_a_person_is_no_id(tmp_path: Path) -> None:
    clips = read(tmp_path, "path,name,emotion\na.mp4,John,anger\nb.mp4,John,fear\nc.mp4,Mary,neutral\n").clips
    assert [(clip.id, clip.meta["name"], clip.label) for clip in clips] == [
        ("a", "John", "angry"),
        ("b", "John", "fear"),
        ("c", "Mary", "neutral"),
    ]


def test_rows_that_differ_in_their_label_are_both_kept_and_repeated_rows_once(tmp_path: Path) -> None:
    release = read(tmp_path, "path,label\na.mp4,sad\na.mp4,angry\na.mp4,sad\n")
    assert [(clip.id, clip.label) for clip in release.clips] == [("a", "sad"), ("a#2", "angry")]
    assert any("1 exact repeat of earlier rows dropped" in text for text in release.warnings)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("start,end", "0.5,1.5"),
        ("start_time,end_time", "0.5,1.5"),
        ("begin,end", "0.5,1.5"),
        ("onset,offset", "0.5,1.5"),
        ("StartTime,EndTime", "00:00:00.5,00:00:01.5"),
        ("start_s,stop_s", '"0,5","1,5"'),
        ("Start Time,End Time", '"00:00:00,500","00:00:01,500"'),
        ("start_ms,end_ms", "500,1500"),
        ("start (sec),end (sec)", "0.5 s,1.5 s"),
    ],
)
def test_times_are_recognised_by_their_columns_and_their_form(tmp_path: Path, header: str, cells: str) -> None:
    (clip,) = read(tmp_path, f"path,{header},label\na.mp4,{cells},angry\n").clips
    assert (clip.start_s, clip.stop_s, clip.meta) == (0.5, 1.5, {})


def test_columns_of_times_and_folds_can_be_named(tmp_path: Path) -> None:
    (clip,) = read(tmp_path, "path,von,bis,teil\na.mp4,0.5,1.5,fold_2\n", start="von", stop="bis", fold="teil").clips
    assert (clip.start_s, clip.stop_s, clip.fold) == (0.5, 1.5, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,start_frame,end_frame\na.mp4,5,9\n", "--start"),
        ("path,start,begin\na.mp4,5,9\n", "--start"),
        ("path,start\na.mp4,later\n", "--start"),
        ("path,fold\na.mp4,first\n", "--fold"),
        ("path,label,label\na.mp4,angry,sad\n", "duplicate column 'label'"),
    ],
)
def test_columns_that_are_not_understood_are_refused_with_the_option_that_helps(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(DatasetError, match=words):
        read(tmp_path, text)


def test_a_fold_written_as_a_float_is_a_fold(tmp_path: Path) -> None:
    (clip,) = read(tmp_path, "path,Label,fold\na.mp4,angry,1.0\n").clips
    assert (clip.fold, clip.label) == (1, "angry")


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_every_separator_is_recognised(tmp_path: Path, mark: str) -> None:
    (clip,) = read(tmp_path, f"path{mark}label\na.mp4{mark}angry\n").clips
    assert (clip.path.name, clip.label) == ("a.mp4", "angry")


def test_a_spreadsheets_word_for_its_separator_is_heeded(tmp_path: Path) -> None:
    (clip,) = read(tmp_path, "sep=;\npath;label\na.mp4;angry\n").clips
    assert clip.label == "angry"


def test_a_json_list_is_a_table(tmp_path: Path) -> None:
    (clip,) = read(tmp_path, json.dumps([{"path": "a.mp4", "label": "angry", "fold": 1.0}]), "t.json").clips
    assert (clip.label, clip.fold) == ("angry", 1)
    with pytest.raises(DatasetError, match="a JSON list of objects"):
        read(tmp_path, '{"path": "a.mp4"}', "t.json")


def test_a_number_with_zero_decimals_is_that_number(tmp_path: Path) -> None:
    text = "path,label\na.mp4,3.0\nb.mp4,6.0\nc.mp4,\n"
    with pytest.raises(DatasetError, match="--label-names"):
        read(tmp_path, text)
    labels = [clip.label for clip in read(tmp_path, text, label_names="3=happy,6=sad").clips]
    assert labels == ["happy", "sad", None]


def test_missing_values_are_missing(tmp_path: Path) -> None:
    clips = read(tmp_path, "path,label,reasoning\na.mp4,angry,nan\nb.mp4,nan,He shouts.\nc.mp4,N/A,None\n").clips
    assert [(clip.label, clip.reasoning) for clip in clips] == [("angry", None), (None, "He shouts."), (None, None)]


def test_the_cells_of_tables() -> None:
    assert [is_missing(text) for text in ("", " nan", "N/A", "None", "sad", "0")] == [True] * 4 + [False] * 2
    assert [whole_number(text) for text in ("3", "3.0", "3,00", "-1.0")] == ["3", "3", "3", "-1"]
    assert [whole_number(text) for text in ("3.5", "three")] == [None, None]
    # 1 h 2 min 3.25 s = 3723.25 s; 2 min 3 s = 123 s
    assert [seconds(text) for text in ("01:02:03,250", "2:03", ".5", "7 sec")] == [3723.25, 123.0, 0.5, 7.0]
    assert [fold_number(text) for text in ("3", "3.0", "Fold 3")] == [3, 3, 3]


WINDOWS = "path,label,reasoning\na.mp4,angry,She doesn’t look away and she’s shouting in the cafés.\n"
CHINESE = "path,label,reasoning\na.mp4,angry,她皱着眉头，声音很大，显然非常生气。\n"


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        (WINDOWS, "utf-8", None),
        (WINDOWS, "cp1252", "cp1252"),
        (WINDOWS, "utf-16", None),
        (WINDOWS, "utf-16-le", "utf-16-le"),
        (WINDOWS, "utf-16-be", "utf-16-be"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-8", None),
    ],
)
def test_a_tables_encoding_is_detected_from_its_bytes_and_reported(
    tmp_path: Path, text: str, encoding: str, named: str | None
) -> None:
    release = read(tmp_path, text.encode(encoding))
    assert release.clips[0].reasoning == text.splitlines()[1].split(",", 2)[2]
    assert [f"read as {named};" in warning and "--encoding" in warning for warning in release.warnings] == (
        [] if named is None else [True]
    )


def test_an_encoding_that_does_not_fit_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--encoding"):
        read(tmp_path, WINDOWS.encode("cp1252"), encoding="ascii")
    with pytest.raises(DatasetError, match="unknown encoding 'utf-9'"):
        read(tmp_path, WINDOWS, encoding="utf-9")


def test_clips_of_one_name_are_distinguished_by_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "DFEW/original/00001.mp4", "MAFW/clips/00001.mp4", "MAFW/clips/00003.mp4")
    given = ["/mnt/data/u/DFEW/clip_224x224_16f/00001.mp4", r"D:\sets\MAFW\clips\00001.mp4", "clips/00003.mp4"]
    paths, warnings = locate(given, tmp_path)
    assert [path and path.relative_to(tmp_path).as_posix() for path in paths] == [
        "DFEW/original/00001.mp4",
        "MAFW/clips/00001.mp4",
        "MAFW/clips/00003.mp4",
    ]
    assert warnings == []


def test_folders_are_compared_whole_and_the_longest_common_ending_wins(tmp_path: Path) -> None:
    touch(tmp_path, "trainer/a/x.mp4", "train/b/x.mp4", "far/train/a/x.mp4")
    assert locate(["/disk/train/a/x.mp4"], tmp_path)[0] == [tmp_path / "far/train/a/x.mp4"]
    # `trainer` is not `train`: the one common folder name decides.
    assert locate(["/disk/train/c/x.mp4"], tmp_path)[0] == [tmp_path / "train/b/x.mp4"]


def test_the_nearest_of_otherwise_equal_files_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "x/y/a.mp4", "z/a.mp4")
    assert locate(["/disk/a.mp4"], tmp_path)[0] == [tmp_path / "z/a.mp4"]


def test_what_stays_ambiguous_lists_its_candidates(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "y/a.mp4")
    with pytest.raises(DatasetError, match=r"may be x/a\.mp4, y/a\.mp4"):
        locate(["/disk/a.mp4"], tmp_path)


def test_the_exact_name_comes_first_and_sound_is_never_taken_for_video(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.mp4", "d/a.wav", "d/b.mp4", "d/c.mkv", "d/0007.mp4")
    paths, warnings = locate(["a.wav", "b.wav", "c.avi", "7"], tmp_path)
    assert paths == [tmp_path / "d/a.wav", None, tmp_path / "d/c.mkv", tmp_path / "d/0007.mp4"]
    assert [text for text in warnings if "another extension" in text and "c.avi" in text]
    assert [text for text in warnings if "another kind" in text and "b.wav first (d/b.mp4 is there" in text]


def test_whatever_the_decoder_opens_is_a_clip_of_its_folder_and_the_rest_is_named(tmp_path: Path) -> None:
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    write_video(tmp_path / "happy/plain.mp4", frames, 4)
    (tmp_path / "happy/odd.clip").write_bytes((tmp_path / "happy/plain.mp4").read_bytes())
    names = ["a.3gp", "b.ts", "c.ogv", "d.gif", "e.wma", "f.aiff"]
    touch(tmp_path, *(f"happy/{name}" for name in names), "happy/notes.txt", "readme.md")
    Image.fromarray(frames[0]).save(tmp_path / "happy/g.jpg")
    (tmp_path / "sad/face").mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(frames[0]).save(tmp_path / f"sad/face/{number}.png")
    release = read_release("table", tmp_path)
    assert {clip.id for clip in release.clips} == {
        *(f"happy/{name}" for name in [*names, "g.jpg", "plain.mp4", "odd.clip"]),
        "sad/face",
    }
    assert {clip.label for clip in release.clips} == {"happy", "sad"}
    assert any("2 files skipped" in text and "happy/notes.txt, readme.md" in text for text in release.warnings)


def test_dfew_lists_are_read_by_their_columns(tmp_path: Path) -> None:
    touch(tmp_path, "Clip/1.mp4", "Clip/2.mp4")
    for part, rows in (("train", "1,3,0.9\n"), ("test", "2,6.0,0.4\n")):
        folder = tmp_path / f"EmoLabel_DataSplit/{part}(single-labeled)"
        folder.mkdir(parents=True)
        (folder / "set_1.csv").write_text(f"video_name,label,annotators\n{rows}")
    clips = read_release("dfew", tmp_path).clips
    assert [(clip.id, clip.label) for clip in clips] == [("00001", "neutral"), ("00002", "disgust")]


def test_an_official_entry_without_an_answer_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "00002.mp4", "00003.mp4")
    entries = [
        {"ori_path": "x/00002.mp4", "crop_path": "y", "QA_question": "Which emotion? A. happy B. sad"},
        {"ori_path": "x/00003.mp4", "QA_question": "Which emotion? Answer:fearful"},
    ]
    (tmp_path / "qa.json").write_text(json.dumps(entries))
    release = read_release("r1omni-json", tmp_path)
    assert [clip.label for clip in release.clips] == ["fear"]
    assert any("1 of 2 entries have no readable answer" in text for text in release.warnings)


def test_a_folder_with_one_official_file_can_be_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    entry = {"ori_path": "a.mp4", "QA_question": "Which? Answer:sad"}
    (tmp_path / "one.json").write_text(json.dumps([entry]))
    assert len(read_release("r1omni-json", tmp_path).clips) == 1
    (tmp_path / "two.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"found 2 JSON files \(one\.json, two\.json\)"):
        read_release("r1omni-json", tmp_path)


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@now", "\t=1", "'quoted'"])
def test_no_cell_of_a_template_is_a_formula_and_none_is_changed(tmp_path: Path, text: str) -> None:
    clips = [Clip("a", tmp_path / "a.mp4", subtitle=text, label="sad", reasoning="He is sad.")]
    write_template(tmp_path / "t.csv", clips)
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        cell = next(csv.DictReader(file))["subtitle"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_annotations(tmp_path / "t.csv", clips).clips[0].subtitle == text


def test_long_published_reasoning_is_not_too_long() -> None:
    clip = Clip("a", Path("a.mp4"), label="sad", reasoning="word " * 521)
    assert validate([clip]) == []


def test_a_check_that_leaves_no_clip_fails(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "a", "path": "missing.mp4", "label": "sad"}\n')
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "1 clip checked, 0 clean" in result.output
