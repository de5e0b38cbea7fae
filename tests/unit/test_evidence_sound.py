"""Pitch, level, speech, syllables and tremor on sounds whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from r1omni.evidence.loudness import silent_spans, track_level
from r1omni.evidence.pitch import PitchTrack, to_semitones, track_pitch
from r1omni.evidence.prosody import measure_voice
from r1omni.evidence.speech import SpeechDetector, SpeechSpan, find_pauses, find_spans, syllable_times
from r1omni.evidence.tremor import measure_tremor
from r1omni.media.decode import load_media

RATE_HZ = 16000
GOLDEN = Path(__file__).parents[1] / "golden"


def seconds(duration_s: float) -> np.ndarray:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ


def tone(f0_hz: np.ndarray | float, duration_s: float, amplitudes: dict[int, float]) -> np.ndarray:
    """Return harmonics of a fundamental frequency, which may change over time."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, len(seconds(duration_s)))) / RATE_HZ
    return sum(a * np.sin(n * phase) for n, a in amplitudes.items()).astype(np.float32)  # pyright: ignore


def median_hz(track: PitchTrack) -> float:
    return float(np.nanmedian(track.hz))


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    pytest.importorskip("onnxruntime")
    return SpeechDetector()


@pytest.mark.parametrize("f0_hz", [75.0, 110.0, 220.0, 440.0])
@pytest.mark.parametrize(
    "amplitudes",
    [
        {n: 0.2 / n for n in range(1, 9)},
        {n: 0.1 for n in range(2, 9)},  # no fundamental: an octave above is tempting
        {n: 0.2 if n % 2 else 0.05 for n in range(1, 9)},  # odd harmonics: an octave below is tempting
        {1: 0.02, 2: 0.3, 3: 0.05, 4: 0.2},  # a first formant on the second harmonic
    ],
    ids=["falling", "no fundamental", "odd", "strong second"],
)
def test_the_pitch_of_a_tone_is_found_in_its_octave(f0_hz: float, amplitudes: dict[int, float]):
    track = track_pitch(tone(f0_hz, 0.5, amplitudes), RATE_HZ, [(0.0, 0.5)])
    assert median_hz(track) == pytest.approx(f0_hz, rel=0.01)
    assert np.isfinite(track.hz).mean() > 0.9


