"""The MER challenges of 2023, 2024 and 2025: Chinese film clips with six classes, free emotion words, descriptions.

    2023    {train,test1,test2,test3}-label.csv          name,discrete,valence    transcription-engchi-polish.csv
    2024    label-disdim.csv, check-openset.csv          name,discrete / name,openset
    2025    track1_train_disdim.csv                      name,discrete,valence    subtitle_chieng.csv
            track2_train_{mercaptionplus,ovmerd}.csv     name,openset
            track3_train_{mercaptionplus,ovmerd}.csv     name,reason

`label` is the discrete class, `labels` the free words, `reasoning` the description; what a list lacks stays empty.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.datasets import counts
from r1omni.datasets.names import known_emotion, word_list
from r1omni.datasets.release import Release, finish
from r1omni.datasets.tabular import Row, read_table
from r1omni.datasets.tree import Tree

Language = Literal["english", "chinese"]

_SUBSETS = ("train", "test1", "test2", "test3")


def read(
    root: Path,
    *,
    year: Literal["2023", "2024", "2025"],
    track: Literal["1", "2", "3"] = "1",
    source: Literal["mercaptionplus", "ovmerd"] = "mercaptionplus",
    language: Language = "english",
) -> Release:
    """Read one year's labelled clips.

    Args:
        root: the folder with the lists and the clips, at any depth.
        year: the challenge.
        track: 2025 only: 1 has classes, 2 free words, 3 descriptions (and the words, if their list is on disk).
        source: 2025 only, tracks 2 and 3: which of the two lists.
        language: of the subtitles.

    Raises:
        ConfigError: `track` with a year that has no tracks.
        DatasetError: a list or every clip is missing.
    """
    if year != "2025" and track != "1":
        raise ConfigError(f"MER{year} has no tracks; use `track` with --year 2025")
    tree = Tree(root)
    warnings: list[str] = []
    if year == "2023":
        clips = _read_2023(tree, warnings)
    elif year == "2024":
        clips = _read_2024(tree)
    else:
        clips = _read_2025(tree, track, source, warnings)
    subtitles = read_subtitles(tree, language)
    listed = []
    for clip in clips:
        folder = str(clip.meta.get("subset", "labeled"))
        full = Clip(**{**vars(clip), "corpus": f"mer{year}", "subtitle": subtitles.get(clip.meta.pop("name"))})
        full.meta["language"] = "zh"
        listed.append((full, tree.clip(str(clip.path), kinds=("video", "audio"), prefer=(folder,))))
    return finish(f"MER{year}", tree.root, listed, warnings + tree.warnings(), "sample_00000000.mp4")


def read_subtitles(tree: Tree, language: Language) -> dict[str, str]:
    """Return clip name -> subtitle, from the first subtitle list on disk; empty without one.

    Args:
        tree: the release.
        language: the column to use.
    """
    path = tree.find("transcription-engchi-polish.csv", "subtitle_chieng.csv", "label-transcription.csv")
    if path is None:
        return {}
    rows = read_table(path, ("name", language))
    return {row["name"]: row[language] for row in rows if row[language]}


def read_openset(path: Path) -> dict[str, tuple[str, ...]]:
    """Return clip name -> free emotion words.

    Args:
        path: a list with the columns name and openset.
    """
    return {row["name"]: word_list(row["openset"]) for row in read_table(path, ("name", "openset"))}


def _clip(row: Row, where: Path, **fields: object) -> Clip:
    name = row["name"]
    meta: dict[str, object] = {"name": name}
    label = None
    if row.get("discrete"):
        label = known_emotion(row["discrete"], f"{where}, {name}")
    if row.get("valence"):
        try:
            meta["valence"] = float(row["valence"])
        except ValueError as error:
            raise DatasetError(f"{where}, {name}: found the valence {row['valence']!r}; expected a number") from error
    return Clip(**{"id": name, "path": Path(name), "label": label, "meta": meta, **fields})


def _read_2023(tree: Tree, warnings: list[str]) -> list[Clip]:
    purpose = "MER2023's lists with the columns name, discrete and valence"
    tree.require(*(f"{subset}-label.csv" for subset in _SUBSETS), purpose=purpose)
    clips: list[Clip] = []
    found: Counter[str] = Counter()
    names: set[str] = set()
    for subset in _SUBSETS:
        path = tree.find(f"{subset}-label.csv")
        if path is None:
            warnings.append(f"MER2023: {subset}-label.csv is not under {tree.root}; the subset {subset} was left out")
            continue
        for row in read_table(path, ("name", "discrete")):
            split = "train" if subset == "train" else "test"
            name = row["name"]
            clip = _clip(row, path, split=split, id=f"{subset}/{name}" if name in names else name)
            clip.meta["subset"] = subset
            names.add(name)
            clips.append(clip)
            found.update((subset, f"{subset} {clip.label}"))
    warnings += counts.differences("MER2023", found, counts.MER2023)
    return clips


def _read_2024(tree: Tree) -> list[Clip]:
    path = tree.require("label-disdim.csv", purpose="MER2024's list with the columns name and discrete")
    words = read_openset(found) if (found := tree.find("check-openset.csv")) else {}
    rows = read_table(path, ("name", "discrete"))
    return [_clip(row, path, labels=words.get(row["name"], ())) for row in rows]


def _read_2025(tree: Tree, track: str, source: str, warnings: list[str]) -> list[Clip]:
    purpose = "one of the lists of huggingface.co/datasets/MERChallenge/MER2025 (gated: request access there)"
    key = "track 1" if track == "1" else source
    if track == "1":
        path = tree.require("track1_train_disdim.csv", purpose=purpose)
        clips = [_clip(row, path, split="train") for row in read_table(path, ("name", "discrete"))]
    else:
        words_path = tree.find(f"track2_train_{source}.csv")
        if track == "2" and words_path is None:
            words_path = tree.require(f"track2_train_{source}.csv", purpose=purpose)
        words = read_openset(words_path) if words_path else {}
        if track == "2":
            clips = [Clip(n, Path(n), labels=w, split="train", meta={"name": n}) for n, w in words.items()]
        else:
            path = tree.require(f"track3_train_{source}.csv", purpose=purpose)
            clips = [
                _clip(row, path, labels=words.get(row["name"], ()), reasoning=row["reason"] or None, split="train")
                for row in read_table(path, ("name", "reason"))
            ]
    warnings += counts.differences(f"MER2025 track {track}", {key: len(clips)}, {key: counts.MER2025[key]})
    return clips
