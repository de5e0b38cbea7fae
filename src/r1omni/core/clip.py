"""The three records that pass between rooms: a clip comes in, an answer comes out, a score grades it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Modality = Literal["auto", "video+audio", "video", "audio"]
"""What is read of a clip; `auto` reads the modalities the file has."""


@dataclass(frozen=True)
class Clip:
    """One input: a file with pictures, sound or both, and what is known about it. One manifest line."""

    id: str
    """Unique within its manifest."""
    path: Path
    """Absolute once read; a manifest holds it relative to its own folder."""
    start_s: float | None = None
    """Start of the part to read, seconds; None reads from the beginning."""
    stop_s: float | None = None
    """End (exclusive) of the part to read, seconds; None reads to the end."""
    label: str | None = None
    """The gold emotion by name; None for an unlabelled clip."""
    labels: tuple[str, ...] = ()
    """All gold emotions, for compound and open-vocabulary sets."""
    reasoning: str | None = None
    """The text between the think tags of a reasoned example; where an answer format has several parts that hold
    reasons, all of them in their tags."""
    subtitle: str | None = None
    """The words spoken, where the corpus gives them."""
    split: str | None = None
    """train, val or test, where the corpus has one fixed split."""
    fold: int | None = None
    """The fold whose test part holds the clip: train on `fold != k`, test on `fold == k`."""
    corpus: str | None = None
    """Name of the corpus, for reports."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Free fields: actor, sex, intensity, true cues of a synthetic clip."""


@dataclass(frozen=True)
class Answer:
    """The parsed output of the model for one clip."""

    text: str
    """The whole output, unchanged."""
    reasoning: str | None
    """The think part, stripped; None without one. Several parts that hold reasons are paragraphs."""
    answer: str | None
    """The answer part, stripped and lower-cased; of an output without any tags (a label-only model) the whole text,
    likewise; None where the tags are broken or the part is empty."""
    well_formed: bool
    """Exactly one non-empty think part followed by exactly one non-empty answer part and nothing else; likewise the
    parts of another `AnswerFormat`."""


@dataclass(frozen=True)
class Score:
    """A graded answer."""

    correct: bool
    """The normalised answer equals the gold label."""
    out_of_vocabulary: bool
    """The normalised answer is not in the label set: always a miss, and counted."""
    well_formed: bool
    """See `Answer.well_formed`."""
    normalised: str | None
    """The label that was compared; None where there was no answer."""
