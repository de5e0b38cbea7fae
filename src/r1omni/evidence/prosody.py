"""Everything that is measured of the sound, as items: from the waveform to pitch, level, rate, pauses and tremor.

Pitch, level, voiced share and tremor are those of the speech only. Rate and pauses belong to the stretch from the first
to the last speech, so that silence before and after it does not count. `first` and `then` are the halves of that
stretch.
"""

from dataclasses import dataclass, field

import numpy as np

from r1omni.core.evidence import EvidenceItem, Phase, Unmeasured
from r1omni.evidence import loudness, pitch, speech, tremor
from r1omni.evidence.item import all_unmeasured, make_item
from r1omni.evidence.pitch import PitchTrack, to_semitones, track_pitch
from r1omni.evidence.speech import SpeechDetector, SpeechSpan
from r1omni.media.decode import SILENT_PEAK

SEMITONE_REFERENCE_HZ = 100.0
LEAST_VOICED_S = 0.1
LEAST_STRETCH_S = 1.0
"""Of speech, for a trend from its first half to its second."""
LEAST_RATE_STRETCH_S = 3.0
"""Of speech, for a rate of each half: shorter halves have too few syllables to count."""

_PITCH_NAMES = ["pitch_hz", "pitch_semitones", "pitch_range_semitones", "pitch_trend", "tremor"]
_SPEECH_NAMES = [
    *_PITCH_NAMES,
    "voiced_share",
    "loudness_db",
    "loudness_trend",
    "speech_rate",
    "pause_share",
    "longest_pause_s",
]


@dataclass
class Voice:
    """What was found in the sound; all times count from the file's beginning."""

    items: list[EvidenceItem] = field(default_factory=list)
    unmeasured: list[Unmeasured] = field(default_factory=list)
    spans: list[SpeechSpan] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    pitch: PitchTrack | None = None
    level_times_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    level_dbfs: np.ndarray = field(default_factory=lambda: np.zeros(0))


def measure_voice(waveform: np.ndarray, start_s: float, detector: SpeechDetector | str) -> Voice:
    """Measure the sound.

    Args:
        waveform: float32 [samples], mono, at `speech.SAMPLE_RATE_HZ`.
        start_s: of its first sample, from the file's beginning.
        detector: finds speech; a string is the reason why there is none.
    """
    rate_hz = speech.SAMPLE_RATE_HZ
    voice = Voice()
    whole_s = (start_s, start_s + len(waveform) / rate_hz)
    times_s, level_dbfs = loudness.track_level(waveform, rate_hz)
    voice.level_times_s, voice.level_dbfs = times_s + start_s, level_dbfs
    is_silent = float(np.abs(waveform).max(initial=0.0)) < SILENT_PEAK
    voice.items.append(make_item("digital_silence", is_silent, whole_s, "samples", confidence=1.0))
    for silent_s, silent_stop_s in [] if is_silent else loudness.silent_spans(waveform, rate_hz):
        span_s = (start_s + silent_s, start_s + silent_stop_s)
        voice.items.append(make_item("digital_silence", True, span_s, "samples", confidence=1.0))
    if isinstance(detector, str):
        voice.unmeasured = all_unmeasured(["speech_share", *_SPEECH_NAMES], detector)
        return voice
    if is_silent:
        voice.items.append(make_item("speech_share", 0.0, whole_s, "samples", confidence=1.0))
        voice.unmeasured = all_unmeasured(_SPEECH_NAMES, "The sound is digital silence.")
        return voice
    probabilities = detector.probabilities(waveform)
    spans = speech.find_spans(probabilities, len(waveform) / rate_hz)
    share = sum(span.stop_s - span.start_s for span in spans) / (len(waveform) / rate_hz)
    sureness = float(np.mean(np.maximum(probabilities, 1.0 - probabilities)))
    voice.items.append(make_item("speech_share", share, whole_s, speech.MEASURED_BY, confidence=sureness))
    if not spans:
        voice.unmeasured = all_unmeasured(_SPEECH_NAMES, "No speech was found in the sound.")
        return voice
    track = track_pitch(waveform, rate_hz, [(span.start_s, span.stop_s) for span in spans])
    voice.spans = [SpeechSpan(s.start_s + start_s, s.stop_s + start_s, s.confidence) for s in spans]
    voice.pauses = speech.find_pauses(voice.spans)
    voice.pitch = PitchTrack(track.times_s + start_s, track.hz, track.strength)
    _add_pitch(voice)
    _add_level(voice)
    nuclei_s = [time_s + start_s for time_s in speech.syllable_times(waveform, rate_hz, track, spans)]
    _add_rate(voice, nuclei_s)
    return voice


def _stretch(voice: Voice) -> tuple[float, float]:
    return voice.spans[0].start_s, voice.spans[-1].stop_s


