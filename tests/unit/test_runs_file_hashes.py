"""Hashes of files, remembered by path, size and times."""

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from other_user import give_write_rights, open_folder, run_as_other_user, take_write_rights
from r1omni.runs.file_hashes import SETTLED_AFTER_S, FileHashes, FileStamp, shared_file_hashes
from r1omni.runs.shared_table import SharedTable

OLD_NS = int((time.time() - 1000) * 1e9)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Settled(FileHashes):
    """Takes what was written a moment ago for old: a ctime cannot be set back."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder)
        monkeypatch.setattr(time, "time_ns", lambda: int((time.time() + 10 * SETTLED_AFTER_S) * 1e9))


@pytest.fixture
def settled(tmp_path, monkeypatch):
    return Settled(tmp_path / "cache", monkeypatch)


class Watched(type(Path())):
    """A path that counts how often it is opened."""

    times_opened = 0

    def open(self, *arguments, **options):
        Watched.times_opened += 1
        return super().open(*arguments, **options)


def test_a_remembered_file_is_not_opened(tmp_path, settled):
    path = Watched(tmp_path / "clip.mp4")
    path.write_bytes(b"pictures")
    before = Watched.times_opened
    assert settled.sha256(path) == settled.sha256(path) == sha256(b"pictures")
    assert FileHashes(tmp_path / "cache").sha256(path) == sha256(b"pictures")
    assert Watched.times_opened == before + 1


def test_another_content_of_the_same_size_is_seen(tmp_path, settled):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"first!")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    assert settled.sha256(path) == sha256(b"first!")
    time.sleep(0.02)
    path.write_bytes(b"second")
    os.utime(path, ns=(OLD_NS, OLD_NS))  # size, mtime and inode are as before; only the ctime tells
    assert settled.sha256(path) == sha256(b"second")


def test_a_file_changed_a_moment_ago_is_not_remembered(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"first!")
    hashes = FileHashes(tmp_path / "cache")
    hashes.sha256(path)
    assert hashes.remembered(path) is None


def test_a_file_in_place_of_another_is_seen(tmp_path, settled):
    for content in (b"first!", b"second"):
        (tmp_path / "new").write_bytes(content)
        os.replace(tmp_path / "new", tmp_path / "clip.mp4")
        assert settled.sha256(tmp_path / "clip.mp4") == sha256(content)


def test_what_was_derived_from_files_holds_while_they_stay(tmp_path, settled):
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    computed = []

    def compute() -> str:
        computed.append(1)
        return f"value {len(computed)}"

    first = FileStamp.of(path)
    assert settled.derived("a", [first], compute) == settled.derived("a", [first], compute) == "value 1"
    assert settled.derived("b", [first], compute) == "value 2"
    time.sleep(0.02)
    path.write_bytes(b"2")
    assert settled.derived("a", [FileStamp.of(path)], compute) == "value 3"
    assert settled.derived("a", [first], compute) == "value 1"  # of what was read before the change
    assert settled.derived("a", [], compute) == "value 4"


def test_a_stamp_of_a_fresh_file_stays_unsettled(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    stamp = FileStamp.of(path)
    assert not stamp.is_settled
    assert stamp == FileStamp.of(path)


def test_a_missing_file_is_an_error(tmp_path, settled):
    with pytest.raises(FileNotFoundError):
        settled.sha256(tmp_path / "none")


def test_a_folder_that_cannot_be_made_remembers_in_memory(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    hashes = Settled(tmp_path / "file" / "cache", monkeypatch)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"pictures")
    assert hashes.sha256(path) == sha256(b"pictures") == hashes.remembered(path)


def test_another_users_hashes_are_read_and_left_alone(monkeypatch):
    with open_folder() as folder:
        path, other = folder / "clip.mp4", folder / "other.mp4"
        path.write_bytes(b"pictures")
        other.write_bytes(b"other")
        Settled(folder / "cache", monkeypatch).sha256(path)
        take_write_rights(folder / "cache")

        def act() -> None:
            hashes = FileHashes(folder / "cache")
            assert hashes.remembered(path) == sha256(b"pictures")
            assert hashes.sha256(other) == hashes.remembered(other) == sha256(b"other")

        run_as_other_user(act)
        give_write_rights(folder / "cache")
        assert FileHashes(folder / "cache").remembered(other) is None


def test_the_table_follows_the_umask(tmp_path):
    before = os.umask(0o002)
    try:
        SharedTable(tmp_path / "new" / "table.sqlite3").put({"key": "text"})
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "table.sqlite3").stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o775


@pytest.mark.parametrize("damage", [b"no database" * 100, b""])
def test_a_damaged_table_starts_anew(tmp_path, damage):
    path = tmp_path / "table.sqlite3"
    SharedTable(path).put({"key": "text"})
    path.write_bytes(damage)
    table = SharedTable(path)
    assert table.get("key") is None
    table.put({"key": "again"})
    assert table.get("key") == SharedTable(path).get("key") == "again"


def _count_up(path: Path, times: int) -> None:
    table = SharedTable(path)
    for _ in range(times):
        with table.exclusive():
            table.put({"count": str(int(table.get("count") or 0) + 1)})


def test_processes_count_together(tmp_path):
    path = tmp_path / "table.sqlite3"
    SharedTable(path).put({"count": "0"})
    workers = [multiprocessing.get_context("fork").Process(target=_count_up, args=(path, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert SharedTable(path).get("count") == "150"


def test_a_table_serves_on_after_a_fork(tmp_path):
    table = SharedTable(tmp_path / "table.sqlite3")
    table.put({"parent": "1"})

    def act() -> None:
        assert table.get("parent") == "1"
        table.put({"child": "1"})

    child = multiprocessing.get_context("fork").Process(target=act)
    child.start()
    child.join()
    assert child.exitcode == 0 and table.get("child") == table.get("parent") == "1"


def test_the_shared_hashes_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "mine"))
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"pictures")
    assert shared_file_hashes().sha256(path) == sha256(b"pictures")
    assert shared_file_hashes() is shared_file_hashes()
