"""Features on disk, so that a clip passes the frozen towers once in the life of a project.

An entry is one side of one clip, its pictures or its sound, whatever modality was asked for, with the record of what
was read of it. Its name is the hash of all that shaped it (`Encoder` makes the names). It is written under a temporary
name and renamed: a reader never sees half of one, and any number of writers may race.

A full cache keeps a stable subset. What this process has read or written lately stays, and a new entry is not admitted
in its place: of a set twice as large as the cache, a shuffled pass then finds half, where replacing the entry read
least recently would leave it with next to nothing. Entries that nobody has read since this process began go first, the
least recently read before the others. Then go those that were not asked for during `PATIENCE` times as many look-ups
as there are entries, so that a process that runs for weeks does not keep what it read on its first day. In shuffled
passes over a set up to half of `PATIENCE` times as large as the cache, two look-ups of an entry are never so far apart.

Other users' folders are read without harm. What cannot be opened is a miss; only a damaged entry of our own is removed.
"""

import json
import os
import shutil
import threading
import time
from collections import OrderedDict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.runs.files import replaced_file, sweep
from r1omni.runs.shared_table import SharedTable, remove_own

DEFAULT_CACHE_BYTES = 20 * 2**30
NOTHING = torch.empty(0)
"""The entry of a side that the clip does not have."""
ENTRY_VERSION = 2
"""Raise it with every change of what an entry holds: it is part of the names."""

PATIENCE = 16
"""Look-ups, in entries of this process, after which one that was not asked for may go."""

_TENSOR = "features"
_READ = "read"
_TOTAL = "bytes"


class _NoRoom(Exception):
    """Leaves a write that is not to happen."""


class _Use(NamedTuple):
    """The last time that this process read or wrote an entry."""

    look_up: int
    """Its number."""
    time_ns: int
    """What the file then said; a later time is another process's reading."""


@dataclass(frozen=True)
class CachedSide:
    """An entry."""

    features: Tensor
    """Of one side of a clip; empty where the clip does not have it."""
    read: MediaRead
    """What was read of that side."""


