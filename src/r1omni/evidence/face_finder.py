"""Finds faces in pictures: MediaPipe's detector, mesh and iris nets on ai-edge-litert.

The nets are part of the package (`assets/face`, with licence and hashes). How they are fed is theirs:

    detector   128 x 128, -1 to 1, the picture padded to a square; 896 anchors, each with a box, six points and a logit
    mesh       192 x 192, 0 to 1, a square of 1.5 times the longer side of the box, turned so that the eyes are level;
               468 points in crop pixels (z in the same unit) and a logit
    iris       64 x 64, 0 to 1, a square of 2.3 times the eye's width; 71 points of the eye's contour, 5 of the iris

The detector sees faces from about a tenth of the picture's shorter side; where it finds none, it looks again at
overlapping squares. A face counts only if the mesh confirms it.

Source:
    MediaPipe 0.10.21 (Apache-2.0), modules/face_detection, face_landmark, iris_landmark. Deviation: of overlapping
    detections the best is kept, they are not averaged.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from r1omni.core.errors import ConfigError

MEASURED_BY = "mediapipe 0.10 face mesh"
INSTALL = "pip install 'r1omni[evidence]'"
NETS = Path(str(files("r1omni"))) / "assets" / "face"

_DETECTOR_PX, _MESH_PX, _IRIS_PX = 128, 192, 64
_LEAST_SCORE, _MOST_OVERLAP, _LEAST_PRESENCE = 0.5, 0.3, 0.5
_MESH_SCALE, _IRIS_SCALE = 1.5, 2.3
_MAX_FACES = 8
_EYES = ((33, 133), (362, 263))
"""Outer and inner corner of the eye at the picture's left, inner and outer corner of the other."""


@dataclass(frozen=True)
class Face:
    """One face in one picture; coordinates in pixels of the picture, y downwards."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    score: float
    """Of the detector, 0 to 1."""
    presence: float
    """Of the mesh, 0 to 1: that the crop shows a face."""
    points: np.ndarray
    """float32 [468, 3], x, y and depth, towards the camera below 0; MediaPipe's numbering."""
    irises: np.ndarray
    """float32 [2, 2], centres of the irises, the picture's left one first."""

    @property
    def area_px(self) -> float:
        """Area of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class _Square:
    """A square of the picture, turned by an angle."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def crop(self, image: Image.Image, size_px: int) -> np.ndarray:
        """Return the square as float32 [size, size, 3], 0 to 255; outside the picture it is black."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        scale = self.side / size_px
        a, b = scale * cos, -scale * sin
        left = self.x - (a + b) * size_px / 2
        top = self.y - (scale * sin + scale * cos) * size_px / 2
        data = (a, b, left, scale * sin, scale * cos, top)
        turned = image.transform((size_px, size_px), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        return np.asarray(turned, dtype=np.float32)

    def to_picture(self, points: np.ndarray, size_px: int) -> np.ndarray:
        """Map points of the crop [n, 2 or more] to the picture; further columns are scaled only."""
        scale = self.side / size_px
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = (points[:, 0] - size_px / 2) * scale, (points[:, 1] - size_px / 2) * scale
        mapped = np.stack([self.x + x * cos - y * sin, self.y + x * sin + y * cos], axis=1)
        return np.concatenate([mapped, points[:, 2:] * scale], axis=1).astype(np.float32)


@dataclass(frozen=True)
class _Detection:
    box: np.ndarray
    """[4], left, top, right, bottom."""
    eyes: np.ndarray
    """[2, 2], the picture's left one first."""
    score: float


