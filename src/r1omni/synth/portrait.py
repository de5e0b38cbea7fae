"""Owns the drawing of the person: hair, body, head and features around the points that `face` computes."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from r1omni.synth.face import (
    FILM,
    STILL,
    Colour,
    FacePose,
    Look,
    Motion,
    Person,
    Placement,
    head_points,
    head_width,
    placement,
    shade,
)

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_T = np.linspace(0.0, 1.0, 11)
_ARC = 1.0 - (2.0 * _T - 1.0) ** 2
_LID_ARC = _ARC**0.8
_FLAT_ARC = 1.0 - (2.0 * _T - 1.0) ** 4
_INK: Colour = (38, 32, 40)


class _Mark(NamedTuple):
    """One shape of a sketch, filled or, with a width, drawn as a line."""

    points: np.ndarray
    """[n, 2], head or body units."""
    colour: Colour
    is_body: bool
    is_inked: bool = False
    width: float | None = None
    """In head units; None fills the outline."""


class _Sketch:
    """Shapes in head or body units, in the order in which they are painted."""

    def __init__(self) -> None:
        self.marks: list[_Mark] = []

    def shape(self, points: np.ndarray, colour: Colour, *, body: bool = False, ink: bool = False) -> None:
        self.marks.append(_Mark(points, colour, body, ink))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, ink: bool = False) -> None:
        self.shape(_oval(rx, ry) + (x, y), colour, ink=ink)

    def stroke(self, points: np.ndarray, colour: Colour, width: float, *, body: bool = False) -> None:
        self.marks.append(_Mark(points, colour, body, width=width))

    def paint(self, image: Image.Image, frame: Placement, ink: float) -> None:
        """Paint every shape; `ink` is the width of an outline as a fraction of the frame."""
        draw, size = ImageDraw.Draw(image), image.width
        unit, outline = frame.scale * size, round(ink * size)
        place = {False: frame.head, True: frame.torso}
        pixels = {body: _pixels(self.marks, body, place[body](_CORNERS) * size) for body in place}
        for mark in self.marks:
            xy = next(pixels[mark.is_body])
            if mark.width is not None:
                _line(draw, xy, mark.colour, max(1, round(mark.width * unit)))
                continue
            draw.polygon(xy, fill=mark.colour)
            if mark.is_inked and outline:
                _line(draw, [*xy, *xy[:2]], _INK, outline)


_CORNERS = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])


def _pixels(marks: list[_Mark], body: bool, corners: np.ndarray) -> Iterator[list[float]]:
    """Yield x, y, x, y, ... in pixels for each mark in head or body units, all mapped at once."""
    parts = [mark.points for mark in marks if mark.is_body == body]
    if not parts:
        return
    origin = corners[0]
    flat = (np.concatenate(parts) @ (corners[1:] - origin) + origin).ravel().tolist()
    start = 0
    for part in parts:
        stop = start + 2 * len(part)
        yield flat[start:stop]
        start = stop


def _line(draw: ImageDraw.ImageDraw, xy: list[float], colour: Colour, width: int) -> None:
    draw.line(xy, fill=colour, width=width, joint="curve" if width > 4 else None)


@lru_cache(maxsize=256)
def _oval(rx: float, ry: float) -> np.ndarray:
    return _CIRCLE * (rx, ry)


def _curve(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Return [n, 2] from both coordinates."""
    points = np.empty((len(xs), 2))
    points[:, 0], points[:, 1] = xs, ys
    return points


