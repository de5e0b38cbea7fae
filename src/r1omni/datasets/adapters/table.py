"""Any table of clips, or a folder per label, as a manifest.

    clips.csv (.tsv, .xlsx, .parquet, .jsonl)    a row per clip
    happy/a.mp4, sad/b.mp4                       the folder's name is the label
    train/happy/a.mp4, test/sad/b.mp4            with the split above it

A column is found by the name given for it, otherwise by the first of its usual names. Published class names become
ours (`anger` is angry); other words are kept and named in a warning. Numbers are not labels: `label_names` gives their
meaning. Other columns go to `meta`.
"""

from collections import Counter
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.core.labels import EMOTIONS
from r1omni.datasets.names import emotion_name, word_list
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import ENCODINGS, Row, read_table
from r1omni.datasets.tree import Tree, locate

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "name", "clip", "clip_id", "video_name", "video_id"),
    "path": ("path", "file", "filename", "file_name", "video", "clip", "name", "id", "video_name", "video_id"),
    "label": ("label", "emotion", "class", "answer"),
    "labels": ("labels", "openset"),
    "reasoning": ("reasoning", "reason", "reasons", "think", "explanation", "description"),
    "subtitle": ("subtitle", "subtitles", "text", "transcript", "utterance"),
    "split": ("split", "part", "set"),
    "fold": ("fold",),
    "start_s": ("start_s", "start"),
    "stop_s": ("stop_s", "stop", "end"),
}
"""Field of a manifest -> the column names accepted for it, in order of preference."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


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
    label_names: str | None = None,
    encoding: str | None = None,
    corpus: str = "table",
) -> Release:
    """Read a table or a folder per label.

    Args:
        root: the table, or the folder with the label folders.
        media_root: the folder with the table's clips, at any depth; None searches the table's folder.
        id: column of the ids; without one the clip's file name without its extension is its id, or its whole path
            if two files share a name.
        path: column of the clip's path or name.
        label: column of the label.
        reasoning: column of the reasoning.
        subtitle: column of the spoken words.
        split: column of the split (train, val, test).
        label_names: meaning of numbers or words, such as `0=happy,1=sad`.
        encoding: of a text table; None tries UTF-8, then GB18030.
        corpus: name of the corpus, for reports.

    Raises:
        ConfigError: `label_names` cannot be read.
        DatasetError: the table lacks the clip's column, a label is a number, or no clip is on disk.
    """
    meanings = _meanings(label_names)
    if root.is_dir():
        return _read_folders(root, meanings, corpus)
    given = {"id": id, "path": path, "label": label, "reasoning": reasoning, "subtitle": subtitle, "split": split}
    rows = read_table(root, [name for name in given.values() if name], (encoding,) if encoding else ENCODINGS)
    if not rows:
        raise DatasetError(f"{root}: found no rows; expected a header and a row per clip")
    column_of = _columns(list(rows[0]), given)
    if "path" not in column_of:
        raise DatasetError(
            f"{root}: found columns {', '.join(rows[0])}; expected one for the clip, such as "
            f"{', '.join(COLUMNS['path'])}; name it with --path"
        )
    given_paths = [row[column_of["path"]] for row in rows]
    if column_of.get("id") in (None, column_of["path"]):
        stems = [Path(text).stem for text in given_paths]
        ids = stems if len(set(stems)) == len(set(given_paths)) else given_paths
    else:
        ids = [row[column_of["id"]] for row in rows]
    clips = [
        _clip(name, row, column_of, meanings, corpus, f"{root}:{number}")
        for number, (name, row) in enumerate(zip(ids, rows, strict=True), start=2)
    ]
    folder = media_root or root.parent
    paths, warnings = locate(given_paths, folder)
    warnings += _strange(str(root), [clip.label for clip in clips])
    return finish(corpus, folder, list(zip(clips, paths, strict=True)), warnings, given_paths[0])


def _read_folders(root: Path, meanings: dict[str, str], corpus: str) -> Release:
    tree = Tree(root)
    listed = []
    for _, path in tree.clips():
        folders = path.relative_to(tree.root).parts[:-1]
        split = _SPLITS.get(folders[0].lower()) if folders else None
        inner = folders[1:] if split else folders
        if not inner:
            continue
        relative = path.relative_to(tree.root)
        label = _label(inner[0], meanings, f"{root}, folder {inner[0]}")
        listed.append((Clip(relative.as_posix(), path, label=label, split=split, corpus=corpus), path))
    if not listed:
        raise DatasetError(f"{root}: found no clip in a folder named after a label; expected LABEL/CLIP.mp4")
    return finish(corpus, tree.root, listed, _strange(str(root), [clip.label for clip, _ in listed]), "")


def _columns(header: list[str], given: dict[str, str | None]) -> dict[str, str]:
    by_name = {name.strip().lower(): name for name in reversed(header)}
    found = {}
    for field, usual in COLUMNS.items():
        name = given.get(field) or next((by_name[alias] for alias in usual if alias in by_name), None)
        if name is not None:
            found[field] = name
    return found


def _clip(name: str, row: Row, column_of: dict[str, str], meanings: dict[str, str], corpus: str, where: str) -> Clip:
    cell = {field: row[name] for field, name in column_of.items()}
    split = cell.get("split", "")
    seconds = {}
    try:
        seconds = {field: float(cell[field]) for field in ("start_s", "stop_s") if cell.get(field)}
        fold = int(cell["fold"]) if cell.get("fold") else None
    except ValueError as error:
        raise DatasetError(f"{where}: found {error}; expected seconds and an integer fold") from error
    used = set(column_of.values())
    return Clip(
        id=name,
        path=Path(cell["path"]),
        label=_label(cell["label"], meanings, where) if cell.get("label") else None,
        labels=word_list(cell.get("labels", "")),
        reasoning=cell.get("reasoning") or None,
        subtitle=cell.get("subtitle") or None,
        split=_SPLITS.get(split.lower(), split) or None,
        fold=fold,
        corpus=corpus,
        meta={column: value for column, value in row.items() if column not in used and value},
        **seconds,
    )


def _label(text: str, meanings: dict[str, str], where: str) -> str:
    word = meanings.get(text.strip().lower(), text)
    if word.strip().lstrip("-").isdecimal():
        raise DatasetError(
            f"{where}: found the label {text!r}; expected a name, since releases number classes differently; "
            "give their meaning with --label-names 0=happy,1=sad"
        )
    return emotion_name(word)


def _meanings(text: str | None) -> dict[str, str]:
    pairs = [pair.split("=") for pair in text.split(",")] if text else []
    if not all(len(pair) == 2 and pair[0].strip() and pair[1].strip() for pair in pairs):
        raise ConfigError(f"--label-names is {text!r}; expected pairs such as 0=happy,1=sad")
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _strange(where: str, labels: list[str | None]) -> list[str]:
    strange = Counter(label for label in labels if label is not None and label not in EMOTIONS)
    if not strange:
        return []
    some = ", ".join(f"{label} ({count:,})" for label, count in strange.most_common(5))
    return [f"{where}: {len(strange):,} labels are not emotion names of ours: {some}; rename them with --label-names"]
