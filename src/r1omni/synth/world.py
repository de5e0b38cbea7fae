"""How the drawn people express what they feel: emotion -> cues.

A cue is one visible or audible thing (how the brows are, how loud the voice is, what the words are about). An emotion
is a *combination* of cues, and each emotion has several: no single cue identifies an emotion, and neighbours differ in
one channel only. The combinations follow the literature and were fixed before any result was seen:

- face: Ekman and Friesen, EMFACS (1983); Cordaro et al., "Universals and cultural variations in 22 emotional
  expressions" (Emotion, 2018). A smile with the eyes (AU6+12) versus one without; raised brows with a dropped jaw
  (AU1+2+26) versus slanted brows with a stretched mouth (AU1+4+20).
- voice: Juslin and Laukka, "Communication of emotions in vocal expression" (Psychological Bulletin, 2003): cold and hot
  anger, low and slow sadness, high and trembling fear.
- words versus tone: Scherer's appraisals; kind words in a flat voice are contempt or disappointment, not joy.

Pairs that differ only in the face: fear / anxious (A), sad / disappointed (A). Only in the voice: neutral / calm,
surprise A / fear B (with the words). Only in words versus tone: disappointed B / sad (kind words versus loss).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from r1omni.core.labels import Emotion

Channel = Literal["brows", "eyes", "mouth", "head", "pitch", "volume", "pace", "tone", "words"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
FACE_CHANNELS: tuple[Channel, ...] = ("brows", "eyes", "mouth", "head")
VOICE_CHANNELS: tuple[Channel, ...] = ("pitch", "volume", "pace", "tone")
SIDE_CHANNELS: dict[Literal["pictures", "sound"], tuple[Channel, ...]] = {
    "pictures": FACE_CHANNELS,
    "sound": (*VOICE_CHANNELS, "words"),
}
"""Where each channel is; the words are spoken, and in the pictures only where a subtitle repeats them."""

CUE_VALUES: dict[Channel, tuple[str, ...]] = {
    "brows": ("level", "raised", "lowered", "slanted"),
    "eyes": ("relaxed", "wide", "narrowed", "crinkled", "downcast"),
    "mouth": ("closed", "smiling", "drooping", "open", "stretched", "pressed", "sneering", "smirking"),
    "head": ("still", "forward", "back", "bowed", "tilted", "restless"),
    "pitch": ("low", "medium", "high"),
    "volume": ("soft", "moderate", "loud"),
    "pace": ("slow", "normal", "fast"),
    "tone": ("steady", "trembling", "flat", "lively"),
    "words": ("plain", "kind", "hostile", "mournful", "alarming", "astonished"),
}
"""The values of each channel; the first is the unmarked one."""

CLIP_S = 2.4
"""Length of a synthetic clip."""

Cues = dict[Channel, str]
"""One value per channel: the ground truth of a synthetic clip's expression."""


def _pattern(face: str, voice: str, words: str) -> Cues:
    return dict(zip(CHANNELS, [*face.split(), *voice.split(), words], strict=True))


PATTERNS: dict[Emotion, tuple[Cues, ...]] = {
    "happy": (
        _pattern("level crinkled smiling still", "high moderate normal lively", "kind"),
        _pattern("raised crinkled open back", "high loud fast lively", "astonished"),
        _pattern("level crinkled smiling tilted", "medium moderate fast lively", "plain"),
    ),
    "sad": (
        _pattern("slanted downcast drooping bowed", "low soft slow flat", "mournful"),
        _pattern("slanted narrowed stretched bowed", "high moderate slow trembling", "mournful"),
        _pattern("slanted downcast closed still", "low soft slow trembling", "plain"),
    ),
    "neutral": (
        _pattern("level relaxed closed still", "medium moderate normal steady", "plain"),
        _pattern("level relaxed closed tilted", "medium moderate fast steady", "plain"),
        _pattern("level relaxed open still", "low moderate normal steady", "plain"),
    ),
    "angry": (
        _pattern("lowered narrowed pressed forward", "low moderate slow steady", "hostile"),
        _pattern("lowered wide open forward", "high loud fast steady", "hostile"),
        _pattern("lowered narrowed stretched restless", "medium loud fast trembling", "hostile"),
    ),
    "surprise": (
        _pattern("raised wide open back", "high loud fast lively", "astonished"),
        _pattern("raised wide closed still", "high moderate normal lively", "astonished"),
        _pattern("raised wide open still", "medium soft slow steady", "astonished"),
    ),
    "disgust": (
        _pattern("lowered narrowed sneering back", "low moderate slow steady", "hostile"),
        _pattern("lowered crinkled sneering tilted", "medium loud slow flat", "plain"),
        _pattern("level narrowed drooping back", "low soft slow flat", "alarming"),
    ),
    "fear": (
        _pattern("slanted wide stretched back", "high soft fast trembling", "alarming"),
        _pattern("raised wide open back", "high loud fast trembling", "alarming"),
        _pattern("slanted wide open still", "high soft fast trembling", "plain"),
    ),
    "contemptuous": (
        _pattern("level narrowed smirking tilted", "low moderate slow flat", "kind"),
        _pattern("raised relaxed sneering back", "low soft slow flat", "hostile"),
        _pattern("level relaxed smiling back", "low moderate slow flat", "hostile"),
    ),
    "anxious": (
        _pattern("slanted relaxed pressed restless", "high soft fast trembling", "alarming"),
        _pattern("lowered wide closed restless", "medium moderate fast trembling", "plain"),
        _pattern("slanted wide pressed restless", "medium soft fast steady", "alarming"),
    ),
    "helpless": (
        _pattern("slanted relaxed pressed tilted", "medium soft slow trembling", "mournful"),
        _pattern("slanted downcast open still", "high soft slow flat", "plain"),
        _pattern("raised downcast pressed tilted", "medium soft slow flat", "mournful"),
    ),
    "disappointed": (
        _pattern("level downcast pressed bowed", "low soft slow flat", "mournful"),
        _pattern("level downcast drooping tilted", "low moderate slow flat", "kind"),
        _pattern("lowered downcast drooping still", "medium moderate slow flat", "plain"),
    ),
    "calm": (
        _pattern("level relaxed closed still", "low soft slow steady", "kind"),
        _pattern("level relaxed smiling still", "low soft slow steady", "plain"),
    ),
}
"""The full patterns of each emotion; a clip shows one of them, with noise."""