def draw_person(image: Image.Image, pose: FacePose, person: Person, look: Look = FILM, motion: Motion = STILL) -> None:
    """Draw the person on top of the canvas.

    Args:
        image: square RGB canvas, best at twice the final size; changed in place.
        pose: face and body at this moment.
        person: who is drawn.
        look: the style of drawing.
        motion: momentary movement on top of the pose.
    """
    sketch = _Sketch()
    found = head_points(pose, person, look, motion)
    points = dict(zip(found, np.array(list(found.values())), strict=True))
    width = head_width(person, look)
    behind, in_front = _hair(person, width)
    sketch.marks += behind
    _body(sketch, pose, person)
    _head(sketch, points, person, width)
    _eyes(sketch, points, pose, person, look)
    _nose(sketch, points, pose, person)
    _mouth(sketch, points, pose, person)
    sketch.marks += in_front
    _brows(sketch, points, pose, person)
    if person.glasses:
        _glasses(sketch, points)
    sketch.paint(image, placement(pose, look, motion), look.ink)


@lru_cache(maxsize=512)
def _hair(person: Person, width: float) -> tuple[tuple[_Mark, ...], tuple[_Mark, ...]]:
    """Return the hair behind and in front of the head; it moves with the head alone."""
    behind, in_front = _Sketch(), _Sketch()
    _hair_back(behind, person, width)
    _hair_front(in_front, person, width)
    return tuple(behind.marks), tuple(in_front.marks)


def _smooth(corners: list[tuple[float, float]]) -> np.ndarray:
    """Return a closed curve through the points (Catmull-Rom)."""
    p = np.array(corners)
    before, after, beyond = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)
    t = np.linspace(0.0, 1.0, 5, endpoint=False)[None, :, None]
    a, b, c, d = (q[:, None] for q in (before, p, after, beyond))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve.reshape(-1, 2)


_LONG = [(-0.52, -0.85), (-0.84, -0.45), (-0.96, 0.1), (-1.06, 0.8), (-1.02, 1.36), (-0.5, 1.5)]
_BOB = [(-0.52, -0.85), (-0.85, -0.45), (-1.0, 0.1), (-1.07, 0.6), (-0.92, 0.92), (-0.5, 0.9)]


def _hair_back(sketch: _Sketch, person: Person, width: float) -> None:
    dark = shade(person.hair, 0.80)
    if person.hair_style in ("long", "bob"):
        left = _LONG if person.hair_style == "long" else _BOB
        outline = _smooth([*left, *((-x, y) for x, y in reversed(left))])
        sketch.shape(outline * (width / 0.8, 1.0), dark, ink=True)
    elif person.hair_style == "bun":
        sketch.oval(0.0, -1.20, 0.36, 0.30, dark, ink=True)
    elif person.hair_style == "curly":
        for angle in np.linspace(np.pi * 0.94, np.pi * 2.06, 11):
            sketch.oval(1.10 * width * np.cos(angle), -0.30 + 0.80 * np.sin(angle), 0.25, 0.25, dark, ink=True)


_TEE = _curve(np.linspace(-0.38, 0.38, 7), 1.20 + 0.24 * (1 - np.linspace(-1, 1, 7) ** 2))
_SHADOW = np.array([(-0.34, 0.95), (-0.2, 1.14), (0.2, 1.14), (0.34, 0.95)])
_TURTLENECK = np.array([(-0.42, 1.0), (-0.46, 1.3), (0.46, 1.3), (0.42, 1.0)])
_COLLAR = np.array([(0.40, 1.06), (0.04, 1.42), (0.36, 1.52), (0.54, 1.2)])
_LAPEL = np.array([(0.54, 1.2), (0.3, 1.7), (0.06, 2.3)])
_STRING = np.array([(0.2, 1.36), (0.22, 1.8)])
_BUTTONS = np.array([(0.0, 1.42), (0.0, 2.4)])
_SIDES = (np.array((-1.0, 1.0)), np.array((1.0, 1.0)))