def test_noise_and_silence_are_unvoiced():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ // 2).astype(np.float32)
    assert np.isfinite(track_pitch(noise, RATE_HZ, []).hz).mean() < 0.1
    assert not np.isfinite(track_pitch(np.zeros(RATE_HZ // 2, np.float32), RATE_HZ, []).hz).any()


def test_a_sound_shorter_than_a_frame_has_no_pitch():
    assert len(track_pitch(np.ones(100, np.float32), RATE_HZ, []).hz) == 0


def test_a_rise_of_an_octave_is_followed():
    rising = 110.0 * 2.0 ** seconds(1.0)
    track = track_pitch(tone(rising, 1.0, {n: 0.2 / n for n in range(1, 9)}), RATE_HZ, [(0.0, 1.0)])
    expected = np.interp(track.times_s, seconds(1.0), rising)
    assert np.nanmax(np.abs(to_semitones(track.hz / expected, 1.0))) < 0.5


def test_semitones_count_twelve_to_the_octave():
    assert to_semitones(200.0, 100.0) == pytest.approx(12.0)


def test_the_level_of_a_sine_of_amplitude_a_tenth():
    # RMS = .1 / sqrt(2): 20 log10(.0707) = -23.01 dBFS
    _, level = track_level((0.1 * np.sin(2 * np.pi * 400 * seconds(0.5))).astype(np.float32), RATE_HZ)
    assert level == pytest.approx(-23.01, abs=0.05)


def test_exact_zeros_are_digital_silence_and_a_quiet_hiss_is_not():
    hiss = np.full(RATE_HZ, 1e-6, np.float32)
    hiss[4000:8000] = 0.0
    hiss[9000:9500] = 0.0  # 31 ms, too short to report
    assert silent_spans(hiss, RATE_HZ) == [(0.25, 0.5)]


def test_spans_have_hysteresis_and_close_short_gaps():
    # 32 ms each: 10 frames of speech, one of .4 (goes on), two of 0 (64 ms, closed), 10 of speech, then nothing
    probabilities = np.array([0.0] * 5 + [0.9] * 10 + [0.4] + [0.0] * 2 + [0.9] * 10 + [0.0] * 10 + [0.9] * 3)
    spans = find_spans(probabilities, 41 * 0.032)
    assert [(round(s.start_s, 3), round(s.stop_s, 3)) for s in spans] == [(0.13, 0.926)]


def test_pauses_are_gaps_of_at_least_a_quarter_second():
    spans = [SpeechSpan(0.5, 1.0, 1.0), SpeechSpan(1.2, 2.0, 1.0), SpeechSpan(2.6, 3.0, 1.0)]
    assert find_pauses(spans) == [(2.0, 2.6)]


def test_bursts_of_a_voiced_sound_are_counted_as_syllables():
    level = 0.05 + 0.95 * np.clip(np.sin(2 * np.pi * 4.0 * seconds(2.0)), 0, None)  # 4 bursts a second for 2 s
    waveform = (level * tone(120.0, 2.0, {n: 0.1 / n for n in range(1, 9)})).astype(np.float32)
    pitch = track_pitch(waveform, RATE_HZ, [(0.0, 2.0)])
    assert len(syllable_times(waveform, RATE_HZ, pitch, [SpeechSpan(0.0, 2.0, 1.0)])) == 8


def contour(rate_hz: float, depth_semitones: float) -> PitchTrack:
    times_s = np.arange(100) / 100
    return PitchTrack(
        times_s, 120.0 * 2.0 ** (depth_semitones * np.sin(2 * np.pi * rate_hz * times_s) / 12), np.ones(100)
    )


@pytest.mark.parametrize(("rate_hz", "depth", "is_tremor"), [(7.0, 1.0, True), (2.5, 2.0, False), (7.0, 0.1, False)])
def test_a_shake_of_seven_hertz_is_tremor_and_slow_or_shallow_movement_is_not(rate_hz, depth, is_tremor):
    share = measure_tremor(contour(rate_hz, depth), np.ones(100, dtype=bool))
    assert share is not None and (share > 0.8 if is_tremor else share < 0.2)


def test_tremor_needs_a_voiced_stretch():
    assert measure_tremor(contour(7.0, 1.0), np.arange(100) < 20) is None


def test_a_made_voice_is_measured(detector: SpeechDetector):
    media = load_media(GOLDEN / "made-neutral.mp4", num_frames=1)
    assert media.waveform is not None
    voice = measure_voice(media.waveform, 10.0, detector)
    values = {item.name: item for item in voice.items if item.phase == "clip"}
    # Praat finds 145 Hz, 109.7 to 152.7 Hz, which are 5.7 semitones; the sentence has 7 syllables
    assert values["pitch_hz"].value == pytest.approx(145.0, abs=2.0)
    assert values["pitch_range_semitones"].value == pytest.approx(5.7, abs=0.7)
    assert values["speech_rate"].value == pytest.approx(7 / 1.37, abs=1.0)
    assert values["loudness_db"].band == "moderate"
    assert 10.0 <= values["pitch_hz"].start_s < values["pitch_hz"].stop_s <= 12.5
    assert voice.spans[0].confidence > 0.9


def test_phases_are_the_halves_of_the_speech(detector: SpeechDetector):
    media = load_media(GOLDEN / "made-neutral.mp4", num_frames=1)
    assert media.waveform is not None
    items = measure_voice(media.waveform, 0.0, detector).items
    halves = [item for item in items if item.name == "pitch_semitones" and item.phase != "clip"]
    assert [item.phase for item in halves] == ["first", "then"]
    assert halves[0].stop_s == halves[1].start_s


def test_digital_silence_is_silence_and_has_no_pitch(detector: SpeechDetector):
    voice = measure_voice(np.zeros(2 * RATE_HZ, np.float32), 0.0, detector)
    found = {item.name: item.value for item in voice.items}
    assert found == {"digital_silence": True, "speech_share": 0.0}
    # A-law cannot write zeros: its silence peaks at 2.4e-4
    voice = measure_voice(np.full(2 * RATE_HZ, 2.4e-4, np.float32), 0.0, detector)
    assert {item.name: item.value for item in voice.items} == found
    assert {missing.reason for missing in voice.unmeasured} == {"The sound is digital silence."}


def test_noise_has_no_speech_and_no_pitch(detector: SpeechDetector):
    noise = np.random.default_rng(1).normal(0, 0.05, 2 * RATE_HZ).astype(np.float32)
    voice = measure_voice(noise, 0.0, detector)
    assert [(item.name, item.value) for item in voice.items] == [("digital_silence", False), ("speech_share", 0.0)]
    assert voice.items[1].band == "none"
    assert {missing.reason for missing in voice.unmeasured} == {"No speech was found in the sound."}


def test_without_the_net_the_reason_is_recorded():
    voice = measure_voice(np.full(RATE_HZ, 0.1, np.float32), 0.0, "Install it.")
    assert [item.name for item in voice.items] == ["digital_silence"]
    assert {missing.reason for missing in voice.unmeasured} == {"Install it."}


def test_a_gap_of_digital_silence_is_a_span_of_its_own(detector: SpeechDetector):
    waveform = np.full(RATE_HZ, 1e-3, np.float32)
    waveform[4000:8000] = 0.0
    silent = [item for item in measure_voice(waveform, 2.0, detector).items if item.name == "digital_silence"]
    assert [(item.value, item.start_s, item.stop_s) for item in silent] == [(False, 2.0, 3.0), (True, 2.25, 2.5)]
