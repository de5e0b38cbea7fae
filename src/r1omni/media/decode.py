"""Reads a clip: sampled frames and mono sound from anything FFmpeg opens, or one error that says what is wrong.

A video, a sound file or a still image goes in; what is there comes out. Sound without pictures and pictures without
sound are results, not errors, unless the missing side was asked for. Nothing is invented: no black frame, no silence.
A file that was cut short is an error (`truncated`) although its beginning could be read, because half a clip is
another clip; `stop_s` within the intact part reads that part.

Leaves out on purpose: resizing and log-mel features (the model's processor does them), picture tracks after the first,
and decoder threads (work is spread over clips instead).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np

from r1omni.core.errors import MediaError
from r1omni.media.pictures import PacketList, read_pictures
from r1omni.media.sound import SoundReader
from r1omni.media.window import Window

Modality = Literal["auto", "video+audio", "video", "audio"]

_SEEK_MARGIN_S = 0.5
"""Sound decoders need some packets before the first sample to be right."""
_SHORT_S = 0.5
"""Headers of Matroska and WAV state the length this exactly."""


@dataclass(frozen=True)
class Media:
    """A clip as arrays."""

    frames: np.ndarray | None
    """uint8 [frames, height, width, 3], RGB, upright; None without pictures. A still image gives one frame."""
    frame_times_s: np.ndarray | None
    """float64 [frames], from the file's beginning."""
    waveform: np.ndarray | None
    """float32 [samples], mono, nominally in -1 to 1; None without sound."""
    sample_rate_hz: int
    """Of `waveform`."""
    duration_s: float
    """Of the part that was read: the longer of pictures and sound; 0 for a still image."""


def load_media(
    path: str | os.PathLike[str],
    *,
    num_frames: int = 8,
    sample_rate_hz: int = 16000,
    start_s: float | None = None,
    stop_s: float | None = None,
    modality: Modality = "auto",
) -> Media:
    """Read a clip.

    Args:
        path: video, sound or image file.
        num_frames: pictures to sample over the part; they repeat where there are fewer.
        sample_rate_hz: rate the sound is resampled to.
        start_s: beginning of the part, seconds from the file's beginning; None reads from there.
        stop_s: end (exclusive) of the part; None reads to the end.
        modality: `auto` takes what is there; the others take only what they name and require it.

    Raises:
        MediaError: the clip cannot be read; `kind` says why in one word.
    """
    file = Path(path)
    size_bytes = _check_file(file)
    window = (start_s or 0.0, float("inf") if stop_s is None else stop_s)
    if not 0 <= window[0] < window[1]:
        raise MediaError("no-frames", f"{file}: the part from {start_s} to {stop_s} s is empty; give start_s < stop_s")
    try:
        with av.open(str(file), metadata_errors="replace") as container:
            origin_s = (container.start_time or 0) / av.time_base
            request = _Request(str(file), size_bytes, Window(*window, origin_s), num_frames, sample_rate_hz, modality)
            return _read(container, request)
    except MediaError:
        raise
    except (av.FFmpegError, UnicodeDecodeError, ValueError, OSError, OverflowError) as error:
        raise _explain(file, error) from error


@dataclass(frozen=True)
class _Request:
    name: str
    size_bytes: int
    window: Window
    num_frames: int
    sample_rate_hz: int
    modality: Modality

    @property
    def is_whole(self) -> bool:
        return self.window.start_s == 0 and self.window.stop_s == float("inf")


def _read(container: av.container.InputContainer, request: _Request) -> Media:
    pictures_stream, sound_stream = _choose_streams(container, request)
    is_still = container.format.name == "image2" or container.format.name.endswith("_pipe")
    if not is_still:
        _refuse_truncated(container, request)
    packets = PacketList()
    sound = None if sound_stream is None else SoundReader(sound_stream, request.sample_rate_hz)
    for stream in (pictures_stream, sound_stream):
        if stream is not None:
            stream.codec_context.thread_count = 1
    end_s = _demux(container, pictures_stream, packets, sound_stream, sound, request.window)
    _refuse_short(container, request, end_s)
    waveform = None if sound is None else sound.finish(request.window, request.name)
    pictures = None
    if pictures_stream is not None:
        num_frames = 1 if is_still else request.num_frames
        pictures = read_pictures(container, pictures_stream, packets, request.window, num_frames)
    _require(request, pictures is not None, waveform is not None, bool(packets.pts))
    sound_s = 0.0 if waveform is None else len(waveform) / request.sample_rate_hz
    pictures_s = 0.0 if pictures is None or is_still else pictures.span_s
    return Media(
        frames=None if pictures is None else pictures.frames,
        frame_times_s=None if pictures is None else pictures.times_s,
        waveform=waveform,
        sample_rate_hz=request.sample_rate_hz,
        duration_s=max(sound_s, pictures_s),
    )


def _choose_streams(
    container: av.container.InputContainer, request: _Request
) -> tuple[av.VideoStream | None, av.AudioStream | None]:
    pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    sounds = list(container.streams.audio)
    if not pictures and not sounds:
        raise MediaError(
            "no-streams", f"{request.name}: has neither pictures nor sound; give a video, a sound file or an image"
        )
    _require(request, bool(pictures), bool(sounds), False)
    wants_pictures, wants_sound = request.modality != "audio", request.modality != "video"
    return pictures[0] if pictures and wants_pictures else None, sounds[0] if sounds and wants_sound else None


