"""The cues of a made clip as evidence: drawn people and synthetic voices have their own truth, the manifest's.

This is the one map from cues to evidence: training, evaluation and measuring all grade claims with it. A cue says which
muscles or which way of speaking were set; everything else was at rest, which is evidence as well. Mouth, head and tone
are also named as a whole (`mouth_shape`, `head_posture`, `voice_tone`), because their words exclude each other: of the
values of one channel exactly the true one is supported. The items have the cue's word as their value, unit `cue` and
`measured_by` `manifest`.
"""

from collections.abc import Mapping

from r1omni.core.clip import Clip
from r1omni.core.evidence import EVIDENCE_NAMES, EvidenceItem

MEASURED_BY = "manifest"
NOT_SAID = "The manifest of a made corpus does not say it."

_Bands = dict[str, tuple[str, str | None]]
"""Name of an item -> its band and, where the drawing is in between, the neighbouring one."""

_AT_REST: _Bands = {
    "brow_height": ("level", None),
    "brow_gap": ("usual", None),
    "brow_slant": ("level", None),
    "eye_opening": ("usual", None),
    "cheek_raise": ("relaxed", None),
    "gaze_vertical": ("ahead", None),
    "mouth_corners": ("level", None),
    "mouth_asymmetry": ("even", None),
    "mouth_open": ("closed", "open"),  # the person speaks
    "mouth_width": ("usual", None),
    "lip_press": ("relaxed", None),
    "nose_wrinkle": ("smooth", None),
    "head_pitch": ("level", None),
    "head_roll": ("upright", None),
    "head_movement": ("still", None),
    "lean": ("upright", None),
    "pitch_semitones": ("medium", None),
    "loudness_db": ("moderate", None),
    "speech_rate": ("normal", None),
    "tremor": ("steady", None),
    "pitch_range_semitones": ("usual", None),
}

_CUES: dict[str, dict[str, _Bands]] = {
    "brows": {
        "level": {},
        "raised": {"brow_height": ("raised", None)},
        "lowered": {"brow_height": ("lowered", None), "brow_gap": ("drawn together", None)},
        "slanted": {"brow_slant": ("slanted", None)},
    },
    "eyes": {
        "relaxed": {},
        "wide": {"eye_opening": ("wide", None)},
        "narrowed": {"eye_opening": ("narrowed", None)},
        "crinkled": {"cheek_raise": ("raised", None)},
        "downcast": {"gaze_vertical": ("down", None)},
    },
    "mouth": {
        "closed": {},
        "smiling": {"mouth_corners": ("raised", None), "mouth_width": ("usual", "wide")},
        "drooping": {"mouth_corners": ("drooping", None)},
        "open": {"mouth_open": ("wide", "open")},
        "stretched": {"mouth_width": ("wide", None), "mouth_open": ("open", None)},
        "pressed": {"lip_press": ("pressed", None)},
        "sneering": {"nose_wrinkle": ("wrinkled", None)},
        "smirking": {"mouth_corners": ("raised", None), "mouth_asymmetry": ("one-sided", None)},
    },
    "head": {
        "still": {},
        "forward": {"lean": ("forward", None)},
        "back": {"lean": ("back", None)},
        "bowed": {"head_pitch": ("down", None)},
        "tilted": {"head_roll": ("left", "right")},  # to which side is not in the manifest
        "restless": {"head_movement": ("restless", None)},
    },
    "pitch": {word: {"pitch_semitones": (word, None)} for word in ("low", "medium", "high")},
    "volume": {word: {"loudness_db": (word, None)} for word in ("soft", "moderate", "loud")},
    "pace": {word: {"speech_rate": (word, None)} for word in ("slow", "normal", "fast")},
    "tone": {
        "steady": {},
        "trembling": {"tremor": ("trembling", None)},
        "flat": {"pitch_range_semitones": ("narrow", None)},
        "lively": {"pitch_range_semitones": ("wide", None)},
    },
    "words": {word: {"topic": (word, None)} for word in EVIDENCE_NAMES["topic"].bands},
}
_AS_A_WHOLE = {"mouth": "mouth_shape", "head": "head_posture", "tone": "voice_tone"}
_VOICE = ("pitch", "volume", "pace", "tone")
_FACE = ("brows", "eyes", "mouth", "head")


def has_cues(clip: Clip) -> bool:
    """Return whether a clip's manifest line has the cues of a made corpus.

    Args:
        clip: the clip.
    """
    cues = clip.meta.get("cues")
    return isinstance(cues, Mapping) and all(cues.get(channel) in _CUES[channel] for channel in _CUES)


def cue_items(clip: Clip, *, has_pictures: bool, has_sound: bool, duration_s: float) -> list[EvidenceItem]:
    """Return a made clip's cues as items, and its sentence as a transcript.

    Args:
        clip: with cues.
        has_pictures: whether its face was read.
        has_sound: whether its voice was read.
        duration_s: of what was read.
    """
    cues: Mapping[str, str] = clip.meta["cues"]
    channels = [*(_VOICE if has_sound else ()), *(_FACE if has_pictures else ()), "words"]
    sides = {"sound": has_sound, "pictures": has_pictures}
    states = {name: band for name, band in _AT_REST.items() if sides[EVIDENCE_NAMES[name].side]}
    words: dict[str, str] = {}
    for channel in channels:
        word = cues[channel]
        changed = dict(_CUES[channel][word])
        if channel in _AS_A_WHOLE:
            changed[_AS_A_WHOLE[channel]] = (word, None)
        states.update(changed)
        words.update(dict.fromkeys(changed, word))
    start_s = clip.start_s or 0.0
    span_s = start_s, start_s + duration_s
    items = [
        EvidenceItem(
            name, EVIDENCE_NAMES[name].side, words.get(name, band), "cue", *span_s, 1.0, MEASURED_BY, band, near
        )
        for name, (band, near) in states.items()
    ]
    if clip.subtitle and has_sound:
        items.append(EvidenceItem("transcript", "text", clip.subtitle, "", *span_s, 1.0, MEASURED_BY))
    return items
