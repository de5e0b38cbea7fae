"""OV-MERD: 332 clips of MER2024 with free emotion words (532 in OV-MERD+), scored as sets.

    check-openset.csv  or  track2_train_ovmerd.csv  or  ovlabel.csv (OV-MERD+)    name,openset
    final-EMER-reason.csv  or  track3_train_ovmerd.csv                            the descriptions, optional

`labels` holds the words; there is no single label.
"""

from pathlib import Path
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.datasets import counts
from r1omni.datasets.adapters.mer import Language, read_openset, read_subtitles
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import read_table
from r1omni.datasets.tree import Tree


def read(root: Path, *, version: Literal["ov-merd", "ov-merd+"] = "ov-merd", language: Language = "english") -> Release:
    """Read the clips with their words.

    Args:
        root: the folder with the lists and the clips, at any depth.
        version: the first set, or the larger one from MER-UniBench.
        language: of the descriptions and the subtitles; the words are English.

    Raises:
        DatasetError: the list or every clip is missing.
    """
    tree = Tree(root)
    plus = version == "ov-merd+"
    lists = ("ovlabel.csv",) if plus else ("check-openset.csv", "track2_train_ovmerd.csv")
    path = tree.require(*lists, purpose="a list with the columns name and openset")
    words = read_openset(path)
    found = {"all": len(words), "labels": len({word for some in words.values() for word in some})}
    warnings = counts.differences(
        "OV-MERD+" if plus else "OV-MERD", found, counts.OV_MERD_PLUS if plus else counts.OV_MERD
    )
    reasons, subtitles = _read_reasons(tree, language), read_subtitles(tree, language)
    listed = []
    for name, some in words.items():
        clip = Clip(
            id=name,
            path=Path(name),
            labels=some,
            reasoning=reasons.get(name),
            subtitle=subtitles.get(name),
            corpus=version,
            meta={"language": "zh"},
        )
        listed.append((clip, tree.clip(name, kinds=("video", "audio"))))
    return finish("OV-MERD", tree.root, listed, warnings + tree.warnings(), "sample_00000000.mp4")


def _read_reasons(tree: Tree, language: Language) -> dict[str, str]:
    path = tree.find("final-EMER-reason.csv", "track3_train_ovmerd.csv")
    if path is None:
        return {}
    column = language if path.name.lower() == "final-emer-reason.csv" else "reason"
    return {row["name"]: row[column] for row in read_table(path, ("name", column)) if row[column]}
