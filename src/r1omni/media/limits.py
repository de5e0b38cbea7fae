"""What a clip from strangers may be; checked in its header, and again while it is decoded, where headers lie.

Bytes are not counted here: whoever holds the file knows its size.
"""

import math
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from r1omni.core.errors import MediaError


@dataclass(frozen=True)
class MediaLimits:
    """Upper limits; a clip beyond one of them is an error of kind `over-limit`."""

    max_duration_s: float = math.inf
    """Length that the header states, or that packets reach."""
    max_pixels: float = math.inf
    """Width times height of any picture."""
    max_frames: float = math.inf
    """Pictures of the picture track."""
    max_streams: float = math.inf
    """Tracks of any kind."""

    def check_header(self, container: InputContainer, name: str) -> None:
        """Raise if the header states more than is allowed.

        Args:
            container: open file.
            name: for the error.

        Raises:
            MediaError: it does.
        """
        streams = list(container.streams)
        self._check("tracks", len(streams), self.max_streams, name)
        if container.duration is not None:
            self.check_time(container.duration / av.time_base, name)
        for stream in streams:
            if isinstance(stream, VideoStream) and stream.codec_context is not None:
                self.check_size(stream.codec_context.width, stream.codec_context.height, name)
                self.check_frames(stream.frames, name)

    def check_time(self, time_s: float, name: str) -> None:
        """Raise if a clip lasts longer than allowed.

        Args:
            time_s: up to where it lasts, from its beginning.
            name: for the error.

        Raises:
            MediaError: it does.
        """
        self._check("seconds", time_s, self.max_duration_s, name)

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raise if a picture is larger than allowed.

        Args:
            width: pixels.
            height: pixels.
            name: for the error.

        Raises:
            MediaError: it is.
        """
        self._check("pixels", width * height, self.max_pixels, name)

    def check_frames(self, count: int, name: str) -> None:
        """Raise if there are more pictures than allowed.

        Args:
            count: pictures so far.
            name: for the error.

        Raises:
            MediaError: there are.
        """
        self._check("pictures", count, self.max_frames, name)

    def _check(self, unit: str, found: float, limit: float, name: str) -> None:
        if found > limit:
            raise MediaError("over-limit", f"{name}: has {found:,.0f} {unit}, and {limit:,.0f} are allowed; shorten it")


NO_LIMITS = MediaLimits()
"""For clips of one's own."""
