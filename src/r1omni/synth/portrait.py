"""Owns the drawing of the person: hair, body, head and features around the points that `face` computes."""

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
_FLAT_ARC = 1.0 - (2.0 * _T - 1.0) ** 4


class _Pen:
    """Draws shapes given in head or body units on a Pillow canvas."""

    def __init__(self, image: Image.Image, frame: Placement, ink: float) -> None:
        self.draw = ImageDraw.Draw(image)
        size = image.width
        self.unit = frame.scale * size
        self.ink = round(ink * size)
        corners = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        origin, x, y = size * frame.head(corners)
        self.head = np.stack([x - origin, y - origin]), origin
        origin, x, y = size * frame.torso(corners)
        self.torso = np.stack([x - origin, y - origin]), origin

    def _pixels(self, points: np.ndarray, body: bool) -> list[float]:
        axes, origin = self.torso if body else self.head
        return (points @ axes + origin).ravel().tolist()

    def _line(self, xy: list[float], colour: Colour, width: int) -> None:
        self.draw.line(xy, fill=colour, width=width, joint="curve" if width > 4 else None)

    def shape(self, points: np.ndarray, colour: Colour, *, body: bool = False, ink: bool = False) -> None:
        xy = self._pixels(points, body)
        self.draw.polygon(xy, fill=colour)
        if ink and self.ink:
            self._line([*xy, *xy[:2]], (38, 32, 40), self.ink)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, ink: bool = False) -> None:
        self.shape(_CIRCLE * (rx, ry) + (x, y), colour, ink=ink)

    def stroke(self, points: np.ndarray, colour: Colour, width: float, *, body: bool = False) -> None:
        self._line(self._pixels(points, body), colour, max(1, round(width * self.unit)))


def draw_person(image: Image.Image, pose: FacePose, person: Person, look: Look = FILM, motion: Motion = STILL) -> None:
    """Draw the person on top of the canvas.

    Args:
        image: square RGB canvas, best at twice the final size; changed in place.
        pose: face and body at this moment.
        person: who is drawn.
        look: the style of drawing.
        motion: momentary movement on top of the pose.
    """
    pen = _Pen(image, placement(pose, look, motion), look.ink)
    points = {name: np.array(xy) for name, xy in head_points(pose, person, look, motion).items()}
    width = head_width(person, look)
    _hair_back(pen, person, width)
    _body(pen, pose, person)
    _head(pen, points, person, width)
    _eyes(pen, points, pose, person, look)
    _nose(pen, points, pose, person)
    _mouth(pen, points, pose, person)
    _hair_front(pen, person, width)
    _brows(pen, points, pose, person)
    if person.glasses:
        _glasses(pen, points)


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


def _hair_back(pen: _Pen, person: Person, width: float) -> None:
    dark = shade(person.hair, 0.80)
    if person.hair_style in ("long", "bob"):
        left = _LONG if person.hair_style == "long" else _BOB
        outline = _smooth([*left, *((-x, y) for x, y in reversed(left))])
        pen.shape(outline * (width / 0.8, 1.0), dark, ink=True)
    elif person.hair_style == "bun":
        pen.oval(0.0, -1.20, 0.36, 0.30, dark, ink=True)
    elif person.hair_style == "curly":
        for angle in np.linspace(np.pi * 0.94, np.pi * 2.06, 11):
            pen.oval(1.10 * width * np.cos(angle), -0.30 + 0.80 * np.sin(angle), 0.25, 0.25, dark, ink=True)


