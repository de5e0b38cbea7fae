"""EMER: clips of MER2023 with explained emotions, the source of the cold start's reasoned examples.

    v1    gt-eng.csv, gt-chi.csv          names,emotions,subtitles,reasons    100 clips, one class each
    v2    final-EMER-reason.csv           name,chinese,english                332 clips; free words in check-openset.csv

Version 2 has no classes. If a list with the columns name and discrete (MER2024's label-disdim.csv, MER2023's
train-label.csv) is under the root, its class becomes the label; otherwise the label stays empty and must be filled in
for a cold start. R1-Omni did not publish which 232 clips it used.
"""

from pathlib import Path
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.datasets import counts
from r1omni.datasets.adapters.mer import Language, read_openset, read_subtitles
from r1omni.datasets.names import known_emotion
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import Row, read_table
from r1omni.datasets.tree import Tree

_CLASS_LISTS = ("label-disdim.csv", "track1_train_disdim.csv", "train-label.csv")
_WORD_LISTS = ("check-openset.csv", "track2_train_ovmerd.csv", "ovlabel.csv")


def read(root: Path, *, version: Literal["v1", "v2"] = "v2", language: Language = "english") -> Release:
    """Read the explained clips.

    Args:
        root: the folder with the lists and the clips, at any depth.
        version: v1 or v2.
        language: of the reasons and the subtitles.

    Raises:
        DatasetError: the list or every clip is missing.
    """
    tree = Tree(root)
    clips = _read_v1(tree, language) if version == "v1" else _read_v2(tree, language)
    published = counts.EMER_V1 if version == "v1" else counts.EMER_V2
    warnings = counts.differences(f"EMER {version}", {"all": len(clips)}, published)
    if unlabelled := sum(clip.label is None for clip in clips):
        warnings.append(
            f"EMER {version}: {unlabelled:,} of {len(clips):,} clips have no class, and a cold start needs one each: "
            f"put {_CLASS_LISTS[0]} under {tree.root}, or fill the column label of a table"
        )
    listed = [(clip, tree.clip(clip.id, kinds=("video", "audio"))) for clip in clips]
    return finish("EMER", tree.root, listed, warnings + tree.warnings(), "sample_00000000.mp4")


def _read_v1(tree: Tree, language: Language) -> list[Clip]:
    purpose = "EMER's dataset-v1 list with the columns names, emotions, subtitles and reasons"
    path = tree.require("gt-eng.csv" if language == "english" else "gt-chi.csv", purpose=purpose)
    rows = read_table(path, ("names", "emotions", "subtitles", "reasons"))
    return [
        _clip(row["names"], row["reasons"], row["subtitles"], known_emotion(row["emotions"], f"{path}, {row['names']}"))
        for row in rows
    ]


def _read_v2(tree: Tree, language: Language) -> list[Clip]:
    purpose = "EMER's dataset-v2 list with the columns name, chinese and english"
    path = tree.require("final-EMER-reason.csv", purpose=purpose)
    classes_path, words_path = tree.find(*_CLASS_LISTS), tree.find(*_WORD_LISTS)
    class_rows: list[Row] = read_table(classes_path, ("name", "discrete")) if classes_path else []
    class_of = {row["name"]: row["discrete"] for row in class_rows if row["discrete"]}
    words = read_openset(words_path) if words_path else {}
    subtitles = read_subtitles(tree, language)
    clips = []
    for row in read_table(path, ("name", "chinese", "english")):
        name = row["name"]
        label = known_emotion(class_of[name], f"{classes_path}, {name}") if name in class_of else None
        clips.append(_clip(name, row[language], subtitles.get(name, ""), label, words.get(name, ())))
    return clips


def _clip(name: str, reasons: str, subtitle: str, label: str | None, words: tuple[str, ...] = ()) -> Clip:
    return Clip(
        id=name,
        path=Path(name),
        label=label,
        labels=words,
        reasoning=reasons or None,
        subtitle=subtitle or None,
        corpus="emer",
        meta={"language": "zh"},
    )
