"""Any table of clips, or a folder per label, as a manifest.

    clips.csv (.tsv, .xlsx, .parquet, .jsonl, .json)    a row per clip, or per part of one
    happy/a.mp4, sad/b.jpg                              the folder's name is the label
    train/happy/a.mp4, test/sad/b.mp4                   with the split above it

A column is found by the name given for it, otherwise by the first of its usual names, in any case. Published class
names become ours (`anger` is angry); other words are kept and named in a warning. Numbers are not labels: `label_names`
gives their meaning. `nan`, `N/A`, `none` and blank cells are missing values. Distinct rows are all kept: if ids are not
unique, the part or a number is added. Other columns go to `meta`.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.counted import counted
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.core.labels import EMOTIONS
from r1omni.datasets.cells import fold_number, is_missing, seconds, whole_number
from r1omni.datasets.locate import locate
from r1omni.datasets.names import emotion_name, word_list
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import SUFFIXES, Row, load_table
from r1omni.datasets.tree import Tree
from r1omni.media.decode import can_open

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "clip_id", "utterance_id", "sample_id"),
    "path": ("path", "file", "filename", "file_name", "video", "clip", "video_name", "video_id", "name", "id"),
    "label": ("label", "emotion", "class", "answer"),
    "labels": ("labels", "openset"),
    "reasoning": ("reasoning", "reason", "reasons", "think", "explanation", "description"),
    "subtitle": ("subtitle", "subtitles", "text", "transcript", "utterance"),
    "split": ("split", "part", "set", "partition"),
    "fold": ("fold",),
}
"""The fields of a manifest and the column names recognised for them, in order of preference. An id column counts only
if its cells are all different: `clip_id` often restarts for each video."""

_TIME_WORDS = {
    "start_s": frozenset({"start", "begin", "onset"}),
    "stop_s": frozenset({"stop", "end", "offset"}),
}
_TIME_UNITS = {
    **dict.fromkeys(
        ("s", "sec", "secs", "second", "seconds", "time", "t", "ts", "timestamp", "at", "clip", "segment"), 1.0
    ),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), 1e-3),
}
"""Words that may accompany them in the name of a time, and the factor to seconds."""
_OTHER_UNITS = frozenset({"frame", "frames", "idx", "index", "sample", "samples", "byte", "bytes"})
_NAME_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_NAMED = 5


def read(
    root: Path,
    *,
    media_root: Path | None = None,
    id: str | None = None,
    path: str | None = None,
    label: str | None = None,
    reasoning: str | None = None,
    subtitle: str | None = None,
    split: str | None = None,
    fold: str | None = None,
    start: str | None = None,
    stop: str | None = None,
    label_names: str | None = None,
    encoding: str | None = None,
    corpus: str = "table",
) -> Release:
    """Read a table or a folder per label.

    Args:
        root: the table, or the folder with the label folders.
        media_root: folder of the table's clips, searched at any depth; without it the table's own folder.
        id: column of the ids; without one the clip's file name without its extension is its id, or its whole path
            if two files share a name.
        path: column of the clip's path or name.
        label: column of the label.
        reasoning: column of the reasoning.
        subtitle: column of the words spoken.
        split: column of the split (train, val, test).
        fold: column of the fold, a number.
        start: column of the part's start, in seconds or hh:mm:ss.
        stop: column of the part's end, likewise.
        label_names: meaning of numbers or words, such as `0=happy,1=sad`.
        encoding: of a text table; without it UTF-8, else GB18030 or Windows-1252, whichever is more plausible.
        corpus: name of the corpus, for reports.

    Raises:
        ConfigError: `label_names` cannot be read.
        DatasetError: the table lacks the clip's column, a label is a number, a time cannot be read, several files fit a
            path, or no clip is found.
    """
    meanings = _meanings(label_names)
    if root.is_dir():
        return _read_folders(root, meanings, corpus)
    given = {"id": id, "path": path, "label": label, "reasoning": reasoning, "subtitle": subtitle, "split": split}
    given |= {"fold": fold, "start_s": start, "stop_s": stop}
    table = load_table(root, [name for name in given.values() if name], encoding)
    if not table.rows:
        raise DatasetError(f"{root}: found no rows; expected a header and a row per clip")
    columns = _Columns(list(table.rows[0]), given, str(root))
    numbered = [(n, row) for n, row in enumerate(table.rows, start=2) if not is_missing(row[columns.of["path"]])]
    rows, given_paths = [row for _, row in numbered], [row[columns.of["path"]] for _, row in numbered]
    if not rows:
        raise DatasetError(f"{root}: the column {columns.of['path']!r} is empty; name that of the clips with --path")
    ids = _ids(numbered, columns, given_paths)
    clips = [
        _clip(name, row, columns, meanings, corpus, f"{root}:{number}")
        for name, (number, row) in zip(ids, numbered, strict=True)
    ]
    folder = media_root or root.parent
    paths, warnings = locate(given_paths, folder)
    if num_empty := len(table.rows) - len(rows):
        warnings.append(
            f"{root}: {counted(num_empty, 'row')} without a clip in the column {columns.of['path']!r} skipped"
        )
    if table.encoding is not None:
        warnings.append(f"{root}: read as {table.encoding}; if its text looks wrong, give another --encoding")
    clips, paths, more = _unique(clips, paths, str(root))
    warnings += more + _unknown(str(root), [clip.label for clip in clips])
    return finish(corpus, folder, list(zip(clips, paths, strict=True)), warnings, given_paths[0], "--media-root")


class _Columns:
    """Field of a manifest -> its column."""

    def __init__(self, header: list[str], given: dict[str, str | None], where: str) -> None:
        self.where = where
        by_name = {name.lower(): name for name in reversed(header)}
        self.of: dict[str, str] = {}
        self.time_scale: dict[str, float] = {}
        for field, usual in COLUMNS.items():
            name = given.get(field) or next((by_name[alias] for alias in usual if alias in by_name), None)
            if name is not None:
                self.of[field] = name
        if "path" not in self.of:
            raise DatasetError(
                f"{where}: found columns {', '.join(header)}; expected one for the clip, such as "
                f"{', '.join(COLUMNS['path'])}; name it with --path, or write the columns' names into the first line"
            )
        self.id_is_given = given.get("id") is not None
        for field, words in _TIME_WORDS.items():
            name, scale = given.get(field), 1.0
            if name is None:
                name, scale = _time_column(header, words, field, where)
            if name is not None:
                self.of[field], self.time_scale[field] = name, scale

    def cell(self, row: Row, field: str) -> str:
        """Return a field's cell; empty if there is no such column or the value is missing."""
        text = row[self.of[field]] if field in self.of else ""
        return "" if field != "subtitle" and is_missing(text) else text


