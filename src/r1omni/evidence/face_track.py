"""Faces over time: whose face is followed, and its cues as items for the clip and for its two halves.

A face continues the one that it overlaps most in the frame before; the person is the one who is seen longest, the
larger one of equals. A cut starts a new person, even if it is the same one. An item's value is the median over its
phase. Besides its band, an item names a neighbouring band (`near`) if the value is close to the threshold, if at least
a fifth of the frames are in that band (a short smile), or, for a half, if the value has moved there from the person's
own median by half the way from neutral to the threshold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from r1omni.core.evidence import EVIDENCE_NAMES, EvidenceItem, Phase, Unmeasured
from r1omni.evidence.bands import THRESHOLDS, find_band
from r1omni.evidence.face_cues import FaceCues, read_cues
from r1omni.evidence.face_finder import MEASURED_BY, Face, overlap
from r1omni.evidence.item import all_unmeasured, make_item

CUE_NAMES = list(FaceCues.__dataclass_fields__)
POSE_NAMES = ["head_yaw", "head_pitch", "head_roll"]
LEAST_FRAMES, LEAST_SHARE = 2, 0.05
"""With the same face, for its cues to be reported: fewer may be a pattern that looks like one."""
LEAST_FRAMES_FOR_HALVES = 4
LEAST_MOMENT_SHARE = 0.2
SHUT_EYES = 0.2
"""Eye opening below which nothing is known of the gaze."""
LONGEST_GAP_S = 1.0
"""For a face to go on after frames without it."""

_FOLLOWED_FACES = 2
"""In each frame, the largest ones: further ones are only counted."""
_LEAST_OVERLAP = 0.1
_BLACK = 16
"""Brightest value of a picture that counts as black: that of video black in limited range."""


@dataclass
class Person:
    """One face over time."""

    times_s: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    @property
    def weight(self) -> tuple[int, float]:
        """By which the person of a clip is chosen: frames, then mean area."""
        return len(self.faces), float(np.mean([face.area_px for face in self.faces]))


@dataclass
class FaceTrack:
    """Collects the faces of a clip, frame by frame."""

    times_s: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    num_black: int = 0

    def add(self, time_s: float, picture: np.ndarray, faces: Sequence[Face]) -> None:
        """Add one frame.

        Args:
            time_s: from the file's beginning, later than the frame before.
            picture: uint8 [height, width, 3].
            faces: its faces, the largest first.
        """
        self.times_s.append(time_s)
        self.counts.append(len(faces))
        self.num_black += int(picture.max() <= _BLACK)
        current = [person for person in self.people if time_s - person.times_s[-1] <= LONGEST_GAP_S]
        for face in faces[:_FOLLOWED_FACES]:
            best = max(current, key=lambda person: _overlap(person.faces[-1], face), default=None)
            if best is None or _overlap(best.faces[-1], face) < _LEAST_OVERLAP:
                best = Person()
                self.people.append(best)
            else:
                current.remove(best)
            best.times_s.append(time_s)
            best.faces.append(face)

    @property
    def person(self) -> Person | None:
        """Whose cues are reported; None where no face was found."""
        return max(self.people, key=lambda person: person.weight, default=None)

    def measure(self, span_s: tuple[float, float]) -> tuple[list[EvidenceItem], list[Unmeasured]]:
        """Return what was measured of the faces, and what was not.

        Args:
            span_s: beginning and end of the pictures, seconds from the file's beginning.
        """
        num_frames = len(self.times_s)
        share = sum(count > 0 for count in self.counts) / num_frames
        usual = Counter(self.counts).most_common(1)[0][0]
        sureness = None if self.person is None else float(np.mean([face.score for face in self.person.faces]))
        items = [
            make_item("face_count", float(usual), span_s, MEASURED_BY, confidence=sureness),
            make_item("face_share", share, span_s, MEASURED_BY, confidence=sureness),
        ]
        num_seen = 0 if self.person is None else len(self.person.faces)
        if self.person is None or num_seen < min(LEAST_FRAMES, num_frames) or num_seen < LEAST_SHARE * num_frames:
            seen = "The pictures are black" if self.num_black == num_frames else "No face was found"
            seen = seen if num_seen == 0 else f"The same face was found only {num_seen} time{'s' * (num_seen != 1)}"
            reason = f"{seen} ({num_frames} frame{'s' * (num_frames != 1)} looked at)."
            return items, all_unmeasured([*CUE_NAMES, "head_movement"], reason)
        more, unmeasured = _measure_person(self.person, span_s)
        return items + more, unmeasured


def _overlap(face: Face, other: Face) -> float:
    return overlap(np.array(face.box), np.array(other.box))


def _measure_person(person: Person, span_s: tuple[float, float]) -> tuple[list[EvidenceItem], list[Unmeasured]]:
    times_s = np.array(person.times_s)
    cues = [read_cues(face) for face in person.faces]
    scores = np.array([face.score for face in person.faces])
    middle_s = (span_s[0] + span_s[1]) / 2
    halves: tuple[tuple[Phase, float, float], ...] = (
        ("first", span_s[0], middle_s),
        ("then", middle_s, span_s[1]),
    )
    whole: tuple[Phase, float, float] = ("clip", *span_s)
    phases = (whole, *halves) if len(cues) >= LEAST_FRAMES_FOR_HALVES else (whole,)
    items, unmeasured = [], []
    for name in CUE_NAMES:
        values = np.array([getattr(cue, name) for cue in cues])
        is_known = np.array([_is_known(name, cue) for cue in cues])
        if not is_known.any():
            why = "turned away" if "gaze" not in name else "turned away, or its eyes are shut,"
            unmeasured += all_unmeasured([name], f"The face is {why} in all {len(cues)} frames that show it.")
            continue
        own = float(np.median(values[is_known]))
        for phase, start_s, stop_s in phases:
            within = is_known & (times_s >= start_s) & (times_s <= stop_s)
            if within.any():
                value = float(np.median(values[within]))
                item = make_item(
                    name,
                    value,
                    (start_s, stop_s),
                    MEASURED_BY,
                    confidence=float(scores[within].mean()),
                    phase=phase,
                )
                items.append(replace(item, near=item.near or _also(name, value, values[within], own)))
    movement = _movement(person)
    if movement is None:
        unmeasured += all_unmeasured(["head_movement"], "A single picture shows no movement.")
    else:
        items.append(make_item("head_movement", movement, span_s, MEASURED_BY, confidence=float(scores.mean())))
    return items, unmeasured


def _is_known(name: str, cues: FaceCues) -> bool:
    if name in POSE_NAMES:
        return True
    return cues.is_frontal and not ("gaze" in name and cues.eye_opening < SHUT_EYES)


def _also(name: str, value: float, values: np.ndarray, own: float) -> str | None:
    """Return a neighbouring band that is fair for other reasons than closeness of the value; None without one."""
    bands, thresholds = EVIDENCE_NAMES[name].bands, [threshold.value for threshold in THRESHOLDS[name]]
    place = bands.index(find_band(name, value)[0] or bands[0])
    found = Counter(bands.index(find_band(name, float(single))[0] or bands[0]) for single in values)
    for neighbour in sorted((place - 1, place + 1), key=lambda other: -found[other]):
        if found[neighbour] >= LEAST_MOMENT_SHARE * len(values):
            return bands[neighbour]
    if len(thresholds) == 2 and place == 1:
        half_way = (thresholds[1] - thresholds[0]) / 4  # neutral is the middle of the band
        moved, neutral = value - own, sum(thresholds) / 2
        if abs(moved) >= half_way and moved * (value - neutral) > 0:
            return bands[2 if moved > 0 else 0]
    return None


def _movement(person: Person) -> float | None:
    """Return the path of the face's centre in face widths per second; None of a single picture."""
    boxes, times_s = np.array([face.box for face in person.faces]), np.array(person.times_s)
    gaps_s = np.diff(times_s)
    is_next = gaps_s <= LONGEST_GAP_S
    if not is_next.any():
        return None
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / (boxes[1:, 2] - boxes[1:, 0])
    return float(steps[is_next].sum() / gaps_s[is_next].sum())
