"""The evidence of a synthetic clip: its true cues, written as measurements, so that claims about it can be graded.

Each cue becomes items of the names that claims about its channel are checked with, `measured_by` `manifest` and with
the cue's word as value. The band is the one that the word stands for; a word that a name has no band for is
its own band, so that a claim of another value of the channel is contradicted.
"""

from collections.abc import Mapping

from r1omni.core.clip import Clip
from r1omni.core.evidence import EVIDENCE_NAMES, Evidence, EvidenceItem
from r1omni.synth.world import CHANNELS, CLIP_S, Channel

_WHOLE: dict[Channel, dict[str, dict[str, str]]] = {
    "brows": {"brow_height": {}},
    "eyes": {"eye_opening": {"relaxed": "usual"}},
    "mouth": {"mouth_open": {}},
    "head": {"head_movement": {}},
    "pitch": {"pitch_semitones": {}},
    "volume": {"loudness_db": {}},
    "pace": {"speech_rate": {}},
    "tone": {"tremor": {}},
    "words": {"topic": {}},
}
"""Channel -> name -> word of the cue -> band; other words are their own band."""

_MARKS: dict[Channel, dict[str, tuple[str, dict[str, str]]]] = {
    "brows": {"brow_slant": ("level", {"slanted": "slanted"})},
    "eyes": {
        "cheek_raise": ("relaxed", {"crinkled": "raised"}),
        "gaze_vertical": ("ahead", {"downcast": "down"}),
    },
    "mouth": {
        "mouth_corners": ("level", {"smiling": "raised", "drooping": "drooping"}),
        "mouth_asymmetry": ("even", {"smirking": "one-sided"}),
        "mouth_width": ("usual", {"stretched": "wide"}),
        "lip_press": ("relaxed", {"pressed": "pressed"}),
        "nose_wrinkle": ("smooth", {"sneering": "wrinkled"}),
    },
    "head": {
        "lean": ("upright", {"forward": "forward", "back": "back"}),
        "head_pitch": ("level", {"bowed": "down"}),
        "head_roll": ("upright", {"tilted": "left"}),
    },
    "tone": {"pitch_range_semitones": ("usual", {"flat": "narrow", "lively": "wide"})},
}
"""Channel -> name -> the band of the other cues, and the cues that have a band of their own."""


def cue_evidence(clip: Clip) -> Evidence | None:
    """Return what is known of a synthetic clip; None where its manifest holds no cues.

    Args:
        clip: of a made corpus.
    """
    cues: Mapping[Channel, str] | None = clip.meta.get("cues")
    if cues is None:
        return None
    items = [_item("face_count", "one face", "one"), _item("speech_share", "speech", "most")]
    for channel in CHANNELS:
        word = cues[channel]
        for name, bands in _WHOLE[channel].items():
            items.append(_item(name, word, bands.get(word, word)))
        for name, (usual, bands) in _MARKS.get(channel, {}).items():
            items.append(_item(name, word, bands.get(word, usual)))
    return Evidence(has_pictures=True, has_sound=True, duration_s=CLIP_S, items=tuple(items))


def _item(name: str, word: str, band: str) -> EvidenceItem:
    near = "right" if (name, band) == ("head_roll", "left") else None  # which way is not a cue
    return EvidenceItem(
        name, EVIDENCE_NAMES[name].side, word, "cue", 0.0, CLIP_S, None, "manifest", band=band, near=near
    )
