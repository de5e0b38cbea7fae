"""Fundamental frequency: autocorrelation with the window's own divided out, and one path through the candidates.

Each frame offers the highest peaks of its autocorrelation and "unvoiced" as candidates; the path through all frames
minimises the cost of octave jumps and of voicing changes, which is what keeps a median off the octave above or below.
A second path is restricted to the speaker's own range, found from the first, so that hissing consonants do not count
as very high voices.

Source:
    P. Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound", Proc. Institute of Phonetic Sciences Amsterdam 17. Costs as recommended there and in Praat's manual.
    Deviation: peaks are interpolated by a parabola, not by a sinc. The range: C. De Looze, S. Rauzy (2009), as tested
    by K. Evanini, C. Lai (2010), "The importance of optimal parameter setting for pitch extraction".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLOOR_HZ = 60.0
CEILING_HZ = 600.0
"""Of speech; a scream can be higher and is then unvoiced."""
HOP_S = 0.01
MEASURED_BY = "autocorrelation"

_WINDOW_S = 3.0 / FLOOR_HZ
"""Three periods of the lowest pitch."""
_NUM_CANDIDATES = 6
_SILENCE_THRESHOLD = 0.03
_VOICING_THRESHOLD = 0.45
_OCTAVE_COST = 0.01
_OCTAVE_JUMP_COST = 0.35
_VOICING_COST = 0.14
_BLOCK_FRAMES = 2000


@dataclass(frozen=True)
class PitchTrack:
    """Pitch over time, a value each `HOP_S`."""

    times_s: np.ndarray
    """float64 [frames], centres of the frames from the waveform's beginning."""
    hz: np.ndarray
    """float64 [frames]; NaN where the sound is unvoiced."""
    strength: np.ndarray
    """float64 [frames], the normalised autocorrelation at the chosen period, 0 to 1; NaN where unvoiced."""


def to_semitones(hz: np.ndarray | float, reference_hz: float) -> np.ndarray:
    """Return frequencies in semitones above a reference.

    Args:
        hz: frequencies.
        reference_hz: the frequency of 0 semitones.
    """
    return np.asarray(12.0 * np.log2(np.asarray(hz, dtype=np.float64) / reference_hz))


