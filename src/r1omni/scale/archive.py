"""Which clips an archive has, in a fixed order: a folder, a pattern, a table, a manifest, or object storage.

The list is written down once, a line per clip, before anything is answered: a run that goes on tomorrow, or on another
machine, has the same clips in the same order, and no archive has to fit in memory. A line holds

    id        unique: the path below the folder or pattern, or the manifest's own id
    path      absolute, or a URL that fsspec opens, such as s3://bucket/clips/a.mp4
    start_s, stop_s, label, subtitle, corpus   where the source gives them
    meta      of a manifest's: the cues of a made clip, whether its subtitle was drawn, and a folder's frame rate

A file on object storage is fetched when its batch comes, and removed after it.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DatasetError, ManifestError, MediaError
from r1omni.core.json_text import json_text
from r1omni.datasets.manifest import clip_from_record
from r1omni.datasets.release import read_release
from r1omni.datasets.tree import media_kind
from r1omni.runs.files import replaced_file

TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".json")
_KEPT = ("start_s", "stop_s", "label", "subtitle", "corpus")
_KEPT_META = ("cues", "subtitled", "frame_rate_fps")
_PLACE = Path(os.sep)
"""Stands for the file of a clip on object storage until it is fetched."""


@dataclass(frozen=True)
class ListedClip:
    """One line of the list."""

    clip: Clip
    """Its path is the file's own, or a stand-in where `url` is set."""
    url: str | None = None
    """Where the file lies, if not on this machine."""

    @property
    def place(self) -> str:
        """The path or URL."""
        return self.url or str(self.clip.path)

    def to_line(self) -> str:
        """Return its line of the list, without the line end."""
        known = {name: getattr(self.clip, name) for name in _KEPT if getattr(self.clip, name) is not None}
        meta = {name: self.clip.meta[name] for name in _KEPT_META if name in self.clip.meta}
        return json_text({"id": self.clip.id, "path": self.place, **known, **({"meta": meta} if meta else {})})

    @classmethod
    def from_line(cls, line: str | bytes) -> "ListedClip":
        """Read a line that `to_line` wrote.

        Args:
            line: one JSON object.
        """
        record = json.loads(line)
        url = record["path"] if _is_remote(record["path"]) else None
        path = _PLACE if url else Path(record["path"])
        known = {name: record[name] for name in (*_KEPT, "meta") if name in record}
        return cls(Clip(record["id"], path, **known), url)


@dataclass(frozen=True)
class Listing:
    """What is in a list that was written."""

    num_clips: int
    sha256: str
    """Of the list's bytes."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """Extension -> files that are no video, sound or picture by it."""
    warnings: tuple[str, ...] = ()
    """Of the table's adapter."""

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Listing":
        """Return the listing that a JSON file holds.

        Args:
            record: its fields.
        """
        return cls(record["num_clips"], record["sha256"], record["passed_over"], tuple(record["warnings"]))


def write_listing(source: str, path: Path) -> Listing:
    """List an archive's clips into a file.

    Ids are held to be unique, by eight bytes each.

    Args:
        source: see `AnnotationConfig.source`.
        path: the list; replaced where there is one.

    Raises:
        ConfigError: there is no such source, or object storage that needs a package that is not installed.
        DatasetError: it holds no clip, or the table cannot be read.
        ManifestError: a line of the manifest cannot be read, or two clips share an id.
    """
    passed_over: Counter[str] = Counter()
    warnings: list[str] = []
    num_clips, digest, seen = 0, hashlib.sha256(), set[bytes]()
    with replaced_file(path) as partial, partial.open("wb") as file:
        for listed in _listed(source, passed_over, warnings):
            name = hashlib.blake2b(listed.clip.id.encode(errors="surrogateescape"), digest_size=8).digest()
            if name in seen:
                raise ManifestError(f"{source}: two clips have the id {listed.clip.id!r}; ids must be unique.")
            seen.add(name)
            line = listed.to_line().encode() + b"\n"
            digest.update(line)
            file.write(line)
            num_clips += 1
        if not num_clips:
            others = ", ".join(f"{count} {suffix or 'without extension'}" for suffix, count in passed_over.items())
            raise DatasetError(f"{source}: found no video, sound or picture{f' (but {others})' if others else ''}.")
    return Listing(num_clips, digest.hexdigest(), dict(passed_over), tuple(warnings))


def read_listing(path: Path) -> Iterator[ListedClip]:
    """Yield the clips of a list, in its order.

    Args:
        path: what `write_listing` wrote.
    """
    with path.open("rb") as file:
        for line in file:
            yield ListedClip.from_line(line)


@contextmanager
def fetched(clips: Sequence[ListedClip]) -> Iterator[list[Clip | MediaError]]:
    """Lend clips with their files on this machine, or why a file could not be fetched.

    Args:
        clips: a batch.
    """
    with TemporaryDirectory(prefix="r1omni-") as folder:
        yield [
            listed.clip if listed.url is None else _fetch(listed, Path(folder) / str(number))
            for number, listed in enumerate(clips)
        ]