def _body(sketch: _Sketch, pose: FacePose, person: Person) -> None:
    rise = 0.24 * pose.shoulders
    cloth, dark, light = person.clothing, shade(person.clothing, 0.78), shade(person.clothing, 0.8, (255, 255, 255))
    skin = shade(person.skin, 0.88)
    torso = [
        (-1.75, 2.6),
        (-1.55, 1.75 - rise),
        (-1.18, 1.42 - rise),
        (-0.42, 1.18 - 0.35 * rise),
        (0.42, 1.18 - 0.35 * rise),
        (1.18, 1.42 - rise),
        (1.55, 1.75 - rise),
        (1.75, 2.6),
    ]
    if person.clothing_style == "hoodie":
        sketch.shape(_oval(0.78, 0.42) + (0.0, 1.18 - 0.3 * rise), dark, body=True, ink=True)
    sketch.shape(np.array(torso), cloth, body=True, ink=True)
    neck = np.array([(-0.34, 0.6), (-0.36, 1.2), (0.0, 1.42), (0.36, 1.2), (0.34, 0.6)])
    if person.clothing_style == "vneck":
        neck[2] = (0.0, 1.66)
    sketch.shape(neck, skin, body=True, ink=True)
    sketch.shape(_SHADOW, shade(person.skin, 0.74), body=True)
    if person.clothing_style == "turtleneck":
        sketch.shape(_TURTLENECK, light, body=True, ink=True)
    elif person.clothing_style in ("shirt", "blazer"):
        white = (240, 240, 236) if person.clothing_style == "blazer" else light
        for side in _SIDES:
            sketch.shape(_COLLAR * side, white, body=True, ink=True)
        sketch.stroke(_BUTTONS, dark, 0.05, body=True)
        if person.clothing_style == "blazer":
            for side in _SIDES:
                sketch.stroke(_LAPEL * side, dark, 0.08, body=True)
    elif person.clothing_style == "hoodie":
        for side in _SIDES:
            sketch.stroke(_STRING * side, (240, 240, 236), 0.05, body=True)
    elif person.clothing_style == "tee":
        sketch.stroke(_TEE, dark, 0.06, body=True)


_HALF_TURN = np.linspace(0.0, np.pi, 15)
_JAW = _curve(np.cos(_HALF_TURN) * (1.0 - 0.14 * np.sin(_HALF_TURN) ** 3), np.sin(_HALF_TURN) ** 0.82)
_SKULL = _curve(-np.cos(_HALF_TURN), -np.sin(_HALF_TURN))


def _head(sketch: _Sketch, points: dict[str, np.ndarray], person: Person, width: float) -> None:
    chin = points["chin"][1]
    ear = shade(person.skin, 0.93)
    for sign in () if person.hair_style in ("long", "bob") else (-1, 1):
        sketch.oval(sign * 1.02 * width, 0.06, 0.13, 0.20, ear, ink=True)
        sketch.oval(sign * 1.04 * width, 0.07, 0.06, 0.11, shade(person.skin, 0.78))
    outline = np.concatenate([_JAW * (width, chin), _SKULL * (width, 1.0)])
    sketch.shape(outline, person.skin, ink=True)
    blush = shade(person.skin, 0.80, (226, 92, 84))
    for side in ("left", "right"):
        x, y = points[f"cheek_{side}"]
        sketch.oval(x, y, 0.16, 0.11, blush)


