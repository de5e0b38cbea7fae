"""How a file is opened, and the part of it that is read."""

from dataclasses import dataclass

import av
from av.container import InputContainer

RESTART_S = 1.0
"""A clock that goes back by more than this begins anew, as where recordings were joined end to end (`cat a.ts b.ts`) or
a DVD's cells meet: what follows is placed behind what came before, as players do."""
_ROUNDING_S = 5e-7


@dataclass(frozen=True)
class Window:
    """A half-open part of a file, in seconds from its beginning."""

    start_s: float
    stop_s: float
    """Infinite: to the end."""
    origin_s: float
    """The file's own clock at its beginning."""

    def holds(self, time_s: float) -> bool:
        """Return whether a time is within the part, with a tolerance of half a microsecond for rounding.

        Args:
            time_s: on the file's own clock.
        """
        return self.start_s - _ROUNDING_S <= time_s - self.origin_s < self.stop_s - _ROUNDING_S


def open_file(name: str) -> InputContainer:
    """Open a file that exists.

    The `file:` prefix keeps a colon in the name from being read as a protocol; the whitelist keeps playlists off the
    network; header text that is not UTF-8 is read with replacement characters.

    Args:
        name: path.
    """
    return av.open(f"file:{name}", metadata_errors="replace", options={"protocol_whitelist": "file"})


def is_still(container: InputContainer) -> bool:
    """Return whether FFmpeg takes a file for a still image.

    Args:
        container: open file.
    """
    return container.format.name == "image2" or container.format.name.endswith("_pipe")
