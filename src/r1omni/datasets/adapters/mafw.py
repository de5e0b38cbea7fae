"""MAFW: 10,045 film clips; 11 single classes or 43 with the compound ones, five folds, with or without captions.

    split/{single,compound}/{no_caption,with_caption}/set_{1..5}/{train,test}.txt
        no_caption      03747.mp4 anger
        with_caption    03747.mp4<tab>anger<tab>Chinese<tab>English        GB18030; the single list has no neutral
    Labels/single-set.xlsx                                                 clip,single_label (0: none)

A compound clip has its emotions in `labels` and their compound class, such as `angry_disgust`, in `label`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.core.labels import MAFW_LABELS
from r1omni.datasets import counts
from r1omni.datasets.names import known_emotion
from r1omni.datasets.release import Release, finish, fold_split
from r1omni.datasets.tabular import read_table, read_text
from r1omni.datasets.tree import Tree

NUM_FOLDS = 5

_PUBLISHED = {
    ("single", False): counts.MAFW_SINGLE,
    ("single", True): counts.MAFW_SINGLE_CAPTIONS,
    ("compound", False): counts.MAFW_COMPOUND,
    ("compound", True): counts.MAFW_COMPOUND_CAPTIONS,
}


def read(
    root: Path,
    *,
    classes: Literal["single", "compound"] = "single",
    captions: bool = False,
    annotations: Literal["folds", "xlsx"] = "folds",
    fold: Annotated[int | None, Field(ge=1, le=NUM_FOLDS)] = None,
) -> Release:
    """Read the clips of one of the published lists.

    Args:
        root: the folder with the lists and the clips, at any depth.
        classes: `single` for the 11 classes, `compound` for the 43.
        captions: read the lists with captions, which have fewer clips, each with `meta.caption` and `meta.caption_zh`.
        annotations: `xlsx` reads Labels/single-set.xlsx instead of the fold lists; its clips have no fold.
        fold: if given, clips are also marked train or test for this fold.

    Raises:
        DatasetError: a list or every clip is missing.
    """
    tree = Tree(root)
    if annotations == "xlsx":
        clips, warnings = _read_workbook(tree, classes)
    else:
        clips, warnings = _read_folds(tree, classes, captions, fold)
    listed = [(clip, tree.clip(clip.id)) for clip in clips]
    return finish("MAFW", tree.root, listed, warnings + tree.warnings(), "00001.mp4")


def _read_folds(tree: Tree, classes: str, captions: bool, fold: int | None) -> tuple[list[Clip], list[str]]:
    mode = "with_caption" if captions else "no_caption"
    lines_of: dict[str, list[str]] = {}
    fold_of: dict[str, int] = {}
    found: dict[str, int] = {}
    missing = []
    for part in ("train", "test"):
        for k in range(1, NUM_FOLDS + 1):
            path = tree.find(f"{part}.txt", within=(classes, mode, f"set_{k}"))
            if path is None:
                missing.append(f"{classes}/{mode}/set_{k}/{part}.txt")
                continue
            rows = _read_list(path, captions)
            found[f"fold {k} {part}"] = len(rows)
            for row in rows:
                lines_of.setdefault(row[0], row)
                if part == "test":
                    fold_of[row[0]] = k
    if not fold_of:
        raise DatasetError(f"{tree.root}: found no {missing[0]}; expected the lists in split/ that come with MAFW")
    clips = []
    for name, row in sorted(lines_of.items()):
        labels = tuple(row[1].split("_"))
        meta = {"caption": row[3], "caption_zh": row[2]} if captions else {}
        clip_fold = fold_of.get(name)
        clips.append(
            Clip(
                id=name,
                path=Path(name),
                label=row[1],
                labels=labels if classes == "compound" else (),
                fold=clip_fold,
                split=fold_split(clip_fold, fold),
                corpus="mafw" if classes == "single" else "mafw-compound",
                meta=meta,
            )
        )
    found |= counts.tally([clip.label for clip in clips], [clip.fold for clip in clips], NUM_FOLDS)
    found["classes"] = len({clip.label for clip in clips})
    warnings = [f"MAFW: {', '.join(missing)} are not under {tree.root}; clips of the other lists were read"] * bool(
        missing
    )
    published = _PUBLISHED[classes, captions]
    return clips, warnings + counts.differences(f"MAFW {classes}, {mode}", found, published)


def _read_list(path: Path, captions: bool) -> list[list[str]]:
    """Return the name, the classes joined by `_` and, with captions, the Chinese and the English one."""
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        row = [cell.strip() for cell in (line.split("\t") if captions else line.split())]
        if len(row) < 2 or (captions and len(row) < 4):
            wanted = "clip, label, Chinese and English separated by tabs" if captions else "a clip and its label"
            raise DatasetError(f"{path}:{number}: found {line.strip()!r}; expected {wanted}")
        where = f"{path}:{number}"
        row[0] = row[0].removesuffix(".mp4")
        row[1] = "_".join(known_emotion(word, where) for word in row[1].split("_"))
        rows.append(row)
    return rows


def _read_workbook(tree: Tree, classes: str) -> tuple[list[Clip], list[str]]:
    if classes != "single":
        raise DatasetError("MAFW's single-set.xlsx has only the single labels; read the compound ones from the folds")
    path = tree.require("single-set.xlsx", purpose="MAFW's Labels/single-set.xlsx with the columns clip, single_label")
    clips = []
    for row in read_table(path, ("clip", "single_label")):
        code = row["single_label"]
        if not code.isdecimal() or int(code) > len(MAFW_LABELS):
            raise DatasetError(
                f"{path}, clip {row['clip']}: found the label {code!r}; expected 0 to {len(MAFW_LABELS)}"
            )
        if int(code):
            name = row["clip"].removesuffix(".mp4")
            clips.append(Clip(name.zfill(5), Path(name), label=MAFW_LABELS[int(code) - 1], corpus="mafw"))
    clips.sort(key=lambda clip: clip.id)
    published = {key: count for key, count in counts.MAFW_SINGLE.items() if not key.startswith("fold")}
    found = counts.tally([clip.label for clip in clips], [None] * len(clips), 0)
    return clips, ["MAFW: single-set.xlsx has no folds", *counts.differences("MAFW single", found, published)]
