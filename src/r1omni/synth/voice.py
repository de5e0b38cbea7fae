"""Owns the spoken sentence: eSpeak NG called through ctypes, then numpy for what it cannot do.

eSpeak NG takes pitch, pitch range and rate, and reports where words begin; pauses, loudness (with the spectral tilt of
vocal effort), tremor and breathiness are added afterwards, when the sound is resampled from 22.05 kHz to the clip's
rate. The library is global to the process, so it is started once, when the first sentence is spoken. Its voices flutter
at random from one utterance to the next; copies of the voice files without flutter are read instead, so that a sentence
sounds the same whatever was spoken before it.
"""

import ctypes
import tempfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from r1omni.core.errors import ConfigError

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARS_UTF8 = 1
_EVENT_END, _EVENT_WORD = 0, 1
_PITCH_STEPS_PER_SEMITONE = 6.0
_RANGE_SHIFT_SEMITONES = 1.5
"""Measured: each unit of range raises the mean pitch by this much; it is subtracted again."""

REFERENCE_DBFS = -25.0
"""Level of the speech at `loudness_db` 0."""
FLOOR_DBFS = -64.0
"""Level of the room's hiss, which makes soft voices audibly soft."""


@dataclass(frozen=True)
class VoiceStyle:
    """How a sentence is spoken, relative to the speaker's usual voice."""

    pitch_semitones: float = 0.0
    pitch_range: float = 1.0
    """0 flat, 1 usual, 2 wide."""
    pace: float = 1.0
    """Factor on the speaker's rate, 0.6 (slow) to 1.6 (fast)."""
    loudness_db: float = 0.0
    tremor: float = 0.0
    """0 to 1: amplitude and pitch shake 6.5 times a second."""
    pauses: float = 0.0
    """0 to 1: silence between words, up to 0.25 s each and 0.6 s in total."""
    breathiness: float = 0.0
    """0 to 1: noise that follows the voice."""


@dataclass(frozen=True)
class Speaker:
    """A voice that speaks."""

    voice: str = "en+m3"
    """An eSpeak NG voice and variant."""
    base_pitch: float = 50.0
    """0 to 99; 50 is the variant's own pitch, 6 steps are about a semitone."""
    base_rate_wpm: float = 175.0
    """Words per minute at pace 1."""