def _body(pen: _Pen, pose: FacePose, person: Person) -> None:
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
        pen.shape(_CIRCLE * (0.78, 0.42) + (0.0, 1.18 - 0.3 * rise), dark, body=True, ink=True)
    pen.shape(np.array(torso), cloth, body=True, ink=True)
    neck = np.array([(-0.34, 0.6), (-0.36, 1.2), (0.0, 1.42), (0.36, 1.2), (0.34, 0.6)])
    if person.clothing_style == "vneck":
        neck[2] = (0.0, 1.66)
    pen.shape(neck, skin, body=True, ink=True)
    pen.shape(np.array([(-0.34, 0.95), (-0.2, 1.14), (0.2, 1.14), (0.34, 0.95)]), shade(person.skin, 0.74), body=True)
    if person.clothing_style == "turtleneck":
        pen.shape(np.array([(-0.42, 1.0), (-0.46, 1.3), (0.46, 1.3), (0.42, 1.0)]), light, body=True, ink=True)
    elif person.clothing_style in ("shirt", "blazer"):
        white = (240, 240, 236) if person.clothing_style == "blazer" else light
        for sign in (-1, 1):
            pen.shape(
                np.array([(sign * 0.40, 1.06), (sign * 0.04, 1.42), (sign * 0.36, 1.52), (sign * 0.54, 1.2)]),
                white,
                body=True,
                ink=True,
            )
        pen.stroke(np.array([(0.0, 1.42), (0.0, 2.4)]), dark, 0.05, body=True)
        if person.clothing_style == "blazer":
            for sign in (-1, 1):
                pen.stroke(np.array([(sign * 0.54, 1.2), (sign * 0.3, 1.7), (sign * 0.06, 2.3)]), dark, 0.08, body=True)
    elif person.clothing_style == "hoodie":
        for sign in (-1, 1):
            pen.stroke(np.array([(sign * 0.2, 1.36), (sign * 0.22, 1.8)]), (240, 240, 236), 0.05, body=True)
    elif person.clothing_style == "tee":
        pen.stroke(
            np.stack([np.linspace(-0.38, 0.38, 7), 1.20 + 0.24 * (1 - np.linspace(-1, 1, 7) ** 2)], 1),
            dark,
            0.06,
            body=True,
        )


_FACE_Y = np.linspace(0.0, 1.0, 9)


def _head(pen: _Pen, points: dict[str, np.ndarray], person: Person, width: float) -> None:
    chin = points["chin"][1]
    ear = shade(person.skin, 0.93)
    for sign in () if person.hair_style in ("long", "bob") else (-1, 1):
        pen.oval(sign * 1.02 * width, 0.06, 0.13, 0.20, ear, ink=True)
        pen.oval(sign * 1.04 * width, 0.07, 0.06, 0.11, shade(person.skin, 0.78))
    angles = np.linspace(0.0, np.pi, 15)
    jaw_x = width * np.cos(angles) * (1.0 - 0.14 * np.sin(angles) ** 3)
    jaw = np.stack([jaw_x, chin * np.sin(angles) ** 0.82], axis=1)
    skull = np.stack([-width * np.cos(angles), -np.sin(angles)], axis=1)
    pen.shape(np.concatenate([jaw, skull]), person.skin, ink=True)
    blush = shade(person.skin, 0.80, (226, 92, 84))
    for side in ("left", "right"):
        x, y = points[f"cheek_{side}"]
        pen.oval(x, y, 0.16, 0.11, blush)


