"""Where one band ends and the next begins: a threshold each, with its source, and how close to it both words are fair.

A band describes the measurement, never a feeling. `fair_from` to `fair_to` is the range around a threshold in which an
item names the neighbouring band as well, because people, devices or methods differ by that much.
"""

from dataclasses import dataclass

from r1omni.core.evidence import EVIDENCE_NAMES


@dataclass(frozen=True)
class Threshold:
    """The border between two neighbouring bands."""

    value: float
    fair_from: float
    fair_to: float
    source: str


_CHOSEN = "chosen; no source found"
_PITCH = (
    "H. Traunmüller, A. Eriksson (1995): about 120 Hz for men and 210 Hz for women with a standard deviation of about "
    "2.8 semitones; low is below a low man's voice, high above a high woman's, and both words are fair in between "
    "because the speaker is not known"
)
_RANGE = "H. Traunmüller, A. Eriksson (1995): standard deviations of 2 to 3.5 semitones, times 3.29 for 5 to 95 %"
_TREND = "J. 't Hart (1981): differences below 3 semitones hardly matter in speech"
_LEVEL = "dialogue of film and television is mixed to -27 to -23 LKFS (ATSC A/85, EBU R 128); 7 dB to either side"
_RATE = "S. Arnfield et al. (1995): 3.3 to 5.9 syllables/s in British English"
_FACES = "half-way between neutral and expressive public photographs and the talking man (docs/evidence.md)"
_NEUTRAL = "chosen: outside what neutral public photographs and the talking man show (docs/evidence.md)"
_EYES = "T. Soukupová, J. Čech (2016): open eyes have an aspect ratio of about .3, shut ones below .2"
_POSE = "chosen: a turn that shows at a glance; the pose is known to about 5 degrees"
_PAUSE = "E. Campione, J. Véronis (2002): pauses above 1 s are long"

THRESHOLDS: dict[str, tuple[Threshold, ...]] = {
    "speech_share": (Threshold(0.02, 0.01, 0.05, _CHOSEN), Threshold(0.5, 0.4, 0.6, _CHOSEN)),
    "pitch_semitones": (Threshold(0.0, -1.5, 5.8, _PITCH), Threshold(15.6, 5.8, 17.0, _PITCH)),
    "pitch_range_semitones": (Threshold(4.0, 3.0, 5.0, _RANGE), Threshold(11.5, 10.0, 13.0, _RANGE)),
    "pitch_trend": (Threshold(-3.0, -4.0, -1.5, _TREND), Threshold(3.0, 1.5, 4.0, _TREND)),
    "loudness_db": (Threshold(-34.0, -37.0, -31.0, _LEVEL), Threshold(-20.0, -23.0, -17.0, _LEVEL)),
    "loudness_trend": (Threshold(-3.0, -4.0, -2.0, _CHOSEN), Threshold(3.0, 2.0, 4.0, _CHOSEN)),
    "speech_rate": (Threshold(3.3, 2.8, 3.8, _RATE), Threshold(5.9, 5.0, 6.5, _RATE)),
    "pause_share": (Threshold(0.1, 0.05, 0.15, _CHOSEN), Threshold(0.3, 0.25, 0.35, _CHOSEN)),
    "longest_pause_s": (Threshold(0.25, 0.25, 0.3, _PAUSE), Threshold(1.0, 0.8, 1.2, _PAUSE)),
    "voiced_share": (Threshold(0.3, 0.2, 0.4, _CHOSEN),),
    "tremor": (
        Threshold(0.55, 0.5, 0.65, "between the steady and the trembling made voices, 5 to 12 Hz (docs/evidence.md)"),
    ),
    "face_count": (Threshold(0.5, 0.5, 0.5, "counted"), Threshold(1.5, 1.5, 1.5, "counted")),
    "face_share": (Threshold(0.02, 0.01, 0.05, _CHOSEN), Threshold(0.5, 0.4, 0.6, _CHOSEN)),
    "mouth_open": (Threshold(0.05, 0.03, 0.07, _FACES), Threshold(0.2, 0.17, 0.23, _FACES)),
    "mouth_width": (Threshold(0.47, 0.45, 0.49, _NEUTRAL), Threshold(0.63, 0.61, 0.65, _FACES)),
    "mouth_corners": (Threshold(-0.02, -0.035, -0.01, _NEUTRAL), Threshold(0.04, 0.025, 0.055, _FACES)),
    "mouth_asymmetry": (Threshold(0.05, 0.035, 0.06, _NEUTRAL),),
    "brow_height": (Threshold(0.165, 0.155, 0.18, _NEUTRAL), Threshold(0.245, 0.23, 0.26, _NEUTRAL)),
    "brow_gap": (Threshold(0.27, 0.26, 0.285, _NEUTRAL), Threshold(0.37, 0.355, 0.38, _NEUTRAL)),
    "brow_slant": (Threshold(0.12, 0.1, 0.13, _NEUTRAL),),
    "eye_opening": (Threshold(0.22, 0.2, 0.24, _EYES), Threshold(0.38, 0.36, 0.4, _NEUTRAL)),
    "gaze_horizontal": (Threshold(-0.12, -0.15, -0.08, _NEUTRAL), Threshold(0.12, 0.08, 0.15, _NEUTRAL)),
    "gaze_vertical": (Threshold(-0.03, -0.06, 0.0, _NEUTRAL), Threshold(0.15, 0.12, 0.18, _NEUTRAL)),
    "head_yaw": (Threshold(-15.0, -20.0, -10.0, _POSE), Threshold(15.0, 10.0, 20.0, _POSE)),
    "head_pitch": (Threshold(-8.0, -12.0, -4.0, _POSE), Threshold(18.0, 13.0, 22.0, _POSE)),
    "head_roll": (Threshold(-10.0, -13.0, -7.0, _POSE), Threshold(10.0, 7.0, 13.0, _POSE)),
    "head_movement": (Threshold(0.1, 0.08, 0.15, _CHOSEN), Threshold(0.5, 0.4, 0.6, _CHOSEN)),
}


def find_band(name: str, value: float) -> tuple[str | None, str | None]:
    """Return the band of a value, and the neighbouring band where that word is fair too.

    Args:
        name: a key of `EVIDENCE_NAMES`.
        value: in the unit given there.

    Returns:
        The band, None where the name has none; the neighbour, None where the value is clear.
    """
    thresholds = THRESHOLDS.get(name)
    if thresholds is None:
        return None, None
    bands = EVIDENCE_NAMES[name].bands
    place = sum(value >= threshold.value for threshold in thresholds)
    for index, threshold in enumerate(thresholds):
        if threshold.fair_from <= value < threshold.fair_to and index in (place - 1, place):
            return bands[place], bands[index if index < place else index + 1]
    return bands[place], None
