"""RAVDESS: 24 actors speak and sing two sentences in eight emotions; the file names describe the clips.

    Actor_XX/MM-VV-EE-II-SS-RR-AA.{mp4,wav}    modality, vocal channel, emotion, intensity, statement, repetition, actor

The default is the audio-visual speech: 1,440 clips, eight classes. The seven-class variant without calm has the corpus
name `ravdess7`. Six folds of four actors, in order, as in MAE-DFER and HiCMAE.

Source: Livingstone and Russo 2018, zenodo.org/record/1188976, for the fields, the statements and the actors' sex.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from r1omni.core.clip import Clip
from r1omni.core.errors import DatasetError
from r1omni.core.labels import RAVDESS_LABELS
from r1omni.datasets import counts
from r1omni.datasets.release import Release, finish, fold_split
from r1omni.datasets.tree import Tree

NUM_FOLDS = 6

_NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
_MODALITIES = {"audio-visual": "01", "video": "02", "audio": "03"}


def read(
    root: Path,
    *,
    modality: Literal["audio-visual", "video", "audio"] = "audio-visual",
    vocal: Literal["speech", "song", "both"] = "speech",
    variant: Literal["ravdess", "ravdess7"] = "ravdess",
    fold: Annotated[int | None, Field(ge=1, le=NUM_FOLDS)] = None,
) -> Release:
    """Read the clips of one modality.

    Args:
        root: the folder with Actor_01 to Actor_24, at any depth.
        modality: which of the three recordings of each take.
        vocal: speech, song, or both.
        variant: `ravdess7` leaves calm out.
        fold: if given, clips are also marked train or test for this fold.

    Raises:
        DatasetError: no file has a RAVDESS name of this modality.
    """
    tree = Tree(root)
    channels = {"speech": {"01"}, "song": {"02"}, "both": {"01", "02"}}[vocal]
    clips: dict[str, Clip] = {}
    for name, path in tree.clips(("audio",) if modality == "audio" else ("video",)):
        match = _NAME.fullmatch(name)
        if match is None or match[1] != _MODALITIES[modality] or match[2] not in channels or name in clips:
            continue
        clip = _clip(match, path, variant, fold)
        if variant != "ravdess7" or clip.label != "calm":
            clips[name] = clip
    if not clips:
        example = f"{_MODALITIES[modality]}-{min(channels)}-01-01-01-01-01{'.wav' if modality == 'audio' else '.mp4'}"
        raise DatasetError(
            f"{tree.root}: found no {modality} {vocal} of RAVDESS; expected files such as Actor_01/{example}"
        )
    ordered = [clips[name] for name in sorted(clips)]
    found = counts.tally([clip.label for clip in ordered], [clip.fold for clip in ordered], NUM_FOLDS)
    warnings = counts.differences(f"RAVDESS {modality} {vocal}", found, _published(vocal, variant))
    return finish("RAVDESS", tree.root, [(clip, clip.path) for clip in ordered], warnings, "")


def _clip(match: re.Match[str], path: Path, variant: str, fold: int | None) -> Clip:
    _, channel, emotion, intensity, statement, repetition, actor = match.groups()
    clip_fold = (int(actor) - 1) // 4 + 1
    return Clip(
        id=match[0],
        path=path,
        label=RAVDESS_LABELS[int(emotion) - 1],
        subtitle=_STATEMENTS[int(statement) - 1],
        split=fold_split(clip_fold, fold),
        fold=clip_fold,
        corpus=variant,
        meta={
            "actor": actor,
            "sex": "male" if int(actor) % 2 else "female",
            "vocal": "speech" if channel == "01" else "song",
            "intensity": "normal" if intensity == "01" else "strong",
            "repetition": int(repetition),
            "language": "en",
        },
    )


def _published(vocal: str, variant: str) -> dict[str, int]:
    speech, song = counts.RAVDESS_SPEECH, counts.RAVDESS_SONG
    both = {key: speech.get(key, 0) + song.get(key, 0) for key in speech | song}
    published = {"speech": speech, "song": song, "both": both}[vocal]
    if variant != "ravdess7":
        return published
    # Eight calm takes per actor in speech and as many in song; actor 18 of fold 5 did not sing.
    per_fold = {"speech": (32, 32), "song": (32, 24), "both": (64, 56)}[vocal]
    left = {key: count for key, count in published.items() if key != "calm"}
    left["all"] -= published["calm"]
    return left | {f"fold {k} test": left[f"fold {k} test"] - per_fold[k == 5] for k in range(1, NUM_FOLDS + 1)}
