"""Faces on drawn people, cues under rotation, and faces over time."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from r1omni.core.clip import Clip
from r1omni.core.evidence import EvidenceItem
from r1omni.evidence.face_cues import read_cues
from r1omni.evidence.face_finder import NETS, Face, FaceFinder, overlap
from r1omni.evidence.face_track import FaceTrack
from r1omni.evidence.frames import sampled_frames
from r1omni.media.decode import load_media
from r1omni.media.encode import write_video

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    pytest.importorskip("ai_edge_litert")
    return FaceFinder()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    frames = load_media(GOLDEN / "made-neutral.mp4", num_frames=1).frames
    assert frames is not None
    return frames[0]


@pytest.fixture(scope="module")
def face(finder: FaceFinder, picture: np.ndarray) -> Face:
    return finder.find(picture)[0]


def test_the_nets_are_those_whose_hashes_are_beside_them():
    lines = (NETS / "SHA256").read_text(encoding="utf-8").splitlines()
    hashes = {name: digest for digest, name in (line.split() for line in lines)}
    assert set(hashes) == {path.name for path in NETS.glob("*.tflite")}
    assert {name: sha256((NETS / name).read_bytes()).hexdigest() for name in hashes} == hashes
    assert "Apache License" in (NETS / "LICENSE").read_text(encoding="utf-8")


def test_a_drawn_face_is_found_where_it_is(face: Face, picture: np.ndarray):
    height, width = picture.shape[:2]
    left, top, right, bottom = face.box
    assert 0.2 * width < left < right < 0.8 * width and 0.2 * height < top < bottom < 0.95 * height
    assert face.score > 0.7 and face.presence > 0.9


def test_left_and_right_eye_are_those_of_the_picture(face: Face):
    assert face.irises[0, 0] < face.irises[1, 0]
    assert face.points[33, 0] < face.irises[0, 0] < face.points[133, 0]
    assert face.points[362, 0] < face.irises[1, 0] < face.points[263, 0]


@pytest.mark.parametrize("place", [(0, 0), (200, 40), (404, 204)])
def test_a_face_that_fills_a_tenth_of_a_wide_picture_is_found(finder: FaceFinder, picture: np.ndarray, place):
    wide = np.full((300, 500, 3), 120, np.uint8)
    x, y = place
    wide[y : y + 96, x : x + 96] = picture
    found = finder.find(wide)
    assert len(found) == 1
    assert x < found[0].box[0] < found[0].box[2] < x + 96


def test_two_faces_are_two_the_larger_first(finder: FaceFinder, picture: np.ndarray):
    pair = np.full((192, 288, 3), 120, np.uint8)
    pair[48:144, :96] = picture
    pair[:, 96:] = picture.repeat(2, axis=0).repeat(2, axis=1)
    faces = finder.find(pair)
    assert len(faces) == 2
    assert faces[0].box[0] > 96 > faces[1].box[2]


@pytest.mark.parametrize("shade", [0, 120])
def test_an_empty_picture_has_no_face(finder: FaceFinder, shade: int):
    assert finder.find(np.full((120, 160, 3), shade, np.uint8)) == []


def turned(face: Face, axis: str, degrees: float) -> Face:
    """Return the face with its points turned about an axis through the bridge of the nose."""
    angle = np.radians(degrees)
    first, second = {"yaw": (0, 2), "pitch": (1, 2), "roll": (0, 1)}[axis]
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
    centre = face.points[168]
    return replace(face, points=((face.points - centre) @ turn.T + centre).astype(np.float32))


@pytest.mark.parametrize(("axis", "name", "sign"), [("yaw", "head_yaw", 1), ("roll", "head_roll", 1)])
def test_a_turned_head_is_measured_in_degrees_and_its_mouth_stays_the_same(face: Face, axis, name, sign):
    before, after = read_cues(face), read_cues(turned(face, axis, 15.0))
    assert getattr(after, name) - getattr(before, name) == pytest.approx(sign * 15.0, abs=1.0)
    for cue in ("mouth_open", "mouth_width", "mouth_corners", "brow_height", "brow_gap", "eye_opening"):
        assert getattr(after, cue) == pytest.approx(getattr(before, cue), abs=0.005)


def test_a_bowed_head_looks_down(face: Face):
    # Turning y towards the camera (z < 0) brings the forehead forward.
    assert read_cues(turned(face, "pitch", 10.0)).head_pitch - read_cues(face).head_pitch == pytest.approx(-10, abs=1)


def test_size_does_not_matter(face: Face):
    larger = replace(face, points=face.points * 3, irises=face.irises * 3)
    assert read_cues(larger).mouth_width == pytest.approx(read_cues(face).mouth_width, abs=1e-4)
    assert read_cues(larger).gaze_horizontal == pytest.approx(read_cues(face).gaze_horizontal, abs=1e-4)


def lifted(face: Face, points: tuple[int, ...], by: float) -> Face:
    """Return the face with some points moved up, in units of the distance between the outer corners of the eyes."""
    moved = face.points.copy()
    moved[list(points), 1] -= by * np.linalg.norm(face.points[33] - face.points[263])
    return replace(face, points=moved)


def test_lifted_corners_of_the_mouth_are_a_lift_by_that_much(face: Face):
    change = read_cues(lifted(face, (61, 291), 0.1)).mouth_corners - read_cues(face).mouth_corners
    assert change == pytest.approx(0.1, abs=0.01)


def test_one_lifted_corner_is_an_asymmetry(face: Face):
    assert read_cues(lifted(face, (61,), 0.1)).mouth_asymmetry == pytest.approx(0.1, abs=0.02)


def at(items: list[EvidenceItem], name: str, phase: str = "clip") -> EvidenceItem:
    return next(item for item in items if (item.name, item.phase) == (name, phase))


def tracked(picture: np.ndarray, faces: list[list[Face]], rate_fps: float = 5.0) -> FaceTrack:
    track = FaceTrack()
    for index, found in enumerate(faces):
        track.add(index / rate_fps, picture, found)
    return track


def test_a_smile_in_the_second_half_is_in_the_second_half(face: Face, picture: np.ndarray):
    straight = lifted(face, (61, 291), -read_cues(face).mouth_corners)
    smiling = lifted(straight, (61, 291), 0.1)
    items, _ = tracked(picture, [[straight]] * 6 + [[smiling]] * 6).measure((0.0, 2.4))
    assert at(items, "mouth_corners", "first").band == "level"
    assert at(items, "mouth_corners", "then").band == "raised"


def test_a_short_smile_makes_both_words_fair(face: Face, picture: np.ndarray):
    straight = lifted(face, (61, 291), -read_cues(face).mouth_corners)
    smiling = lifted(straight, (61, 291), 0.1)
    items, _ = tracked(picture, [[straight]] * 9 + [[smiling]] * 3).measure((0.0, 2.4))
    assert (at(items, "mouth_corners").band, at(items, "mouth_corners").near) == ("level", "raised")
    items, _ = tracked(picture, [[straight]] * 12).measure((0.0, 2.4))
    assert (at(items, "mouth_corners").band, at(items, "mouth_corners").near) == ("level", None)


def shifted(face: Face, x: float) -> Face:
    left, top, right, bottom = face.box
    return replace(face, box=(left + x, top, right + x, bottom), points=face.points + np.float32([x, 0, 0]))


def test_movement_is_the_path_in_face_widths_per_second(face: Face, picture: np.ndarray):
    width = face.box[2] - face.box[0]
    items, _ = tracked(picture, [[shifted(face, index % 2 * 0.1 * width)] for index in range(11)]).measure((0.0, 2.2))
    # ten steps of a tenth of the width in two seconds
    assert at(items, "head_movement").value == pytest.approx(0.5)


def test_the_person_is_the_one_who_is_seen_longest(face: Face, picture: np.ndarray):
    other = shifted(lifted(face, (61, 291), 0.3), 200.0)
    track = tracked(picture, [[face, other]] * 5 + [[face]] * 5)
    assert len(track.people) == 2
    assert track.person is not None and track.person.faces[0] is face
    items, _ = track.measure((0.0, 2.0))
    assert at(items, "face_share").value == 1.0


def test_a_face_in_one_of_many_frames_has_no_cues(face: Face, picture: np.ndarray):
    items, unmeasured = tracked(picture, [[]] * 20 + [[face]] + [[]] * 20).measure((0.0, 8.2))
    assert {item.name for item in items} == {"face_count", "face_share"}
    assert {missing.reason for missing in unmeasured} == {"The same face was found only 1 time (41 frames looked at)."}


def test_black_pictures_are_called_black():
    black = np.zeros((40, 40, 3), np.uint8)
    items, unmeasured = tracked(black, [[], []]).measure((0.0, 0.4))
    assert [item.band for item in items] == ["none", "none"]
    assert unmeasured[0].reason == "The pictures are black (2 frames looked at)."


def test_a_half_that_moves_away_from_neutral_names_where_it_moved(face: Face, picture: np.ndarray):
    brows = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
    level = lifted(face, brows, 0.2 - read_cues(face).brow_height)
    items, _ = tracked(picture, [[level]] * 7 + [[lifted(level, brows, 0.025)]] * 5).measure((0.0, 2.2))
    assert (at(items, "brow_height", "then").band, at(items, "brow_height", "then").near) == ("level", "raised")
    assert at(items, "brow_height", "first").near is None


def test_overlap_of_boxes():
    # two unit squares that share half: 0.5 of 1.5
    assert overlap(np.array([0, 0, 1, 1.0]), np.array([0.5, 0, 1.5, 1.0])) == pytest.approx(1 / 3)


def test_frames_come_at_the_rate_window_by_window(tmp_path: Path):
    frames = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None, None], 32, axis=1).repeat(32, axis=2).repeat(3, 3)
    write_video(tmp_path / "ten.mp4", frames, 10.0)
    clip = Clip("ten", tmp_path / "ten.mp4")
    times = [time_s for time_s, _ in sampled_frames(clip, 10.0)]
    assert len(times) == 50
    assert np.diff(times).min() > 0 and np.diff(times).max() <= 0.31
    part = replace(clip, start_s=2.0, stop_s=4.0)
    assert all(2.0 <= time_s < 4.0 for time_s, _ in sampled_frames(part, 2.0))
