"""Owns the drawn person: pose parameters, looks of a person, the geometry of face and body, and the drawing.

Everything is placed by one function, `landmarks`, in units of the frame (0..1, y downwards); `draw_person` draws
around those points. The parameters are named after the facial action units (AU) of Ekman and Friesen's FACS, and know
nothing of emotions: `synth.world` decides which of them an emotion moves.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class FacePose:
    """Face and body at one moment; 0 everywhere is the neutral, upright person."""

    brow_inner: float = 0.0
    """Inner ends of the brows, -1 down to +1 up (AU1)."""
    brow_outer: float = 0.0
    """Outer ends of the brows, -1 down to +1 up (AU2)."""
    brow_lower: float = 0.0
    """Brows lowered and drawn together, 0 to 1 (AU4)."""
    eye_open: float = 0.0
    """-1 shut, 0 neutral, +1 wide (AU5 above 0, AU43 below)."""
    gaze_down: float = 0.0
    """Eyes turned down, 0 to 1 (AU64)."""
    cheek_raise: float = 0.0
    """Cheeks raised, crinkles beside the eyes, 0 to 1 (AU6)."""
    mouth_corner: float = 0.0
    """Corners of the mouth, -1 down (AU15) to +1 up (AU12)."""
    mouth_corner_asymmetry: float = 0.0
    """One corner tightened and raised, -1 the left one in the image, +1 the right one (AU14)."""
    mouth_open: float = 0.0
    """Jaw dropped, 0 to 1 (AU26, AU27)."""
    mouth_stretch: float = 0.0
    """Mouth wide and flat, teeth showing, 0 to 1 (AU20)."""
    lip_press: float = 0.0
    """Lips pressed to a thin line, 0 to 1 (AU24)."""
    nose_wrinkle: float = 0.0
    """Nose wrinkled and upper lip raised, 0 to 1 (AU9, AU10)."""
    head_tilt: float = 0.0
    """Head tilted to a side, -1 to +1."""
    head_drop: float = 0.0
    """Head hanging, 0 to 1."""
    lean: float = 0.0
    """Body leaning, -1 back to +1 towards the camera."""
    sway: float = 0.0
    """Restless movement of head and body, 0 to 1; it shows over time, through `Motion`."""
    shoulders: float = 0.0
    """Shoulders raised, 0 to 1."""


HAIR_STYLES = ("short", "parted", "bob", "long", "bun", "curly", "buzz")
CLOTHING_STYLES = ("tee", "shirt", "hoodie", "vneck", "turtleneck", "blazer")


@dataclass(frozen=True)
class Person:
    """What does not change within a clip."""

    skin: Colour = (236, 188, 152)
    hair: Colour = (74, 48, 34)
    hair_style: str = "short"
    """One of `HAIR_STYLES`."""
    face_width: float = 1.0
    """Width of the head, 0.9 to 1.1 of the usual."""
    eyes: Colour = (84, 110, 70)
    glasses: bool = False
    clothing: Colour = (66, 104, 150)
    clothing_style: str = "tee"
    """One of `CLOTHING_STYLES`."""


@dataclass(frozen=True)
class Look:
    """How a whole corpus draws its people and lights them."""

    name: str = "film"
    head_width: float = 1.0
    """Proportion of the head: width to height, relative to the film look."""
    eye_scale: float = 1.0
    ink: float = 0.0
    """Width of a dark outline, as a part of the frame; 0 draws none."""
    feature_drop: float = 0.0
    """How much lower the features sit on the face, in head units."""
    size: float = 0.285
    """Half the height of the head, as a part of the frame."""
    studio: bool = False
    """A plain backdrop instead of a furnished room."""
    grade: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of red, green and blue over the finished picture."""


FILM = Look()


@dataclass(frozen=True)
class Motion:
    """Momentary movement on top of a pose, in head units and radians; it never carries a cue of its own but sway."""

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    blink: float = 0.0
    """0 no blink to 1 lids closed."""
    speech_open: float = 0.0
    """How far speaking opens the mouth at this moment, 0 to 1."""
    gaze_x: float = 0.0


STILL = Motion()

