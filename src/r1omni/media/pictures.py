"""Reads the sampled pictures of an open file, decoding no more than they need.

Frames are counted from the packets, which costs no decoding; then only the frames from a key frame to a sampled
frame are decoded, skipping pictures that no other refers to. Where the packets are not sufficient (no presentation
times, hidden frames, damage), every frame is decoded, twice: once to count, once to sample.

Frames are ordered by presentation time and sampled by index, as the published models do, so a variable frame rate
weighs frames, not seconds. The header's display matrix is applied to the nearest quarter turn, mirroring included; a
sample aspect ratio is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation

from r1omni.media.limits import NO_LIMITS, MediaLimits
from r1omni.media.sample import sample_frame_indices
from r1omni.media.window import RESTART_S, Window, open_file

MAX_SIDE_PX = 2048
"""Larger pictures are scaled down during conversion, by area, so that 8k frames do not fill the memory."""

_COUNTABLE_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "png", "ffv1"})
"""One packet, one shown frame."""
_SKIPPING_CODECS = frozenset({"h264", "hevc"})
"""Decoders that can skip, packet by packet, pictures that no other refers to."""


@dataclass
class PacketList:
    """The packets of the picture track, in decoding order."""

    pts: list[int | None] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    """Positions in `pts`."""
    last_duration: int = 0
    """Of the last packet that has one, in ticks of the track."""
    clock_restarts: bool = False
    """Whether times begin anew within the track, as where files were joined end to end."""

    def add(self, packet: av.Packet) -> None:
        """Record one packet.

        Args:
            packet: of the picture track; the empty one at the end and those that an edit list discards are ignored.
        """
        if packet.size == 0 or packet.is_discard:
            return
        if packet.is_keyframe:
            self.keyframes.append(len(self.pts))
        self.last_duration = packet.duration or self.last_duration
        self.pts.append(packet.pts)


@dataclass(frozen=True)
class Pictures:
    """What was read of the picture track."""

    frames: np.ndarray
    """uint8 [frames, height, width, 3], RGB, upright."""
    times_s: np.ndarray
    """float64 [frames], from the file's beginning."""
    span_s: float
    """From the first shown frame of the window to the end of the last, sampled or not."""
    num_damaged: int = 0
    """Packets that were needed and could not be decoded."""


class _Decoder:
    """Decodes packets and counts the damaged ones, which yield nothing, as in a player."""

    def __init__(self) -> None:
        self.num_damaged = 0

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Return the frames that a packet completes."""
        try:
            return packet.decode()  # pyright: ignore[reportReturnType]
        except FFmpegError:  # a decoder may return any error code for damaged data
            self.num_damaged += packet.size > 0
            return []


def read_pictures(
    container: InputContainer,
    stream: av.VideoStream,
    packets: PacketList,
    window: Window,
    num_frames: int,
    limits: MediaLimits = NO_LIMITS,
) -> Pictures | None:
    """Read evenly sampled pictures.

    Args:
        container: open file, at any position.
        stream: its picture track.
        packets: all packets of the track that can belong to the window.
        window: the part to read.
        num_frames: pictures to sample; they repeat if the part has fewer.
        limits: what the pictures may be.

    Returns:
        The pictures; None if the window has no frame.
    """
    taken = _take_by_packets(container, stream, packets, window, num_frames, limits)
    if taken is None:
        taken = _take_by_decoding(container.name.removeprefix("file:"), stream.index, window, num_frames, limits)
    return taken


def _take_by_packets(
    container: InputContainer,
    stream: av.VideoStream,
    packets: PacketList,
    window: Window,
    num_frames: int,
    limits: MediaLimits,
) -> Pictures | None:
    tick_s = float(stream.time_base or 0)
    known = [pts for pts in packets.pts if pts is not None]
    if not tick_s or stream.codec_context.name not in _COUNTABLE_CODECS or len(known) != len(packets.pts):
        return None
    if packets.clock_restarts:
        return None
    shown = sorted(pts for pts in known if window.holds(pts * tick_s))
    if not shown or len(set(shown)) != len(shown):
        return None
    targets = [shown[i] for i in sample_frame_indices(len(shown), num_frames)]
    pictures: dict[int, np.ndarray] = {}
    shape: tuple[int, int] | None = None
    decoder = _Decoder()
    for keyframe_position, wanted in _group_by_keyframe(packets, set(targets)).items():
        # Containers look the key frame up by its presentation time; its decoding time would find the one before.
        container.seek(known[keyframe_position], stream=stream, backward=True)
        for pts, frame in _decode_until(container, stream, wanted, decoder):
            limits.check_size(frame.width, frame.height, container.name.removeprefix("file:"))
            picture = _convert(frame, shape)
            shape = shape or picture.shape[:2]
            pictures[pts] = picture
    if not pictures.keys() >= set(targets):
        return None
    times_s = np.array([pts * tick_s - window.origin_s for pts in targets])
    span_s = (shown[-1] - shown[0] + packets.last_duration) * tick_s
    return Pictures(np.stack([pictures[pts] for pts in targets]), times_s, span_s, decoder.num_damaged)


def _group_by_keyframe(packets: PacketList, targets: set[int]) -> dict[int, set[int]]:
    """Assign every target to the last key frame that precedes it both in the file and on the screen."""
    groups: dict[int, set[int]] = {}
    for position, pts in enumerate(packets.pts):
        if pts not in targets:
            continue
        before = [k for k in packets.keyframes if k <= position and packets.pts[k] <= pts]
        groups.setdefault(before[-1] if before else 0, set()).add(pts)
    return groups


def _decode_until(
    container: InputContainer, stream: av.VideoStream, wanted: set[int], decoder: _Decoder
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode from the current position and yield the wanted frames."""
    unfed = set(wanted)
    codec = stream.codec_context
    can_skip = codec.name in _SKIPPING_CODECS
    for packet in container.demux(stream):
        if can_skip:
            codec.skip_frame = "DEFAULT" if packet.size == 0 or packet.pts in unfed else "NONREF"
        unfed.discard(packet.pts)
        # Once the last wanted packet is in, the decoder is emptied instead of being fed the packets behind it.
        frames = decoder.decode(packet)
        for frame in frames if unfed or packet.size == 0 else [*frames, *_empty(codec)]:
            if frame.pts in wanted:
                yield frame.pts, frame
        if not unfed:
            break
    codec.skip_frame = "DEFAULT"


