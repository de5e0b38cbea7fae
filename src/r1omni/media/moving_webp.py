"""WebP files that move, of which FFmpeg shows only the first picture: times from their chunks, pictures by Pillow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from r1omni.core.errors import MediaError
from r1omni.media.limits import NO_LIMITS, MediaLimits
from r1omni.media.still import upright_rgb

_RIFF_BYTES = 12
_CHUNK_BYTES = 8
_DURATION = slice(12, 15)
"""Of a picture's chunk: milliseconds, 24 bits."""
_SHORTEST_MS = 10
"""Browsers show pictures of up to 10 ms for 100 ms."""
_USUAL_MS = 100


def picture_ends_s(file: Path) -> list[float]:
    """Return when each picture ends, seconds; empty for a file that is no WebP, or does not move.

    Args:
        file: existing file.

    Source:
        https://developers.google.com/speed/webp/docs/riff_container, ANMF chunk.
    """
    ends_ms: list[int] = []
    with file.open("rb") as opened:
        head = opened.read(_RIFF_BYTES)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return []
        while len(chunk := opened.read(_CHUNK_BYTES)) == _CHUNK_BYTES:
            size = int.from_bytes(chunk[4:], "little")
            begin = opened.tell()
            if chunk[:4] == b"ANMF":
                lasts_ms = int.from_bytes(opened.read(16)[_DURATION], "little")
                ends_ms.append((ends_ms or [0])[-1] + (lasts_ms if lasts_ms > _SHORTEST_MS else _USUAL_MS))
            opened.seek(begin + size + size % 2)
    return [end / 1000 for end in ends_ms] if len(ends_ms) > 1 else []


def read_pictures_at(
    file: Path, indices: Sequence[int], max_side_px: int, limits: MediaLimits = NO_LIMITS
) -> np.ndarray:
    """Read some pictures of a WebP that moves.

    Args:
        file: existing file.
        indices: which, rising; some may repeat.
        max_side_px: larger pictures are scaled down by area.
        limits: what a picture may be.

    Returns:
        uint8 [indices, height, width, 3], RGB, upright.

    Raises:
        MediaError: a picture cannot be decoded.
    """
    pictures: dict[int, np.ndarray] = {}
    try:
        with Image.open(file) as image:
            limits.check_size(*image.size, str(file))
            for index in dict.fromkeys(indices):
                image.seek(index)
                pictures[index] = upright_rgb(image.copy(), max_side_px)
    except MediaError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError("unreadable", f"{file}: picture {len(pictures)} cannot be decoded ({error}).") from error
    return np.stack([pictures[index] for index in indices])
