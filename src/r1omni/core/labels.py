"""Emotion names and the label sets of the corpora.

Names, never numeric ids, pass between the rooms: the public releases number the same classes differently.
"""

from typing import Literal, get_args

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
