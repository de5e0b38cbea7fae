"""A clip in a report: a strip of frames, its sound with the waveform, its subtitle, and each model's answer."""

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

_FRAME_HEIGHT_PX = 150
_NUM_BUCKETS = 160  # columns of the waveform


@dataclass(frozen=True)
class ModelAnswer:
    """One model's answer to the clip."""

    model: str
    answer: str | None
    reasoning: str | None = None
    correct: bool | None = None
    """None without a gold label."""
    error: str | None = None
    """Why the clip has no answer."""
    text: str | None = None
    """The whole output, shown if its tags are broken."""
    implied: str | None = None
    """The emotion that the reasons alone imply; None where they imply none."""
    reasons_agree: bool | None = None
    """Whether that is the answer; None where they imply none."""


@dataclass(frozen=True)
class ClipCard:
    """What a report shows of one clip."""

    id: str
    corpus: str | None
    gold: str | None
    answers: Sequence[ModelAnswer]
    frames: np.ndarray | None = None
    """uint8, frames x height x width x 3."""
    frame_times_s: Sequence[float] | np.ndarray | None = None
    waveform: np.ndarray | None = None
    """Float samples between -1 and 1."""
    sample_rate_hz: int = 16000
    subtitle: str | None = None
    note: str | None = None


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def frame_uri(frame: np.ndarray) -> str:
    """Return a frame as a JPEG data URI, at most 150 pixels high.

    Args:
        frame: uint8, height x width x 3.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    if image.height > _FRAME_HEIGHT_PX:
        width_px = max(1, round(image.width * _FRAME_HEIGHT_PX / image.height))
        image = image.resize((width_px, _FRAME_HEIGHT_PX), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=82, optimize=True)
    return _data_uri(content.getvalue(), "image/jpeg")


def sound_uri(waveform: np.ndarray, sample_rate_hz: int) -> str:
    """Return a waveform as a 16-bit WAV data URI.

    Args:
        waveform: samples; values outside -1 to 1 are clipped.
        sample_rate_hz: of the samples.
    """
    samples = (np.clip(np.nan_to_num(waveform), -1, 1) * 32767).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(samples.tobytes())
    return _data_uri(content.getvalue(), "audio/wav")


def waveform_svg(waveform: np.ndarray, sample_rate_hz: int) -> Markup:
    """Return the envelope of a waveform: the loudest sample of each of 160 columns.

    Args:
        waveform: samples between -1 and 1.
        sample_rate_hz: of the samples.
    """
    duration_s = len(waveform) / sample_rate_hz
    columns = np.array_split(np.abs(np.nan_to_num(waveform)), min(_NUM_BUCKETS, max(1, len(waveform))))
    peaks = np.array([column.max() if len(column) else 0.0 for column in columns])
    loudest = float(peaks.max())
    heights = 1 + 19 * peaks / (loudest or 1)
    bars = "".join(
        f"M{(index + 0.5) * 320 / len(heights):.1f} {20 - height:.1f}v{2 * height:.1f}"
        for index, height in enumerate(heights)
    )
    label = f"Waveform of {duration_s:.1f} seconds, peak {loudest:.2f} of full scale"
    return Markup(
        '<svg class="waveform" viewBox="0 0 320 40" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path d="{}"/></svg>'
    ).format(label, bars)


def clip_view(card: ClipCard) -> dict[str, object]:
    """Return a clip as the template shows it, with pictures and sound as data URIs.

    Args:
        card: the clip.
    """
    frames = []
    if card.frames is not None:
        times = card.frame_times_s if card.frame_times_s is not None else [None] * len(card.frames)
        frames = [
            {"uri": frame_uri(frame), "time": None if time is None else f"{float(time):.1f} s"}
            for frame, time in zip(card.frames, times, strict=True)
        ]
    has_sound = card.waveform is not None and len(card.waveform) > 0
    return {
        "card": card,
        "frames": frames,
        "sound": sound_uri(card.waveform, card.sample_rate_hz) if has_sound and card.waveform is not None else None,
        "waveform": waveform_svg(card.waveform, card.sample_rate_hz)
        if has_sound and card.waveform is not None
        else None,
    }
