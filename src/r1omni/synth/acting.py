"""Cues -> what the renderer draws and speaks: each cue has its own intensity; all other muscles get some noise."""

from dataclasses import fields, replace

import numpy as np

from r1omni.synth.face import FacePose
from r1omni.synth.voice import VoiceStyle
from r1omni.synth.world import Channel, Cues

_FACE: dict[Channel, dict[str, dict[str, float]]] = {
    "brows": {
        "level": {},
        "raised": {"brow_inner": 1.0, "brow_outer": 1.0},
        "lowered": {"brow_lower": 1.0},
        "slanted": {"brow_inner": 1.0, "brow_outer": -0.6},
    },
    "eyes": {
        "relaxed": {},
        "wide": {"eye_open": 1.0},
        "narrowed": {"eye_open": -0.6},
        "crinkled": {"eye_open": -0.3, "cheek_raise": 1.0},
        "downcast": {"gaze_down": 1.0, "eye_open": -0.3},
    },
    "mouth": {
        "closed": {},
        "smiling": {"mouth_corner": 1.0},
        "drooping": {"mouth_corner": -1.0},
        "open": {"mouth_open": 1.0},
        "stretched": {"mouth_stretch": 1.0, "mouth_open": 0.2},
        "pressed": {"lip_press": 1.0},
        "sneering": {"nose_wrinkle": 1.0},
        "smirking": {"mouth_corner": 0.5, "mouth_corner_asymmetry": 1.0},
    },
    "head": {
        "still": {},
        "forward": {"lean": 1.0},
        "back": {"lean": -1.0},
        "bowed": {"head_drop": 1.0},
        "tilted": {"head_tilt": 1.0},
        "restless": {"sway": 1.0, "shoulders": 0.6},
    },
}

_VOICE: dict[Channel, dict[str, dict[str, float]]] = {
    "pitch": {"low": {"pitch_semitones": -4.0}, "medium": {}, "high": {"pitch_semitones": 5.0}},
    "volume": {"soft": {"loudness_db": -11.0}, "moderate": {}, "loud": {"loudness_db": 8.0}},
    "pace": {"slow": {"pace": -0.35, "pauses": 0.6}, "normal": {}, "fast": {"pace": 0.5}},
    "tone": {
        "steady": {},
        "trembling": {"tremor": 1.0},
        "flat": {"pitch_range": -0.9},
        "lively": {"pitch_range": 0.9},
    },
}


def face_pose(cues: Cues, rng: np.random.Generator) -> FacePose:
    """Draw the apex pose of a clip.

    Args:
        cues: the clip's cues.
        rng: the clip's own generator; each cue's intensity is 0.7 to 1, the noise of each resting muscle has a
            standard deviation of 0.05.
    """
    values = {field.name: float(rng.normal(0, 0.05)) for field in fields(FacePose)}
    for channel, table in _FACE.items():
        intensity = float(rng.uniform(0.7, 1.0))
        for name, amount in table[cues[channel]].items():
            values[name] += intensity * amount
    values["head_tilt"] *= float(rng.choice([-1.0, 1.0]))
    values["mouth_corner_asymmetry"] *= float(rng.choice([-1.0, 1.0]))
    return FacePose(**{name: float(np.clip(value, -1.0, 1.0)) for name, value in values.items()})


def voice_style(cues: Cues, rng: np.random.Generator) -> VoiceStyle:
    """Draw the way a clip's sentence is spoken.

    Args:
        cues: the clip's cues.
        rng: the clip's own generator; each cue's intensity is 0.75 to 1.
    """
    style = VoiceStyle()
    values = {field.name: float(getattr(style, field.name)) for field in fields(VoiceStyle)}
    for channel, table in _VOICE.items():
        intensity = float(rng.uniform(0.75, 1.0))
        for name, amount in table[cues[channel]].items():
            values[name] += intensity * amount
    values["pitch_semitones"] += float(rng.normal(0, 0.4))
    values["loudness_db"] += float(rng.normal(0, 0.8))
    return replace(style, **values)
