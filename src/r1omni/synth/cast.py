"""Who appears and where, and what of it correlates with an emotion by accident: the cast and shortcuts of one world.

In the two training corpora some emotions are filmed more often in certain rooms, in certain clothes, with certain
speakers: shortcuts that a model trained on labels may learn. The third corpus has other people, other voices and a bare
studio, where they do not help.
"""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from r1omni.core.labels import EMOTIONS, Emotion
from r1omni.synth.face import CLOTHING_STYLES, HAIR_STYLES, Colour, Person
from r1omni.synth.scene import FURNITURE, PATTERNS, Room
from r1omni.synth.voice import Speaker

_SKINS: tuple[Colour, ...] = (
    (236, 188, 152),
    (224, 172, 132),
    (198, 142, 104),
    (160, 108, 76),
    (118, 78, 54),
    (246, 208, 178),
)
_HAIRS: tuple[Colour, ...] = (
    (74, 48, 34),
    (30, 26, 28),
    (150, 104, 54),
    (196, 158, 96),
    (112, 54, 34),
    (140, 140, 146),
)
_EYES: tuple[Colour, ...] = ((84, 110, 70), (70, 98, 140), (92, 62, 40), (60, 60, 66))

FILM_VOICES = ("en+m1", "en+m2", "en+m3", "en+m6", "en+f1", "en+f2", "en+f3")
STUDIO_VOICES = ("en+m4", "en+m7", "en+f4", "en+f5")
NUM_ROOMS = 8
NUM_CLOTHINGS = 8


@dataclass(frozen=True)
class Cast:
    """What the clips of one world share."""

    people: tuple[Person, ...]
    rooms: tuple[Room, ...]
    clothings: tuple[tuple[Colour, str], ...]
    speakers: tuple[Speaker, ...]
    habits: dict[Emotion, tuple[int, int, int]]
    """Emotion -> the room, clothing and speaker that it correlates with by accident."""


def _hue(value: float, saturation: float, brightness: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(value % 1.0, saturation, brightness)
    return round(255 * red), round(255 * green), round(255 * blue)


def make_cast(rng: np.random.Generator, *, num_people: int, voices: tuple[str, ...]) -> Cast:
    """Draw the people, rooms and habits of one world.

    Args:
        rng: the world's generator.
        num_people: number of different people.
        voices: the espeak-ng variants to speak with.
    """
    people = tuple(
        Person(
            skin=_SKINS[rng.integers(len(_SKINS))],
            hair=_HAIRS[rng.integers(len(_HAIRS))],
            hair_style=str(rng.choice(HAIR_STYLES)),
            face_width=float(rng.uniform(0.92, 1.08)),
            eyes=_EYES[rng.integers(len(_EYES))],
            glasses=bool(rng.random() < 0.15),
        )
        for _ in range(num_people)
    )
    turn = float(rng.random())
    rooms = tuple(
        Room(
            wall=_hue(turn + index / NUM_ROOMS, float(rng.uniform(0.08, 0.2)), float(rng.uniform(0.65, 0.88))),
            pattern=str(rng.choice(PATTERNS)),
            furniture=str(rng.choice(FURNITURE)),
            lamp=bool(rng.random() < 0.4),
        )
        for index in range(NUM_ROOMS)
    )
    turn = float(rng.random())
    clothings = tuple(
        (
            _hue(turn + index / NUM_CLOTHINGS, float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.45, 0.8))),
            str(rng.choice(CLOTHING_STYLES)),
        )
        for index in range(NUM_CLOTHINGS)
    )
    speakers = tuple(
        Speaker(voice=voice, base_pitch=float(rng.uniform(42, 56)), base_rate_wpm=float(rng.uniform(165, 180)))
        for voice in voices
    )
    habits: dict[Emotion, tuple[int, int, int]] = {
        emotion: (int(rng.integers(NUM_ROOMS)), int(rng.integers(NUM_CLOTHINGS)), int(rng.integers(len(voices))))
        for emotion in EMOTIONS
    }
    return Cast(people, rooms, clothings, speakers, habits)


@dataclass(frozen=True)
class Casting:
    """Who and what one clip shows, as indices into its cast."""

    person: int
    room: int
    clothing: int
    speaker: int


def cast_clip(cast: Cast, emotion: Emotion | None, rng: np.random.Generator, *, shortcut: float) -> Casting:
    """Choose person, room, clothing and speaker of a clip.

    Args:
        cast: the world's cast.
        emotion: the emotion whose habit decides; None for a clip without an emotion.
        rng: the clip's own generator.
        shortcut: for each of room, clothing and speaker, the chance that the emotion's habit decides.
    """
    free = (int(rng.integers(NUM_ROOMS)), int(rng.integers(NUM_CLOTHINGS)), int(rng.integers(len(cast.speakers))))
    habit = cast.habits[emotion] if emotion is not None else free
    taken = [habit[k] if rng.random() < shortcut else free[k] for k in range(3)]
    return Casting(int(rng.integers(len(cast.people))), *taken)


def dressed(cast: Cast, casting: Casting) -> Person:
    """The person of a casting, in the casting's clothes."""
    colour, style = cast.clothings[casting.clothing]
    return replace(cast.people[casting.person], clothing=colour, clothing_style=style)
