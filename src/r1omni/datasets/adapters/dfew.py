"""DFEW: 11,697 single-labelled film clips, seven classes, five folds.

    EmoLabel_DataSplit/{train,test}(single-labeled)/set_{1..5}.csv    video_name,label   (or test_set_1.csv, headless)
    Annotation/annotation.xlsx                                        order,label        (0: not single-labelled)
    Clip/original/**/N.mp4  or  Clip/jpg_256/%05d/

Ids are always padded to five digits, so that predictions can be compared. A clip's fold is the one whose test list
contains it. DFEW has no subtitles.
"""

import csv
import io
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.core.labels import DFEW_LABELS
from r1omni.datasets import counts
from r1omni.datasets.cells import whole_number
from r1omni.datasets.release import Release, finish, fold_split
from r1omni.datasets.tabular import read_table, read_text
from r1omni.datasets.tree import MediaKind, Tree

NUM_FOLDS = 5

_PURPOSE = "the label lists EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv to set_5.csv that come with DFEW"


def read(
    root: Path,
    *,
    fold: Annotated[int | None, Field(ge=1, le=NUM_FOLDS)] = None,
    annotations: Literal["folds", "xlsx"] = "folds",
    media: Literal["clips", "frames"] = "clips",
    frame_rate_fps: Annotated[float | None, Field(gt=0)] = None,
) -> Release:
    """Read the single-labelled clips.

    Args:
        root: the folder with the lists and the clips, at any depth.
        fold: if given, clips are also marked train or test for this fold.
        annotations: `xlsx` reads annotation.xlsx instead of the fold lists; its clips have no fold.
        media: `frames` takes the folders of pictures instead of the clips; their sound is NAME.wav next to the folder.
        frame_rate_fps: of the folders of pictures, written to `meta`; None leaves it open, and 25 is assumed.

    Raises:
        DatasetError: a list or every clip is missing.
    """
    tree = Tree(root)
    label_of, fold_of, warnings = _read_workbook(tree) if annotations == "xlsx" else _read_folds(tree)
    kinds: tuple[MediaKind, ...] = ("frames",) if media == "frames" else ("video",)
    listed = []
    for name, label in sorted(label_of.items()):
        clip_fold = fold_of.get(name)
        clip = Clip(
            name,
            Path(name),
            label=label,
            fold=clip_fold,
            corpus="dfew",
            split=fold_split(clip_fold, fold),
            meta={"frame_rate_fps": frame_rate_fps} if media == "frames" and frame_rate_fps else {},
        )
        listed.append((clip, tree.clip(name, kinds=kinds, prefer=("original", "jpg_256"))))
    example = "Clip/jpg_256/00001/" if media == "frames" else "Clip/original/1.mp4"
    return finish("DFEW", tree.root, listed, warnings + tree.warnings(), example)


def _read_folds(tree: Tree) -> tuple[dict[str, str], dict[str, int], list[str]]:
    label_of: dict[str, str] = {}
    fold_of: dict[str, int] = {}
    found: dict[str, int] = {}
    missing, conflicts = [], []
    for part in ("train", "test"):
        for k in range(1, NUM_FOLDS + 1):
            names = (f"set_{k}.csv", f"{part}_set_{k}.csv")
            path = tree.find(*names, within=(f"{part}(single-labeled)",)) or tree.find(names[1])
            if path is None:
                missing.append(f"{part}(single-labeled)/{names[0]}")
                continue
            rows = _read_list(path)
            found[f"fold {k} {part}"] = len(rows)
            for name, label in rows:
                if label_of.setdefault(name, label) != label:
                    conflicts.append(name)
                if part == "test":
                    fold_of[name] = k
    if not fold_of:
        raise DatasetError(f"{tree.root}: found no {' or '.join(missing)}; expected {_PURPOSE}")
    warnings = [f"DFEW: {', '.join(missing)} are not under {tree.root}; clips of the other lists were read"] * bool(
        missing
    )
    if conflicts:
        warnings.append(f"DFEW: {len(conflicts):,} clips have different labels in different lists: {conflicts[0]}")
    found |= counts.tally(label_of.values(), map(fold_of.get, label_of), NUM_FOLDS)
    return label_of, fold_of, warnings + counts.differences("DFEW", found, counts.DFEW)


def _read_list(path: Path) -> list[tuple[str, str]]:
    """Read the clips of a list by the names of its columns; without a header, clip and label are the first two."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(read_text(path))) if any(row)]
    name_at, label_at = 0, 1
    if rows and "label" in (header := [cell.lower() for cell in rows[0]]):
        name_at = next((header.index(name) for name in ("video_name", "order", "name", "clip") if name in header), 0)
        label_at = header.index("label")
        del rows[0]
    short = [row for row in rows if len(row) <= max(name_at, label_at)]
    if short:
        raise DatasetError(f"{path}: found the row {','.join(short[0])!r}; expected a clip and its label in each row")
    return [(_clip_id(row[name_at]), _label(row[label_at], f"{path}, clip {row[name_at]}")) for row in rows]


def _read_workbook(tree: Tree) -> tuple[dict[str, str], dict[str, int], list[str]]:
    path = tree.require("annotation.xlsx", purpose="DFEW's Annotation/annotation.xlsx with the columns order and label")
    rows = [row for row in read_table(path, ("order", "label")) if row["label"] != "0"]
    label_of = {_clip_id(row["order"]): _label(row["label"], f"{path}, clip {row['order']}") for row in rows}
    published = {key: count for key, count in counts.DFEW.items() if not key.startswith("fold")}
    found = counts.tally(label_of.values(), [None] * len(label_of), 0)
    return label_of, {}, ["DFEW: annotation.xlsx has no folds"] + counts.differences("DFEW", found, published)


def _clip_id(text: str) -> str:
    return text.strip().removesuffix(".mp4").lstrip("0").zfill(5)


def _label(text: str, where: str) -> str:
    text = whole_number(text) or text
    if text not in {"1", "2", "3", "4", "5", "6", "7"}:
        raise DatasetError(f"{where}: found the label {text!r}; expected 1 to 7, for {', '.join(DFEW_LABELS)}")
    return DFEW_LABELS[int(text) - 1]