def _eyes(sketch: _Sketch, points: dict[str, np.ndarray], pose: FacePose, person: Person, look: Look) -> None:
    line = (44, 30, 30)
    crease = shade(person.skin, 0.68)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        inner, outer = points[f"eye_inner_{side}"], points[f"eye_outer_{side}"]
        top, bottom = points[f"lid_upper_{side}"][1], points[f"lid_lower_{side}"][1]
        xs = inner[0] + (outer[0] - inner[0]) * _T
        ends = inner[1] + (outer[1] - inner[1]) * _T
        middle = (inner[1] + outer[1]) / 2
        upper = _curve(xs, ends + (top - middle) * _LID_ARC)
        lower = _curve(xs, ends + (bottom - middle) * _LID_ARC)
        if bottom - top > 0.05:
            sketch.shape(np.concatenate([upper, lower[::-1]]), (252, 250, 246))
            _iris(sketch, points[f"iris_{side}"], top, bottom, person, look)
            sketch.stroke(lower, crease, 0.03)
        if pose.gaze_down > 0.15:
            eyelid = _curve(xs, ends - 0.15 * look.eye_scale * _LID_ARC)
            sketch.shape(np.concatenate([eyelid, upper[::-1]]), shade(person.skin, 0.80, (150, 84, 90)))
        sketch.stroke(upper, line, 0.062)
        lash = np.array([outer, outer + (sign * 0.05, -0.03)])
        sketch.stroke(lash, line, 0.05)
        if pose.cheek_raise > 0.15:
            depth = shade(person.skin, 1.0 - 0.5 * min(pose.cheek_raise, 1.0))
            for rise in (-0.07, 0.02, 0.11):
                start = outer + (sign * 0.06, rise * 0.5)
                sketch.stroke(np.array([start, start + (sign * 0.13, rise)]), depth, 0.035)
            bag = _curve(xs, ends + 0.13 + 0.05 * _ARC)
            sketch.stroke(bag[1:-1], depth, 0.035)
        if pose.eye_open > 0.15:
            fold = _curve(xs, upper[:, 1] - 0.06)
            sketch.stroke(fold[2:-2], crease, 0.025)


def _iris(sketch: _Sketch, centre: np.ndarray, top: float, bottom: float, person: Person, look: Look) -> None:
    """Iris and pupil, cut at the lids."""
    radius = 0.112 * look.eye_scale
    for size, colour in ((radius, person.eyes), (0.55 * radius, (22, 18, 20))):
        disc = _oval(size, size) + centre
        disc[:, 1] = np.minimum(np.maximum(disc[:, 1], top + 0.015), bottom - 0.01)
        sketch.shape(disc, colour)
    if top + 0.05 < centre[1] - 0.3 * radius < bottom - 0.03:
        sketch.oval(centre[0] + 0.035, centre[1] - 0.3 * radius, 0.032, 0.032, (255, 255, 255))


_BEZIER = np.stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2], axis=1)
_HALF_BROW = (0.062 - 0.030 * _T)[:, None] * (0.0, 1.0)
_FOREHEAD = np.linspace(-1.0, 1.0, 9)