def _steady_voices(data: Path, folder: Path) -> Path:
    """Link eSpeak NG's data into a folder, with the voice variants copied without flutter and roughness.

    Both depend on counters that no call resets, so the same sentence would differ from process to process.
    """
    variants = folder / "voices" / "!v"
    variants.mkdir(parents=True)
    for entry in data.iterdir():
        if entry.name != "voices":
            (folder / entry.name).symlink_to(entry)
    for entry in (data / "voices").iterdir():
        if entry.name != "!v":
            (folder / "voices" / entry.name).symlink_to(entry)
    for entry in (data / "voices" / "!v").iterdir():
        lines = entry.read_text(encoding="latin-1").splitlines()
        kept = [line for line in lines if not line.startswith(("flutter", "roughness"))]
        (variants / entry.name).write_text("\n".join([*kept, "flutter 0", "roughness 0", ""]), encoding="latin-1")
    return folder


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Espeak:
    """The eSpeak NG library of this process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise ConfigError(
                "The speech synthesiser is missing (package espeakng_loader); install it: pip install r1omni[synth]"
            ) from error
        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._folder = tempfile.TemporaryDirectory(prefix="r1omni-voices-")
        data = str(_steady_voices(Path(str(espeakng_loader.get_data_path())), Path(self._folder.name))).encode()
        self.sample_rate_hz = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT)
        if self.sample_rate_hz <= 0:
            raise ConfigError(
                "eSpeak NG was found but fails to start; reinstall it: pip install --force-reinstall espeakng_loader"
            )
        self._parts: list[bytes] = []
        self._words: list[int] = []
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))
        self._callback: Any = callback_type(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: int | None, count: int, events: Any) -> int:
        if samples and count > 0:
            self._parts.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                self._words.append(events[index].sample)
            index += 1
        return 0

    def say(self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int) -> tuple[np.ndarray, list[int]]:
        """Speak; float32[samples] in -1 to 1 at `sample_rate_hz`, and the samples at which words begin."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigError(
                f"eSpeak NG has no voice '{voice}'; expected a language and variant such as en+m3 or en+f2."
            )
        for parameter, value in ((_RATE, rate_wpm), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._parts.clear()
        self._words.clear()
        encoded = text.encode()
        self._library.espeak_Synth(
            ctypes.c_char_p(encoded), ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _CHARS_UTF8, None, None
        )
        sound = np.frombuffer(b"".join(self._parts), dtype=np.int16).astype(np.float32) / 32768.0
        return sound, list(self._words)


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def speak(
    text: str,
    style: VoiceStyle,
    speaker: Speaker,
    sample_rate_hz: int = 16000,
    *,
    longest_s: float = float("inf"),
) -> np.ndarray:
    """Speak a sentence.

    Args:
        text: plain words, without markup.
        style: how to speak.
        speaker: who speaks.
        sample_rate_hz: of the result, at most 22050.
        longest_s: pauses shrink until the sentence fits; one that is longer even without pauses stays so.

    Returns:
        float32[samples] in -1 to 1, without leading or trailing silence; deterministic.

    Raises:
        ConfigError: no synthesiser is installed, or it lacks the voice.
    """
    espeak = _espeak()
    semitones = style.pitch_semitones + _RANGE_SHIFT_SEMITONES * (1.0 - style.pitch_range)
    sound, words = espeak.say(
        text,
        speaker.voice,
        rate_wpm=int(np.clip(round(speaker.base_rate_wpm * style.pace), 80, 450)),
        pitch=int(np.clip(round(speaker.base_pitch + _PITCH_STEPS_PER_SEMITONE * semitones), 0, 99)),
        pitch_range=int(np.clip(round(50 * style.pitch_range), 0, 100)),
    )
    if style.pauses > 0 and len(words) > 1:
        spare_s = max(0.0, longest_s - len(_trim(sound)) / espeak.sample_rate_hz)
        pause_s = min(0.25 * style.pauses, min(0.6, spare_s) / (len(words) - 1))
        sound = _pause(sound, words, pause_s, espeak.sample_rate_hz)
    sound = _trim(sound)
    rng = np.random.default_rng(zlib.crc32(f"{text}|{speaker.voice}".encode()))
    sound = _breathe(sound, style.breathiness, espeak.sample_rate_hz, rng)
    sound = _effort(sound, style.loudness_db, espeak.sample_rate_hz, sample_rate_hz)
    sound = _shake(sound, style.tremor, espeak.sample_rate_hz, sample_rate_hz, rng)
    return _level(sound, REFERENCE_DBFS + style.loudness_db)


def _trim(sound: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    if not len(loud):
        return sound
    return sound[max(0, loud[0] - 200) : loud[-1] + 400]


def _pause(sound: np.ndarray, words: list[int], pause_s: float, rate_hz: int) -> np.ndarray:
    """Insert silence before every word but the first, where the sound is weakest around the word's beginning."""
    silence = np.zeros(round(pause_s * rate_hz), np.float32)
    reach, width = rate_hz // 30, rate_hz // 200
    power = np.convolve(sound**2, np.ones(width, np.float32), mode="same")
    fade = np.linspace(1.0, 0.0, width, dtype=np.float32)
    parts, start = [], 0
    for word in words[1:]:
        low = max(start + 2 * width, word - reach)
        if low >= min(word + reach, len(sound) - 2 * width):
            continue
        cut = low + int(np.argmin(power[low : min(word + reach, len(sound) - 2 * width)]))
        part = sound[start:cut].copy()
        part[-width:] *= fade
        parts += [part, silence]
        start = cut
    return np.concatenate([*parts, sound[start:]])


def _breathe(sound: np.ndarray, amount: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    if amount <= 0:
        return sound
    window = rate_hz // 50
    power = np.convolve(sound**2, np.ones(window, np.float32) / window, mode="same")
    noise = np.diff(rng.standard_normal(len(sound) + 1).astype(np.float32))
    return (1.0 - 0.5 * amount) * sound + 0.5 * amount * np.sqrt(power) * noise


def _effort(sound: np.ndarray, loudness_db: float, rate_hz: int, target_rate_hz: int) -> np.ndarray:
    """Loud voices are brighter, soft ones duller: half a decibel an octave above 500 Hz for each decibel of loudness.

    Source: Traunmueller and Eriksson, "Acoustic effects of variation in vocal effort" (JASA, 2000), rounded.
    Frequencies above the target rate's limit are removed in the same pass.
    """
    length = _fast_length(len(sound))
    frequency_hz, octaves = _effort_octaves(length, rate_hz)
    gain = np.exp(np.float32(0.5 * loudness_db * np.log(10) / 20) * octaves) * (frequency_hz < 0.48 * target_rate_hz)
    return np.fft.irfft(np.fft.rfft(sound, length) * gain, length)[: len(sound)]


@lru_cache(maxsize=64)
def _effort_octaves(length: int, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequency of each line of a spectrum, and how far it lies above 500 Hz, float32 octaves up to 3."""
    frequency_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    return frequency_hz, np.log2(np.clip(frequency_hz, 500, 4000) / 500).astype(np.float32)


def _fast_length(length: int) -> int:
    """Return the next length of 4, 5, 6 or 7 times a power of two: few enough to keep something for each."""
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return -(-length // step) * step


def _shake(sound: np.ndarray, tremor: float, rate_hz: int, target_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Resample on a wavering time axis: slightly in every voice, with tremor up to a semitone and the amplitude too."""
    times_s = np.arange(int(len(sound) * target_rate_hz / rate_hz)) / target_rate_hz
    turn = 2 * np.pi * 6.5
    phase = turn * times_s + rng.uniform(0, 2 * np.pi)
    drift = 2 * np.pi * 2.7
    warped_s = times_s + tremor * 0.06 / turn * np.sin(phase)
    warped_s += 0.008 / drift * np.sin(drift * times_s + rng.uniform(0, 2 * np.pi))
    resampled = np.interp(warped_s * rate_hz, np.arange(len(sound)), sound)
    return (resampled * (1.0 + 0.55 * tremor * np.cos(phase))).astype(np.float32)


def _level(sound: np.ndarray, level_dbfs: float) -> np.ndarray:
    heard = sound[np.abs(sound) > 0.02 * np.abs(sound).max(initial=1e-6)]
    rms = float(np.sqrt(np.mean(heard**2))) if len(heard) else 1.0
    return np.tanh(sound * (10 ** (level_dbfs / 20) / rms)).astype(np.float32)


def place(sound: np.ndarray, start_s: float, duration_s: float, sample_rate_hz: int, seed: int) -> np.ndarray:
    """Place speech in a clip of fixed length with the room's hiss; speech that does not fit fades out at the end.

    Args:
        sound: float32[samples].
        start_s: silence before it.
        duration_s: of the clip.
        sample_rate_hz: of the sound.
        seed: of the hiss.
    """
    total = round(duration_s * sample_rate_hz)
    start = round(start_s * sample_rate_hz)
    result = np.random.default_rng(seed).standard_normal(total, dtype=np.float32) * np.float32(10 ** (FLOOR_DBFS / 20))
    part = sound[: total - start]
    result[start : start + len(part)] += part
    fade = sample_rate_hz // 20
    result[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return result


PROSODY_STEP_S = 0.02
"""Time between the rows of `prosody`."""
_WINDOW_S = 0.045


def level(sound: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Measure the level alone, at the steps of `prosody`.

    Returns:
        float32[steps], every 20 ms: dBFS.
    """
    return _level_db(_windows(sound, sample_rate_hz)).astype(np.float32)


def prosody(sound: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Measure pitch, energy and voicing: targets for the audio tower.

    Pitch is the first strong peak of the window-corrected autocorrelation (Boersma, 1993) between 70 and 500 Hz; values
    0.8 octaves or more from the clip's median are taken as errors and count as unvoiced.

    Returns:
        float32[steps, 3], every 20 ms: octaves above 100 Hz (0 where unvoiced), level in dBFS, voicing 0 to 1.
    """
    frames = _windows(sound, sample_rate_hz)
    energy_db = _level_db(frames)
    correlation = _autocorrelation(frames, sample_rate_hz)
    low, high = sample_rate_hz // 500, min(sample_rate_hz // 70, correlation.shape[1] - 2)
    inside = correlation[:, low:high]
    peak = (inside >= correlation[:, low - 1 : high - 1]) & (inside >= correlation[:, low + 1 : high + 1])
    strength = np.max(np.where(peak, inside, 0.0), axis=1)
    lag = low + np.argmax(peak & (inside >= 0.93 * strength[:, None]), axis=1)
    voiced = (strength > 0.6) & (energy_db > max(FLOOR_DBFS + 8, energy_db.max(initial=-99.0) - 30))
    octaves = np.log2(sample_rate_hz / lag / 100.0)
    usual = np.median(octaves[voiced]) if voiced.any() else 0.0
    voiced &= np.abs(octaves - usual) < 0.8
    octaves = np.where(voiced, octaves, 0.0)
    return np.stack([octaves, energy_db, np.where(voiced, np.minimum(strength, 1.0), 0.0)], axis=1).astype(np.float32)


def _windows(sound: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return windows of 45 ms around every step, [steps, samples], a view."""
    step, width = round(PROSODY_STEP_S * sample_rate_hz), round(_WINDOW_S * sample_rate_hz)
    padded = np.pad(sound, (width // 2, width))
    return np.lib.stride_tricks.sliding_window_view(padded, width)[: len(sound) // step * step : step]


def _level_db(frames: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-9)


def _autocorrelation(frames: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the autocorrelation below 1 kHz over the window's own, [steps, half a window of lags], 1 at lag 0."""
    window, own, size = _hann(frames.shape[1])
    spectrum = np.fft.rfft((frames - frames.mean(1, keepdims=True)) * window, size)
    spectrum[:, size * 1000 // sample_rate_hz :] = 0.0
    spectrum *= spectrum.conj()
    correlation = np.fft.irfft(spectrum, size)[:, : len(own)]
    return correlation / (correlation[:, :1] + 1e-9) * (own[0] / own)


@lru_cache(maxsize=8)
def _hann(width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the window, its autocorrelation up to half its width, and the length of a transform without wrapping."""
    window = np.hanning(width).astype(np.float32)
    size = _fast_length(width + width // 2)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2, size)[: width // 2]
    return window, own.astype(np.float32), size
