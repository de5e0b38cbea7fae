"""A folder of numbered pictures as a clip: DFEW and similar corpora are often distributed this way.

Pictures are in natural order (2 before 10, whatever the padding) and are sampled by index like the frames of a video;
only the sampled ones are decoded. Hidden files and files of other kinds are skipped. Sound comes from `NAME.wav` next
to the folder `NAME`, if it exists. A folder does not contain its frame rate: 25 is assumed unless the manifest gives
`meta.frame_rate_fps`; it determines start, stop and times, and does not affect which pictures of a whole folder are
read.
"""

import re
from pathlib import Path

FRAME_RATE_FPS = 25.0
"""Assumed where the manifest gives none."""

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"})

_NUMBER = re.compile(r"(\d+)")


def picture_files(folder: Path) -> list[Path]:
    """Return a folder's pictures in natural order.

    Args:
        folder: existing folder; its subfolders are not searched.
    """
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=_natural)


def sound_file(folder: Path) -> Path | None:
    """Return the sound file next to a folder of pictures; None if it does not exist.

    Args:
        folder: the folder.
    """
    path = folder.parent / f"{folder.name}.wav"
    return path if path.is_file() else None


def content_files(path: Path) -> list[Path]:
    """Return every file whose bytes make up a clip, in a fixed order.

    Args:
        path: the clip: a file, or a folder of pictures.
    """
    if not path.is_dir():
        return [path]
    sound = sound_file(path)
    return [*picture_files(path), *([sound] if sound else [])]


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = _NUMBER.split(path.stem.lower())
    # Text and numbers alternate, starting with text: numbers are compared with numbers.
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)], path.name