LANDMARK_NAMES: tuple[str, ...] = (
    "head_top",
    "chin",
    "jaw_left",
    "jaw_right",
    "shoulder_left",
    "shoulder_right",
    "nose_tip",
    "nose_bridge",
    *(f"{part}_{side}" for side in ("left", "right") for part in ("brow_inner", "brow_middle", "brow_outer")),
    *(f"{part}_{side}" for side in ("left", "right") for part in ("eye_inner", "eye_outer", "lid_upper", "lid_lower")),
    *(f"{part}_{side}" for side in ("left", "right") for part in ("iris", "cheek", "nostril", "mouth_corner")),
    "lip_upper_top",
    "lip_upper_bottom",
    "lip_lower_top",
    "lip_lower_bottom",
)
"""Fixed order of the rows of `landmarks`; left and right are those of the image."""

_INDEX = {name: row for row, name in enumerate(LANDMARK_NAMES)}


def _head_points(pose: FacePose, person: Person, look: Look, motion: Motion) -> dict[str, tuple[float, float]]:
    """Landmarks of the head in head units: face centre at 0, chin at y = 1, before tilt, drop and lean."""
    width = 0.80 * person.face_width * look.head_width
    drop = 0.17 * pose.head_drop + look.feature_drop
    jaw = min(1.0, pose.mouth_open + 0.25 * motion.speech_open)
    points: dict[str, tuple[float, float]] = {
        "head_top": (0.0, -1.0),
        "chin": (0.0, 0.98 + 0.14 * jaw),
        "jaw_left": (-0.93 * width, 0.35),
        "jaw_right": (0.93 * width, 0.35),
        "nose_bridge": (0.0, -0.10 + drop),
        "nose_tip": (0.0, 0.22 + drop - 0.05 * pose.nose_wrinkle),
    }
    openness = min(pose.eye_open, 1.0)
    lid = 1.0 + 0.62 * openness if openness > 0 else 1.0 + 0.97 * openness
    lid *= (1.0 - 0.96 * motion.blink) * (1.0 - 0.38 * pose.gaze_down)
    eye_w, eye_h = 0.205 * look.eye_scale, 0.150 * look.eye_scale
    for side, sign in (("left", -1.0), ("right", 1.0)):
        ex, ey = 0.46 * width * sign, -0.06 + drop
        knit = 0.055 * pose.brow_lower
        inner_y = -0.43 - 0.20 * pose.brow_inner + 0.20 * pose.brow_lower
        outer_y = -0.39 - 0.20 * pose.brow_outer + 0.05 * pose.brow_lower
        middle_y = (inner_y + outer_y) / 2 - 0.055 - 0.03 * pose.brow_outer + 0.02 * pose.brow_lower
        points[f"brow_inner_{side}"] = (sign * (0.17 - knit), inner_y + drop)
        points[f"brow_middle_{side}"] = (ex - sign * (0.01 + knit / 2), middle_y + drop)
        points[f"brow_outer_{side}"] = (ex + sign * 0.23, outer_y + drop)
        points[f"eye_inner_{side}"] = (ex - sign * eye_w, ey + 0.02)
        points[f"eye_outer_{side}"] = (ex + sign * eye_w, ey)
        sink = 0.075 * pose.gaze_down
        lower = eye_h * 0.8 * (lid if lid < 1 else 1 + 0.4 * (lid - 1))
        lower *= 1.0 - 0.75 * pose.cheek_raise - 0.25 * pose.nose_wrinkle
        points[f"lid_upper_{side}"] = (ex, ey + sink - eye_h * lid * (1.0 - 0.12 * pose.cheek_raise))
        points[f"lid_lower_{side}"] = (ex, ey + sink + lower)
        points[f"iris_{side}"] = (ex + 0.05 * motion.gaze_x, ey + 0.01 + 0.10 * pose.gaze_down)
        points[f"cheek_{side}"] = (sign * 0.60 * width, 0.27 + drop - 0.10 * pose.cheek_raise)
        points[f"nostril_{side}"] = (
            sign * (0.115 + 0.035 * pose.nose_wrinkle),
            0.25 + drop - 0.07 * pose.nose_wrinkle,
        )
    centre = 0.55 + drop
    half = 0.31 + 0.11 * max(pose.mouth_corner, 0.0) + 0.17 * pose.mouth_stretch - 0.09 * pose.mouth_open
    half += 0.02 * pose.lip_press - 0.03 * motion.speech_open
    for side, sign in (("left", -1.0), ("right", 1.0)):
        own = max(0.0, sign * pose.mouth_corner_asymmetry)
        up = pose.mouth_corner + 0.95 * own
        corner_y = centre - 0.17 * up + 0.11 * pose.mouth_open + 0.03 * pose.mouth_stretch
        points[f"mouth_corner_{side}"] = (sign * (half + 0.10 * own), corner_y)
    gap_up = 0.06 * pose.mouth_open + 0.055 * pose.mouth_stretch + 0.05 * pose.nose_wrinkle
    gap_up += 0.05 * max(pose.mouth_corner, 0.0) * pose.cheek_raise * 0.5
    gap_down = 0.36 * pose.mouth_open + 0.085 * pose.mouth_stretch + 0.13 * motion.speech_open
    gap_down *= 1.0 - 0.55 * pose.lip_press
    bow = 0.085 * pose.mouth_corner + 0.02 * abs(pose.mouth_corner_asymmetry)
    thick = 0.062 * (1.0 - 0.86 * pose.lip_press) * (1.0 - 0.35 * pose.mouth_stretch)
    upper = centre + bow - gap_up - 0.09 * pose.nose_wrinkle
    lower = centre + bow + gap_down + 0.02 * pose.nose_wrinkle
    points["lip_upper_top"] = (0.0, upper - thick)
    points["lip_upper_bottom"] = (0.0, upper)
    points["lip_lower_top"] = (0.0, lower)
    points["lip_lower_bottom"] = (0.0, lower + 1.35 * thick)
    return points


