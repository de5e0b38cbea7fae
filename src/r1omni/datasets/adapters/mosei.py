"""CMU-MOSEI: spoken opinions with a sentiment from -3 to 3.

    label.csv                               video_id, clip_id, label, mode, optionally text
    Transcript/Segmented/Combined/*.txt     name___idx___start___end___text
    name_idx.mp4  or  name/idx.mp4  or  Videos/Full/Combined/name.mp4

If only the full videos are on disk, a clip is a part of one: the transcript gives start and stop. `label` is the sign
(negative, neutral, positive), `meta.sentiment` the score. The six emotion intensities are not read.

The layout of label.csv has not been checked against a release; common alternative column names are accepted.
"""

from collections import Counter
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets import counts
from r1omni.datasets.names import SENTIMENTS
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import Row, read_table, read_text
from r1omni.datasets.tree import Tree

_SPLITS = {"train": "train", "valid": "val", "val": "val", "dev": "val", "test": "test"}
_PURPOSE = "a table with the columns video_id, clip_id, label (-3 to 3) and mode (train, valid, test)"

_COLUMNS = {
    "video_id": ("video_id", "video", "vid"),
    "clip_id": ("clip_id", "segment_id", "segment", "idx", "index"),
    "label": ("label", "sentiment", "score"),
    "mode": ("mode", "split", "set", "part"),
}
"""Field -> the column names accepted for it, in order of preference."""

_Segment = tuple[float, float, str]


def read(root: Path) -> Release:
    """Read the labelled clips.

    Args:
        root: the folder with the labels, the transcripts and the videos, at any depth.

    Raises:
        DatasetError: the labels or every clip are missing; label.npz is not read, because it contains pickled objects.
    """
    tree = Tree(root)
    path = tree.find("label.csv", "labels.csv")
    if path is None and (archive := tree.find("label.npz")):
        raise DatasetError(
            f"{archive}: found labels as pickled Python objects, which are never loaded because they can run code; "
            f"expected label.csv: {_PURPOSE}"
        )
    path = path or tree.require("label.csv", purpose=_PURPOSE)
    segments = _read_transcripts(tree)
    listed = []
    found: Counter[str] = Counter()
    for row in _read_rows(path):
        name = f"{row['video_id']}_{row['clip_id']}"
        clip = _clip(name, row, segments.get(name), str(path))
        found.update([str(clip.split)])
        found["test not zero"] += clip.split == "test" and clip.meta["sentiment"] != 0
        listed.append(_locate(tree, clip, row["video_id"], row["clip_id"], segments.get(name)))
    warnings = counts.differences("CMU-MOSEI", found, counts.MOSEI)
    return finish("CMU-MOSEI", tree.root, listed, warnings + tree.warnings(), "Videos/Full/Combined/NAME.mp4")


def _read_rows(path: Path) -> list[Row]:
    rows = read_table(path)
    by_name = {name.strip().lower(): name for name in reversed(rows[0])} if rows else {}
    column_of = {ours: next((by_name[n] for n in names if n in by_name), None) for ours, names in _COLUMNS.items()}
    absent = [ours for ours, column in column_of.items() if column is None]
    if absent:
        raise DatasetError(
            f"{path}: found columns {', '.join(by_name) or 'none'}; expected {', '.join(absent)} too: {_PURPOSE}"
        )
    return [row | {ours: row[column] for ours, column in column_of.items() if column is not None} for row in rows]


def _clip(name: str, row: dict[str, str], segment: _Segment | None, where: str) -> Clip:
    try:
        score = float(row["label"])
    except ValueError as error:
        raise DatasetError(f"{where}, {name}: found the label {row['label']!r}; expected a score, -3 to 3") from error
    if row["mode"].lower() not in _SPLITS:
        raise DatasetError(f"{where}, {name}: found the mode {row['mode']!r}; expected train, valid or test")
    return Clip(
        id=name,
        path=Path(name),
        label=SENTIMENTS[(score > 0) - (score < 0) + 1],
        subtitle=(segment[2] if segment else row.get("text")) or None,
        split=_SPLITS[row["mode"].lower()],
        corpus="mosei",
        meta={"sentiment": score, "language": "en"},
    )


def _locate(tree: Tree, clip: Clip, video: str, index: str, segment: _Segment | None) -> tuple[Clip, Path | None]:
    cut = tree.clip(clip.id) or tree.clip(index, parent=video)
    if cut is not None or segment is None:
        return clip, cut
    start_s, stop_s, _ = segment
    part = Clip(**{**vars(clip), "start_s": start_s, "stop_s": stop_s})
    return part, tree.clip(video, prefer=("full",))


def _read_transcripts(tree: Tree) -> dict[str, _Segment]:
    segments: dict[str, _Segment] = {}
    for path in tree.all_files(".txt", within=("Segmented",)):
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            cells = line.strip().split("___", 4)
            try:
                name, index, start_s, stop_s, text = cells
                segments[f"{name}_{index}"] = (max(float(start_s), 0.0), float(stop_s), text.strip())
            except ValueError as error:
                raise DatasetError(
                    f"{path}:{number}: found {line.strip()[:60]!r}; expected name___idx___start___end___text"
                ) from error
    return segments
