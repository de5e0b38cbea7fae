"""What is said in the clips and about them: sentences, captions, reasoned examples, and their claims.

A claim is a cue in words, always "value channel" ("raised brows", "trembling tone"), so that a model's claims can be
parsed and compared with the ground truth of the clip. A reasoned example follows the paper's manner: the video,
the audio, the text, then what the person feels.
"""

import re

import numpy as np

from r1omni.core.labels import Emotion
from r1omni.synth.world import CHANNELS, CUE_VALUES, FACE_CHANNELS, VOICE_CHANNELS, Channel, Cues

CAPTION_INSTRUCTIONS: tuple[str, ...] = (
    "Describe the face, the voice and the words of the person.",
    "Describe the clip.",
    "What do you see and hear?",
    "Which signs of the face and the voice are the most obvious to you? Output all of them.",
    "As an expert of faces and voices; throughout the video, which signs are conveyed by the characters? Output the "
    "video, the audio and the text.",
    "As an expert; describe, throughout the video, the brows, the eyes, the mouth and the head, then the pitch, the "
    "volume, the pace and the tone of the voice, and in the end what the words are about.",
    "Please look at the person in the video and listen to the voice. Do not guess what the person feels; output, in "
    "this order, what is seen in the face, what is heard in the voice, and what the words in the text tell.",
)
"""Ask for all cues and no emotion: the pretraining captions. They differ in length, so that what is perceived does not
depend on how it was asked."""

KNOWLEDGE_INSTRUCTION = "Describe a person, and say what the person feels."
"""Opens the text-only examples from which the base model learns what expressions mean."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "plain": ("The bus leaves at nine.", "I put it on the table.", "We met here before.", "It is on the left."),
    "kind": ("You did so well.", "I like this a lot.", "Thank you, my dear.", "What a lovely day."),
    "hostile": ("Get out of here.", "You lied to me.", "I have had enough.", "Do not touch that."),
    "mournful": ("She is gone now.", "We lost it all.", "It is all over.", "I miss him so much."),
    "alarming": ("Someone is there.", "It is coming closer.", "We must run now.", "Do you hear that?"),
    "astonished": ("You are here already?", "I never saw that!", "How can that be?", "Is it really you?"),
}
"""What people say in the training corpora, by topic."""

FIXED_SENTENCES: tuple[str, ...] = ("Kids are talking by the door.", "Dogs are sitting by the door.")
"""The two statements of RAVDESS: the words carry no emotion."""

_CLAIM = re.compile(
    r"\b("
    + "|".join(sorted({v for values in CUE_VALUES.values() for v in values}))
    + r") ("
    + "|".join(CHANNELS)
    + r")\b"
)


def _join(cues: dict[Channel, str], channels: tuple[Channel, ...]) -> str:
    return ", ".join(f"{cues[channel]} {channel}" for channel in channels if channel in cues)


def describe(cues: dict[Channel, str]) -> str:
    """Describe cues in words, one sentence each for the video, the audio and the text.

    Args:
        cues: any subset of channels; a part without cues is left out.
    """
    parts = [
        ("In the video", _join(cues, FACE_CHANNELS)),
        ("In the audio", _join(cues, VOICE_CHANNELS)),
        ("In the text", _join(cues, ("words",))),
    ]
    return " ".join(f"{place}, {claims}." for place, claims in parts if claims)


def conclude(emotion: Emotion) -> str:
    """Return the sentence that ends every reasoned example: what the person feels."""
    return f"The person feels {emotion}."


def reason(cues: Cues, emotion: Emotion, rng: np.random.Generator, *, thorough_share: float) -> str:
    """Write one annotator's reasoning: thorough ones name every cue, brief ones two or three.

    Args:
        cues: the clip's true cues.
        emotion: what the person feels.
        rng: the annotator.
        thorough_share: share of annotators who name every cue. The paper's 580 examples are 232 dense ones of EMER and
            348 of its own.
    """
    if rng.random() < thorough_share:
        named: dict[Channel, str] = dict(cues)
    else:
        chosen = set(rng.choice(CHANNELS, size=int(rng.integers(2, 4)), replace=False).tolist())
        named = {channel: cues[channel] for channel in CHANNELS if channel in chosen}
    return f"{describe(named)} {conclude(emotion)}"


def read_claims(text: str) -> dict[Channel, str]:
    """Parse the claims of a text; a channel claimed more than once keeps its last value.

    Args:
        text: a caption or a reasoning.
    """
    return {channel: value for value, channel in _CLAIM.findall(text) if value in CUE_VALUES[channel]}


def false_claims(text: str, cues: Cues) -> tuple[int, int]:
    """Count the claims of a text that contradict its clip, and all its claims.

    Args:
        text: a reasoning.
        cues: the clip's true cues.
    """
    claims = read_claims(text)
    return sum(cues[channel] != value for channel, value in claims.items()), len(claims)
