"""Reads a clip: sampled frames and mono sound from anything FFmpeg opens, or one error that says what is wrong.

Reads the modalities that a video, a sound file, a still image or a folder of pictures has. Sound without pictures and
pictures without sound are results, not errors, unless the missing side was asked for. Nothing is made up: no black
frames, no silence. A truncated file is an error (`truncated`) even though its beginning could be read, because half a
clip is a different clip; `stop_s` within the intact part reads that part.

What cannot be decoded is left out and counted, and the clock goes on.

Left out on purpose: resizing and log-mel features (the model's processor computes them) and decoder threads (clips
are decoded in parallel instead).
"""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from r1omni.core.clip import Clip, Modality
from r1omni.core.errors import ConfigError, MediaError
from r1omni.core.media_read import MediaRead, PicturesRead, SoundRead
from r1omni.media.demux import demux, discard_all_but
from r1omni.media.folder import FRAME_RATE_FPS, picture_files, sound_file
from r1omni.media.limits import NO_LIMITS, MediaLimits
from r1omni.media.moving_webp import picture_ends_s, read_pictures_at
from r1omni.media.pictures import MAX_SIDE_PX, fit_picture, read_pictures
from r1omni.media.sample import sample_frame_indices
from r1omni.media.sound import SoundReader
from r1omni.media.still import is_heif, read_still
from r1omni.media.tracks import best_pictures, best_sound, track_name
from r1omni.media.whole import is_cut_short
from r1omni.media.window import Window, is_still, open_file

DECODING_VERSION = 4
"""Raise it with every change that gives other frames or another waveform of some clip: what was made of the former ones
is cached under this number."""

_UNTRUSTED_FORMATS = frozenset({"tty", "hls", "dash", "concat", "sdp", "imf", "webvtt", "lrc"})
"""Formats that FFmpeg reports for text files, and files that only point to others."""


_LFS_POINTER = b"version https://git-lfs"

SILENT_PEAK = 2.0**-11
"""Digital silence never reaches this: codecs leave traces of it, and A-law has no 0 but 8 steps of 16 bits, 11 where
two channels are mixed to mono."""


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
    """Of the part that was read: the longer of pictures and decoded sound; 0 for a still image."""
    pictures_s: float = 0.0
    """Length of the pictures in the part, sampled or not; 0 for a still image and without pictures."""
    sound_s: float = 0.0
    """Length of the sound in the part; if only its beginning was decoded, by the packets or as the file states; 0
    without sound."""
    sound_gaps_s: tuple[tuple[float, float], ...] = ()
    """Spans for which the sound track has no samples, filled with silence; half-open, from the file's beginning."""
    num_damaged_packets: int = 0
    """Sound packets that could not be decoded."""
    num_damaged_picture_packets: int = 0
    """Picture packets that were needed for the sampled frames and could not be decoded."""
    pictures_track: str | None = None
    """Which track was read if the file has several with pictures, such as `picture track 1 of 2`."""
    sound_track: str | None = None
    """Which track was read if the file has several with sound, such as `sound track 2 of 2 (eng)`."""

    @property
    def tracks(self) -> tuple[str, ...]:
        """The tracks that were read of a file that has several of a kind."""
        return tuple(track for track in (self.pictures_track, self.sound_track) if track is not None)

    @property
    def is_silent(self) -> bool:
        """Whether there is sound and it is digital silence, whatever codec it went through."""
        return self.waveform is not None and float(np.abs(self.waveform).max(initial=0.0)) < SILENT_PEAK

    @property
    def read(self) -> MediaRead:
        """What was read, for the record that goes with an answer."""
        pictures = sound = None
        if self.frame_times_s is not None:
            num_frames = len(np.unique(self.frame_times_s))
            pictures = PicturesRead(
                num_frames, round(self.pictures_s, 3), self.num_damaged_picture_packets, self.pictures_track
            )
        if self.waveform is not None:
            sound = SoundRead(
                used_s=round(len(self.waveform) / self.sample_rate_hz, 3),
                total_s=round(self.sound_s, 3),
                gaps_s=tuple((round(start, 3), round(stop, 3)) for start, stop in self.sound_gaps_s),
                num_damaged_packets=self.num_damaged_packets,
                is_silent=self.is_silent,
                track=self.sound_track,
            )
        return MediaRead(pictures, sound)


