"""Your own data: tables in every format, a folder per label, and the official JSON in both directions."""

import json
import sys
from pathlib import Path

import openpyxl
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from r1omni.core.answer_format import AnswerFormat
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.core.instruction import LABEL_INSTRUCTION, REASONING_INSTRUCTION
from r1omni.datasets.adapters import ADAPTERS, r1omni_json
from r1omni.datasets.release import adapter_options, read_release
from r1omni.datasets.tabular import read_table

ROWS = [("00012", "a.mp4", "anger", "别走"), ("00013", "b.wav", "calm", "")]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_table(path: Path) -> None:
    header = ("id", "file", "emotion", "text")
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in (header, *ROWS):
            book.worksheets[0].append(row)
        book.save(path)
    elif path.suffix == ".parquet":
        parquet.write_table(arrow.table(dict(zip(header, zip(*ROWS, strict=True), strict=True))), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in ROWS))
    else:
        separator = "," if path.suffix == ".csv" else "\t"
        path.write_bytes("\r\n".join(separator.join(row) for row in (header, *ROWS)).encode("gb18030"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet", ".jsonl"])
def test_every_kind_of_table_gives_the_same_clips(tmp_path: Path, suffix: str) -> None:
    write_table(tmp_path / f"clips{suffix}")
    touch(tmp_path, "a.mp4", "deeper/b.wav")
    release = read_release("table", tmp_path / f"clips{suffix}")
    assert [(clip.id, clip.label, clip.subtitle) for clip in release.clips] == [
        ("00012", "angry", "别走"),
        ("00013", "calm", None),
    ]
    assert release.clips[1].path == tmp_path / "deeper/b.wav"
    if suffix in (".csv", ".tsv"):
        assert release.warnings == [
            f"{tmp_path / f'clips{suffix}'}: read as gb18030; if its text looks wrong, give another --encoding"
        ]
    else:
        assert release.warnings == []


def test_named_columns_extra_columns_and_parts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("clip,gold,part,start,end,age\nx/a.mp4,joy,dev,0.5,2,31\n")
    touch(tmp_path, "x/a.mp4")
    (clip,) = read_release("table", tmp_path / "t.csv", label="gold", corpus="mine").clips
    assert (clip.id, clip.label, clip.split, clip.start_s, clip.stop_s) == ("a", "happy", "val", 0.5, 2.0)
    assert (clip.meta, clip.corpus) == ({"age": "31"}, "mine")


def test_files_of_one_name_keep_different_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\nx/a.mp4,sad\ny/a.mp4,sad\n")
    touch(tmp_path, "x/a.mp4", "y/a.mp4")
    assert [clip.id for clip in read_release("table", tmp_path / "t.csv").clips] == ["x/a.mp4", "y/a.mp4"]


def test_numbers_are_no_labels_until_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\na.mp4,0\n")
    touch(tmp_path, "a.mp4")
    with pytest.raises(DatasetError, match="--label-names"):
        read_release("table", tmp_path / "t.csv")
    assert read_release("table", tmp_path / "t.csv", label_names="0=happiness,1=sad").clips[0].label == "happy"
    with pytest.raises(ConfigError, match="pairs such as"):
        read_release("table", tmp_path / "t.csv", label_names="happy")


def test_folders_are_labels_with_or_without_parts(tmp_path: Path) -> None:
    touch(tmp_path, "one/anger/a.mp4", "one/bored/b.mp4", "two/train/sad/a.mp4", "two/test/sad/a.mp4")
    flat = read_release("table", tmp_path / "one")
    assert [(clip.id, clip.label) for clip in flat.clips] == [("anger/a.mp4", "angry"), ("bored/b.mp4", "bored")]
    assert any("bored (1)" in text for text in flat.warnings)
    assert [(clip.split, clip.label) for clip in read_release("table", tmp_path / "two").clips] == [
        ("test", "sad"),
        ("train", "sad"),
    ]


@pytest.mark.parametrize(("suffix", "package"), [(".xlsx", "openpyxl"), (".parquet", "pyarrow")])
def test_a_missing_package_is_a_sentence(
    tmp_path: Path, suffix: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / f"t{suffix}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatasetError, match=rf"needs {package}; install it with `pip install 'r1omni\[data\]'`"):
        read_table(tmp_path / f"t{suffix}")


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.jsonl"])
def test_a_broken_table_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"{no table")
    with pytest.raises(DatasetError, match=name):
        read_table(tmp_path / name)


def test_a_table_lacks_a_column_or_has_too_many_cells(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(DatasetError, match=r"t\.csv:2: found 3 cells; expected 2"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="found columns a, b; expected c too"):
        read_table(tmp_path / "t.csv", ("a", "c"))


def entry(video: str, human: str, gpt: str, **more: str) -> dict[str, object]:
    return {"video": video, "conversations": [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}], **more}


REASONED = "<think>He roared.</think>\n<answer>angry</answer>"


def test_official_files_are_read(tmp_path: Path) -> None:
    entries = [
        entry("/data/EMER/a.mp4", f"<video>\n<audio>\n{REASONING_INSTRUCTION}", REASONED),
        entry("MAFW/b.mp4", "<video>\n<audio>\nWhich emotion?", "contemptuous", clip_meta_path="m/b.json"),
        entry("MAFW/b.mp4", "<video>\nWhich emotion?", "<think>x</think><answer></answer>"),
        {"ori_path": "R/c.mp4", "crop_path": "R/c.pt", "QA_question": "Which? Answer:fearful"},
    ]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    touch(tmp_path, "clips/a.mp4", "MAFW/b.mp4", "clips/c.mp4")
    release = read_release("r1omni_json", tmp_path / "train.json")
    assert [(clip.label, clip.reasoning) for clip in release.clips] == [
        ("angry", "He roared."),
        ("contemptuous", None),
        ("fear", None),
    ]
    assert release.clips[0].path == tmp_path / "clips/a.mp4"
    assert release.clips[1].meta == {"clip_meta_path": "m/b.json", "instruction": "Which emotion?"}
    assert any("1 of 4 entries have no readable answer" in text for text in release.warnings)


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")
    touch(tmp_path, "a.mp4", "b.mp4")
    entries = [
        entry(a, f"<video>\n<audio>\n{REASONING_INSTRUCTION}", REASONED),
        entry(a, f"<video>\n<audio>\n{LABEL_INSTRUCTION}", "angry"),
        entry(b, "<video>\nWhich emotion?", "sad", clip_meta_path="b.json"),
    ]
    (tmp_path / "one.json").write_text(json.dumps(entries))
    r1omni_json.write(tmp_path / "two.json", read_release("r1omni_json", tmp_path / "one.json").clips)
    assert json.loads((tmp_path / "two.json").read_text()) == entries


def test_what_is_not_the_official_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"video": "a.mp4", "conversations": []}]')
    with pytest.raises(DatasetError, match="entry 0: expected two `conversations`"):
        read_release("r1omni_json", tmp_path / "x.json")