def track_pitch(waveform: np.ndarray, sample_rate_hz: int, spans: Sequence[tuple[float, float]]) -> PitchTrack:
    """Follow the fundamental frequency.

    Args:
        waveform: float32 [samples], mono.
        sample_rate_hz: its rate, at least 8000.
        spans: where somebody speaks, in seconds: the range of the voice is found there.
    """
    window = np.hanning(round(_WINDOW_S * sample_rate_hz))
    hop = round(HOP_S * sample_rate_hz)
    num_frames = max(0, (len(waveform) - len(window)) // hop + 1)
    times_s = (np.arange(num_frames) * hop + len(window) / 2) / sample_rate_hz
    if num_frames == 0:
        return PitchTrack(times_s, np.zeros(0), np.zeros(0))
    frequencies, strengths = [], []
    peak = float(np.abs(waveform - waveform.mean()).max())
    for first in range(0, num_frames, _BLOCK_FRAMES):
        rows = np.arange(first, min(num_frames, first + _BLOCK_FRAMES)) * hop
        frames = waveform[rows[:, None] + np.arange(len(window))].astype(np.float64)
        block_hz, block_strength = _candidates(frames, window, sample_rate_hz, peak)
        frequencies.append(block_hz)
        strengths.append(block_strength)
    hz, strength = np.concatenate(frequencies), np.concatenate(strengths)
    every = np.arange(num_frames)
    first = hz[every, _cheapest_path(hz, strength)]
    is_speech = np.any([(times_s >= start_s) & (times_s < stop_s) for start_s, stop_s in spans], axis=0)
    voice = first[np.isfinite(first) & is_speech]
    if len(voice):
        lowest, highest = 0.72 * np.percentile(voice, 35) - 10.0, 1.9 * np.percentile(voice, 65) + 10.0
        strength = np.where((hz < lowest) | (hz > highest), -np.inf, strength)
    chosen = _cheapest_path(hz, strength)
    voiced = np.isfinite(hz[every, chosen])
    return PitchTrack(
        times_s, np.where(voiced, hz[every, chosen], np.nan), np.where(voiced, strength[every, chosen], np.nan)
    )


def _candidates(
    frames: np.ndarray, window: np.ndarray, sample_rate_hz: int, peak: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates of each frame, the unvoiced one (NaN Hz) first: frequencies and strengths [frames, n]."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    loudest = np.abs(frames).max(axis=1)
    size = 1 << int(np.ceil(np.log2(1.5 * len(window))))
    shortest, longest = int(sample_rate_hz / CEILING_HZ), int(np.ceil(sample_rate_hz / FLOOR_HZ))
    power = np.abs(np.fft.rfft(frames * window, size, axis=1)) ** 2
    window_power = np.abs(np.fft.rfft(window[None], size, axis=1)) ** 2
    ratio = _autocorrelation(power)[:, : longest + 1] / _autocorrelation(window_power)[:, : longest + 1]
    left, middle, right = (ratio[:, shortest + k : longest + k] for k in (-1, 0, 1))
    is_peak = (middle > left) & (middle >= right) & (middle > 0.5 * _VOICING_THRESHOLD)
    curvature = np.minimum(left - 2.0 * middle + right, -1e-12)
    shift = 0.5 * (left - right) / curvature
    lags = np.arange(shortest, longest)[None] + shift
    height = np.minimum(middle - 0.25 * (left - right) * shift, 1.0)
    hz = sample_rate_hz / np.clip(lags, shortest - 1, longest)
    # A shorter period is preferred by a little: every multiple of the period correlates as well.
    score = np.where(is_peak, height - _OCTAVE_COST * np.log2(FLOOR_HZ / hz), -np.inf)
    order = np.argsort(-score, axis=1)[:, :_NUM_CANDIDATES]
    rows = np.arange(len(frames))[:, None]
    best = score[rows, order]
    quiet = 2.0 - (loudest / max(peak, 1e-12)) / (_SILENCE_THRESHOLD / (1.0 + _VOICING_THRESHOLD))
    unvoiced = _VOICING_THRESHOLD + np.maximum(0.0, quiet)
    frequencies = np.where(np.isfinite(best), hz[rows, order], np.nan)
    return (
        np.concatenate([np.full((len(frames), 1), np.nan), frequencies], axis=1),
        np.concatenate([unvoiced[:, None], best], axis=1),
    )


def _autocorrelation(power: np.ndarray) -> np.ndarray:
    """Return the autocorrelation, 1 at lag 0, from power spectra [frames, bins]."""
    correlation = np.fft.irfft(power, axis=1)
    return correlation / np.maximum(correlation[:, :1], 1e-20)


def _cheapest_path(hz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return the index of the candidate that each frame takes, by dynamic programming over the whole sound."""
    num_frames, num_candidates = hz.shape
    octaves = np.log2(np.where(np.isfinite(hz), hz, 1.0))
    is_voiced = np.isfinite(hz)
    back = np.zeros((num_frames, num_candidates), dtype=np.int64)
    total = strength[0].copy()
    for frame in range(1, num_frames):
        jump = _OCTAVE_JUMP_COST * np.abs(octaves[frame][:, None] - octaves[frame - 1][None])
        both = is_voiced[frame][:, None] & is_voiced[frame - 1][None]
        changes = is_voiced[frame][:, None] != is_voiced[frame - 1][None]
        reached = total[None] - np.where(both, jump, np.where(changes, _VOICING_COST, 0.0))
        back[frame] = reached.argmax(axis=1)
        total = reached.max(axis=1) + strength[frame]
    path = np.zeros(num_frames, dtype=np.int64)
    path[-1] = int(total.argmax())
    for frame in range(num_frames - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    return path