class FaceFinder:
    """The three nets, loaded once."""

    def __init__(self) -> None:
        """Load the nets.

        Raises:
            ConfigError: the package that runs them is missing.
        """
        self._detector = _Net("face_detection_short_range.tflite")
        self._mesh = _Net("face_landmark.tflite")
        self._iris = _Net("iris_landmark.tflite")
        self._anchors = _anchors()

    def find(self, picture: np.ndarray) -> list[Face]:
        """Return the faces, the largest first, at most eight.

        Args:
            picture: uint8 [height, width, 3], RGB, upright.
        """
        height, width = picture.shape[:2]
        image = Image.fromarray(picture)
        detections = self._detect(image, [_Square(width / 2, height / 2, max(height, width))])
        if not detections:
            detections = self._detect(image, _smaller_squares(width, height))
        faces = [face for found in detections[:_MAX_FACES] if (face := self._read(image, found)) is not None]
        return sorted(faces, key=lambda face: -face.area_px)

    def _detect(self, image: Image.Image, squares: list[_Square]) -> list[_Detection]:
        found: list[_Detection] = []
        for square in squares:
            crop = square.crop(image, _DETECTOR_PX) / 127.5 - 1.0
            boxes, logits = self._detector.run(crop)
            scores = 1.0 / (1.0 + np.exp(-np.clip(logits.reshape(-1), -80.0, 80.0)))
            for index in np.flatnonzero(scores > _LEAST_SCORE):
                values = boxes.reshape(-1, 8, 2)[index] + self._anchors[index]
                size = boxes.reshape(-1, 8, 2)[index, 1]
                corners = np.stack([values[0] - size / 2, values[0] + size / 2])
                mapped = square.to_picture(np.concatenate([corners, values[2:4]]), _DETECTOR_PX)
                if (size > 0).all():
                    found.append(_Detection(mapped[:2].reshape(-1), mapped[2:], float(scores[index])))
        return _best_of_overlapping(found)

    def _read(self, image: Image.Image, found: _Detection) -> Face | None:
        across = found.eyes[1] - found.eyes[0]
        left, top, right, bottom = (float(value) for value in found.box)
        side = _MESH_SCALE * max(right - left, bottom - top)
        square = _Square((left + right) / 2, (top + bottom) / 2, side, float(np.arctan2(across[1], across[0])))
        flat, logit = self._mesh.run(square.crop(image, _MESH_PX) / 255.0)
        presence = float(1.0 / (1.0 + np.exp(-np.clip(logit.reshape(-1)[0], -80.0, 80.0))))
        if presence < _LEAST_PRESENCE:
            return None
        points = square.to_picture(flat.reshape(-1, 3), _MESH_PX)
        irises = np.stack([self._find_iris(image, points, eye) for eye in (0, 1)])
        return Face((left, top, right, bottom), found.score, presence, points, irises)

    def _find_iris(self, image: Image.Image, points: np.ndarray, eye: int) -> np.ndarray:
        first, last = points[_EYES[eye][0], :2], points[_EYES[eye][1], :2]
        across = last - first
        side = _IRIS_SCALE * max(float(np.hypot(*across)), 1.0)
        centre = (first + last) / 2
        square = _Square(float(centre[0]), float(centre[1]), side, float(np.arctan2(across[1], across[0])))
        crop = square.crop(image, _IRIS_PX) / 255.0
        # The net knows the picture's left eye; the other one is shown to it mirrored.
        flat = self._iris.run(crop if eye == 0 else np.ascontiguousarray(crop[:, ::-1]))[1]
        iris = flat.reshape(5, 3)[:1].copy()
        if eye == 1:
            iris[:, 0] = _IRIS_PX - iris[:, 0]
        return square.to_picture(iris, _IRIS_PX)[0, :2]


class _Net:
    """A TFLite net on one thread."""

    def __init__(self, name: str) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ConfigError(f"Faces need the package ai-edge-litert; install it: {INSTALL}") from error
        with _without_notices():
            self._interpreter = Interpreter(model_path=str(NETS / name), num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def run(self, crop: np.ndarray) -> list[np.ndarray]:
        """Return the net's outputs for one crop [size, size, 3]."""
        self._interpreter.set_tensor(self._input, crop[None].astype(np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@contextmanager
def _without_notices() -> Iterator[None]:
    """Keep the runtime's notice about its delegate off standard error: it knows no setting that does."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _anchors() -> np.ndarray:
    """Return the centres of the cells, in pixels of the crop, as [896, 1, 2]: 16 x 16 twice, 8 x 8 six times."""
    parts = []
    for cells, repeats in ((16, 2), (8, 6)):
        centres = (np.arange(cells) + 0.5) * (_DETECTOR_PX / cells)
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(parts)[:, None].astype(np.float32)


def _smaller_squares(width: int, height: int) -> list[_Square]:
    """Return overlapping squares: three of the shorter side, and 3 x 2 or 2 x 3 of .6 times it."""
    short, long = min(width, height), max(width, height)
    squares = []
    for side, along, across in ((float(short), 3, 1), (0.6 * short, 4, 2)):
        for place in np.linspace(side / 2, long - side / 2, along):
            for other in np.linspace(side / 2, short - side / 2, across) if across > 1 else [short / 2]:
                x, y = (place, other) if width >= height else (other, place)
                squares.append(_Square(float(x), float(y), side))
    return squares


def _best_of_overlapping(found: list[_Detection]) -> list[_Detection]:
    """Keep the best of detections that overlap, in order of their scores."""
    kept: list[_Detection] = []
    for candidate in sorted(found, key=lambda detection: -detection.score):
        if all(overlap(candidate.box, other.box) <= _MOST_OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Return intersection over union of two boxes.

    Args:
        box: [4], left, top, right, bottom.
        other: likewise.
    """
    sides = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0.0, None)
    both = float(sides.prod())
    return both / float((box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - both)