def load_media(
    path: str | os.PathLike[str],
    *,
    num_frames: int = 8,
    sample_rate_hz: int = 16000,
    start_s: float | None = None,
    stop_s: float | None = None,
    modality: Modality | str = "auto",
    max_sound_s: float | None = None,
    frame_rate_fps: float = FRAME_RATE_FPS,
    limits: MediaLimits = NO_LIMITS,
) -> Media:
    """Read a clip.

    Args:
        path: video, sound or image file, or a folder of pictures (see `media.folder`).
        num_frames: pictures to sample over the part; they repeat if the part has fewer.
        sample_rate_hz: rate the sound is resampled to.
        start_s: beginning of the part, seconds from the file's beginning; None reads from there.
        stop_s: end of the part, exclusive; None reads to the end.
        modality: `auto` reads what the file has; the others read only what they name, and require it.
        max_sound_s: upper limit of the sound that is decoded. None decodes the whole part.
        frame_rate_fps: of a folder of pictures; other files contain theirs.
        limits: what a file may be; a folder of pictures is not limited.

    Raises:
        ConfigError: an argument is out of range.
        MediaError: the clip cannot be read; `kind` says why in one word.
    """
    sound_s = math.inf if max_sound_s is None else max_sound_s
    numbers = (num_frames, sample_rate_hz, sound_s, frame_rate_fps)
    if not all(number > 0 for number in numbers) or modality not in get_args(Modality):
        raise ConfigError(
            f"num_frames {num_frames}, sample_rate_hz {sample_rate_hz}, max_sound_s {max_sound_s}, frame_rate_fps "
            f"{frame_rate_fps}, modality {modality!r}: give numbers above 0 and one of {', '.join(get_args(Modality))}"
        )
    file = Path(path)
    start, stop = start_s or 0.0, math.inf if stop_s is None else stop_s
    if not 0 <= start < stop:
        raise MediaError(
            "no-frames", f"{file}: the part from {start_s} to {stop_s} s is empty; give 0 <= start_s < stop_s"
        )
    if file.is_dir():
        window = Window(start, stop, 0.0)
        request = _Request(str(file), False, window, num_frames, sample_rate_hz, modality, sound_s)
        return _read_folder(file, request, frame_rate_fps)
    is_cut = _check_file(file)
    window = Window(start, stop, 0.0)
    request = _Request(str(file), is_cut, window, num_frames, sample_rate_hz, modality, sound_s, limits)
    try:
        if _is_heif_file(file) and (still := _read_still(file, request)) is not None:
            return still
        with open_file(str(file)) as container:
            limits.check_header(container, str(file))
            if is_still(container) and (still := _read_still(file, request)) is not None:
                return still
            origin_s = (container.start_time or 0) / av.time_base
            return _read(container, replace(request, window=replace(request.window, origin_s=origin_s)))
    except MediaError:
        raise
    except (FFmpegError, UnicodeDecodeError, ValueError, OSError, OverflowError) as error:
        raise _explain(str(file), is_cut, error) from error


def can_open(path: Path) -> bool:
    """Tell whether a file has pictures or sound, whatever its name; nothing is decoded.

    Args:
        path: existing file.
    """
    try:
        with open_file(str(path)) as container:
            streams = container.streams
            return container.format.name not in _UNTRUSTED_FORMATS and bool(streams.video or streams.audio)
    except (FFmpegError, UnicodeDecodeError, ValueError, OSError, OverflowError):
        return False


def load_clip(clip: Clip, **options: Any) -> Media:
    """Read a manifest's clip: its part, with the frame rate given there for a folder of pictures.

    Args:
        clip: the clip.
        **options: further arguments of `load_media`.

    Raises:
        MediaError: see `load_media`.
    """
    rate_fps = clip.meta.get("frame_rate_fps", FRAME_RATE_FPS)
    if isinstance(rate_fps, bool) or not isinstance(rate_fps, int | float) or not rate_fps > 0:
        raise MediaError("unreadable", f"{clip.path}: meta.frame_rate_fps is {rate_fps!r}; give a number above 0")
    return load_media(clip.path, start_s=clip.start_s, stop_s=clip.stop_s, frame_rate_fps=rate_fps, **options)


@dataclass(frozen=True)
class _Request:
    name: str
    is_cut_short: bool
    window: Window
    num_frames: int
    sample_rate_hz: int
    modality: str
    max_sound_s: float
    limits: MediaLimits = NO_LIMITS

    @property
    def is_whole(self) -> bool:
        return self.window.start_s == 0 and self.window.stop_s == math.inf

    @property
    def sound_window(self) -> Window:
        return replace(self.window, stop_s=min(self.window.stop_s, self.window.start_s + self.max_sound_s))


