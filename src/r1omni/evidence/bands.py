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
_PAUSE = "E. Campione, J. Véronis (2002): pauses above 1 s are long"

THRESHOLDS: dict[str, tuple[Threshold, ...]] = {
    "speech_share": (Threshold(0.02, 0.0, 0.05, _CHOSEN), Threshold(0.5, 0.4, 0.6, _CHOSEN)),
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
