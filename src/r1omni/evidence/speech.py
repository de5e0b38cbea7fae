"""Where somebody speaks, pauses, and how fast: Silero's net for speech activity, syllable nuclei for the rate.

The net's file is run by onnxruntime directly. Importing the package would import torch and set its number of threads
for the whole process.

Source:
    github.com/snakers4/silero-vad 6.2.3 (MIT), `silero_vad_16k_sequence.onnx`; thresholds as in its
    `get_speech_timestamps`. Syllables: N. de Jong, T. Wempe (2009), "Praat script to detect syllable nuclei and measure
    speech rate automatically", Behavior Research Methods 41, in the script's second version: peaks that rise 2 dB above
    the dips around them, at most 25 dB below the loudest, and voiced. Not of the level itself, but of how much four
    sub-bands have in common: D. Wang, S. Narayanan (2007), "Robust speech rate estimation for spontaneous speech", IEEE
    Transactions on Audio, Speech and Language Processing 15.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from r1omni.core.errors import ConfigError
from r1omni.evidence.loudness import HOP_S
from r1omni.evidence.pitch import PitchTrack

SAMPLE_RATE_HZ = 16000
MEASURED_BY = "silero-vad 6.2"
SYLLABLES_MEASURED_BY = "syllable nuclei"
INSTALL = "pip install 'r1omni[evidence]'"

SHORTEST_PAUSE_S = 0.25
"""Shorter gaps are closures of consonants: Goldman-Eisler (1968), Psycholinguistics, and most work since."""

_FRAME_SAMPLES, _CONTEXT_SAMPLES, _BLOCK_FRAMES = 512, 64, 512
_START_THRESHOLD, _STOP_THRESHOLD = 0.5, 0.35
_SHORTEST_SPEECH_S, _SHORTEST_GAP_S, _PAD_S = 0.25, 0.1, 0.03
_DIP_DB = 2.0
_LEVEL_SPREAD_DB = 25.0
"""Peaks further below the loudest ones (99th percentile) are noise between the words."""
_SMOOTH_S = 0.05
_FRAME_S = 0.02
_BANDS_HZ = (250.0, 700.0, 1300.0, 2100.0, 3300.0)
"""Borders of the sub-bands, roughly one formant each."""
_BLOCK = 4000


@dataclass(frozen=True)
class SpeechSpan:
    """A stretch of speech, in seconds from the waveform's beginning, half-open."""

    start_s: float
    stop_s: float
    confidence: float
    """Mean of the net's probability over the span."""


