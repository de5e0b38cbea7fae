"""The one way files are written: whole or not at all, or line by line.

    replaced_file, replaced_folder    written under a temporary name and renamed
    write_text, write_bytes, write_json, write_json_once
    append_lines, append_rows         one write per call, flushed; a kill can cut only the last line
    repair, rewind, rewind_to, read_rows    what a killed writer of lines left
    sweep                             removes the temporary files and folders of writers that were killed

A temporary name is `.<host>-<process>-<random>.partial`, beside its target. Permissions follow the umask. Left out on
purpose: fsync. A kill at any moment is survived; a power failure may cost the last seconds.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from r1omni.core.errors import WriteError
from r1omni.core.json_text import json_text

ABANDONED_AFTER_S = 24 * 3600
"""A temporary file that nobody has touched for this long belongs to no living writer, on whatever host."""

_PARTIAL = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.partial")
_BLOCK_BYTES = 1 << 16


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; the file gets its name when the block ends, and is gone if it fails.

    Args:
        path: the file; its folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_beside(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder to write into; it gets its name when the block ends, and is gone if it fails.

    Args:
        path: the folder; one that exists is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_beside(path)
    partial.mkdir()
    try:
        yield partial
        remove_folder(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, renamed first, so that a kill leaves no half-removed folder under a good name.

    Args:
        path: the folder; need not exist.
    """
    doomed = _partial_beside(path)
    with suppress(FileNotFoundError):
        os.replace(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; nothing is touched where it holds these bytes already.

    Args:
        path: the file; its folder is made where it is missing.
        content: its bytes.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    try:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        with replaced_file(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise _write_error(path, error) from error


def write_text(path: Path, content: str) -> None:
    """Write a text file as UTF-8; see `write_bytes`.

    Args:
        path: the file.
        content: its text; line ends are kept as they are.
    """
    write_bytes(path, content.encode())


def write_json(path: Path, value: object, *, indent: int | None = 1) -> None:
    """Write one JSON document; numbers that are not finite become null. See `write_bytes`.

    Args:
        path: the file.
        value: what JSON can hold.
        indent: spaces per level; None writes one line.
    """
    write_text(path, json_text(value, indent=indent) + "\n")


def write_json_once(path: Path, value: object) -> bool:
    """Write a JSON document unless there is a file of that name; of several writers at once, exactly one does.

    Args:
        path: the file.
        value: what JSON can hold.

    Returns:
        Whether this call wrote it.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial_beside(path)
        try:
            partial.write_text(json_text(value, indent=1) + "\n", encoding="utf-8")
            try:
                os.link(partial, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links: two writers at the same instant are not told apart
                if path.exists():
                    return False
                os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(path, error) from error
    return True


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file in one write.

    Args:
        path: the file; made where it is missing.
        lines: without their line ends; none may hold a line feed.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        with path.open("ab", buffering=0) as file:
            while content:
                content = content[file.write(content) :]
    except OSError as error:
        raise _write_error(path, error) from error


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add a JSON object per line; numbers that are not finite become null. See `append_lines`.

    Args:
        path: a JSONL file.
        rows: its new lines.
    """
    append_lines(path, (json_text(row) for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the JSON objects of a JSONL file up to the first line that was cut; nothing where there is no file.

    Args:
        path: the file.
    """
    rows = []
    for line in _whole_lines(path):
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def repair(path: Path) -> None:
    """Cut off a half-written last line, so that appending goes on with a whole one.

    Args:
        path: a file of lines; need not exist.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            if (last := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + last + 1
                break
            end = start
        file.truncate(end)


def rewind(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the lines of a JSONL file that are not to be kept, and everything from the first line that was cut.

    Args:
        path: the file; need not exist.
        keep: called with each row.
    """
    if not path.exists():
        return
    kept = []
    for line in _whole_lines(path):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if keep(row):
            kept.append(line + b"\n")
    write_bytes(path, b"".join(kept))


def rewind_to(path: Path, num_lines: int) -> None:
    """Keep the first lines of a file and drop the others.

    Args:
        path: a file of lines.
        num_lines: how many are kept.
    """
    write_bytes(path, b"".join(line + b"\n" for line in _whole_lines(path)[:num_lines]))


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder: temporary names of this package that surely nobody writes to.

    That is: of a process of this host that is gone, or untouched for a day. What cannot be removed stays.

    Args:
        folder: looked through itself, not below; need not exist.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if (name := _PARTIAL.fullmatch(path.name)) and _is_abandoned(path, name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()


def _is_abandoned(path: Path, name: re.Match[str]) -> bool:
    if name["host"] == _host() and not _is_alive(int(name["process"])):
        return True
    touched_s = 0.0
    with suppress(OSError):
        for file in (path, *path.rglob("*")):
            touched_s = max(touched_s, file.lstat().st_mtime)
        return time.time() - touched_s > ABANDONED_AFTER_S
    return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@cache
def _host() -> str:
    """Name where process numbers are shared: the machine and, in a container, its own numbering."""
    numbering = ""
    with suppress(OSError):
        numbering = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()} {numbering}".encode()).hexdigest()[:8]


def _partial_beside(path: Path) -> Path:
    return path.with_name(f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}.partial")


def _whole_lines(path: Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    return content.split(b"\n")[:-1]


def _write_error(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"{path} could not be written: {error.strerror or error}. Free some space, or make the folder writable, then "
        "start the same command again; it goes on where it stopped."
    )