def _empty(codec: av.VideoCodecContext) -> list[av.VideoFrame]:
    """Drain the decoder; the next seek resets it."""
    try:
        return codec.decode(None)
    except FFmpegError:
        return []


def _take_by_decoding(
    name: str,
    stream_index: int,
    window: Window,
    num_frames: int,
    limits: MediaLimits,
) -> Pictures | None:
    times_s: list[float] = []
    decoder = _Decoder()
    for frame, time_s in _decode_window(name, stream_index, window, decoder):
        times_s.append(time_s)
        limits.check_size(frame.width, frame.height, name)
        limits.check_frames(len(times_s), name)
        limits.check_time(time_s, name)
    if not times_s:
        return None
    indices = sample_frame_indices(len(times_s), num_frames)
    wanted = set(indices)
    pictures: dict[int, np.ndarray] = {}
    shape: tuple[int, int] | None = None
    for index, (frame, _) in enumerate(_decode_window(name, stream_index, window, _Decoder())):
        if index in wanted:
            picture = _convert(frame, shape)
            shape = shape or picture.shape[:2]
            pictures[index] = picture
        if len(pictures) == len(wanted):
            break
    step_s = (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    span_s = times_s[-1] - times_s[0] + step_s
    shown_s = np.array([times_s[i] for i in indices])
    return Pictures(np.stack([pictures[i] for i in indices]), shown_s, span_s, decoder.num_damaged)


def _decode_window(
    name: str, stream_index: int, window: Window, decoder: _Decoder
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decode a newly opened file and yield the window's frames with their times; missing times are extrapolated."""
    with open_file(name) as container:
        stream = container.streams[stream_index]
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.thread_count = 1
        step_s = float(1 / (stream.average_rate or stream.guessed_rate or Fraction(25)))
        next_s, shift_s = window.origin_s, 0.0
        shown: av.VideoFrame | None = None
        for packet in container.demux(stream):
            if packet.size == 0 and packet.pts is not None and shown is not None:
                # In Theora an empty packet repeats the picture; a decoder would take it for the end.
                frames = [(shown, float(packet.pts * packet.time_base))]
            else:
                frames = [(frame, frame.time) for frame in decoder.decode(packet)]
            for frame, stated_s in frames:
                if stated_s is not None and stated_s + shift_s < next_s - RESTART_S:
                    shift_s = next_s - stated_s
                shown, time_s = frame, next_s if stated_s is None else stated_s + shift_s
                next_s = time_s + step_s
                if window.holds(time_s):
                    yield frame, time_s - window.origin_s
                elif time_s - window.origin_s >= window.stop_s:
                    return


def _convert(frame: av.VideoFrame, shape: tuple[int, int] | None) -> np.ndarray:
    """Convert a frame to upright RGB, scaled to `shape` (height, width) if the clip changes its size."""
    orientation = _orientation(frame)
    height, width = frame.height, frame.width
    if shape is not None:
        height, width = shape[::-1] if orientation.swaps_axes else shape
    elif max(height, width) > MAX_SIDE_PX:
        scale = MAX_SIDE_PX / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    picture = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=_interpolation(frame, width))
    return orientation.apply(picture)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is shown: rows and columns swapped or not, then mirrored along either axis."""

    swaps_axes: bool
    mirrors_columns: bool
    mirrors_rows: bool

    @classmethod
    def from_matrix(cls, a: int, b: int, c: int, d: int) -> "Orientation":
        """Read a display matrix, of any angle, as the nearest multiple of a quarter turn, with or without mirroring.

        The matrix moves a stored point (x, y) to (a x + c y, b x + d y), up to an offset.

        Args:
            a: see above.
            b: see above.
            c: see above.
            d: see above.
        """
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture as it is shown.

        Args:
            picture: [height, width, 3].
        """
        shown = picture.swapaxes(0, 1) if self.swaps_axes else picture
        return shown[:: -1 if self.mirrors_rows else 1, :: -1 if self.mirrors_columns else 1]


def _orientation(frame: av.VideoFrame) -> Orientation:
    """Read a frame's display matrix: nine 32-bit numbers, row by row."""
    try:
        side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except ValueError:
        # PyAV has no name for some kinds of side data, such as EXIF, and then gives none; the rotation remains.
        turns = round(frame.rotation / 90) % 4
        return Orientation(turns % 2 == 1, turns in (2, 3), turns in (1, 2))
    if side_data is None:
        return Orientation(False, False, False)
    a, b, _, c, d = np.frombuffer(bytes(side_data), dtype=np.int32)[:5].tolist()
    return Orientation.from_matrix(a, b, c, d)


def fit_picture(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Scale a picture to another's size, by area.

    Args:
        picture: uint8 [height, width, 3].
        shape: starts with height and width.
    """
    if picture.shape[:2] == tuple(shape[:2]):
        return picture
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.to_ndarray(format="rgb24", height=shape[0], width=shape[1], interpolation=Interpolation.AREA)


def _interpolation(frame: av.VideoFrame, width: int) -> Interpolation:
    return Interpolation.BILINEAR if width == frame.width else Interpolation.AREA
