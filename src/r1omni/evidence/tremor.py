"""Tremor of the voice: how much of the pitch's movement is a shake of 5 to 12 Hz.

Each voiced stretch of at least 0.3 s gives its pitch contour in semitones, less a cubic trend (the intonation); the
value is the share of the remaining movement that lies in that range, 0 where the shake is less than 0.3 semitones deep
and cannot be heard. Movement of syllables is slower, about 2 to 5 Hz in most speech.

Source:
    The range is that of vocal tremor in J. Kreiman, B. Gabelman, B. Gerratt (2003), "Perception of vocal tremor", 4 to
    12 Hz, less the part that fast syllables share. The way of measuring is our own, set on the made voices.
"""

import numpy as np

from r1omni.evidence.pitch import HOP_S, PitchTrack, to_semitones

MEASURED_BY = "pitch modulation"
SHORTEST_STRETCH_S = 0.3
SLOWEST_HZ, FASTEST_HZ = 5.0, 12.0
LEAST_DEPTH_SEMITONES = 0.3

_FFT_SIZE = 256
_TREND_HZ = 1.5
"""Slower movement is intonation that the cubic trend has left."""


def measure_tremor(pitch: PitchTrack, inside: np.ndarray) -> float | None:
    """Return the share of the pitch's movement between 5 and 12 Hz; None without a voiced stretch that is long enough.

    Args:
        pitch: the pitch over time.
        inside: bool [frames], where somebody speaks.
    """
    semitones = to_semitones(pitch.hz, 100.0)
    is_voiced = np.concatenate([[False], np.isfinite(semitones) & inside, [False]])
    edges = np.flatnonzero(is_voiced[1:] != is_voiced[:-1])
    weights, shares, depths = [], [], []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if (stop - start) * HOP_S < SHORTEST_STRETCH_S:
            continue
        share, depth = _shake(semitones[start:stop])
        weights.append(stop - start)
        shares.append(share)
        depths.append(depth)
    if not weights:
        return None
    is_audible = float(np.average(depths, weights=weights)) >= LEAST_DEPTH_SEMITONES
    return float(np.average(shares, weights=weights)) if is_audible else 0.0


def _shake(contour: np.ndarray) -> tuple[float, float]:
    """Return the share of the movement in the range of tremor, and its depth as the standard deviation in semitones."""
    x = np.linspace(-1.0, 1.0, len(contour))
    rest = contour - np.polyval(np.polyfit(x, contour, 3), x)
    window = np.hanning(len(contour) + 2)[1:-1]
    power = np.abs(np.fft.rfft(rest * window, _FFT_SIZE)) ** 2
    frequencies = np.fft.rfftfreq(_FFT_SIZE, HOP_S)
    shake = power[(frequencies >= SLOWEST_HZ) & (frequencies <= FASTEST_HZ)].sum()
    every = power[frequencies >= _TREND_HZ].sum()
    depth = np.sqrt(2.0 * shake / _FFT_SIZE / np.sum(window**2))
    return float(shake / max(every, 1e-20)), float(depth)