@dataclass(frozen=True)
class _Frame:
    """Maps head units to the frame: scale, head turned about the neck, body below it."""

    scale: float
    centre: tuple[float, float]
    body: tuple[float, float]
    cos: float
    sin: float

    def head(self, points: np.ndarray) -> np.ndarray:
        """Head units [n, 2] to frame units, tilted about the base of the neck (0, 1)."""
        x, y = points[:, 0], points[:, 1] - 1.0
        turned = np.stack([x * self.cos - y * self.sin, x * self.sin + y * self.cos + 1.0], axis=1)
        return turned * self.scale + self.centre

    def torso(self, points: np.ndarray) -> np.ndarray:
        """Body units [n, 2] to frame units."""
        return points * self.scale + self.body


def _frame(pose: FacePose, look: Look, motion: Motion) -> _Frame:
    scale = look.size * (1.0 + 0.15 * pose.lean)
    x = 0.5 + scale * motion.dx
    y = 0.455 + 0.035 * pose.lean + scale * motion.dy
    angle = 0.26 * pose.head_tilt + motion.roll
    head_y = y + scale * (0.20 * pose.head_drop - 0.02 * pose.shoulders)
    return _Frame(
        scale, (x + scale * 0.06 * pose.head_tilt, head_y), (0.5 + 0.5 * scale * motion.dx, y), np.cos(angle), np.sin(angle)
    )


def landmarks(pose: FacePose, person: Person, look: Look = FILM, motion: Motion = STILL) -> np.ndarray:
    """Where the parts of the face are.

    Returns:
        float32[landmarks, 2], x and y as parts of the frame (0..1, y downwards), rows as in `LANDMARK_NAMES`.
    """
    points = _head_points(pose, person, look, motion)
    frame = _frame(pose, look, motion)
    rows = np.zeros((len(LANDMARK_NAMES), 2))
    head = np.array([points.get(name, (0.0, 0.0)) for name in LANDMARK_NAMES])
    rows[:] = frame.head(head)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        shoulder = np.array([[sign * 1.18, 1.42 - 0.24 * pose.shoulders]])
        rows[_INDEX[f"shoulder_{side}"]] = frame.torso(shoulder)[0]
    return rows.astype(np.float32)


