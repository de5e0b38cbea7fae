"""Emotion names and the label sets of the corpora.

Names, never numeric ids, pass between the rooms: the public releases number the same classes differently.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError

Emotion = Literal[
    "happy",
    "sad",
    "neutral",
    "angry",
    "surprise",
    "disgust",
    "fear",
    "contemptuous",
    "anxious",
    "helpless",
    "disappointed",
    "calm",
    "worried",
]
EMOTIONS: tuple[Emotion, ...] = get_args(Emotion)

DFEW_LABELS: tuple[Emotion, ...] = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"""The seven classes of DFEW, in the order of its published ids 1 to 7."""

MAFW_LABELS: tuple[Emotion, ...] = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "neutral",
    "sad",
    "surprise",
    "contemptuous",
    "anxious",
    "helpless",
    "disappointed",
)
"""The eleven single-label classes of MAFW, in the order of its published ids 1 to 11."""

RAVDESS_LABELS: tuple[Emotion, ...] = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")
"""The eight classes of RAVDESS, in the order of its published codes 01 to 08."""

RAVDESS7_LABELS: tuple[Emotion, ...] = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
"""RAVDESS without calm: the seven-class variant used by some papers; always named when it is used."""

LABEL_SETS: Mapping[str, tuple[Emotion, ...]] = {
    "dfew": DFEW_LABELS,
    "mafw": MAFW_LABELS,
    "ravdess": RAVDESS_LABELS,
    "all": EMOTIONS,
}
"""Name -> label set; of those that hold a corpus's gold labels, the first is taken."""


def label_set(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the first of `LABEL_SETS` that holds every gold label, or else the gold labels themselves, in lower case.

    Args:
        clips: a manifest.

    Raises:
        ConfigError: no clip has a label.
    """
    golds = {clip.label.strip().lower() for clip in clips if clip.label is not None}
    if not golds:
        raise ConfigError("no clip has a gold label, so nothing can be measured; fix the manifest or the split")
    return next((labels for labels in LABEL_SETS.values() if golds <= set(labels)), tuple(sorted(golds)))