def _eyes(pen: _Pen, points: dict[str, np.ndarray], pose: FacePose, person: Person, look: Look) -> None:
    line = (44, 30, 30)
    crease = shade(person.skin, 0.68)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        inner, outer = points[f"eye_inner_{side}"], points[f"eye_outer_{side}"]
        top, bottom = points[f"lid_upper_{side}"][1], points[f"lid_lower_{side}"][1]
        xs = inner[0] + (outer[0] - inner[0]) * _T
        ends = inner[1] + (outer[1] - inner[1]) * _T
        middle = (inner[1] + outer[1]) / 2
        shape = _ARC**0.8
        upper = np.stack([xs, ends + (top - middle) * shape], axis=1)
        lower = np.stack([xs, ends + (bottom - middle) * shape], axis=1)
        if bottom - top > 0.05:
            pen.shape(np.concatenate([upper, lower[::-1]]), (252, 250, 246))
            _iris(pen, points[f"iris_{side}"], top, bottom, person, look)
            pen.stroke(lower, crease, 0.03)
        if pose.gaze_down > 0.15:
            eyelid = np.stack([xs, ends - 0.15 * look.eye_scale * _ARC**0.8], axis=1)
            pen.shape(np.concatenate([eyelid, upper[::-1]]), shade(person.skin, 0.80, (150, 84, 90)))
        pen.stroke(upper, line, 0.062)
        lash = np.array([outer, outer + (sign * 0.05, -0.03)])
        pen.stroke(lash, line, 0.05)
        if pose.cheek_raise > 0.15:
            depth = shade(person.skin, 1.0 - 0.5 * min(pose.cheek_raise, 1.0))
            for rise in (-0.07, 0.02, 0.11):
                start = outer + (sign * 0.06, rise * 0.5)
                pen.stroke(np.array([start, start + (sign * 0.13, rise)]), depth, 0.035)
            bag = np.stack([xs, ends + 0.13 + 0.05 * _ARC], axis=1)
            pen.stroke(bag[1:-1], depth, 0.035)
        if pose.eye_open > 0.15:
            fold = np.stack([xs, upper[:, 1] - 0.06], axis=1)
            pen.stroke(fold[2:-2], crease, 0.025)


def _iris(pen: _Pen, centre: np.ndarray, top: float, bottom: float, person: Person, look: Look) -> None:
    """Iris and pupil, cut at the lids."""
    radius = 0.112 * look.eye_scale
    for size, colour in ((radius, person.eyes), (0.55 * radius, (22, 18, 20))):
        disc = _CIRCLE * size + centre
        disc[:, 1] = np.clip(disc[:, 1], top + 0.015, bottom - 0.01)
        pen.shape(disc, colour)
    if top + 0.05 < centre[1] - 0.3 * radius < bottom - 0.03:
        pen.oval(centre[0] + 0.035, centre[1] - 0.3 * radius, 0.032, 0.032, (255, 255, 255))


