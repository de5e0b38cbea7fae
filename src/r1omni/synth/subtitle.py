"""Owns the burned-in subtitle: a proportional pixel font five dots high, wrapped to two lines on a dark strip."""

from functools import lru_cache

import numpy as np

_GLYPHS = {
    "A": "010 101 111 101 101",
    "B": "110 101 110 101 110",
    "C": "011 100 100 100 011",
    "D": "110 101 101 101 110",
    "E": "111 100 110 100 111",
    "F": "111 100 110 100 100",
    "G": "011 100 101 101 011",
    "H": "101 101 111 101 101",
    "I": "1 1 1 1 1",
    "J": "001 001 001 101 010",
    "K": "101 101 110 101 101",
    "L": "100 100 100 100 111",
    "M": "10001 11011 10101 10001 10001",
    "N": "1001 1101 1011 1001 1001",
    "O": "010 101 101 101 010",
    "P": "110 101 110 100 100",
    "Q": "0110 1001 1001 1011 0111",
    "R": "110 101 110 101 101",
    "S": "011 100 010 001 110",
    "T": "111 010 010 010 010",
    "U": "101 101 101 101 111",
    "V": "101 101 101 101 010",
    "W": "10001 10001 10101 11011 10001",
    "X": "101 101 010 101 101",
    "Y": "101 101 010 010 010",
    "Z": "111 001 010 100 111",
    "0": "111 101 101 101 111",
    "1": "01 11 01 01 01",
    "2": "110 001 010 100 111",
    "3": "110 001 010 001 110",
    "4": "101 101 111 001 001",
    "5": "111 100 110 001 110",
    "6": "011 100 110 101 010",
    "7": "111 001 010 010 010",
    "8": "010 101 010 101 010",
    "9": "010 101 011 001 110",
    ".": "0 0 0 0 1",
    ",": "00 00 00 01 10",
    "!": "1 1 1 0 1",
    "?": "110 001 010 000 010",
    "'": "1 1 0 0 0",
    "-": "00 00 11 00 00",
    ":": "0 1 0 1 0",
    " ": "00 00 00 00 00",
}
_HEIGHT = 5


def _line(text: str) -> np.ndarray:
    """Return the dots of one line, bool[5, width]; a character without a glyph becomes a space."""
    columns: list[np.ndarray] = []
    for character in text.upper():
        rows = _GLYPHS.get(character, _GLYPHS[" "]).split()
        columns += [np.array([[dot == "1" for dot in row] for row in rows]), np.zeros((_HEIGHT, 1), bool)]
    return np.concatenate(columns[:-1], axis=1) if columns else np.zeros((_HEIGHT, 0), bool)


def wrap(text: str, width_dots: int) -> list[str]:
    """Break a text into at most two lines; words that do not fit are left out.

    Args:
        text: the sentence.
        width_dots: width of a line.
    """
    lines: list[str] = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _line(longer).shape[1] <= width_dots:
            lines[-1] = longer
        elif len(lines) == 1:
            lines.append(word)
        else:
            break
    if len(lines) == 2 and _line(" ".join(lines[0].split()[:-1])).shape[1] > _line(lines[1]).shape[1]:
        first = lines[0].split()
        moved = f"{first[-1]} {lines[1]}"
        if len(first) > 1 and _line(moved).shape[1] <= width_dots:
            lines = [" ".join(first[:-1]), moved]
    return [line for line in lines if line]


@lru_cache(maxsize=256)
def _strip(text: str, size_px: int) -> np.ndarray:
    dot = max(1, size_px // 96)
    lines = wrap(text, size_px // dot - 4)
    strip = np.zeros((len(lines) * (_HEIGHT + 2) + 2, size_px // dot), dtype=bool)
    for row, line in enumerate(lines):
        dots = _line(line)[:, : strip.shape[1]]
        left = (strip.shape[1] - dots.shape[1]) // 2
        top = 2 + row * (_HEIGHT + 2)
        strip[top : top + _HEIGHT, left : left + dots.shape[1]] = dots
    full = np.zeros((strip.shape[0] * dot, size_px), dtype=bool)
    large = strip.repeat(dot, axis=0).repeat(dot, axis=1)
    full[:, : large.shape[1]] = large
    return full


def burn(frames: np.ndarray, text: str) -> None:
    """Draw the subtitle at the bottom of the frames, in place.

    Args:
        frames: uint8 [frames, size, size, 3].
        text: one short sentence.
    """
    strip = _strip(text, frames.shape[2])
    if not strip.any():
        return
    bottom = frames[:, -strip.shape[0] :]
    np.maximum(bottom >> 2, np.where(strip, np.uint8(245), np.uint8(0))[..., None], out=bottom)
