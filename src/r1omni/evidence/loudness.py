"""Level of the sound over time, in dB relative to full scale (a full-scale square wave has 0 dBFS), and exact silence.

The level is RMS over frames, unweighted. It depends on the recording's gain as much as on the voice: the same shout is
loud in one film and soft in another. A span of digital silence is one in which every sample is exactly 0; the quiet of
a room is not.
"""

import numpy as np

HOP_S = 0.01
MEASURED_BY = "rms"
FLOOR_DBFS = -120.0
"""What frames without any energy get in a track; they are never averaged into a level."""
SHORTEST_SILENCE_S = 0.1

FRAME_S = 0.04
"""Two periods of a low voice, so that single glottal pulses do not show."""


def track_level(waveform: np.ndarray, sample_rate_hz: int, frame_s: float = FRAME_S) -> tuple[np.ndarray, np.ndarray]:
    """Return the level over time, a value each `HOP_S`.

    Args:
        waveform: float32 [samples], mono, full scale at 1.
        sample_rate_hz: its rate.
        frame_s: length of the frames.

    Returns:
        float64 [frames] centres in seconds from the waveform's beginning, and float64 [frames] dBFS.
    """
    size, hop = round(frame_s * sample_rate_hz), round(HOP_S * sample_rate_hz)
    num_frames = max(0, (len(waveform) - size) // hop + 1)
    energy = np.concatenate([[0.0], np.cumsum(waveform.astype(np.float64) ** 2)])
    starts = np.arange(num_frames) * hop
    power = np.maximum(energy[starts + size] - energy[starts], 0.0) / size
    return (starts + size / 2) / sample_rate_hz, to_dbfs(power)


def to_dbfs(power: np.ndarray | float) -> np.ndarray:
    """Return mean squares in dBFS, at least `FLOOR_DBFS`.

    Args:
        power: mean of the squared samples.
    """
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DBFS / 10.0))))


def silent_spans(waveform: np.ndarray, sample_rate_hz: int) -> list[tuple[float, float]]:
    """Return the spans of at least `SHORTEST_SILENCE_S` in which every sample is 0, in seconds, half-open.

    Args:
        waveform: float32 [samples].
        sample_rate_hz: its rate.
    """
    is_zero = np.concatenate([[False], waveform == 0.0, [False]])
    edges = np.flatnonzero(is_zero[1:] != is_zero[:-1])
    spans = zip(edges[::2] / sample_rate_hz, edges[1::2] / sample_rate_hz, strict=True)
    return [(float(start), float(stop)) for start, stop in spans if stop - start >= SHORTEST_SILENCE_S]
