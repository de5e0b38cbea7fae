"""Walks once through the packets of an open file: pictures are listed, sound is decoded, and ends are noted.

Packets cost next to nothing, decoding does. So sound is decoded no further than it is wanted, and its length is taken
from what the file states, or from the packets behind where the file states nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard
from av.video.stream import VideoStream

from r1omni.media.limits import NO_LIMITS, MediaLimits
from r1omni.media.pictures import PacketList
from r1omni.media.sound import SoundReader
from r1omni.media.tracks import stated_end_s
from r1omni.media.window import RESTART_S, Window

_JOINABLE_FORMATS = frozenset({"mpegts", "mpeg"})
"""Formats whose clock may begin anew within a file: a time may lie at several places, and seeking finds one of them."""
MARGIN_S = 0.5
"""Sound decoders need a few packets before the first wanted sample to get it right."""


@dataclass
class Demuxed:
    """What one pass over the packets found."""

    packets: PacketList = field(default_factory=PacketList)
    """Of the pictures."""
    intact_s: float = 0.0
    """Up to when all tracks last, in seconds from the file's beginning."""
    sound_end_s: float = 0.0
    """When the sound ends, wanted or not."""
    end_s: float = 0.0
    """When the last packet ends that was met."""


def demux(
    container: InputContainer,
    pictures: VideoStream | None,
    sound: AudioStream | None,
    reader: SoundReader | None,
    window: Window,
    heard: Window,
    limits: MediaLimits = NO_LIMITS,
) -> Demuxed:
    """List the picture packets of a part, and decode the sound packets of its beginning.

    Args:
        container: open file, at its beginning.
        pictures: the track to list; None for none.
        sound: the track to decode; None for none.
        reader: decodes it.
        window: the part.
        heard: the beginning of the part, as far as sound is decoded.
        limits: what a file may be.

    Raises:
        MediaError: it is beyond a limit.
    """
    begin_s = heard.start_s - MARGIN_S
    if window.start_s > 0 and container.format.name not in _JOINABLE_FORMATS:
        begin_s = -math.inf  # from wherever the seek ends
        container.seek(round((window.origin_s + window.start_s - MARGIN_S) * av.time_base), backward=True)
    found, name = Demuxed(), container.name.removeprefix("file:")
    streams = [stream for stream in (pictures, sound) if stream is not None]
    sound_index = None if sound is None else sound.index
    ends_s = {stream.index: 0.0 for stream in streams}
    stated_s = None if sound is None else stated_end_s(container, sound)
    stops_s = {stream.index: window.stop_s for stream in streams}
    if sound is not None and stated_s is not None:
        stops_s[sound.index] = heard.stop_s
    ticks_s = {stream.index: float(stream.time_base or 0) for stream in streams}
    shifts_s, lasts_s = dict.fromkeys(ends_s, 0.0), dict.fromkeys(ends_s, -math.inf)
    going_on, is_left_out, until_s = set(ends_s), False, heard.stop_s + MARGIN_S
    for packet in _packets(container, streams):
        index, at_s = packet.stream_index, None
        if index not in going_on:
            continue
        limits.check_frames(len(found.packets.pts), name)
        if (time := packet.pts if packet.dts is None else packet.dts) is not None:
            at_s = time * ticks_s[index] - window.origin_s + shifts_s[index]
            if at_s < lasts_s[index] - RESTART_S:
                shifts_s[index] += ends_s[index] - at_s
                at_s = ends_s[index]
                found.packets.clock_restarts = found.packets.clock_restarts or index != sound_index
            lasts_s[index] = at_s
            shown = (time if packet.pts is None else packet.pts) + (packet.duration or 0)
            ends_s[index] = max(ends_s[index], shown * ticks_s[index] - window.origin_s + shifts_s[index])
            limits.check_time(at_s, name)
            if at_s > stops_s[index] + MARGIN_S:
                is_left_out = is_left_out or index == sound_index
                going_on.remove(index)
                if not going_on:
                    break
                container.streams[index].discard = Discard.all
                continue
        if index != sound_index:
            found.packets.add(packet)
        elif reader is not None and (at_s is None or begin_s <= at_s <= until_s):
            if packet.pts is not None and shifts_s[index]:
                packet.pts += round(shifts_s[index] / ticks_s[index])
            reader.feed(packet)
    found.intact_s, found.end_s = min(ends_s.values()), max(ends_s.values())
    if sound_index is not None:
        found.sound_end_s = max(ends_s[sound_index], stated_s or 0.0) if is_left_out else ends_s[sound_index]
    return found


def discard_all_but(container: InputContainer, *needed: VideoStream | AudioStream | None) -> None:
    """Let FFmpeg skip the file's other tracks.

    Args:
        container: open file.
        *needed: tracks that are read.
    """
    for stream in container.streams:
        stream.discard = Discard.default if stream in needed else Discard.all


def _packets(container: InputContainer, streams: list[VideoStream | AudioStream]) -> Iterator[av.Packet]:
    """Yield the packets of some tracks; if the file breaks off in the middle, those before the break."""
    came = False
    try:
        for packet in container.demux(streams):
            yield packet
            came = came or packet.size > 0
    except FFmpegError:
        if not came:
            raise
