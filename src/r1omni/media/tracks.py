"""Which tracks of a file are read, what they are called, and when they end according to the file.

Of several tracks the one that players choose is read: the default one, else one for a general audience, else the best.
Covers of songs are no pictures.
"""

from collections.abc import Sequence

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

_STATING_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "wav", "w64", "aiff", "caf", "flac", "ogg", "avi"})
"""Formats whose files say how long each track is. Of the others, FFmpeg gives nothing (recordings of a browser), the
longest track's length, or an estimate from the bit rate that can be wrong by half (raw AAC)."""


def picture_tracks(container: InputContainer) -> list[VideoStream]:
    """Return the tracks with pictures.

    Args:
        container: open file.
    """
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def best_pictures(container: InputContainer) -> VideoStream | None:
    """Return the track with pictures that is read; of equals the largest, then the first; None if there is none.

    Args:
        container: open file.
    """
    return max(picture_tracks(container), key=_rank_pictures, default=None)


def best_sound(container: InputContainer) -> AudioStream | None:
    """Return the sound track that is read; of equals that with most channels, bits, then the first; None without one.

    Args:
        container: open file.
    """
    return max(container.streams.audio, key=_rank_sound, default=None)


def track_name(container: InputContainer, stream: VideoStream | AudioStream | None) -> str | None:
    """Name a track, such as `sound track 2 of 2 (eng)`; None if it is the only one of its kind.

    Args:
        container: open file.
        stream: the track.
    """
    is_sound = isinstance(stream, AudioStream)
    tracks: Sequence[VideoStream | AudioStream] = container.streams.audio if is_sound else picture_tracks(container)
    if stream is None or len(tracks) == 1:
        return None
    number = next(i for i, track in enumerate(tracks, start=1) if track.index == stream.index)
    language = f" ({stream.language})" if stream.language and stream.language != "und" else ""
    return f"{'sound' if is_sound else 'picture'} track {number} of {len(tracks)}{language}"


def stated_end_s(container: InputContainer, stream: VideoStream | AudioStream) -> float | None:
    """Return when a track ends according to the file, in seconds from its beginning; None if the file does not say.

    Args:
        container: open file.
        stream: the track.
    """
    if container.format.name not in _STATING_FORMATS or stream.duration is None or stream.time_base is None:
        return None
    end_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return end_s - (container.start_time or 0) / av.time_base


def _rank_pictures(stream: VideoStream) -> tuple[bool, bool, bool, int]:
    size = 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height
    # An animated AVIF has its first picture as a track of its own.
    return bool(stream.disposition & Disposition.default), _is_for_everybody(stream), stream.frames != 1, size


def _rank_sound(stream: AudioStream) -> tuple[bool, bool, int, int]:
    codec = stream.codec_context
    channels, bits_per_s = (0, 0) if codec is None else (codec.channels, codec.bit_rate or 0)
    return bool(stream.disposition & Disposition.default), _is_for_everybody(stream), channels, bits_per_s


def _is_for_everybody(stream: VideoStream | AudioStream) -> bool:
    """Return whether a track is neither a commentary nor made for the hearing or visually impaired."""
    special = Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired
    return not stream.disposition & special