def _time_column(header: list[str], words: frozenset[str], field: str, where: str) -> tuple[str | None, float]:
    """Find the column of a time by its name, such as `start`, `startTime` or `end_ms`."""
    option = f"--{field.removesuffix('_s')}"
    found: list[tuple[str, float]] = []
    for name in header:
        parts = [word.lower() for word in _NAME_WORDS.findall(name)]
        rest = [part for part in parts if part not in words]
        if len(rest) == len(parts):
            continue
        if all(part in _TIME_UNITS for part in rest):
            found.append((name, min((_TIME_UNITS[part] for part in rest), default=1.0)))
        elif set(rest) <= _OTHER_UNITS | _TIME_UNITS.keys():
            raise DatasetError(
                f"{where}: the column {name!r} looks like a part's {field.removesuffix('_s')} and is not in seconds; "
                f"name a column of seconds with {option}, or rename this one if it is something else"
            )
    if len(found) > 1:
        raise DatasetError(
            f"{where}: the columns {', '.join(name for name, _ in found)} may all be a part's "
            f"{field.removesuffix('_s')}; name the right one with {option}"
        )
    return found[0] if found else (None, 1.0)


def _ids(rows: Sequence[tuple[int, Row]], columns: _Columns, given_paths: Sequence[str]) -> list[str]:
    """Return ids from their column, otherwise file names, otherwise whole paths."""
    column = columns.of.get("id")
    if column is not None and (column != columns.of["path"] or columns.id_is_given):
        named = [row[column] for _, row in rows]
        missing = [number for number, row in rows if is_missing(row[column])]
        if columns.id_is_given and missing:
            raise DatasetError(
                f"{columns.where}:{missing[0]}: no id in the column {column!r}; fill it in, or leave out --id"
            )
        if not missing and (columns.id_is_given or len(set(named)) == len(named)):
            return named
        del columns.of["id"]
    stems = [Path(text.replace("\\", "/")).stem for text in given_paths]
    return stems if len(set(stems)) == len(set(given_paths)) else list(given_paths)


def _unique(
    clips: Sequence[Clip], paths: Sequence[Path | None], where: str
) -> tuple[list[Clip], list[Path | None], list[str]]:
    """Drop repeated rows, and make the ids of all others unique."""
    times = Counter(clip.id for clip in clips)
    kept: dict[str, tuple[Clip, Path | None]] = {}
    seen: list[tuple[Clip, Path | None]] = []
    num_same = 0
    for clip, path in zip(clips, paths, strict=True):
        if times[clip.id] > 1 and (clip, path) in seen:
            num_same += 1
            continue
        seen.append((clip, path)) if times[clip.id] > 1 else None
        name = clip.id
        if times[name] > 1 and (clip.start_s is not None or clip.stop_s is not None):
            name = f"{name}@{_time(clip.start_s)}-{_time(clip.stop_s)}"
        unique, number = name, 2
        while unique in kept or (unique != clip.id and unique in times):
            unique, number = f"{name}#{number}", number + 1
        kept[unique] = (replace(clip, id=unique), path)
    warnings = [f"{where}: {counted(num_same, 'exact repeat')} of earlier rows dropped"] * bool(num_same)
    return [clip for clip, _ in kept.values()], [path for _, path in kept.values()], warnings


def _time(time_s: float | None) -> str:
    return "" if time_s is None else f"{time_s:g}"