def test_every_adapter_is_importable_and_refuses_unknown_options(tmp_path: Path) -> None:
    for corpus in ADAPTERS:
        with pytest.raises(ConfigError, match="no_such_option"):
            read_release(corpus, tmp_path, no_such_option="1")
    with pytest.raises(ConfigError, match="no adapter for 'iemocap'; known are crema_d, dfew"):
        read_release("iemocap", tmp_path)
    with pytest.raises(ConfigError, match="fold"):
        read_release("dfew", tmp_path, fold="6")


def test_a_root_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        read_release("dfew", tmp_path / "none")


def test_an_adapter_lists_its_options_with_choices_and_defaults():
    options = {option.name: option for option in adapter_options("dfew")}
    assert options["annotations"].choices == ("folds", "xlsx") and options["annotations"].default == "folds"
    assert options["fold"].choices == () and options["fold"].default is None
    assert all(option.meaning for option in options.values())


FOUR_PARTS = (
    "<vis_desc>He frowns.</vis_desc>\n<aud_desc>He shouts.</aud_desc>\n<think>So he is angry.</think>\n"
    "<answer>angry</answer>"
)


def test_answers_in_other_parts_are_read_and_written(tmp_path: Path) -> None:
    four = AnswerFormat.spelled("vis_desc,aud_desc,think,answer")
    touch(tmp_path, "a.mp4")
    human = f"<video>\n<audio>\n{four.request(LABEL_INSTRUCTION)}"
    entries = [entry(str(tmp_path / "a.mp4"), human, FOUR_PARTS)]
    (tmp_path / "one.json").write_text(json.dumps(entries))
    (clip,) = read_release("r1omni_json", tmp_path / "one.json", answer_format=str(four)).clips
    assert clip.label == "angry" and clip.reasoning == FOUR_PARTS.removesuffix("\n<answer>angry</answer>")
    assert four.fault(clip.reasoning or "", "angry") is None
    r1omni_json.write(tmp_path / "two.json", [clip], four)
    assert json.loads((tmp_path / "two.json").read_text()) == entries


@pytest.mark.parametrize("reply", [FOUR_PARTS, "<mood>angry</mood><why>He shouts.</why>"])
def test_answers_in_other_parts_are_refused_by_the_papers_format_with_the_option_that_reads_them(
    tmp_path: Path, reply: str
) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    entries = [entry("a.mp4", "Which emotion?", reply), entry("b.mp4", "Which emotion?", "sad")]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    release = read_release("r1omni_json", tmp_path)
    assert [clip.label for clip in release.clips] == ["sad"]
    names = "vis_desc,aud_desc,think,answer" if reply == FOUR_PARTS else "mood,why"
    assert any(f"give --answer-format {names}" in text for text in release.warnings)
