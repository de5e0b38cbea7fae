"""CREMA-D: 91 actors speak twelve sentences in six emotions; 7,442 clips, described by their file names.

    AudioWAV/1019_DFA_ANG_XX.wav, VideoFlash/1019_DFA_ANG_XX.flv    actor, sentence, emotion, level

Five folds of 18 actors in order (the last of 19), as in MAE-DFER and HiCMAE.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.datasets import counts
from r1omni.datasets.release import Release, finish, fold_split
from r1omni.datasets.tree import MediaKind, Tree

NUM_FOLDS = 5

_NAME = re.compile(r"(1\d{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")
_EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high"}


def read(
    root: Path,
    *,
    modality: Literal["auto", "video", "audio"] = "auto",
    fold: Annotated[int | None, Field(ge=1, le=NUM_FOLDS)] = None,
) -> Release:
    """Read the clips.

    Args:
        root: the folder with the clips, at any depth.
        modality: `auto` takes a clip's video if it is on disk, else its sound.
        fold: if given, clips are also marked train or test for this fold.

    Raises:
        DatasetError: no file has a CREMA-D name.
    """
    tree = Tree(root)
    choices: dict[str, tuple[MediaKind, ...]] = {"auto": ("video", "audio"), "video": ("video",), "audio": ("audio",)}
    names = sorted({name for name, _ in tree.clips(choices[modality]) if _NAME.fullmatch(name)})
    if not names:
        raise DatasetError(
            f"{tree.root}: found no clip of CREMA-D; expected files such as AudioWAV/1001_DFA_ANG_XX.wav"
        )
    listed = [(_clip(name, fold), tree.clip(name, kinds=choices[modality])) for name in names]
    clips = [clip for clip, _ in listed]
    found = counts.tally([clip.label for clip in clips], [clip.fold for clip in clips], NUM_FOLDS)
    warnings = counts.differences("CREMA-D", found, counts.CREMA_D)
    return finish("CREMA-D", tree.root, listed, warnings + tree.warnings(), "1001_DFA_ANG_XX.wav")


def _clip(name: str, fold: int | None) -> Clip:
    actor, sentence, emotion, level = name.split("_")
    clip_fold = min((int(actor) - 1001) // 18, NUM_FOLDS - 1) + 1
    return Clip(
        id=name,
        path=Path(name),
        label=_EMOTIONS[emotion],
        split=fold_split(clip_fold, fold),
        fold=clip_fold,
        corpus="crema-d",
        meta={"actor": actor, "sentence": sentence, "intensity": _LEVELS.get(level, "unspecified"), "language": "en"},
    )
