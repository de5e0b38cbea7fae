"""The manifest: a JSONL file, one clip per line, that every later stage reads.

Paths are relative to the manifest's own folder, so that a corpus and its manifest move together; absolute paths are
kept. Empty fields are left out; a blank text, such as a label of spaces, is read as an empty field. Labels are names,
ids are text, and an unknown field is an error: free fields belong under `meta`.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.errors import ManifestError
from r1omni.runs.files import write_bytes

FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Clip))
"""The fields of a manifest line, in the order in which they are written."""

_TEXT = ("label", "reasoning", "subtitle", "split", "corpus")
_SECONDS = ("start_s", "stop_s")


def read_manifest(path: Path | str) -> list[Clip]:
    """Read every clip, with absolute paths; the clips' files are not opened.

    Args:
        path: the JSONL file, UTF-8.

    Raises:
        ManifestError: there is no such file, or a line cannot be read; the message gives the file, the line number,
            what was found and what was expected.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(
            f"{path}: no such manifest; write one with `r1omni data CORPUS --root DIR --out {path.name}`"
        ) from error
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read as a manifest ({error.strerror}); expected a JSONL file"
        ) from error
    folder = path.parent.resolve()
    clips: list[Clip] = []
    line_of_id: dict[str, int] = {}
    # Split on the byte, not with splitlines: a subtitle may contain U+2028.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            clip = clip_from_record(json.loads(line.decode("utf-8")), folder)
            if clip.id in line_of_id:
                raise ManifestError(f"duplicate id {clip.id!r}, as on line {line_of_id[clip.id]}; ids must be unique")
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}:{number}: not UTF-8 ({error.reason}); save the manifest as UTF-8") from error
        except json.JSONDecodeError as error:
            raise ManifestError(
                f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); expected one JSON object per line"
            ) from error
        except ManifestError as error:
            raise ManifestError(f"{path}:{number}: {error}") from error
        except (RecursionError, OverflowError, ValueError) as error:
            raise ManifestError(
                f"{path}:{number}: cannot be read ({error}); expected a line as an adapter writes it"
            ) from error
        line_of_id[clip.id] = number
        clips.append(clip)
    return clips


def write_manifest(path: Path | str, clips: Iterable[Clip]) -> None:
    """Write clips with paths relative to the manifest's folder, to a temporary file that is renamed when complete.

    Args:
        path: the file to write; its folder is created if missing.
        clips: clips with unique ids.

    Raises:
        ManifestError: two clips share an id, or a clip holds a value that JSON cannot.
    """
    path = Path(path)
    folder = path.parent.resolve()
    resolved: dict[Path, Path] = {}
    lines: list[bytes] = []
    ids: set[str] = set()
    for clip in clips:
        if clip.id in ids:
            raise ManifestError(f"{path}: two clips have the id {clip.id!r}; ids must be unique within a manifest")
        ids.add(clip.id)
        parent = clip.path.parent
        # Only the folder is resolved, not the file: a link's own name has the clip's extension.
        resolved.setdefault(parent, parent.resolve())
        lines.append(_line(clip, os.path.relpath(resolved[parent] / clip.path.name, folder), path))
    write_bytes(path, b"".join(lines))


def manifest_hash(path: Path | str) -> str:
    """Return the SHA-256 of the file's bytes, in hexadecimal, as run folders record it.

    Args:
        path: the manifest.

    Raises:
        ManifestError: the file cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); expected a manifest") from error


def clip_from_record(record: object, folder: Path) -> Clip:
    """Build a clip from one decoded manifest line.

    Args:
        record: the JSON value.
        folder: relative paths are resolved against it.

    Raises:
        ManifestError: a field is missing, unknown or of the wrong type; the message does not name the file.
    """
    if not isinstance(record, dict):
        raise ManifestError(f"found a JSON {type(record).__name__}; expected an object with at least `id` and `path`")
    if unknown := sorted(set(record) - set(FIELDS)):
        raise ManifestError(
            f"unknown field {', '.join(unknown)}; expected {', '.join(FIELDS)}; put others under `meta`"
        )
    record = {key: value for key, value in record.items() if not (value is None or (key in _TEXT and _is_blank(value)))}
    for key in ("id", "path"):
        if not isinstance(record.get(key), str) or not record[key]:
            raise ManifestError(f"`{key}` is {record.get(key)!r}; expected a non-empty string")
    for key in _TEXT:
        if not isinstance(record.get(key, ""), str):
            raise ManifestError(f"`{key}` is {record[key]!r}; expected a string: names, never numeric ids")
    for key in _SECONDS:
        value = record.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ManifestError(f"`{key}` is {value!r}; expected seconds from the file's beginning, 0 or more")
    if record.get("stop_s", math.inf) <= record.get("start_s", 0.0):
        raise ManifestError(f"`stop_s` {record['stop_s']} is not after `start_s` {record.get('start_s', 0.0)}")
    labels = record.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ManifestError(f"`labels` is {labels!r}; expected a list of strings")
    fold = record.get("fold", 0)
    if isinstance(fold, bool) or not isinstance(fold, int):
        raise ManifestError(f"`fold` is {fold!r}; expected an integer")
    if not isinstance(record.get("meta", {}), dict):
        raise ManifestError(f"`meta` is {record['meta']!r}; expected an object")
    seconds = {key: float(record[key]) for key in _SECONDS if key in record}
    path = Path(os.path.normpath(folder / record["path"]))
    return Clip(**{**record, **seconds, "path": path, "labels": tuple(labels)})


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _line(clip: Clip, relative: str, manifest: Path) -> bytes:
    values = {name: getattr(clip, name) for name in FIELDS}
    values["path"] = Path(relative).as_posix()
    values["labels"] = list(clip.labels)
    record = {name: value for name, value in values.items() if value is not None and value != [] and value != {}}
    try:
        clip_from_record(record, manifest.parent)
        return json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"{manifest}: clip {clip.id!r} cannot be written ({error})") from error