def _fetch(listed: ListedClip, folder: Path) -> Clip | MediaError:
    assert listed.url is not None
    target = folder / listed.url.rsplit("/", 1)[-1]
    folder.mkdir()
    try:
        with fsspec.open(listed.url, "rb") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)  # pyright: ignore[reportArgumentType]
    except Exception as error:  # noqa: BLE001 - each storage has its own errors; a clip's never ends the run
        return MediaError("unreadable", f"{listed.url}: could not be fetched ({type(error).__name__}: {error}).")
    return replace(listed.clip, path=target)


def _is_remote(source: str) -> bool:
    protocol, found, _ = source.partition("://")
    return bool(found) and protocol.isalnum() and len(protocol) > 1


def _listed(source: str, passed_over: Counter[str], warnings: list[str]) -> Iterator[ListedClip]:
    suffix = Path(source).suffix.lower()
    if suffix == ".jsonl":
        return _of_manifest(source)
    if _is_remote(source):
        return _of_files(_remote_files(source), passed_over)
    if os.path.isdir(source):
        return _of_files(_local_files(source), passed_over)
    if any(character in source for character in "*?[") and not os.path.exists(source):
        return _of_files(_matching_files(source), passed_over)
    if suffix in TABLES and os.path.isfile(source):
        release = read_release("table", source)
        warnings += release.warnings
        return map(ListedClip, release.clips)
    if os.path.isfile(source):
        return _of_files(iter([(os.path.basename(source), os.path.abspath(source))]), passed_over)
    raise ConfigError(
        f"{source}: no such archive; give a manifest (.jsonl), a table ({', '.join(TABLES)}), a folder, a pattern in "
        "quotes such as 'clips/*.mp4', or a URL such as s3://bucket/clips."
    )


def _of_files(files: Iterator[tuple[str, str]], passed_over: Counter[str]) -> Iterator[ListedClip]:
    """Turn (path below the source, path or URL) into clips; what is no media by its extension is counted."""
    for below, place in files:
        if media_kind(below) is None:
            passed_over[os.path.splitext(below)[1].lower()] += 1
        elif _is_remote(place):
            yield ListedClip(Clip(below, _PLACE), place)
        else:
            yield ListedClip(Clip(below, Path(place)))


def _local_files(folder: str) -> Iterator[tuple[str, str]]:
    """Every file below a folder, sorted folder by folder, hidden ones left out."""
    root = os.path.abspath(folder)
    for inner, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = os.path.join(inner, name)
            yield Path(os.path.relpath(path, root)).as_posix(), path


def _matching_files(pattern: str) -> Iterator[tuple[str, str]]:
    from glob import iglob

    fixed = os.path.abspath(pattern)
    while any(character in fixed for character in "*?["):
        fixed = os.path.dirname(fixed)
    for path in sorted(os.path.abspath(path) for path in iglob(pattern, recursive=True) if os.path.isfile(path)):
        yield Path(os.path.relpath(path, fixed)).as_posix(), path


def _remote_files(source: str) -> Iterator[tuple[str, str]]:
    protocol = source.partition("://")[0]
    try:
        filesystem, root = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from error
    has_pattern = any(character in root for character in "*?[")
    fixed = root
    while any(character in fixed for character in "*?["):
        fixed = fixed.rpartition("/")[0]
    try:
        found: Any = filesystem.glob(root) if has_pattern else filesystem.find(root)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source}: cannot be listed ({type(error).__name__}: {error}).") from error
    for path in sorted(found):
        below = path.removeprefix(fixed).strip("/") or path.rsplit("/", 1)[-1]
        yield below, f"{protocol}://{path.lstrip('/') if protocol != 'file' else path}"


def _of_manifest(source: str) -> Iterator[ListedClip]:
    try:
        with fsspec.open(source, "rb") as file:
            folder = Path(source).parent.resolve()
            for number, line in enumerate(file, start=1):  # pyright: ignore[reportArgumentType]
                if not line.strip():
                    continue
                try:
                    record = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
                    yield _from_record(record, source, folder)
                except (ManifestError, ValueError) as error:
                    raise ManifestError(f"{source}:{number}: {error}") from error
    except (OSError, ImportError) as error:
        raise ConfigError(f"{source}: cannot be read ({type(error).__name__}: {error}).") from error


def _from_record(record: object, source: str, folder: Path) -> ListedClip:
    """A manifest's clip; on object storage its path is relative to the manifest's URL."""
    path = record.get("path") if isinstance(record, dict) else None
    if isinstance(record, dict) and isinstance(path, str) and (_is_remote(path) or _is_remote(source)):
        url = path if _is_remote(path) else f"{source.rpartition('/')[0]}/{path}"
        return ListedClip(replace(clip_from_record(record, folder), path=_PLACE), url)
    return ListedClip(clip_from_record(record, folder))