_ANGLES = np.linspace(0.0, 2.0 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_T = np.linspace(0.0, 1.0, 11)
_ARC = 1.0 - (2.0 * _T - 1.0) ** 2
_FLAT_ARC = 1.0 - (2.0 * _T - 1.0) ** 4


def shade(colour: Colour, gain: float, towards: Colour = (0, 0, 0)) -> Colour:
    """Mix a colour with another: gain 1 keeps it, 0 gives `towards`."""
    r, g, b = (int(round(gain * own + (1.0 - gain) * other)) for own, other in zip(colour, towards, strict=True))
    return r, g, b


class _Pen:
    """Draws shapes given in head or body units on a Pillow canvas."""

    def __init__(self, image: Image.Image, frame: _Frame, ink: float) -> None:
        self.draw = ImageDraw.Draw(image)
        self.size = image.width
        self.frame = frame
        self.ink = ink * image.width

    def _pixels(self, points: np.ndarray, body: bool) -> list[float]:
        mapped = self.frame.torso(points) if body else self.frame.head(points)
        return (mapped * self.size).ravel().tolist()

    def shape(self, points: np.ndarray, colour: Colour, *, body: bool = False, ink: bool = False) -> None:
        xy = self._pixels(points, body)
        self.draw.polygon(xy, fill=colour)
        if ink and self.ink:
            self.draw.line([*xy, *xy[:2]], fill=(38, 32, 40), width=round(self.ink), joint="curve")

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, ink: bool = False) -> None:
        self.shape(_CIRCLE * (rx, ry) + (x, y), colour, ink=ink)

    def stroke(self, points: np.ndarray, colour: Colour, width: float, *, body: bool = False) -> None:
        pixels = max(1, round(width * self.frame.scale * self.size))
        self.draw.line(self._pixels(points, body), fill=colour, width=pixels, joint="curve")


def draw_person(
    image: Image.Image, pose: FacePose, person: Person, look: Look = FILM, motion: Motion = STILL
) -> None:
    """Draw the person over what is on the canvas.

    Args:
        image: square RGB canvas, best at twice the final size; changed in place.
        pose: face and body at this moment.
        person: who is drawn.
        look: manner of drawing.
        motion: momentary movement on top of the pose.
    """
    pen = _Pen(image, _frame(pose, look, motion), look.ink)
    points = {name: np.array(xy) for name, xy in _head_points(pose, person, look, motion).items()}
    width = 0.80 * person.face_width * look.head_width
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


def _hair_back(pen: _Pen, person: Person, width: float) -> None:
    dark = shade(person.hair, 0.82)
    if person.hair_style == "long":
        outline = [(-1.02, -0.4), (-1.16, 0.5), (-1.2, 1.45), (1.2, 1.45), (1.16, 0.5), (1.02, -0.4)]
        pen.shape(np.array(outline) * (width / 0.8, 1.0), dark, ink=True)
    elif person.hair_style == "bob":
        outline = [(-1.0, -0.5), (-1.1, 0.3), (-1.02, 0.86), (1.02, 0.86), (1.1, 0.3), (1.0, -0.5)]
        pen.shape(np.array(outline) * (width / 0.8, 1.0), dark, ink=True)
    elif person.hair_style == "bun":
        pen.oval(0.0, -1.22, 0.36, 0.30, dark, ink=True)
    elif person.hair_style == "curly":
        for angle in np.linspace(np.pi * 0.92, np.pi * 2.08, 10):
            pen.oval(1.12 * width * np.cos(angle), -0.28 + 0.82 * np.sin(angle), 0.27, 0.27, dark, ink=True)


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
            pen.shape(np.array([(sign * 0.40, 1.06), (sign * 0.04, 1.42), (sign * 0.36, 1.52), (sign * 0.54, 1.2)]), white,
                      body=True, ink=True)
        pen.stroke(np.array([(0.0, 1.42), (0.0, 2.4)]), dark, 0.05, body=True)
        if person.clothing_style == "blazer":
            for sign in (-1, 1):
                pen.stroke(np.array([(sign * 0.54, 1.2), (sign * 0.3, 1.7), (sign * 0.06, 2.3)]), dark, 0.08, body=True)
    elif person.clothing_style == "hoodie":
        for sign in (-1, 1):
            pen.stroke(np.array([(sign * 0.2, 1.36), (sign * 0.22, 1.8)]), (240, 240, 236), 0.05, body=True)
    elif person.clothing_style == "tee":
        pen.stroke(np.stack([np.linspace(-0.38, 0.38, 7), 1.20 + 0.24 * (1 - np.linspace(-1, 1, 7) ** 2)], 1), dark, 0.06,
                   body=True)


_FACE_Y = np.linspace(0.0, 1.0, 9)


