"""Owns the drawn person as numbers: pose parameters, appearance, and the geometry of face and body.

Positions are in head units (face centre at 0, chin at y = 1, y downwards) until `Placement` maps them to the frame
(0..1). `portrait` draws around the same points that `landmarks` reports. The parameters are named after the facial
action units (AU) of Ekman and Friesen's FACS and are independent of emotions: `acting` maps cues to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]


@lru_cache(maxsize=4096)
def shade(colour: Colour, gain: float, towards: Colour = (0, 0, 0)) -> Colour:
    """Mix a colour with another: gain 1 keeps it, 0 gives `towards`."""
    r, g, b = (int(round(gain * own + (1.0 - gain) * other)) for own, other in zip(colour, towards, strict=True))
    return r, g, b


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
    """Cheeks raised, crow's feet around the eyes, 0 to 1 (AU6)."""
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
    """Head tilted sideways, -1 to +1."""
    head_drop: float = 0.0
    """Head bowed, 0 to 1."""
    lean: float = 0.0
    """Body leaning, -1 back to +1 towards the camera."""
    sway: float = 0.0
    """Restless movement of head and body, 0 to 1; visible only over time, through `Motion`."""
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
    """Width of the head relative to the usual, 0.9 to 1.1."""
    eyes: Colour = (84, 110, 70)
    glasses: bool = False
    clothing: Colour = (66, 104, 150)
    clothing_style: str = "tee"
    """One of `CLOTHING_STYLES`."""


@dataclass(frozen=True)
class Look:
    """How a corpus draws and lights its people."""

    name: str = "film"
    head_width: float = 1.0
    """Proportion of the head: width to height, relative to the film look."""
    eye_scale: float = 1.0
    ink: float = 0.0
    """Width of the dark outline, as a fraction of the frame; 0 draws none."""
    feature_drop: float = 0.0
    """How much lower the features sit on the face, in head units."""
    size: float = 0.285
    """Half the height of the head, as a fraction of the frame."""
    studio: bool = False
    """A plain backdrop instead of a furnished room."""
    grade: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of red, green and blue over the finished picture."""


FILM = Look()


@dataclass(frozen=True)
class Motion:
    """Momentary movement on top of a pose, in head units and radians; apart from sway it carries no cue."""

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    blink: float = 0.0
    """0 eyes open, 1 lids closed."""
    speech_open: float = 0.0
    """How far speech opens the mouth at this moment, 0 to 1."""
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


def head_width(person: Person, look: Look) -> float:
    """Half the width of the head in head units."""
    return 0.80 * person.face_width * look.head_width


@lru_cache(maxsize=2)
def head_points(pose: FacePose, person: Person, look: Look, motion: Motion) -> Mapping[str, tuple[float, float]]:
    """Landmarks of the head in head units: face centre at 0, chin at y = 1, before tilt, drop and lean.

    The last ones are kept: the portrait and `landmarks` ask for the same.
    """
    width = head_width(person, look)
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
        inner_y = -0.38 - 0.19 * pose.brow_inner + 0.19 * pose.brow_lower
        outer_y = -0.34 - 0.19 * pose.brow_outer + 0.05 * pose.brow_lower
        middle_y = (inner_y + outer_y) / 2 - 0.055 - 0.03 * pose.brow_outer + 0.02 * pose.brow_lower
        points[f"brow_inner_{side}"] = (sign * (0.17 - knit), inner_y + drop)
        points[f"brow_middle_{side}"] = (ex - sign * (0.01 + knit / 2), middle_y + drop)
        points[f"brow_outer_{side}"] = (ex + sign * 0.23, outer_y + drop)
        points[f"eye_inner_{side}"] = (ex - sign * eye_w, ey + 0.02)
        points[f"eye_outer_{side}"] = (ex + sign * eye_w, ey)
        sink = 0.10 * pose.gaze_down
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
    centre = 0.55 + drop - 0.03 * pose.lip_press
    half = 0.31 + 0.11 * max(pose.mouth_corner, 0.0) + 0.17 * pose.mouth_stretch - 0.09 * pose.mouth_open
    half += 0.07 * pose.lip_press - 0.03 * motion.speech_open
    for side, sign in (("left", -1.0), ("right", 1.0)):
        own = max(0.0, sign * pose.mouth_corner_asymmetry)
        other = max(0.0, -sign * pose.mouth_corner_asymmetry)
        up = pose.mouth_corner * (1.0 - 1.1 * other) + 0.95 * own
        corner_y = centre - 0.17 * up + 0.11 * pose.mouth_open + 0.03 * pose.mouth_stretch
        points[f"mouth_corner_{side}"] = (sign * (half + 0.10 * own), corner_y)
    gap_up = 0.06 * pose.mouth_open + 0.055 * pose.mouth_stretch + 0.05 * pose.nose_wrinkle
    gap_up += 0.05 * max(pose.mouth_corner, 0.0) * pose.cheek_raise * 0.5
    gap_down = 0.36 * pose.mouth_open + 0.085 * pose.mouth_stretch + 0.13 * motion.speech_open
    gap_down *= 1.0 - 0.55 * pose.lip_press
    bow = 0.085 * pose.mouth_corner * (1.0 - 0.8 * abs(pose.mouth_corner_asymmetry))
    thick = 0.072 * (1.0 - 0.90 * pose.lip_press) * (1.0 - 0.35 * pose.mouth_stretch)
    upper = centre + bow - gap_up - 0.09 * pose.nose_wrinkle
    lower = centre + bow + gap_down + 0.02 * pose.nose_wrinkle
    points["lip_upper_top"] = (0.0, upper - thick)
    points["lip_upper_bottom"] = (0.0, upper)
    points["lip_lower_top"] = (0.0, lower)
    points["lip_lower_bottom"] = (0.0, lower + 1.35 * thick)
    return points


@dataclass(frozen=True)
class Placement:
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


@lru_cache(maxsize=2)
def placement(pose: FacePose, look: Look, motion: Motion) -> Placement:
    """Return where head and body are in the frame."""
    scale = look.size * (1.0 + 0.15 * pose.lean)
    x = 0.5 + scale * motion.dx
    y = 0.455 + 0.035 * pose.lean + scale * motion.dy
    angle = 0.26 * pose.head_tilt + motion.roll
    head_y = y + scale * (0.20 * pose.head_drop - 0.02 * pose.shoulders)
    return Placement(
        scale,
        (x + scale * 0.06 * pose.head_tilt, head_y),
        (0.5 + 0.5 * scale * motion.dx, y),
        np.cos(angle),
        np.sin(angle),
    )


def landmarks(pose: FacePose, person: Person, look: Look = FILM, motion: Motion = STILL) -> np.ndarray:
    """Return the positions of the parts of the face.

    Returns:
        float32[landmarks, 2], x and y as fractions of the frame (0..1, y downwards), rows as in `LANDMARK_NAMES`.
    """
    points = head_points(pose, person, look, motion)
    frame = placement(pose, look, motion)
    head = np.array([points.get(name, (0.0, 0.0)) for name in LANDMARK_NAMES])
    rows = frame.head(head)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        shoulder = np.array([[sign * 1.18, 1.42 - 0.24 * pose.shoulders]])
        rows[_INDEX[f"shoulder_{side}"]] = frame.torso(shoulder)[0]
    return rows.astype(np.float32)
