"""Reads one picture from a still image, upright as its EXIF orientation says, by Pillow.

Pillow itself reads JPEG, PNG, WebP, TIFF, BMP and AVIF; HEIC, which phones write, needs the package pillow-heif, which
joins a picture's tiles. Data after the image, as in a motion photo, is ignored.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from r1omni.core.errors import MediaError
from r1omni.media.limits import NO_LIMITS, MediaLimits

_STILL_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"})
"""Major brands of HEIC and AVIF pictures; sequences have others and are read as videos."""


def is_heif(head: bytes) -> bool:
    """Return whether a file is a HEIC or AVIF picture.

    Args:
        head: the file's first bytes, at least 12.
    """
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS


def _is_avif(head: bytes) -> bool:
    size = int.from_bytes(head[:4], "big")
    return is_heif(head) and b"avif" in (head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4)))


def read_still(file: Path, max_side_px: int, limits: MediaLimits = NO_LIMITS) -> np.ndarray | None:
    """Read a still image.

    Args:
        file: existing file.
        max_side_px: larger pictures are scaled down by area.
        limits: what the picture may be.

    Returns:
        uint8 [height, width, 3], RGB, upright; None if Pillow does not know the format.

    Raises:
        MediaError: the picture cannot be decoded, or needs a package that is not installed.
    """
    with file.open("rb") as opened:
        head = opened.read(256)
    if is_heif(head) and not _is_avif(head):
        _open_heif(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and odd metadata: what is read is scaled down
            with Image.open(file) as image:
                limits.check_size(*image.size, str(file))
                image.draft("RGB", (max_side_px, max_side_px))
                return upright_rgb(image, max_side_px)
    except MediaError:
        raise
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise MediaError("unreadable", f"{file}: the picture is too large ({error}); scale it down") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError("unreadable", f"{file}: the picture cannot be decoded ({error}); get a new copy") from error


def upright_rgb(image: Image.Image, max_side_px: int) -> np.ndarray:
    """Return a picture as uint8 [height, width, 3], RGB, turned as its EXIF orientation says.

    Args:
        image: an open picture.
        max_side_px: a larger one is scaled down by area.
    """
    scale = max_side_px / max(image.size)
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey at 255 instead of scaling it.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    upright = ImageOps.exif_transpose(image).convert("RGB")
    if scale < 1:
        size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
        upright = upright.resize(size, Image.Resampling.BOX)
    return np.asarray(upright)


def _open_heif(file: Path) -> None:
    """Let Pillow read HEIC."""
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        raise MediaError(
            "unreadable",
            f"{file}: is a HEIC picture, which needs the package pillow-heif; pip install 'r1omni[heif]', or save the "
            "picture as JPEG",
        ) from None
    register_heif_opener()
