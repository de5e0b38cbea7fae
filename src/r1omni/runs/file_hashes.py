"""What a file holds, as one SHA-256, read once and then remembered by the file's path, size and times.

A file that changes while its clock stands still would keep its size and times: one whose last change is younger than
`SETTLED_AFTER_S` is hashed again at the next call instead of being remembered. Who sets a file's times back and also
keeps its size and inode still changes its ctime, which no program can set.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from r1omni.runs.shared_table import SharedTable, cache_folder

SETTLED_AFTER_S = 3.0
"""The coarsest clock in use (FAT) counts in steps of 2 s."""


@dataclass(frozen=True)
class FileStamp:
    """What tells one state of a file from another without reading it."""

    path: str
    """Absolute."""
    inode: int
    num_bytes: int
    mtime_ns: int
    ctime_ns: int
    seen_ns: int = field(compare=False)
    """When the file was looked at."""

    @property
    def is_settled(self) -> bool:
        """Whether any change made after the look shows in size or times."""
        return max(self.mtime_ns, self.ctime_ns) < self.seen_ns - SETTLED_AFTER_S * 1e9

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """Look at a file.

        Args:
            path: the file; links are followed.

        Raises:
            OSError: the file does not exist or cannot be inspected.
        """
        return cls._from(path, path.stat)

    @classmethod
    def _from(cls, path: Path, look: Callable[[], os.stat_result]) -> "FileStamp":
        seen_ns, status = time.time_ns(), look()
        return cls(
            os.path.abspath(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, seen_ns
        )


class FileHashes:
    """Hashes of files, remembered in a table that threads, processes and users share.

    Args:
        folder: where the table lies; None, or a folder that cannot be written, remembers in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._table = SharedTable(None if folder is None else folder / "file_hashes.sqlite3")

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes; a file that is remembered is not opened.

        Args:
            path: the file.

        Raises:
            OSError: the file cannot be read.
        """
        known = self.remembered(path)
        if known is not None:
            return known
        with path.open("rb") as file:
            stamp = FileStamp._from(path, lambda: os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            is_same = stamp == FileStamp._from(path, lambda: os.fstat(file.fileno()))
        if is_same and stamp.is_settled:
            self._table.put({_row("sha256", stamp): f"{_state(stamp)} {digest}"})
        return digest

    def remembered(self, path: Path) -> str | None:
        """Return a file's SHA-256 if it is remembered, without ever opening the file.

        Args:
            path: the file.

        Raises:
            OSError: there is no such file, or it cannot be looked at.
        """
        stamp = FileStamp.of(path)
        state, _, digest = (self._table.get(_row("sha256", stamp)) or "").partition(" ")
        return digest if digest and state == _state(stamp) and stamp.is_settled else None

    def derived(self, name: str, sources: Sequence[FileStamp], compute: Callable[[], str]) -> str:
        """Return something computed from files, remembered as long as they stay what they were.

        Args:
            name: what is computed, with everything else it depends on.
            sources: the files, as they were when they were read; empty remembers nothing.
            compute: returns it.
        """
        if not sources or not all(stamp.is_settled for stamp in sources):
            return compute()
        key = hashlib.sha256("|".join([name, *(f"{s.path}|{s.inode}|{_state(s)}" for s in sources)]).encode())
        row = f"derived|{key.hexdigest()}"
        known = self._table.get(row)
        if known is None:
            known = compute()
            self._table.put({row: known})
        return known


def shared_file_hashes() -> FileHashes:
    """Return the hashes that all of this package remembers, under the cache folder."""
    return _hashes_under(cache_folder())


@cache
def _hashes_under(folder: Path | None) -> FileHashes:
    return FileHashes(folder)


def _row(kind: str, stamp: FileStamp) -> str:
    # Hosts that share the table may have different files under one path; their inodes differ.
    return f"{kind}|{stamp.inode}|{stamp.path}"


def _state(stamp: FileStamp) -> str:
    return f"{stamp.num_bytes}:{stamp.mtime_ns}:{stamp.ctime_ns}"