def _read_folders(root: Path, meanings: dict[str, str], corpus: str) -> Release:
    tree = Tree(root)
    listed: list[tuple[Clip, Path]] = []
    skipped: list[str] = []
    # A picture in a label's own folder is a clip; pictures in a folder below it are one clip.
    pictures = [path for path in tree.pictures() if len(_below_label(path, tree.root)) == 1]
    frames = [path for _, path in tree.clips(("frames",)) if len(_below_label(path, tree.root)) >= 1]
    inside = set(frames)
    others = [path for path in tree.others() if path.parent not in inside]
    readable = [path for path in others if len(_below_label(path, tree.root)) and can_open(path)]
    media = [path for _, path in tree.clips() if not (path.suffix == ".wav" and path.with_suffix("") in inside)]
    for path in sorted([*media, *pictures, *frames, *readable]):
        below = _below_label(path, tree.root)
        relative = path.relative_to(tree.root)
        if not below:
            skipped.append(relative.as_posix())
            continue
        folders = list(relative.parts[: -len(below)])
        split = _SPLITS.get(folders[0].lower()) if len(folders) > 1 else None
        label = _label(folders[-1], meanings, f"{root}, folder {folders[-1]}")
        listed.append((Clip(relative.as_posix(), path, label=label, split=split, corpus=corpus), path))
    if not listed:
        tables = sorted(path.name for path in root.iterdir() if path.suffix.lower() in SUFFIXES)
        instead = f", or one of its tables as --root: {', '.join(tables[:_NAMED])}" if tables else ""
        raise DatasetError(f"{root}: found no clip in a folder named after a label; expected LABEL/CLIP.mp4{instead}")
    skipped += [path.relative_to(tree.root).as_posix() for path in others if path not in set(readable)]
    warnings = _unknown(str(root), [clip.label for clip, _ in listed])
    if skipped:
        more = f" and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
        warnings.append(
            f"{root}: {counted(len(skipped), 'file')} skipped as no video, sound or picture, or outside of a label's "
            f"folder: {', '.join(sorted(skipped)[:_NAMED])}{more}"
        )
    return finish(corpus, tree.root, listed, warnings, "")


def _below_label(path: Path, root: Path) -> tuple[str, ...]:
    """Return the parts of a path below its label's folder; empty for a path outside of one."""
    parts = path.relative_to(root).parts
    has_split = len(parts) > 1 and parts[0].lower() in _SPLITS
    return parts[2 if has_split else 1 :]


def _clip(name: str, row: Row, columns: _Columns, meanings: dict[str, str], corpus: str, where: str) -> Clip:
    cell = {field: columns.cell(row, field) for field in columns.of}
    try:
        times = {field: seconds(cell[field]) * scale for field, scale in columns.time_scale.items() if cell.get(field)}
    except ValueError as error:
        raise DatasetError(
            f"{where}: found the time {error}; name the column of the times with --start, --stop"
        ) from error
    try:
        fold = fold_number(cell["fold"]) if cell.get("fold") else None
    except ValueError as error:
        raise DatasetError(f"{where}: found the fold {error}; name the column of the fold with --fold") from error
    if times.get("stop_s", math.inf) <= times.get("start_s", 0.0):
        raise DatasetError(
            f"{where}: the part ends at {times['stop_s']:g} s and begins at {times.get('start_s', 0.0):g} s; fix the "
            "row, or name the columns of the times with --start, --stop"
        )
    split, used = cell.get("split", ""), set(columns.of.values())
    return Clip(
        id=name,
        path=Path(row[columns.of["path"]]),
        label=_label(cell["label"], meanings, where) if cell.get("label") else None,
        labels=word_list(cell.get("labels", "")),
        reasoning=cell.get("reasoning") or None,
        subtitle=cell.get("subtitle") or None,
        split=_SPLITS.get(split.lower(), split) or None,
        fold=fold,
        corpus=corpus,
        meta={column: value for column, value in row.items() if column not in used and value},
        **times,
    )


def _label(text: str, meanings: dict[str, str], where: str) -> str:
    number = whole_number(text)
    word = meanings.get(number or text.strip().lower(), text)
    if whole_number(word) is not None:
        raise DatasetError(
            f"{where}: found the label {text!r}; expected a name, since releases number classes differently; "
            "give their meaning with --label-names 0=happy,1=sad"
        )
    return emotion_name(word)


def _meanings(text: str | None) -> dict[str, str]:
    pairs = [pair.split("=") for pair in text.split(",")] if text else []
    if not all(len(pair) == 2 and pair[0].strip() and pair[1].strip() for pair in pairs):
        raise ConfigError(f"--label-names is {text!r}; expected pairs such as 0=happy,1=sad")
    return {whole_number(key) or key.strip().lower(): value.strip() for key, value in pairs}


def _unknown(where: str, labels: list[str | None]) -> list[str]:
    unknown = Counter(label for label in labels if label is not None and label not in EMOTIONS)
    if not unknown:
        return []
    some = ", ".join(f"{label} ({count:,})" for label, count in unknown.most_common(_NAMED))
    return [f"{where}: {len(unknown):,} labels are not among our emotion names: {some}; rename them with --label-names"]