class FeatureCache:
    """A folder of features.

    Args:
        folder: made when something is written; may be shared by any number of processes and users.
        max_bytes: bound on the size of all entries together, whoever wrote them.
    """

    def __init__(self, folder: str | Path, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._began_ns = time.time_ns()
        self._used: OrderedDict[str, _Use] = OrderedDict()
        """What this process has read or written, the least recent first."""
        self._num_look_ups = 0
        self._uses_lock = threading.Lock()
        """Guards both."""
        self._lock = threading.Lock()
        self._account = SharedTable(self.folder / "size.sqlite3")
        self._unread: list[Path] | None = None

    def get(self, key: str) -> CachedSide | None:
        """Return an entry, or None if there is no readable one.

        Args:
            key: its name.
        """
        path = self._path(key)
        with self._uses_lock:
            self._num_look_ups += 1
        try:
            with path.open("rb") as file:
                content, inode = file.read(), os.fstat(file.fileno()).st_ino
        except OSError:
            return None
        try:
            tensors = load(content)
            found = CachedSide(tensors[_TENSOR], MediaRead.from_json(json.loads(bytes(tensors[_READ].tolist()))))
        except (SafetensorError, KeyError, ValueError, TypeError):
            self._remove_damaged(path, inode, len(content))
            return None
        self._use(key, path)
        return found

    def put(self, key: str, features: Tensor, read: MediaRead = NOTHING_READ) -> bool:
        """Write an entry, if there is room for it; tell whether it was written.

        Args:
            key: its name.
            features: what is kept, or `NOTHING`.
            read: what was read of the side.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing half-written is left.
        """
        self._begin_account()
        if not self._may_fit(features.nbytes):
            return False
        said = torch.tensor(list(json.dumps(read.to_json()).encode()), dtype=torch.uint8)
        content = save({_TENSOR: features.contiguous(), _READ: said})
        path = self._path(key)
        try:
            with ExitStack() as account:
                with replaced_file(path) as partial:
                    partial.write_bytes(content)
                    time_ns = _touch(partial)
                    account.enter_context(self._account.exclusive())
                    previous = _size(path)
                    if not self._make_room(len(content) - previous):
                        raise _NoRoom
                self._add(len(content) - previous)
        except _NoRoom:
            return False
        self._note_use(key, time_ns)
        return True

    def keep(self, keys: list[str]) -> int:
        """Mark entries as used by this run, so that none of them goes for a new one; return how many there are.

        Args:
            keys: their names; entries that do not exist are passed over.
        """
        found = [key for key in keys if self._path(key).exists()]
        for key in found:
            self._use(key, self._path(key))
        return len(found)

    @property
    def num_bytes(self) -> int:
        """Size of all entries, as far as this process and those beside it have counted."""
        return int(self._account.get(_TOTAL) or 0)

    def free_bytes(self) -> int | None:
        """Return what the disk has free; None where that cannot be found out."""
        for folder in (self.folder, *self.folder.absolute().parents):
            with suppress(OSError):
                return shutil.disk_usage(folder).free
        return None

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _use(self, key: str, path: Path) -> None:
        self._note_use(key, _touch(path))

    def _note_use(self, key: str, time_ns: int) -> None:
        with self._uses_lock:
            self._used[key] = _Use(self._num_look_ups, time_ns)
            self._used.move_to_end(key)

    def _remove_damaged(self, path: Path, inode: int, num_bytes: int) -> None:
        """Remove a file of our own, unless a good one has taken its name meanwhile."""
        with self._account.exclusive(), suppress(OSError):
            if path.stat().st_ino == inode and remove_own(path) and self._account.get(_TOTAL):
                self._add(-num_bytes)

    def _begin_account(self) -> None:
        """Look through the folder, once in a process: what lies there, and what nobody has read since it began."""
        with self._lock:
            if self._unread is not None:
                return
            # No writer can rename anything meanwhile, so the sum is exact whoever writes.
            with self._account.exclusive():
                entries = []
                with suppress(OSError):
                    for part in sorted(self.folder.iterdir()):
                        sweep(part)
                        entries += _entries(part)
                self._account.put({_TOTAL: str(sum(size for _, size, _ in entries))})
            entries.sort(reverse=True)
            self._unread = [path for read_ns, _, path in entries if read_ns < self._began_ns]

    def _may_fit(self, num_bytes: int) -> bool:
        may_remove = bool(self._unread) or self._is_first_stale()
        return num_bytes <= self.max_bytes and (may_remove or self.num_bytes + num_bytes <= self.max_bytes)

    def _make_room(self, num_bytes: int) -> bool:
        """Remove entries that are no longer read until so many bytes fit; the lock of the account is held."""
        while self._unread and self.num_bytes + num_bytes > self.max_bytes:
            path = self._unread.pop()
            if path.stem not in self._used:
                self._remove(path, self._began_ns - 1)
        while self.num_bytes + num_bytes > self.max_bytes and self._is_first_stale():
            with self._uses_lock:
                key, use = self._used.popitem(last=False)
            read_ns = self._remove(self._path(key), use.time_ns)
            if read_ns is not None:  # by another process, which counts like a reading of this one
                self._note_use(key, read_ns)
        return self.num_bytes + num_bytes <= self.max_bytes

    def _is_first_stale(self) -> bool:
        """Whether the entry that this process used least recently may go."""
        with self._uses_lock:
            first = next(iter(self._used.values()), None)
            return first is not None and self._num_look_ups - first.look_up > PATIENCE * len(self._used)

    def _remove(self, path: Path, unless_after_ns: int) -> int | None:
        """Remove an entry, unless it was read after a time: then return when."""
        with suppress(OSError):
            status = path.stat()
            if status.st_mtime_ns > unless_after_ns:
                return status.st_mtime_ns
            path.unlink()
            self._add(-status.st_size)
        return None

    def _add(self, num_bytes: int) -> None:
        with self._account.exclusive():
            self._account.put({_TOTAL: str(max(0, self.num_bytes + num_bytes))})


@dataclass(frozen=True)
class CacheRoom:
    """How much room a set of clips needs in the cache, and how much there is."""

    num_clips: int
    num_cached: int
    """Of these, how many are known to be in the cache already."""
    bytes_per_clip: int
    """Of a clip with everything that is read."""
    cache_bytes: int
    """What is configured."""
    free_bytes: int | None
    """What the disk has free; None where that cannot be found out."""

    @property
    def needed_bytes(self) -> int:
        """Of all clips."""
        return self.num_clips * self.bytes_per_clip

    @property
    def num_fitting(self) -> int:
        """Clips that fit what is configured."""
        return min(self.num_clips, self.cache_bytes // self.bytes_per_clip)

    def __str__(self) -> str:
        """Return one or two sentences for the user."""
        said = (
            f"The features of {self.num_clips:,} clips need {_gib(self.needed_bytes)} "
            f"({self.bytes_per_clip / 1e6:.1f} MB each); the cache may take {_gib(self.cache_bytes)}"
        )
        if self.num_cached:
            said += f" and holds {self.num_cached:,} of them already"
        said += "."
        missing_bytes = (self.num_fitting - min(self.num_fitting, self.num_cached)) * self.bytes_per_clip
        if self.num_fitting < self.num_clips:
            said += (
                f" That is room for {self.num_fitting:,}: the towers will run for the other "
                f"{self.num_clips - self.num_fitting:,} in every pass. To keep all, set engine.cache_bytes to "
                f"{self.needed_bytes:,}."
            )
        if self.free_bytes is not None and self.free_bytes < missing_bytes:
            said += (
                f" The disk has only {_gib(self.free_bytes)} free, where {_gib(missing_bytes)} more would be written: "
                "free some space, or put the cache elsewhere with engine.cache_dir."
            )
        return said


def _entries(folder: Path) -> list[tuple[int, int, Path]]:
    """Time of the last reading, size and path of each entry in a folder."""
    found = []
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if file.name.endswith(".safetensors"):
                with suppress(OSError):
                    status = file.stat()
                    found.append((status.st_mtime_ns, status.st_size, Path(file.path)))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _touch(path: Path) -> int:
    """Note the time of reading, as well as the owner's rights allow; return a time that the file's does not exceed.

    The kernel's own clock is milliseconds coarse.
    """
    now_ns = time.time_ns()
    try:
        os.utime(path, ns=(now_ns, now_ns))
    except OSError:
        with suppress(OSError):
            os.utime(path)
    return time.time_ns()


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"