def _brows(pen: _Pen, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    colour = shade(person.hair, 0.62, (30, 20, 18))
    crease = shade(person.skin, 0.62)
    for side in ("left", "right"):
        a, b, c = (points[f"brow_{part}_{side}"] for part in ("inner", "middle", "outer"))
        t = _T[:, None]
        control = 2 * b - (a + c) / 2
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * c
        half = (0.062 - 0.030 * _T)[:, None] * (0.0, 1.0)
        pen.shape(np.concatenate([curve - half, (curve + half)[::-1]]), colour)
    drop = points["nose_bridge"][1] + 0.10
    if pose.brow_lower > 0.2:
        for x in (-0.045, 0.045):
            pen.stroke(np.array([(x, drop - 0.40), (x * 0.8, drop - 0.22)]), crease, 0.03)
    raised = max(pose.brow_inner, 0.0)
    if raised > 0.3:
        reach = 0.44 if pose.brow_outer > 0.2 else 0.2
        xs = np.linspace(-reach, reach, 9)
        for y in (-0.78, -0.70):
            pen.stroke(np.stack([xs, y + drop + 0.03 * (xs / reach) ** 2], 1), shade(person.skin, 0.8), 0.026)


def _nose(pen: _Pen, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    soft, line = shade(person.skin, 0.86), shade(person.skin, 0.60)
    x, y = points["nose_tip"]
    pen.shape(np.array([(x - 0.05, y - 0.26), (x + 0.05, y - 0.26), (x + 0.13, y + 0.03), (x - 0.13, y + 0.03)]), soft)
    pen.oval(x, y, 0.115, 0.075, soft)
    for side, sign in (("left", -1), ("right", 1)):
        nx, ny = points[f"nostril_{side}"]
        pen.oval(nx * 0.6, ny + 0.02, 0.035, 0.02, line)
        if pose.nose_wrinkle > 0.15:
            dark = shade(person.skin, 1.0 - 0.55 * min(pose.nose_wrinkle, 1.0))
            pen.stroke(
                np.array([(nx + sign * 0.02, ny - 0.02), (nx + sign * 0.15, ny + 0.12), (nx + sign * 0.20, ny + 0.34)]),
                dark,
                0.045,
            )
            for step in (0.0, 0.085):
                pen.stroke(np.array([(sign * 0.02, y - 0.30 + step), (sign * 0.13, y - 0.25 + step)]), dark, 0.036)


def _mouth(pen: _Pen, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    left, right = points["mouth_corner_left"], points["mouth_corner_right"]
    bright = sum(person.skin) > 420
    lip = shade(person.skin, 0.40, (184, 52, 64)) if bright else shade(person.skin, 0.28, (236, 112, 116))
    xs = left[0] + (right[0] - left[0]) * _T
    ends = left[1] + (right[1] - left[1]) * _T
    middle = (left[1] + right[1]) / 2
    square = min(1.0, pose.mouth_stretch + 0.6 * pose.nose_wrinkle)
    arc = (1.0 - square) * _ARC + square * _FLAT_ARC

    def curve(name: str) -> np.ndarray:
        return np.stack([xs, ends + (points[name][1] - middle) * arc], axis=1)

    top, upper, lower, bottom = (curve(f"lip_{n}") for n in ("upper_top", "upper_bottom", "lower_top", "lower_bottom"))
    gap = points["lip_lower_top"][1] - points["lip_upper_bottom"][1]
    pen.shape(np.concatenate([top, bottom[::-1]]), lip, ink=False)
    if gap > 0.035:
        pen.shape(np.concatenate([upper, lower[::-1]]), (74, 20, 28))
        teeth = min(0.42 * gap + 0.03, 0.11) if square < 0.3 else 0.8 * gap
        band = np.minimum(upper + (0.0, teeth), lower)
        pen.shape(np.concatenate([upper[1:-1], band[1:-1][::-1]]), (250, 248, 240))
        if gap > 0.22:
            cx, cy = xs[5], points["lip_lower_top"][1]
            pen.oval(float(cx), float(cy) - 0.05, 0.14, 0.055, (206, 92, 96))
        if square > 0.4 and gap > 0.08:
            mid = (upper + band) / 2
            pen.stroke(mid[1:-1], (150, 120, 118), 0.02)
    else:
        pen.stroke(
            upper,
            shade((92, 30, 38) if bright else (52, 18, 24), 1.0 - 0.5 * max(pose.lip_press, 0.0)),
            0.045 + 0.025 * max(pose.lip_press, 0.0),
        )
    crease = shade(person.skin, 0.66)
    for sign, corner in ((-1, left), (1, right)):
        strength = max(pose.mouth_corner, 0.0) + sign * pose.mouth_corner_asymmetry
        if strength > 0.25:
            pen.stroke(
                corner + np.array([(sign * 0.05, -0.10), (sign * 0.10, -0.02), (sign * 0.07, 0.08)]), crease, 0.04
            )
        elif pose.mouth_corner < -0.25:
            pen.stroke(corner + np.array([(sign * 0.02, 0.02), (sign * 0.05, 0.11)]), crease, 0.04)
        if pose.lip_press > 0.25:
            pen.stroke(
                corner + np.array([(sign * 0.04, -0.09), (sign * 0.07, 0.0), (sign * 0.04, 0.09)]), crease, 0.045
            )
    if pose.lip_press > 0.25:
        y = points["lip_lower_bottom"][1] + 0.13
        pen.stroke(np.stack([np.linspace(-0.17, 0.17, 7), y - 0.05 * _ARC[2:9]], 1), crease, 0.035)


def _hair_front(pen: _Pen, person: Person, width: float) -> None:
    style = person.hair_style
    if style == "buzz":
        _cap(pen, shade(person.hair, 0.72, person.skin), width, line=-0.80, puff=1.0, side=-0.40)
        return
    if style in ("long", "bob"):
        low = 0.86 if style == "long" else 0.62
        for sign in (-1.0, 1.0):
            lock = [(0.84, -0.66), (1.02, -0.35), (1.10, 0.1), (1.08, low), (0.97, low), (0.92, 0.1)]
            pen.shape(_smooth([(sign * x * width, y) for x, y in lock]), person.hair, ink=True)
    puff = {"curly": 1.06, "short": 1.05, "parted": 1.06}.get(style, 1.07)
    side = {"long": -0.30, "bob": -0.30, "curly": -0.15}.get(style, -0.22)
    _cap(pen, person.hair, width, line=-0.80, puff=puff, side=side)
    shine = shade(person.hair, 0.84, (255, 255, 255))
    if style == "curly":
        for x in (-0.62, -0.31, 0.0, 0.31, 0.62):
            pen.oval(x * width, -0.88 + 0.22 * x * x, 0.20, 0.16, person.hair)
            pen.oval(x * width - 0.05, -0.94 + 0.22 * x * x, 0.06, 0.04, shine)
        return
    if style == "parted":
        fringe = [(0.40, -1.02), (0.1, -0.84), (-0.45, -0.72), (-0.86, -0.46), (-0.86, -0.75), (-0.3, -1.0)]
        pen.shape(_smooth([(x * width, y) for x, y in fringe]), person.hair)
        pen.stroke(np.array([(0.40, -1.04), (0.44, -0.80)]) * (width, 1.0), shade(person.hair, 0.65), 0.035)
    elif style == "short":
        for x in (-0.55, -0.25, 0.05, 0.35):
            tuft = np.array([(x - 0.18, -0.84), (x + 0.14, -0.75), (x + 0.24, -0.84)])
            pen.shape(tuft * (width, 1.0), person.hair)
    arc = np.linspace(1.16 * np.pi, 1.46 * np.pi, 9)
    outer = np.stack([0.86 * width * np.cos(arc), 0.95 * np.sin(arc)], axis=1)
    inner = np.stack([0.84 * width * np.cos(arc), 0.95 * np.sin(arc) + 0.07 * np.sin(np.linspace(0, np.pi, 9))], axis=1)
    pen.shape(np.concatenate([outer, inner[::-1]]), shine)


def _cap(pen: _Pen, colour: Colour, width: float, *, line: float, puff: float, side: float) -> None:
    angles = np.linspace(np.pi, 2 * np.pi, 17)
    outer = np.stack([puff * width * 1.02 * np.cos(angles), 0.98 * puff * np.sin(angles) * 1.04], axis=1)
    inner_x = np.linspace(0.90, -0.90, 13) * width
    sweep = line + 0.40 * (np.abs(inner_x) / (0.9 * width)) ** 4
    inner = np.stack([inner_x, sweep], axis=1)
    right = np.array([(puff * width * 1.02, side), (0.95 * width, side)])
    left = np.array([(-0.95 * width, side), (-puff * width * 1.02, side)])
    pen.shape(np.concatenate([outer, right, inner, left]), colour, ink=True)


def _glasses(pen: _Pen, points: dict[str, np.ndarray]) -> None:
    frame = (64, 58, 70)
    for side in ("left", "right"):
        centre = (points[f"eye_inner_{side}"] + points[f"eye_outer_{side}"]) / 2
        ring = _CIRCLE * (0.31, 0.27) + centre + (0.0, 0.02)
        pen.stroke(np.concatenate([ring, ring[:1]]), frame, 0.03)
    inner = [points[f"eye_inner_{side}"] for side in ("left", "right")]
    pen.stroke(np.array([inner[0] + (0.08, 0.0), inner[1] - (0.08, 0.0)]), frame, 0.035)