def _halves(voice: Voice) -> tuple[tuple[Phase, float, float], ...]:
    start_s, stop_s = _stretch(voice)
    middle_s = (start_s + stop_s) / 2
    return ("first", start_s, middle_s), ("then", middle_s, stop_s)


def _add_pitch(voice: Voice) -> None:
    track = voice.pitch
    assert track is not None
    inside = speech.is_within(track.times_s, voice.spans)
    is_voiced = inside & np.isfinite(track.hz)
    if is_voiced.sum() * pitch.HOP_S < LEAST_VOICED_S:
        voice.unmeasured += all_unmeasured(
            [*_PITCH_NAMES, "voiced_share"], f"The speech holds less than {LEAST_VOICED_S} s of voiced sound."
        )
        return
    span_s, by = _stretch(voice), pitch.MEASURED_BY
    sureness = float(np.mean(track.strength[is_voiced]))
    semitones = to_semitones(track.hz, SEMITONE_REFERENCE_HZ)
    low, high = np.percentile(semitones[is_voiced], [5, 95])
    values = {
        "pitch_hz": float(np.median(track.hz[is_voiced])),
        "pitch_semitones": float(np.median(semitones[is_voiced])),
        "pitch_range_semitones": float(high - low),
    }
    voice.items += [make_item(name, value, span_s, by, confidence=sureness) for name, value in values.items()]
    voice.items.append(make_item("voiced_share", float(is_voiced.sum() / inside.sum()), span_s, by))
    medians = []
    for phase, start_s, stop_s in _halves(voice):
        half = is_voiced & (track.times_s >= start_s) & (track.times_s < stop_s)
        if half.sum() * pitch.HOP_S >= LEAST_VOICED_S and span_s[1] - span_s[0] >= LEAST_STRETCH_S:
            medians.append(float(np.median(semitones[half])))
            part = {"confidence": float(np.mean(track.strength[half])), "phase": phase}
            voice.items.append(make_item("pitch_hz", float(np.median(track.hz[half])), (start_s, stop_s), by, **part))
            voice.items.append(make_item("pitch_semitones", medians[-1], (start_s, stop_s), by, **part))
    if len(medians) == 2:
        voice.items.append(make_item("pitch_trend", medians[1] - medians[0], span_s, by))
    else:
        voice.unmeasured += all_unmeasured(["pitch_trend"], "The voiced speech is too short to compare its halves.")
    shake = tremor.measure_tremor(track, inside)
    if shake is None:
        voice.unmeasured += all_unmeasured(
            ["tremor"], f"No stretch of voiced speech lasts {tremor.SHORTEST_STRETCH_S} s."
        )
    else:
        voice.items.append(make_item("tremor", shake, span_s, tremor.MEASURED_BY))


def _add_level(voice: Voice) -> None:
    span_s, by = _stretch(voice), loudness.MEASURED_BY
    inside = speech.is_within(voice.level_times_s, voice.spans)
    power = 10.0 ** (voice.level_dbfs / 10.0)
    if not inside.any():
        voice.unmeasured += all_unmeasured(["loudness_db", "loudness_trend"], "The speech is too short.")
        return
    voice.items.append(make_item("loudness_db", float(loudness.to_dbfs(power[inside].mean())), span_s, by))
    levels = []
    for phase, start_s, stop_s in _halves(voice):
        half = inside & (voice.level_times_s >= start_s) & (voice.level_times_s < stop_s)
        if half.any() and span_s[1] - span_s[0] >= LEAST_STRETCH_S:
            levels.append(float(loudness.to_dbfs(power[half].mean())))
            voice.items.append(make_item("loudness_db", levels[-1], (start_s, stop_s), by, phase=phase))
    if len(levels) == 2:
        voice.items.append(make_item("loudness_trend", levels[1] - levels[0], span_s, by))
    else:
        voice.unmeasured += all_unmeasured(["loudness_trend"], "The speech is too short to compare its halves.")


def _add_rate(voice: Voice, nuclei_s: list[float]) -> None:
    span_s, by = _stretch(voice), speech.SYLLABLES_MEASURED_BY
    length_s = span_s[1] - span_s[0]
    voice.items.append(make_item("speech_rate", len(nuclei_s) / length_s, span_s, by))
    if length_s >= LEAST_RATE_STRETCH_S:
        for phase, start_s, stop_s in _halves(voice):
            num_nuclei = sum(start_s <= time_s < stop_s for time_s in nuclei_s)
            rate = num_nuclei / (stop_s - start_s)
            voice.items.append(make_item("speech_rate", rate, (start_s, stop_s), by, phase=phase))
    lengths_s = [stop_s - start_s for start_s, stop_s in voice.pauses]
    voice.items.append(make_item("pause_share", sum(lengths_s) / length_s, span_s, speech.MEASURED_BY))
    voice.items.append(make_item("longest_pause_s", max(lengths_s, default=0.0), span_s, speech.MEASURED_BY))
