"""Owns the background: rooms, the two families of looks, and the cached picture of a room."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from r1omni.synth.face import Colour, Look, shade

PATTERNS = ("plain", "stripes", "dots", "panels", "bricks")
FURNITURE = ("none", "window", "shelf", "picture", "plant", "sofa")


@dataclass(frozen=True)
class Room:
    """A room; a studio look keeps only its wall colour."""

    wall: Colour = (196, 186, 168)
    pattern: str = "plain"
    """One of `PATTERNS`."""
    furniture: str = "none"
    """One of `FURNITURE`."""
    lamp: bool = False


LOOKS: dict[str, Look] = {
    "film": Look(),
    "film-warm": Look(name="film-warm", grade=(1.04, 1.0, 0.93)),
    "film-cool": Look(name="film-cool", grade=(0.95, 1.0, 1.05)),
    "studio": Look(
        name="studio", head_width=1.10, eye_scale=1.10, ink=0.009, feature_drop=0.05, size=0.27, studio=True
    ),
}
"""Film looks belong to the training corpora; the studio look, inked, with other proportions, to the third corpus."""


@lru_cache(maxsize=512)
def background(room: Room, look: Look, size_px: int) -> Image.Image:
    """Return the picture of the room, cached; copy it before drawing on it.

    Args:
        room: the walls and the furniture.
        look: the style of drawing; a studio look has a plain backdrop.
        size_px: side of the square picture.
    """
    if look.studio:
        return _backdrop(room.wall, size_px)
    image = Image.new("RGB", (size_px, size_px), room.wall)
    draw = ImageDraw.Draw(image)
    _PATTERN_PAINTERS[room.pattern](draw, room.wall, size_px)
    floor = shade(room.wall, 0.55, (96, 66, 44))
    draw.rectangle((0, 0.86 * size_px, size_px, size_px), fill=floor)
    draw.rectangle((0, 0.84 * size_px, size_px, 0.86 * size_px), fill=shade(room.wall, 0.7, (255, 255, 255)))
    _FURNITURE_PAINTERS[room.furniture](draw, room.wall, size_px)
    if room.lamp:
        _lamp(draw, size_px)
    return _light(image, room.lamp)


def _backdrop(wall: Colour, size: int) -> Image.Image:
    grey = np.array(shade(wall, 0.25, (206, 210, 216)), dtype=np.float32)
    y, x = np.mgrid[0:size, 0:size] / size
    glow = 1.04 - 0.35 * ((x - 0.5) ** 2 + (y - 0.4) ** 2)
    return Image.fromarray(np.clip(grey * glow[..., None], 0, 255).astype(np.uint8))


def _light(image: Image.Image, lamp: bool) -> Image.Image:
    size = image.width
    y, x = np.mgrid[0:size, 0:size] / size
    gain = 1.05 - 0.45 * ((x - 0.35) ** 2 + (y - 0.3) ** 2)
    if lamp:
        gain = gain + 0.30 * np.exp(-((x - 0.87) ** 2 + (y - 0.28) ** 2) / 0.03)
    return Image.fromarray(np.clip(np.asarray(image) * gain[..., None], 0, 255).astype(np.uint8))


def _plain(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    del draw, wall, size


def _stripes(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    for left in np.arange(0.0, 1.0, 0.12):
        draw.rectangle((left * size, 0, (left + 0.05) * size, size), fill=shade(wall, 0.90))


def _dots(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    for row, y in enumerate(np.arange(0.05, 0.9, 0.11)):
        for x in np.arange(0.04 + 0.06 * (row % 2), 1.0, 0.12):
            draw.ellipse(
                ((x - 0.014) * size, (y - 0.014) * size, (x + 0.014) * size, (y + 0.014) * size), fill=shade(wall, 0.85)
            )


def _panels(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    for left in (0.02, 0.27, 0.52, 0.77):
        box = (left * size, 0.08 * size, (left + 0.21) * size, 0.8 * size)
        draw.rectangle(box, outline=shade(wall, 0.84), width=max(1, size // 64))


def _bricks(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    for row, y in enumerate(np.arange(0.0, 0.9, 0.09)):
        draw.line((0, y * size, size, y * size), fill=shade(wall, 0.86), width=max(1, size // 96))
        for x in np.arange(0.1 * (row % 2), 1.0, 0.2):
            draw.line(
                (x * size, y * size, x * size, (y + 0.09) * size), fill=shade(wall, 0.86), width=max(1, size // 96)
            )


def _box(draw: ImageDraw.ImageDraw, size: int, box: tuple[float, float, float, float], colour: Colour) -> None:
    draw.rectangle(tuple(value * size for value in box), fill=colour)


def _window(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    _box(draw, size, (0.03, 0.08, 0.27, 0.52), (244, 240, 230))
    _box(draw, size, (0.05, 0.10, 0.25, 0.50), (150, 200, 232))
    draw.ellipse((0.02 * size, 0.38 * size, 0.22 * size, 0.60 * size), fill=(122, 168, 104))
    _box(draw, size, (0.02, 0.50, 0.28, 0.60), (244, 240, 230))
    _box(draw, size, (0.02, 0.535, 0.28, 0.62), wall)
    _box(draw, size, (0.143, 0.10, 0.157, 0.50), (244, 240, 230))
    _box(draw, size, (0.05, 0.29, 0.25, 0.305), (244, 240, 230))


def _shelf(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    del wall
    wood = (126, 88, 58)
    books = ((178, 66, 60), (70, 112, 150), (214, 172, 84), (92, 134, 92), (140, 92, 136))
    for row, y in enumerate((0.22, 0.44, 0.66)):
        _box(draw, size, (0.0, y, 0.24, y + 0.025), wood)
        for number in range(5):
            left, height = 0.012 + 0.043 * number, 0.11 + 0.02 * ((number * 2 + row) % 3)
            _box(draw, size, (left, y - height, left + 0.036, y), books[(number + 2 * row) % 5])
    _box(draw, size, (0.235, 0.04, 0.255, 0.84), wood)


def _picture(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    del wall
    _box(draw, size, (0.76, 0.10, 0.98, 0.36), (92, 66, 44))
    _box(draw, size, (0.78, 0.12, 0.96, 0.34), (236, 220, 186))
    draw.polygon([0.78 * size, 0.34 * size, 0.86 * size, 0.20 * size, 0.96 * size, 0.34 * size], fill=(108, 136, 124))
    draw.ellipse((0.89 * size, 0.14 * size, 0.94 * size, 0.19 * size), fill=(232, 150, 84))


def _plant(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    del wall
    for angle in np.linspace(-1.1, 1.1, 7):
        tip = (0.88 + 0.16 * np.sin(angle), 0.62 - 0.30 * np.cos(angle))
        side = (0.022 * np.cos(angle), 0.022 * np.sin(angle))
        middle = ((0.88 + tip[0]) / 2, (0.64 + tip[1]) / 2)
        leaf = [
            (0.88, 0.66),
            (middle[0] - side[0], middle[1] - side[1]),
            tip,
            (middle[0] + side[0], middle[1] + side[1]),
        ]
        draw.polygon([value * size for xy in leaf for value in xy], fill=(62, 124 + int(20 * np.cos(7 * angle)), 76))
    pot = [(0.80, 0.64), (0.96, 0.64), (0.94, 0.84), (0.82, 0.84)]
    draw.polygon([value * size for xy in pot for value in xy], fill=(196, 106, 72))


def _sofa(draw: ImageDraw.ImageDraw, wall: Colour, size: int) -> None:
    colour = shade(wall, 0.35, (120, 74, 84))
    draw.rounded_rectangle((-0.1 * size, 0.58 * size, 1.1 * size, 1.1 * size), radius=0.06 * size, fill=colour)
    for x in (0.16, 0.84):
        draw.line((x * size, 0.6 * size, x * size, size), fill=shade(colour, 0.82), width=max(1, size // 64))


def _lamp(draw: ImageDraw.ImageDraw, size: int) -> None:
    draw.line((0.87 * size, 0.3 * size, 0.87 * size, 0.86 * size), fill=(70, 58, 52), width=max(2, size // 64))
    shape = [(0.80, 0.32), (0.94, 0.32), (0.91, 0.18), (0.83, 0.18)]
    draw.polygon([value * size for xy in shape for value in xy], fill=(255, 226, 156))


_PATTERN_PAINTERS = {"plain": _plain, "stripes": _stripes, "dots": _dots, "panels": _panels, "bricks": _bricks}
_FURNITURE_PAINTERS = {
    "none": _plain,
    "window": _window,
    "shelf": _shelf,
    "picture": _picture,
    "plant": _plant,
    "sofa": _sofa,
}
