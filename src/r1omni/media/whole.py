"""Detects from a file's own structure whether its end is missing.

MP4, HEIC, AVIF, Matroska, RIFF (wav, avi, webp), JPEG and PNG state where they end; other formats do not and count as
complete. Data after the end, as in a motion photo, is allowed.
"""

from pathlib import Path
from typing import BinaryIO

_RIFF_SLACK_BYTES = 1024
"""Writers of wav files miscount headers and padding."""
_RIFF_UNKNOWN_BYTES = 0x7FFF0000
"""Sizes from here on are placeholders by writers that could not seek back."""
_BLOCK_BYTES = 1 << 20
"""Bytes searched at a time."""


def is_cut_short(file: Path, size_bytes: int) -> bool:
    """Read headers only; no stream is decoded.

    Args:
        file: existing file.
        size_bytes: its size.
    """
    with file.open("rb") as opened:
        head = opened.read(64)
        if head[4:8] == b"ftyp":
            return _is_mp4_cut(opened, size_bytes)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _is_matroska_cut(head, size_bytes)
        if head[:4] == b"RIFF":
            stated_bytes = 8 + int.from_bytes(head[4:8], "little")
            return size_bytes + _RIFF_SLACK_BYTES < stated_bytes < _RIFF_UNKNOWN_BYTES
        if head[:4] == b"\x89PNG":
            return _is_png_cut(opened, size_bytes)
        return head[:2] == b"\xff\xd8" and _is_jpeg_cut(opened, size_bytes)


def _is_png_cut(opened: BinaryIO, size_bytes: int) -> bool:
    """Walk the chunks up to the one that ends the picture."""
    position = 8
    while position + 12 <= size_bytes:
        opened.seek(position)
        header = opened.read(8)
        position += 12 + int.from_bytes(header[:4], "big")
        if header[4:] == b"IEND":
            return position > size_bytes
    return True


def _is_jpeg_cut(opened: BinaryIO, size_bytes: int) -> bool:
    """Walk the segments up to the picture's data, then find the marker that ends it, which is unique."""
    position = 2
    while position + 4 <= size_bytes:
        opened.seek(position)
        header = opened.read(4)
        if header[0] != 0xFF:
            return False
        if header[1] == 0xFF:  # padding
            position += 1
            continue
        position += 2 + int.from_bytes(header[2:], "big")
        if header[1] == 0xDA:
            break
    opened.seek(min(position, size_bytes))
    tail = b""
    while block := opened.read(_BLOCK_BYTES):
        if b"\xff\xd9" in tail + block:
            return False
        tail = block[-1:]
    return True


def _is_mp4_cut(opened: BinaryIO, size_bytes: int) -> bool:
    """Walk the top-level boxes; media data beyond the end of the file, or no index (`meta` in pictures), is a cut."""
    position, has_index = 0, False
    while position + 8 <= size_bytes:
        opened.seek(position)
        header = opened.read(16)
        box_bytes, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if box_bytes == 1:
            box_bytes = int.from_bytes(header[8:16], "big")
        elif box_bytes == 0:
            box_bytes = size_bytes - position
        if kind in (b"mdat", b"moov", b"moof", b"meta") and position + box_bytes > size_bytes:
            return True
        has_index = has_index or kind in (b"moov", b"meta")
        if box_bytes < 8:
            return False
        position += box_bytes
    return not has_index


def _is_matroska_cut(head: bytes, size_bytes: int) -> bool:
    """Read the size of the one segment that follows the header."""
    header_bytes, width = _ebml_size(head, 4)
    segment = 4 + width + (header_bytes or 0)
    if header_bytes is None or head[segment : segment + 4] != b"\x18\x53\x80\x67":
        return False
    segment_bytes, width = _ebml_size(head, segment + 4)
    return segment_bytes is not None and segment + 4 + width + segment_bytes > size_bytes


def _ebml_size(data: bytes, position: int) -> tuple[int | None, int]:
    """Return an EBML size, None for unknown, and its length in bytes."""
    if position >= len(data) or data[position] == 0:
        return None, 1
    width = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
