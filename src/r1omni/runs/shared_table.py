"""A table of short texts in one SQLite file, shared by threads, processes and users.

It only ever remembers what can be computed again, so no failure of the file is an error of the caller: a table that
cannot be written is still read, and takes new rows in memory; one that cannot be read is empty. A damaged file of our
own is started anew.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_TIMEOUT_S = 60.0
"""How long to wait for another process's write; a scan of a large folder may happen within one."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def cache_folder() -> Path | None:
    """Return the folder of everything this package keeps between runs; it need not exist.

    `$R1OMNI_CACHE`, else `~/.cache/r1omni`; None where there is no home.
    """
    with suppress(RuntimeError):
        return Path(os.environ.get("R1OMNI_CACHE") or "~/.cache/r1omni").expanduser()
    return None


def remove_own(path: Path) -> bool:
    """Remove a file if it belongs to this user; tell whether it is gone.

    Args:
        path: the file.
    """
    try:
        if hasattr(os, "getuid") and path.lstat().st_uid != os.getuid():
            return False
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class SharedTable:
    """Keys and their texts.

    Args:
        path: the SQLite file, made where it is missing, with the permissions of the umask; None keeps all in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._is_exclusive = False
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._of_parents: list[sqlite3.Connection | None] = []
        self._memory: dict[str, str] = {}

    def __del__(self) -> None:
        """Close the file; a connection that a fork inherited is left alone."""
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None and self._process == os.getpid():
            connection.close()

    def get(self, key: str) -> str | None:
        """Return a key's text; None for an unknown key."""
        with self._lock:
            if key in self._memory:
                return self._memory[key]
            try:
                connection = self._open()
                if connection is None:
                    return None
                row = connection.execute("SELECT text FROM texts WHERE key = ?", (key,)).fetchone()
                return None if row is None else row[0]
            except sqlite3.Error as error:
                self._start_anew_if_damaged(error)
                return None

    def put(self, rows: Mapping[str, str]) -> None:
        """Add or replace rows, all at once."""
        with self.exclusive():
            try:
                if self._connection is not None and self._connection.in_transaction:
                    self._connection.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", rows.items())
                    for key in rows:
                        self._memory.pop(key, None)
                    return
            except sqlite3.Error as error:
                self._start_anew_if_damaged(error)
            self._memory.update(rows)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep all other writers out for the length of a block: threads, processes and users.

        Where the file cannot be written, only the other threads of this process are kept out.
        """
        with self._lock:
            if self._is_exclusive:
                yield
                return
            self._is_exclusive = True
            self._begin()
            try:
                yield
            finally:
                self._is_exclusive = False
                if self._connection is not None and self._connection.in_transaction:
                    try:
                        self._connection.execute("COMMIT")
                    except sqlite3.Error:
                        with suppress(sqlite3.Error):
                            self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        """Open a transaction that keeps other writers out, where the file can be written."""
        for _ in range(2):
            try:
                connection = self._open()
                if connection is not None:
                    connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                if not self._start_anew_if_damaged(error):
                    return

    def _open(self) -> sqlite3.Connection | None:
        if self._process != os.getpid():
            # A connection must not be used after a fork, not even to be closed.
            self._of_parents.append(self._connection)
            self._connection, self._process = None, os.getpid()
        if self._connection is not None or self.path is None:
            return self._connection
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite itself would make it 0644 whatever the umask allows.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        except OSError:
            if not os.access(self.path, os.R_OK):
                return None
        connection = sqlite3.connect(self.path, timeout=_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            # A power failure may cost the file, which can be computed again; commits are many.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _start_anew_if_damaged(self, error: sqlite3.Error) -> bool:
        """Remove a damaged file of our own; tell whether that was it."""
        if self.path is None or getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            return False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return remove_own(self.path)
