"""Files are whole or absent, lines are whole or cut off, and killed writers leave nothing for long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1omni.core.errors import WriteError
from r1omni.runs.files import (
    ABANDONED_AFTER_S,
    append_lines,
    append_rows,
    read_rows,
    remove_folder,
    repair,
    replaced_file,
    replaced_folder,
    rewind,
    sweep,
    write_json,
    write_text,
)
from small_disk import small_files_only

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from r1omni.runs.files import replaced_file, replaced_folder
folder = Path(sys.argv[1])
with replaced_file(folder / "a.txt") as file, replaced_folder(folder / "model") as model:
    file.write_text("half")
    (model / "weights").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(folder: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED_WRITER, str(folder)]).returncode == -9


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), replaced_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_file_that_holds_the_bytes_already_is_not_touched(tmp_path: Path):
    write_text(tmp_path / "a.txt", "same")
    before = (tmp_path / "a.txt").stat()
    write_text(tmp_path / "a.txt", "same")
    after = (tmp_path / "a.txt").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    write_text(tmp_path / "a.txt", "more")
    assert (tmp_path / "a.txt").stat().st_ino != before.st_ino


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path: Path):
    write_json(tmp_path / "a.json", {"kl": float("nan"), "rows": [1.5, (float("inf"),)]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"kl": None, "rows": [1.5, [None]]}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path):
    for content in ("first", "second"):
        with replaced_folder(tmp_path / "deep/model") as partial:
            (partial / content).write_text(content)
    assert names(tmp_path / "deep") == ["model"] and names(tmp_path / "deep/model") == ["second"]
    with pytest.raises(ZeroDivisionError), replaced_folder(tmp_path / "deep/model") as partial:
        (partial / "third").write_text("")
        raise ZeroDivisionError
    assert names(tmp_path / "deep") == ["model"] and names(tmp_path / "deep/model") == ["second"]


def test_removing_a_folder_that_is_absent_is_no_error(tmp_path: Path):
    remove_folder(tmp_path / "nothing")
    (tmp_path / "full/inner").mkdir(parents=True)
    remove_folder(tmp_path / "full")
    assert names(tmp_path) == []


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o007, 0o660, 0o770)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, file_mode: int, folder_mode: int):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "a")
        append_lines(tmp_path / "b.jsonl", ["{}"])
        with replaced_folder(tmp_path / "c"):
            pass
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a.txt", "b.jsonl", "c")]
    assert modes == [file_mode, file_mode, folder_mode]


def test_a_full_disk_is_a_sentence_and_keeps_the_old_file(tmp_path: Path):
    write_text(tmp_path / "a.txt", "old")
    with small_files_only(10), pytest.raises(WriteError, match=r"a\.txt could not be written: .*Free some space"):
        write_text(tmp_path / "a.txt", "new" * 10)
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_line_that_a_full_disk_cut_is_repaired(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    append_rows(path, [{"step": 1}])  # 12 bytes with the line end
    with small_files_only(20), pytest.raises(WriteError, match="could not be written"):
        append_rows(path, [{"step": 2}])
    assert path.stat().st_size == 20 and read_rows(path) == [{"step": 1}]
    repair(path)
    append_rows(path, [{"step": 3}])
    assert read_rows(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_repair_finds_the_last_whole_line_however_long_the_cut_one_is(tmp_path: Path, length: int):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n" + b"x" * length)
    repair(path)
    assert path.read_bytes() == b"{}\n"
    path.write_bytes(b"x" * length)
    repair(path)
    assert path.read_bytes() == b""


def test_repair_and_rewind_pass_over_a_file_that_is_absent(tmp_path: Path):
    repair(tmp_path / "rows.jsonl")
    rewind(tmp_path / "rows.jsonl", lambda row: True)
    assert read_rows(tmp_path / "rows.jsonl") == [] and names(tmp_path) == []


def test_rewind_keeps_whole_lines_that_hold_a_line_separator(tmp_path: Path):
    path = tmp_path / "samples.jsonl"
    rows = [{"step": step, "text": "a\u2028b\r\nc"} for step in (1, 2, 3)]
    append_rows(path, rows)
    append_lines(path, ['{"step": 4'])
    rewind(path, lambda row: row["step"] <= 2)
    assert read_rows(path) == rows[:2] and path.read_bytes().count(b"\n") == 2


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path):
    killed_writer(tmp_path)
    (tmp_path / "notes.partial").write_text("the user's own")
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert len(left) == 2 and not (tmp_path / "a.txt").exists() and not (tmp_path / "model").exists()
    with replaced_file(tmp_path / "b.txt") as partial:
        partial.write_text("being written")
        sweep(tmp_path)
    assert names(tmp_path) == ["b.txt", "notes.partial"]


def test_a_writer_on_another_host_is_left_a_day(tmp_path: Path):
    killed_writer(tmp_path)
    other = []
    for path in [path for path in tmp_path.iterdir() if path.name.startswith(".")]:
        other.append(path.with_name(f".00000000{path.name[9:]}"))
        path.rename(other[-1])
    sweep(tmp_path)
    assert all(path.exists() for path in other)
    file, folder = sorted(other, key=Path.is_dir)
    aged_s = file.stat().st_mtime - ABANDONED_AFTER_S - 60
    os.utime(file, (aged_s, aged_s))
    os.utime(folder, (aged_s, aged_s))  # the file within was written just now: somebody may be at work
    sweep(tmp_path)
    assert not file.exists() and folder.exists()
    os.utime(folder / "weights", (aged_s, aged_s))
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_sweeping_a_folder_that_is_absent_is_no_error(tmp_path: Path):
    sweep(tmp_path / "nothing")