CONFUSIONS: dict[Emotion, tuple[Emotion, ...]] = {
    "happy": ("surprise", "neutral", "contemptuous"),
    "sad": ("neutral", "disappointed", "helpless"),
    "neutral": ("sad", "happy", "angry"),
    "angry": ("disgust", "neutral", "fear"),
    "surprise": ("fear", "happy"),
    "disgust": ("angry", "contemptuous", "sad"),
    "fear": ("surprise", "anxious", "sad"),
    "contemptuous": ("disgust", "happy", "neutral"),
    "anxious": ("fear", "helpless", "sad"),
    "helpless": ("sad", "disappointed", "anxious"),
    "disappointed": ("sad", "helpless", "neutral"),
    "calm": ("neutral", "happy"),
}
"""Emotion -> those that annotators confuse it with: neighbours in valence and arousal."""


@dataclass(frozen=True)
class Noise:
    """How far a synthetic clip strays from its emotion's pattern."""

    cue: float = 0.25
    """Share of cues that show some other value of their channel."""
    label: float = 0.2
    """Share of training labels that annotators confuse with a neighbour (see `CONFUSIONS`); test labels are clean."""


def random_cues(rng: np.random.Generator) -> Cues:
    """Draw every cue independently and uniformly: a face and a voice without an emotion, for captions."""
    return {channel: str(rng.choice(CUE_VALUES[channel])) for channel in CHANNELS}


def express(emotion: Emotion, rng: np.random.Generator, noise: Noise) -> Cues:
    """Draw the cues of one clip: one pattern of the emotion, each cue replaced with probability `noise.cue`.

    Args:
        emotion: what the person feels.
        rng: the clip's own generator.
        noise: how far from the pattern.
    """
    patterns = PATTERNS[emotion]
    cues = dict(patterns[int(rng.integers(len(patterns)))])
    for channel in CHANNELS:
        if rng.random() < noise.cue:
            cues[channel] = str(rng.choice(CUE_VALUES[channel]))
    return cues


def crowd_label(emotion: Emotion, labels: tuple[Emotion, ...], rng: np.random.Generator, noise: Noise) -> Emotion:
    """Label a clip as annotators would: correctly, or with a neighbour from the same label set.

    Args:
        emotion: what the person feels.
        labels: the corpus's label set.
        rng: the clip's own generator.
        noise: how often annotators are wrong.
    """
    neighbours: tuple[Emotion, ...] = tuple(name for name in CONFUSIONS[emotion] if name in labels)
    if neighbours and rng.random() < noise.label:
        return neighbours[int(rng.integers(len(neighbours)))]
    return emotion


def log_likelihoods(
    cues: dict[Channel, str], labels: tuple[Emotion, ...], noise: Noise, *, reading_error: float = 0.0
) -> dict[Emotion, float]:
    """Return how well each emotion explains some cues: the optimal classifier, a control that the text corpus uses too.

    Args:
        cues: any subset of channels with the value seen or claimed.
        labels: the emotions to compare.
        noise: the world's own noise.
        reading_error: share of the given cues that are misread, on top of the noise.
    """
    scores: dict[Emotion, float] = {}
    for emotion in labels:
        per_pattern = []
        for pattern in PATTERNS[emotion]:
            total = 0.0
            for channel, value in cues.items():
                wrong = 1 - (1 - noise.cue) * (1 - reading_error)
                chance = wrong / len(CUE_VALUES[channel])
                total += float(np.log(chance + (1 - wrong) * (pattern[channel] == value)))
            per_pattern.append(total)
        scores[emotion] = float(np.logaddexp.reduce(per_pattern) - np.log(len(per_pattern)))
    return scores