def _brows(sketch: _Sketch, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    colour = shade(person.hair, 0.62, (30, 20, 18))
    crease = shade(person.skin, 0.62)
    for side in ("left", "right"):
        a, b, c = (points[f"brow_{part}_{side}"] for part in ("inner", "middle", "outer"))
        curve = _BEZIER @ np.array((a, 2 * b - (a + c) / 2, c))
        sketch.shape(np.concatenate([curve - _HALF_BROW, (curve + _HALF_BROW)[::-1]]), colour)
    drop = points["nose_bridge"][1] + 0.10
    if pose.brow_lower > 0.2:
        for x in (-0.045, 0.045):
            sketch.stroke(np.array([(x, drop - 0.40), (x * 0.8, drop - 0.22)]), crease, 0.03)
    raised = max(pose.brow_inner, 0.0)
    if raised > 0.3:
        reach = 0.44 if pose.brow_outer > 0.2 else 0.2
        for y in (-0.78, -0.70):
            wrinkle = _curve(_FOREHEAD * reach, y + drop + 0.03 * _FOREHEAD**2)
            sketch.stroke(wrinkle, shade(person.skin, 0.8), 0.026)


def _nose(sketch: _Sketch, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    soft, line = shade(person.skin, 0.86), shade(person.skin, 0.60)
    x, y = points["nose_tip"]
    sketch.shape(
        np.array([(x - 0.05, y - 0.26), (x + 0.05, y - 0.26), (x + 0.13, y + 0.03), (x - 0.13, y + 0.03)]), soft
    )
    sketch.oval(x, y, 0.115, 0.075, soft)
    for side, sign in (("left", -1), ("right", 1)):
        nx, ny = points[f"nostril_{side}"]
        sketch.oval(nx * 0.6, ny + 0.02, 0.035, 0.02, line)
        if pose.nose_wrinkle > 0.15:
            dark = shade(person.skin, 1.0 - 0.55 * min(pose.nose_wrinkle, 1.0))
            sketch.stroke(
                np.array([(nx + sign * 0.02, ny - 0.02), (nx + sign * 0.15, ny + 0.12), (nx + sign * 0.20, ny + 0.34)]),
                dark,
                0.045,
            )
            for step in (0.0, 0.085):
                sketch.stroke(np.array([(sign * 0.02, y - 0.30 + step), (sign * 0.13, y - 0.25 + step)]), dark, 0.036)


_CHIN = np.linspace(-0.17, 0.17, 7)


def _mouth(sketch: _Sketch, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    left, right = points["mouth_corner_left"], points["mouth_corner_right"]
    bright = sum(person.skin) > 420
    lip = shade(person.skin, 0.40, (184, 52, 64)) if bright else shade(person.skin, 0.28, (236, 112, 116))
    xs = left[0] + (right[0] - left[0]) * _T
    ends = left[1] + (right[1] - left[1]) * _T
    middle = (left[1] + right[1]) / 2
    square = min(1.0, pose.mouth_stretch + 0.6 * pose.nose_wrinkle)
    arc = (1.0 - square) * _ARC + square * _FLAT_ARC

    def curve(name: str) -> np.ndarray:
        return _curve(xs, ends + (points[name][1] - middle) * arc)

    top, upper, lower, bottom = (curve(f"lip_{n}") for n in ("upper_top", "upper_bottom", "lower_top", "lower_bottom"))
    gap = points["lip_lower_top"][1] - points["lip_upper_bottom"][1]
    sketch.shape(np.concatenate([top, bottom[::-1]]), lip, ink=False)
    if gap > 0.035:
        sketch.shape(np.concatenate([upper, lower[::-1]]), (74, 20, 28))
        teeth = min(0.42 * gap + 0.03, 0.11) if square < 0.3 else 0.8 * gap
        band = np.minimum(upper + (0.0, teeth), lower)
        sketch.shape(np.concatenate([upper[1:-1], band[1:-1][::-1]]), (250, 248, 240))
        if gap > 0.22:
            cx, cy = xs[5], points["lip_lower_top"][1]
            sketch.oval(float(cx), float(cy) - 0.05, 0.14, 0.055, (206, 92, 96))
        if square > 0.4 and gap > 0.08:
            mid = (upper + band) / 2
            sketch.stroke(mid[1:-1], (150, 120, 118), 0.02)
    else:
        sketch.stroke(
            upper,
            shade((92, 30, 38) if bright else (52, 18, 24), 1.0 - 0.5 * max(pose.lip_press, 0.0)),
            0.045 + 0.025 * max(pose.lip_press, 0.0),
        )
    crease = shade(person.skin, 0.66)
    for sign, corner in ((-1, left), (1, right)):
        strength = max(pose.mouth_corner, 0.0) + sign * pose.mouth_corner_asymmetry
        if strength > 0.25:
            sketch.stroke(
                corner + np.array([(sign * 0.05, -0.10), (sign * 0.10, -0.02), (sign * 0.07, 0.08)]), crease, 0.04
            )
        elif pose.mouth_corner < -0.25:
            sketch.stroke(corner + np.array([(sign * 0.02, 0.02), (sign * 0.05, 0.11)]), crease, 0.04)
        if pose.lip_press > 0.25:
            sketch.stroke(
                corner + np.array([(sign * 0.04, -0.09), (sign * 0.07, 0.0), (sign * 0.04, 0.09)]), crease, 0.045
            )
    if pose.lip_press > 0.25:
        y = points["lip_lower_bottom"][1] + 0.13
        sketch.stroke(_curve(_CHIN, y - 0.05 * _ARC[2:9]), crease, 0.035)


def _hair_front(sketch: _Sketch, person: Person, width: float) -> None:
    style = person.hair_style
    if style == "buzz":
        _cap(sketch, shade(person.hair, 0.72, person.skin), width, line=-0.80, puff=1.0, side=-0.40)
        return
    if style in ("long", "bob"):
        low = 0.86 if style == "long" else 0.62
        for sign in (-1.0, 1.0):
            lock = [(0.84, -0.66), (1.02, -0.35), (1.10, 0.1), (1.08, low), (0.97, low), (0.92, 0.1)]
            sketch.shape(_smooth([(sign * x * width, y) for x, y in lock]), person.hair, ink=True)
    puff = {"curly": 1.06, "short": 1.05, "parted": 1.06}.get(style, 1.07)
    side = {"long": -0.30, "bob": -0.30, "curly": -0.15}.get(style, -0.22)
    _cap(sketch, person.hair, width, line=-0.80, puff=puff, side=side)
    shine = shade(person.hair, 0.84, (255, 255, 255))
    if style == "curly":
        for x in (-0.62, -0.31, 0.0, 0.31, 0.62):
            sketch.oval(x * width, -0.88 + 0.22 * x * x, 0.20, 0.16, person.hair)
            sketch.oval(x * width - 0.05, -0.94 + 0.22 * x * x, 0.06, 0.04, shine)
        return
    if style == "parted":
        fringe = [(0.40, -1.02), (0.1, -0.84), (-0.45, -0.72), (-0.86, -0.46), (-0.86, -0.75), (-0.3, -1.0)]
        sketch.shape(_smooth([(x * width, y) for x, y in fringe]), person.hair)
        sketch.stroke(np.array([(0.40, -1.04), (0.44, -0.80)]) * (width, 1.0), shade(person.hair, 0.65), 0.035)
    elif style == "short":
        for x in (-0.55, -0.25, 0.05, 0.35):
            tuft = np.array([(x - 0.18, -0.84), (x + 0.14, -0.75), (x + 0.24, -0.84)])
            sketch.shape(tuft * (width, 1.0), person.hair)
    arc = np.linspace(1.16 * np.pi, 1.46 * np.pi, 9)
    outer = np.stack([0.86 * width * np.cos(arc), 0.95 * np.sin(arc)], axis=1)
    inner = np.stack([0.84 * width * np.cos(arc), 0.95 * np.sin(arc) + 0.07 * np.sin(np.linspace(0, np.pi, 9))], axis=1)
    sketch.shape(np.concatenate([outer, inner[::-1]]), shine)


def _cap(sketch: _Sketch, colour: Colour, width: float, *, line: float, puff: float, side: float) -> None:
    angles = np.linspace(np.pi, 2 * np.pi, 17)
    outer = np.stack([puff * width * 1.02 * np.cos(angles), 0.98 * puff * np.sin(angles) * 1.04], axis=1)
    inner_x = np.linspace(0.90, -0.90, 13) * width
    sweep = line + 0.40 * (np.abs(inner_x) / (0.9 * width)) ** 4
    inner = np.stack([inner_x, sweep], axis=1)
    right = np.array([(puff * width * 1.02, side), (0.95 * width, side)])
    left = np.array([(-0.95 * width, side), (-puff * width * 1.02, side)])
    sketch.shape(np.concatenate([outer, right, inner, left]), colour, ink=True)


def _glasses(sketch: _Sketch, points: dict[str, np.ndarray]) -> None:
    frame = (64, 58, 70)
    for side in ("left", "right"):
        centre = (points[f"eye_inner_{side}"] + points[f"eye_outer_{side}"]) / 2
        ring = _oval(0.31, 0.27) + centre + (0.0, 0.02)
        sketch.stroke(np.concatenate([ring, ring[:1]]), frame, 0.03)
    inner = [points[f"eye_inner_{side}"] for side in ("left", "right")]
    sketch.stroke(np.array([inner[0] + (0.08, 0.0), inner[1] - (0.08, 0.0)]), frame, 0.035)
