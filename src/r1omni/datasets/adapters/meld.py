"""MELD: utterances from a television series, with seven classes and fixed splits.

    {train,dev,test}_sent_emo.csv    Dialogue_ID, Utterance_ID, Emotion, Utterance, ...
    train/**/dia0_utt0.mp4, dev/**, test/**    or    {train,val,test}_dia0_utt0.mp4

The same `dia0_utt0` exists in every split, so a clip is taken only from a folder that names its split. The test split
has more clips on disk (2,747) than in its list (2,610): the list decides.
"""

from collections import Counter
from pathlib import Path

from r1omni.core.clip import Clip
from r1omni.datasets import counts
from r1omni.datasets.names import known_emotion
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import read_table
from r1omni.datasets.tree import Tree

_PARTS = {"train": ("train",), "val": ("dev", "val"), "test": ("test",)}
_LIST = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}


def read(root: Path) -> Release:
    """Read the three splits; `dev` becomes val.

    Args:
        root: the folder with the lists and the clips, at any depth.

    Raises:
        DatasetError: every list or every clip is missing.
    """
    tree = Tree(root)
    listed, warnings = [], []
    found: Counter[str] = Counter()
    purpose = "one of MELD's train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv"
    tree.require(*_LIST.values(), purpose=purpose)
    for split, list_name in _LIST.items():
        path = tree.find(list_name)
        if path is None:
            warnings.append(f"MELD: {list_name} is not under {tree.root}; the split {split} was left out")
            continue
        for row in read_table(path, ("Dialogue_ID", "Utterance_ID", "Emotion", "Utterance")):
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            clip = _clip(name, split, row, str(path))
            found.update((split, f"{split} {clip.label}"))
            named = tree.clip(f"{split}_{name}") or tree.clip(f"{_PARTS[split][0]}_{name}")
            listed.append((clip, named or tree.clip(name, within=_PARTS[split])))
    published = counts.differences("MELD", found, counts.MELD)
    return finish("MELD", tree.root, listed, warnings + published + tree.warnings(), "train/dia0_utt0.mp4")


def _clip(name: str, split: str, row: dict[str, str], where: str) -> Clip:
    meta = {"dialogue": row["Dialogue_ID"], "utterance": row["Utterance_ID"], "language": "en"}
    for key, column in (("speaker", "Speaker"), ("sentiment", "Sentiment")):
        if row.get(column):
            meta[key] = row[column]
    return Clip(
        id=f"{split}_{name}",
        path=Path(name),
        label=known_emotion(row["Emotion"], f"{where}, {name}"),
        subtitle=_repair(row["Utterance"]) or None,
        split=split,
        corpus="meld",
        meta=meta,
    )


def _repair(text: str) -> str:
    """Restore quotation marks that were Windows-1252 bytes and were read as control characters."""
    return "".join(
        bytes([ord(c)]).decode("cp1252", errors="ignore") if 0x80 <= ord(c) <= 0x9F else c for c in text
    ).strip()