def _require(request: _Request, has_pictures: bool, has_sound: bool, has_packets: bool) -> None:
    """Refuse a clip without what was asked for, or without anything."""
    part = "" if request.is_whole else f" between {request.window.start_s} and {request.window.stop_s} s"
    if not has_pictures and request.modality in ("video", "video+audio"):
        raise MediaError(
            "no-frames",
            f"{request.name}: no picture{part}; read its sound with modality 'audio' or 'auto', or leave it out",
        )
    if not has_sound and request.modality in ("audio", "video+audio"):
        raise MediaError(
            "no-sound",
            f"{request.name}: no sound{part}; read its pictures with modality 'video' or 'auto', or leave it out",
        )
    if not has_pictures and not has_sound:
        found = "no picture can be decoded" if has_packets else "no picture and no sound"
        raise MediaError("no-frames", f"{request.name}: {found}{part}; get the file again, or leave it out")


def _demux(
    container: av.container.InputContainer,
    pictures_stream: av.VideoStream | None,
    packets: PacketList,
    sound_stream: av.AudioStream | None,
    sound: SoundReader | None,
    window: Window,
) -> float:
    """Note the picture packets and decode the sound packets of the window; return the last end seen, own clock, s."""
    if window.start_s > 0:
        container.seek(round((window.origin_s + window.start_s - _SEEK_MARGIN_S) * av.time_base), backward=True)
    streams = [stream for stream in (pictures_stream, sound_stream) if stream is not None]
    going_on = {stream.index for stream in streams}
    end_s = window.origin_s
    for packet in container.demux(streams):
        if packet.stream.index not in going_on:
            continue
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None and packet.time_base is not None:
            end_s = max(end_s, float(((packet.pts or time) + (packet.duration or 0)) * packet.time_base))
            if float(time * packet.time_base) > window.origin_s + window.stop_s + _SEEK_MARGIN_S:
                going_on.remove(packet.stream.index)
                if not going_on:
                    break
                continue
        if sound is not None and packet.stream is sound_stream:
            sound.feed(packet)
        else:
            packets.add(packet)
    return end_s


def _check_file(file: Path) -> int:
    try:
        size_bytes = file.stat().st_size
        is_file = file.is_file()
    except OSError as error:
        raise MediaError(
            "missing",
            f"{file}: cannot be found ({error.strerror}); check the path, relative ones start at the manifest",
        ) from error
    if not is_file:
        raise MediaError("not-media", f"{file}: is not a file; name the video, sound file or image itself")
    if size_bytes == 0:
        raise MediaError("empty", f"{file}: has 0 bytes; copy or download it again")
    return size_bytes


def _refuse_truncated(container: av.container.InputContainer, request: _Request) -> None:
    """Refuse an mp4 whose index points beyond the end of the file, within the window."""
    if "mp4" not in container.format.name:
        return
    for stream in (*container.streams.video, *container.streams.audio):
        entries = stream.index_entries
        if len(entries) == 0 or stream.time_base is None:
            continue
        last = entries[len(entries) - 1]
        if last.pos + last.size <= request.size_bytes:
            continue
        cut = min(entry.timestamp for entry in entries if entry.pos + entry.size > request.size_bytes)
        cut_s = float(cut * stream.time_base) - request.window.origin_s
        if cut_s < request.window.stop_s:
            raise _truncated(request, cut_s)


def _refuse_short(container: av.container.InputContainer, request: _Request, end_s: float) -> None:
    """Refuse a file of a kind whose header states the length where the packets end clearly earlier."""
    if not any(kind in container.format.name for kind in ("matroska", "wav")) or container.duration is None:
        return
    stated_s = min(container.duration / av.time_base, request.window.stop_s)
    found_s = end_s - request.window.origin_s
    if stated_s - found_s > max(_SHORT_S, 0.05 * stated_s):
        raise _truncated(request, found_s)


def _truncated(request: _Request, intact_s: float) -> MediaError:
    return MediaError(
        "truncated",
        f"{request.name}: was cut short, {max(0.0, intact_s):.2f} s of it are there; copy or download it again, or read "
        f"the intact part with stop_s",
    )


def _explain(file: Path, error: Exception) -> MediaError:
    """Turn an error of FFmpeg into ours."""
    if isinstance(error, PermissionError):
        return MediaError("missing", f"{file}: may not be read; change its permissions")
    with file.open("rb") as opened:
        head = opened.read(12)
    if head[4:8] == b"ftyp" and b"moov" not in file.read_bytes():
        return MediaError(
            "truncated", f"{file}: its index is missing, the file was cut short; copy or download it again"
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, av.error.InvalidDataError):
        return MediaError("not-media", f"{file}: is no video, sound file or image ({reason}); look at what it holds")
    return MediaError("unreadable", f"{file}: cannot be decoded ({reason}); write it again as H.264 and AAC in mp4")