def _read(container: InputContainer, request: _Request) -> Media:
    if container.format.name in _UNTRUSTED_FORMATS:
        raise MediaError("not-media", f"{request.name}: is a text or a playlist; give the video or sound file itself")
    pictures_stream, sound_stream = _choose_streams(container, request)
    shows_one = is_still(container)
    reader = None if sound_stream is None else SoundReader(sound_stream, request.sample_rate_hz)
    for stream in (pictures_stream, sound_stream):
        if stream is not None and stream.codec_context is None:
            side = "pictures" if stream is pictures_stream else "sound"
            raise MediaError(
                "unreadable", f"{request.name}: no decoder for its {side}; convert it to H.264 and AAC in mp4"
            )
        if stream is not None:
            stream.codec_context.thread_count = 1
    discard_all_but(container, pictures_stream, sound_stream)
    # Of a truncated file everything left is read: how far it goes is part of the error.
    until = request.window if request.is_cut_short else request.sound_window
    found = demux(container, pictures_stream, sound_stream, reader, request.window, until, request.limits)
    if request.is_cut_short and found.intact_s < request.window.stop_s:
        raise _truncated(request.name, 0.0 if shows_one else found.intact_s)
    sound = None if reader is None else reader.finish(request.sound_window, request.name, found.sound_end_s)
    pictures = None
    if pictures_stream is not None:
        discard_all_but(container, pictures_stream)
        num_frames = 1 if shows_one else request.num_frames
        pictures = read_pictures(container, pictures_stream, found.packets, request.window, num_frames, request.limits)
    _require(request, pictures is not None, sound is not None, bool(found.packets.pts))
    heard_s = 0.0 if sound is None else len(sound.waveform) / request.sample_rate_hz
    end_s = min(request.window.stop_s, found.sound_end_s) if request.max_sound_s < math.inf else 0.0
    pictures_s = 0.0 if pictures is None or shows_one else pictures.span_s
    return Media(
        frames=None if pictures is None else pictures.frames,
        frame_times_s=None if pictures is None else pictures.times_s,
        waveform=None if sound is None else sound.waveform,
        sample_rate_hz=request.sample_rate_hz,
        duration_s=max(heard_s, pictures_s),
        pictures_s=pictures_s,
        sound_s=0.0 if sound is None else max(heard_s, end_s - request.window.start_s),
        sound_gaps_s=() if sound is None else sound.gaps_s,
        num_damaged_packets=0 if reader is None else reader.num_damaged,
        num_damaged_picture_packets=0 if pictures is None else pictures.num_damaged,
        pictures_track=track_name(container, pictures_stream),
        sound_track=track_name(container, sound_stream),
    )


def _read_still(file: Path, request: _Request) -> Media | None:
    """Read a still image; None if the format is left to FFmpeg."""
    if request.is_cut_short:
        raise _truncated(request.name, 0.0)
    if ends_s := picture_ends_s(file):
        return _read_moving(file, request, ends_s)
    picture = read_still(file, MAX_SIDE_PX, request.limits)
    if picture is None:
        return None
    shown = request.modality != "audio" and request.window.start_s == 0
    _require(request, shown, False, False)
    return Media(picture[None], np.zeros(1), None, request.sample_rate_hz, 0.0)


def _read_moving(file: Path, request: _Request, ends_s: list[float]) -> Media:
    request.limits.check_frames(len(ends_s), request.name)
    request.limits.check_time(ends_s[-1], request.name)
    starts_s = [0.0, *ends_s[:-1]]
    shown = [index for index, start_s in enumerate(starts_s) if request.window.holds(start_s)]
    _require(request, bool(shown) and request.modality != "audio", False, False)
    chosen = [shown[i] for i in sample_frame_indices(len(shown), request.num_frames)]
    span_s = min(ends_s[shown[-1]], request.window.stop_s) - starts_s[shown[0]]
    return Media(
        frames=read_pictures_at(file, chosen, MAX_SIDE_PX, request.limits),
        frame_times_s=np.array([starts_s[index] for index in chosen]),
        waveform=None,
        sample_rate_hz=request.sample_rate_hz,
        duration_s=span_s,
        pictures_s=span_s,
    )


def _is_heif_file(file: Path) -> bool:
    with file.open("rb") as opened:
        return is_heif(opened.read(16))