class SpeechDetector:
    """Silero's net, loaded once."""

    def __init__(self) -> None:
        """Load the net.

        Raises:
            ConfigError: a package is missing.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(f"Speech activity needs the package onnxruntime; install it: {INSTALL}") from error
        package = find_spec("silero_vad")
        if package is None or package.origin is None:
            raise ConfigError(f"Speech activity needs the package silero-vad; install it: {INSTALL}")
        options = onnxruntime.SessionOptions()  # pyright: ignore[reportAttributeAccessIssue]
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        net = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
        self._session = onnxruntime.InferenceSession(str(net), options, providers=["CPUExecutionProvider"])

    def probabilities(self, waveform: np.ndarray) -> np.ndarray:
        """Return the probability of speech for each 32 ms.

        Args:
            waveform: float32 [samples] at `SAMPLE_RATE_HZ`.

        Returns:
            float32 [frames]; the last frame is padded with zeros.
        """
        num_frames = -(-len(waveform) // _FRAME_SAMPLES)
        hidden = cell = np.zeros((1, 1, 128), dtype=np.float32)
        context = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)
        parts: list[np.ndarray] = [np.zeros(0, dtype=np.float32)]
        for first in range(0, num_frames, _BLOCK_FRAMES):
            samples = waveform[first * _FRAME_SAMPLES : (first + _BLOCK_FRAMES) * _FRAME_SAMPLES]
            frames = np.zeros((min(_BLOCK_FRAMES, num_frames - first), _FRAME_SAMPLES), dtype=np.float32)
            frames.reshape(-1)[: len(samples)] = samples
            contexts = np.concatenate([context[None], frames[:-1, -_CONTEXT_SAMPLES:]])
            context = frames[-1, -_CONTEXT_SAMPLES:]
            inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": hidden, "c": cell}
            values, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            parts.append(np.asarray(values, dtype=np.float32).reshape(-1))
        return np.concatenate(parts)

    def spans(self, waveform: np.ndarray) -> list[SpeechSpan]:
        """Return where somebody speaks.

        Args:
            waveform: float32 [samples] at `SAMPLE_RATE_HZ`.
        """
        return find_spans(self.probabilities(waveform), len(waveform) / SAMPLE_RATE_HZ)


def find_spans(probabilities: np.ndarray, duration_s: float) -> list[SpeechSpan]:
    """Turn probabilities into spans, with hysteresis; short gaps are closed, short spans dropped, edges padded.

    Args:
        probabilities: [frames], of 32 ms each.
        duration_s: of the waveform; spans end there.
    """
    frame_s = _FRAME_SAMPLES / SAMPLE_RATE_HZ
    runs: list[list[int]] = []
    is_speech = False
    for frame, probability in enumerate(probabilities):
        if probability >= _START_THRESHOLD and not is_speech:
            is_speech = True
            if runs and (frame - runs[-1][1]) * frame_s < _SHORTEST_GAP_S:
                runs[-1][1] = frame + 1
            else:
                runs.append([frame, frame + 1])
        elif is_speech and probability >= _STOP_THRESHOLD:
            runs[-1][1] = frame + 1
        elif is_speech:
            is_speech = False
    spans = []
    for start, stop in runs:
        if (stop - start) * frame_s >= _SHORTEST_SPEECH_S:
            confidence = float(np.mean(probabilities[start:stop]))
            first_s, last_s = max(0.0, start * frame_s - _PAD_S), min(duration_s, stop * frame_s + _PAD_S)
            spans.append(SpeechSpan(first_s, last_s, confidence))
    return spans


def find_pauses(spans: list[SpeechSpan]) -> list[tuple[float, float]]:
    """Return the pauses between the first and the last speech, at least `SHORTEST_PAUSE_S` long.

    Args:
        spans: speech in order of time.
    """
    gaps = [(before.stop_s, after.start_s) for before, after in zip(spans, spans[1:], strict=False)]
    return [(start_s, stop_s) for start_s, stop_s in gaps if stop_s - start_s >= SHORTEST_PAUSE_S]


def is_within(times_s: np.ndarray, spans: list[SpeechSpan]) -> np.ndarray:
    """Return for each time whether it lies in one of the spans.

    Args:
        times_s: [times].
        spans: speech.

    Returns:
        bool [times].
    """
    inside = np.zeros(len(times_s), dtype=bool)
    for span in spans:
        inside |= (times_s >= span.start_s) & (times_s < span.stop_s)
    return inside


def syllable_times(
    waveform: np.ndarray, sample_rate_hz: int, pitch: PitchTrack, spans: list[SpeechSpan]
) -> list[float]:
    """Return the times of the syllables' nuclei.

    Args:
        waveform: float32 [samples].
        sample_rate_hz: its rate.
        pitch: the pitch of the same waveform.
        spans: where somebody speaks.
    """
    times_s, common_db = _common_level(waveform, sample_rate_hz)
    inside = is_within(times_s, spans)
    if not inside.any():
        return []
    width = round(_SMOOTH_S / HOP_S)
    kernel = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.pad(common_db, width // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
    least_db = np.percentile(smooth[inside], 99) - _LEVEL_SPREAD_DB
    voiced_s = pitch.times_s[np.isfinite(pitch.hz)]
    peaks = [i for i in range(1, len(smooth) - 1) if smooth[i - 1] < smooth[i] >= smooth[i + 1]]
    nuclei: list[int] = []
    for peak in peaks:
        if smooth[peak] < least_db or not inside[peak] or not _is_near(voiced_s, times_s[peak]):
            continue
        if nuclei:
            dip = smooth[nuclei[-1] : peak + 1].min()
            if min(smooth[peak], smooth[nuclei[-1]]) - dip < _DIP_DB:
                nuclei[-1] = max(nuclei[-1], peak, key=lambda i: smooth[i])
                continue
        nuclei.append(peak)
    return [float(times_s[i]) for i in nuclei]


def _common_level(waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the sub-bands have in common, in dB: the roots of their amplitudes, multiplied in pairs and added."""
    size, hop = round(_FRAME_S * sample_rate_hz), round(HOP_S * sample_rate_hz)
    num_frames = max(0, (len(waveform) - size) // hop + 1)
    bins = np.fft.rfftfreq(2 * size, 1.0 / sample_rate_hz)
    edges = np.searchsorted(bins, _BANDS_HZ)
    window = np.hanning(size)
    common = np.zeros(num_frames)
    for first in range(0, num_frames, _BLOCK):
        rows = np.arange(first, min(num_frames, first + _BLOCK)) * hop
        power = np.abs(np.fft.rfft(waveform[rows[:, None] + np.arange(size)] * window, 2 * size, axis=1)) ** 2
        bands = [power[:, low:high].sum(axis=1) ** 0.25 for low, high in pairwise(edges)]
        common[first : first + len(rows)] = sum(a * b for a, b in combinations(bands, 2))
    return (np.arange(num_frames) * hop + size / 2) / sample_rate_hz, 20.0 * np.log10(common + 1e-6)


def _is_near(voiced_s: np.ndarray, time_s: float) -> bool:
    place = int(np.searchsorted(voiced_s, time_s))
    around = voiced_s[max(0, place - 1) : place + 1]
    return bool(len(around)) and float(np.abs(around - time_s).min()) <= 0.02
