"""From a face's points to named cues: the head's pose, and mouth, brows, eyes and gaze as seen from straight ahead.

The points are turned to the front by the head's own axes before anything is measured, and lengths are in units of the
distance between the outer corners of the eyes (points 33 and 263), so that neither size nor pose decides. The axes come
from points that expressions hardly move: the corners of the eyes, the temples, the bridge of the nose and its base.
Left and right are those of the picture, up and right count above 0.

The depth of the points is a net's guess from one picture: of a head turned by more than about 30 degrees, lengths
across the face are not reliable, and such frames are left out of the cues of the mouth, brows and gaze.
"""

from dataclasses import dataclass

import numpy as np

from r1omni.evidence.face_finder import Face

MOST_TURNED_DEGREES = 30.0

_OUTER_EYES = (33, 263)
_ACROSS = ((33, 263), (133, 362), (127, 356))
_NOSE_BASE, _NOSE_BRIDGE, _FOREHEAD = 2, 168, 10
_LIPS, _MOUTH_CORNERS = (13, 14), (61, 291)
_BROWS_INNER, _BROWS_OUTER = (107, 336), (70, 300)
_BROW_TOPS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_EYE_CORNERS = ((33, 133), (362, 263))
_LIDS = (((159, 145), (158, 153)), ((386, 374), (385, 380)))


@dataclass(frozen=True)
class FaceCues:
    """The cues of one face in one picture; units as in `EVIDENCE_NAMES`."""

    head_yaw: float
    head_pitch: float
    head_roll: float
    mouth_open: float
    mouth_width: float
    mouth_corners: float
    mouth_asymmetry: float
    brow_height: float
    brow_gap: float
    brow_slant: float
    eye_opening: float
    gaze_horizontal: float
    gaze_vertical: float

    @property
    def is_frontal(self) -> bool:
        """Whether lengths across the face can be relied on."""
        return abs(self.head_yaw) <= MOST_TURNED_DEGREES


def read_cues(face: Face) -> FaceCues:
    """Return the cues of a face.

    Args:
        face: with its points.
    """
    points = face.points.astype(np.float64) * np.array([1.0, -1.0, -1.0])  # right, up, towards the camera
    axes = _head_axes(points)
    yaw, pitch, roll = _angles(axes)
    front = (points - points[_NOSE_BRIDGE]) @ axes.T
    front = front / np.linalg.norm(front[_OUTER_EYES[1]] - front[_OUTER_EYES[0]])
    height = front[:, 1]
    lips, corners = height[list(_LIPS)].mean(), height[list(_MOUTH_CORNERS)]
    eyes = np.mean([height[list(pair)].mean() for pair in _EYE_CORNERS])
    inner, outer = height[list(_BROWS_INNER)].mean(), height[list(_BROWS_OUTER)].mean()
    horizontal, vertical = _gaze(face)
    return FaceCues(
        head_yaw=yaw,
        head_pitch=pitch,
        head_roll=roll,
        mouth_open=_distance(front, *_LIPS),
        mouth_width=_distance(front, *_MOUTH_CORNERS),
        mouth_corners=float(corners.mean() - lips),
        mouth_asymmetry=float(abs(corners[0] - corners[1])),
        brow_height=float(np.mean([height[list(brow)].mean() for brow in _BROW_TOPS]) - eyes),
        brow_gap=_distance(front, *_BROWS_INNER),
        brow_slant=float(inner - outer),
        eye_opening=_eye_opening(front),
        gaze_horizontal=horizontal,
        gaze_vertical=vertical,
    )


def _head_axes(points: np.ndarray) -> np.ndarray:
    """Return the head's own right, up and forward as rows of a rotation [3, 3]."""
    right = sum((points[b] - points[a]) / np.linalg.norm(points[b] - points[a]) for a, b in _ACROSS)
    right = np.asarray(right) / np.linalg.norm(right)
    up = points[_FOREHEAD] - points[_NOSE_BASE]
    up = up - right * (up @ right)
    up = up / np.linalg.norm(up)
    return np.stack([right, up, np.cross(right, up)])


def _angles(axes: np.ndarray) -> tuple[float, float, float]:
    """Return yaw (to the picture's right above 0), pitch (up above 0) and roll (to the right above 0), in degrees."""
    right, _, forward = axes
    yaw = np.degrees(np.arctan2(forward[0], forward[2]))
    pitch = np.degrees(np.arcsin(np.clip(forward[1], -1.0, 1.0)))
    roll = np.degrees(np.arctan2(-right[1], right[0]))
    return float(yaw), float(pitch), float(roll)


def _distance(points: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a, :2] - points[b, :2]))


def _eye_opening(points: np.ndarray) -> float:
    """Return the gap between the lids over the eye's width, the mean of both eyes."""
    openings = [
        np.mean([_distance(points, a, b) for a, b in lids]) / _distance(points, *corners)
        for lids, corners in zip(_LIDS, _EYE_CORNERS, strict=True)
    ]
    return float(np.mean(openings))


def _gaze(face: Face) -> tuple[float, float]:
    """Return the irises' offset from the middle of the eyes, in eye widths, along and across the line of the eyes."""
    offsets = []
    for iris, (first, last) in zip(face.irises, _EYE_CORNERS, strict=True):
        start, stop = face.points[first, :2], face.points[last, :2]
        across = stop - start
        width = float(np.hypot(*across))
        along, up = across / width, np.array([across[1], -across[0]]) / width
        offset = (iris - (start + stop) / 2) / width
        offsets.append((offset @ along, offset @ up))
    horizontal, vertical = np.mean(offsets, axis=0)
    return float(horizontal), float(vertical)