def _read_folder(folder: Path, request: _Request, frame_rate_fps: float) -> Media:
    files, sound = picture_files(folder), sound_file(folder)
    if not files:
        raise MediaError(
            "no-frames", f"{folder}: is a folder without pictures; give a video, sound file or image, or add some"
        )
    shown = [index for index in range(len(files)) if request.window.holds(index / frame_rate_fps)]
    media = None
    if sound is not None and request.modality != "video":
        media = _read_folder_sound(sound, request)
    wants_pictures = request.modality != "audio"
    _require(request, bool(shown) and wants_pictures, media is not None, False)
    frames = times_s = None
    if shown and wants_pictures:
        chosen = [shown[i] for i in sample_frame_indices(len(shown), request.num_frames)]
        pictures: dict[int, np.ndarray] = {}
        for index in dict.fromkeys(chosen):
            picture = load_media(files[index], modality="video").frames
            assert picture is not None
            pictures[index] = fit_picture(picture[0], next(iter(pictures.values()), picture[0]).shape)
        frames, times_s = np.stack([pictures[i] for i in chosen]), np.array(chosen) / frame_rate_fps
    pictures_s = 0.0 if frames is None else len(shown) / frame_rate_fps
    return Media(
        frames=frames,
        frame_times_s=times_s,
        waveform=None if media is None else media.waveform,
        sample_rate_hz=request.sample_rate_hz,
        duration_s=max(pictures_s, 0.0 if media is None else media.duration_s),
        pictures_s=pictures_s,
        sound_s=0.0 if media is None else media.sound_s,
        sound_gaps_s=() if media is None else media.sound_gaps_s,
        num_damaged_packets=0 if media is None else media.num_damaged_packets,
        sound_track=None if media is None else media.sound_track,
    )


def _read_folder_sound(file: Path, request: _Request) -> Media | None:
    """Read the sound beside a folder; None where it has none in the part, as in a file whose sound track ends early."""
    try:
        return load_media(
            file,
            sample_rate_hz=request.sample_rate_hz,
            start_s=request.window.start_s,
            stop_s=None if request.window.stop_s == math.inf else request.window.stop_s,
            modality="audio",
            max_sound_s=None if request.max_sound_s == math.inf else request.max_sound_s,
        )
    except MediaError as error:
        if error.kind == "no-sound":
            return None
        raise


def _choose_streams(container: InputContainer, request: _Request) -> tuple[VideoStream | None, AudioStream | None]:
    pictures, sound = best_pictures(container), best_sound(container)
    if pictures is None and sound is None:
        raise MediaError(
            "no-streams", f"{request.name}: has neither pictures nor sound; give a video, a sound file or an image"
        )
    _require(request, pictures is not None, sound is not None, False)
    return None if request.modality == "audio" else pictures, None if request.modality == "video" else sound


def _require(request: _Request, has_pictures: bool, has_sound: bool, has_packets: bool) -> None:
    """Raise for a clip without what was asked for, or without anything."""
    part = "" if request.is_whole else f" between {request.window.start_s} and {request.window.stop_s} s"
    if has_packets and not has_pictures and request.is_whole:
        raise MediaError(
            "unreadable", f"{request.name}: no picture can be decoded; get a new copy, or read only its sound"
        )
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
        raise MediaError("no-frames", f"{request.name}: no picture and no sound{part}; get a new copy, or leave it out")


def _check_file(file: Path) -> bool:
    """Raise if it is not a file with content; return whether its end is missing."""
    try:
        size_bytes = file.stat().st_size
        if not file.is_file():
            raise MediaError("not-media", f"{file}: is not a file; give the video, sound file or image itself")
        if size_bytes == 0:
            raise MediaError("empty", f"{file}: has 0 bytes; copy or download it again")
        with file.open("rb") as opened:
            if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise MediaError(
                    "not-media", f"{file}: is a Git LFS pointer, not the clip; fetch the clip with `git lfs pull`"
                )
        return is_cut_short(file, size_bytes)
    except OSError as error:
        raise MediaError(
            "missing", f"{file}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def _truncated(name: str, intact_s: float) -> MediaError:
    rest = ""
    if intact_s >= 0.01:
        rest = f", or read the intact part with stop_s up to {math.floor(intact_s * 100) / 100:.2f}"
    return MediaError(
        "truncated", f"{name}: the file is truncated, its end is missing; copy or download it again{rest}"
    )


def _explain(name: str, is_cut: bool, error: Exception) -> MediaError:
    """Translate an FFmpeg error into a MediaError."""
    if is_cut:
        return _truncated(name, 0.0)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, InvalidDataError):
        return MediaError("not-media", f"{name}: is not a video, sound file or image ({reason}); check its content")
    return MediaError("unreadable", f"{name}: cannot be decoded ({reason}); convert it to H.264 and AAC in mp4")