def _head(pen: _Pen, points: dict[str, np.ndarray], person: Person, width: float) -> None:
    chin = points["chin"][1]
    ear = shade(person.skin, 0.93)
    for sign in (-1, 1):
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
        if pose.gaze_down > 0.15 or pose.eye_open > 0.15:
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
            pen.stroke(np.array([(nx + sign * 0.02, ny - 0.02), (nx + sign * 0.15, ny + 0.12), (nx + sign * 0.20, ny + 0.34)]),
                       dark, 0.045)
            for step in (0.0, 0.085):
                pen.stroke(np.array([(sign * 0.02, y - 0.30 + step), (sign * 0.13, y - 0.25 + step)]), dark, 0.036)


def _mouth(pen: _Pen, points: dict[str, np.ndarray], pose: FacePose, person: Person) -> None:
    left, right = points["mouth_corner_left"], points["mouth_corner_right"]
    lip = shade(person.skin, 0.45, (186, 64, 72))
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
        pen.stroke(upper, (96, 34, 40), 0.045 if pose.lip_press < 0.3 else 0.065)
    crease = shade(person.skin, 0.66)
    for sign, corner in ((-1, left), (1, right)):
        strength = max(pose.mouth_corner, 0.0) + max(0.0, sign * pose.mouth_corner_asymmetry)
        if strength > 0.25:
            pen.stroke(corner + np.array([(sign * 0.05, -0.10), (sign * 0.10, -0.02), (sign * 0.07, 0.08)]), crease, 0.04)
        elif pose.mouth_corner < -0.25:
            pen.stroke(corner + np.array([(sign * 0.02, 0.02), (sign * 0.05, 0.11)]), crease, 0.04)
        if pose.lip_press > 0.25:
            pen.stroke(corner + np.array([(sign * 0.05, -0.06), (sign * 0.06, 0.06)]), crease, 0.04)
    if pose.lip_press > 0.25:
        y = points["lip_lower_bottom"][1] + 0.13
        pen.stroke(np.stack([np.linspace(-0.17, 0.17, 7), y - 0.05 * _ARC[2:9]], 1), crease, 0.035)


def _hair_front(pen: _Pen, person: Person, width: float) -> None:
    if person.hair_style == "buzz":
        _cap(pen, shade(person.hair, 0.7, person.skin), width, line=-0.66, puff=1.01, side=-0.42)
        return
    puff = {"curly": 1.10, "short": 1.06, "parted": 1.07}.get(person.hair_style, 1.08)
    side = {"long": 0.25, "bob": 0.30, "curly": -0.1}.get(person.hair_style, -0.22)
    _cap(pen, person.hair, width, line=-0.66, puff=puff, side=side)
    light = shade(person.hair, 0.8, (255, 255, 255))
    if person.hair_style == "parted":
        pen.stroke(np.array([(0.3 * width, -1.05), (0.36 * width, -0.70)]), shade(person.hair, 0.7), 0.04)
    xs = np.linspace(-0.55, 0.05, 7) * width
    pen.stroke(np.stack([xs, -0.90 - 0.05 * np.cos(xs * 3)], 1), light, 0.05)


def _cap(pen: _Pen, colour: Colour, width: float, *, line: float, puff: float, side: float) -> None:
    angles = np.linspace(np.pi, 2 * np.pi, 17)
    outer = np.stack([puff * width * 1.02 * np.cos(angles), 0.98 * puff * np.sin(angles) * 1.04], axis=1)
    inner_x = np.linspace(0.90, -0.90, 13) * width
    sweep = line + 0.34 * (np.abs(inner_x) / (0.9 * width)) ** 4
    inner = np.stack([inner_x, sweep], axis=1)
    right = np.array([(puff * width * 1.02, side), (0.95 * width, side)])
    left = np.array([(-0.95 * width, side), (-puff * width * 1.02, side)])
    pen.shape(np.concatenate([outer, right, inner, left]), colour, ink=True)


def _glasses(pen: _Pen, points: dict[str, np.ndarray]) -> None:
    frame = (40, 36, 44)
    for side in ("left", "right"):
        centre = (points[f"eye_inner_{side}"] + points[f"eye_outer_{side}"]) / 2
        ring = _CIRCLE * (0.29, 0.25) + centre + (0.0, 0.02)
        pen.stroke(np.concatenate([ring, ring[:1]]), frame, 0.035)
    inner = [points[f"eye_inner_{side}"] for side in ("left", "right")]
    pen.stroke(np.array([inner[0] + (0.08, 0.0), inner[1] - (0.08, 0.0)]), frame, 0.035)
