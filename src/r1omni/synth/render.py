"""Owns the synthetic clip: its specification, rendering it as video and sound, and its ground truth as numbers."""

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from r1omni.media.encode import write_video
from r1omni.runs.files import replaced_file
from r1omni.synth.face import LANDMARK_NAMES, FacePose, Look, Motion, Person, landmarks
from r1omni.synth.portrait import draw_person
from r1omni.synth.scene import Room, background
from r1omni.synth.subtitle import burn
from r1omni.synth.voice import Speaker, VoiceStyle, level, place, prosody, speak
from r1omni.synth.world import CLIP_S

SAMPLE_RATE_HZ = 16000
_SUPERSAMPLING = 2
_SPEECH_START_S = 0.12
_RISE_S = 0.35


@dataclass(frozen=True)
class ClipSpec:
    """Everything that determines a clip; equal specs give equal clips."""

    person: Person
    room: Room
    look: Look
    pose_apex: FacePose
    """The pose that the person moves into and holds."""
    voice: VoiceStyle
    speaker: Speaker
    sentence: str
    onset: float = 0.1
    """When the face starts to move, as a fraction of the clip."""
    subtitle: bool = True
    duration_s: float = CLIP_S
    frame_rate_fps: float = 8.0
    size_px: int = 96
    camera_noise: float = 3.0
    """Standard deviation of the sensor noise, in steps of 255."""
    seed: int = 0
    """Seeds blinks, small movements and noise."""


@dataclass(frozen=True)
class RenderedGeometry:
    """The ground truth of a rendered clip."""

    landmarks: np.ndarray
    """float32[frames, landmarks, 2], fractions of the frame, rows as in `face.LANDMARK_NAMES`."""
    voice: np.ndarray | None
    """float32[steps, 3], every 20 ms: octaves above 100 Hz, level in dBFS, voicing; see `voice.prosody`. None where it
    was not asked for."""
    sentence: str


def render_clip(spec: ClipSpec, path: Path, *, with_voice: bool = True) -> RenderedGeometry:
    """Render one clip and write it as mp4.

    Args:
        spec: the clip.
        path: target file.
        with_voice: measure the prosody of the sound too, which a clip without targets does not need.

    Returns:
        The geometry of every frame and the prosody of the sound.
    """
    room_s = spec.duration_s - _SPEECH_START_S - 0.05
    sound = speak(spec.sentence, spec.voice, spec.speaker, SAMPLE_RATE_HZ, longest_s=room_s)
    sound = place(sound, _SPEECH_START_S, spec.duration_s, SAMPLE_RATE_HZ, spec.seed)
    measured = prosody(sound, SAMPLE_RATE_HZ) if with_voice else None
    frames, points = film(spec, level(sound, SAMPLE_RATE_HZ) if measured is None else measured[:, 1])
    with replaced_file(path) as partial:
        write_video(partial, frames, spec.frame_rate_fps, sound, SAMPLE_RATE_HZ)
    return RenderedGeometry(points, measured, spec.sentence)


def film(spec: ClipSpec, level_dbfs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the frames of a clip.

    Args:
        spec: the clip.
        level_dbfs: float[steps], loudness of the speech over the clip's time; it moves the mouth.

    Returns:
        uint8 [frames, size, size, 3] and the landmarks, float32 [frames, landmarks, 2].
    """
    rng = np.random.default_rng(spec.seed)
    num_frames = max(1, round(spec.duration_s * spec.frame_rate_fps))
    poses, motions = _act(spec, num_frames, level_dbfs, rng)
    room = background(spec.room, spec.look, spec.size_px * _SUPERSAMPLING)
    frames = np.empty((num_frames, spec.size_px, spec.size_px, 3), dtype=np.uint8)
    points = np.empty((num_frames, len(LANDMARK_NAMES), 2), dtype=np.float32)
    for index, (pose, motion) in enumerate(zip(poses, motions, strict=True)):
        canvas: Image.Image = room.copy()
        draw_person(canvas, pose, spec.person, spec.look, motion)
        frames[index] = np.asarray(canvas.reduce(_SUPERSAMPLING))
        points[index] = landmarks(pose, spec.person, spec.look, motion)
    frames = _expose(frames, spec, rng)
    if spec.subtitle:
        burn(frames, spec.sentence)
    return frames, points


def _act(
    spec: ClipSpec, num_frames: int, level_dbfs: np.ndarray, rng: np.random.Generator
) -> tuple[list[FacePose], list[Motion]]:
    """Return poses from neutral to the apex, held with small variations, and the movement on top."""
    times_s = np.arange(num_frames) / spec.frame_rate_fps
    rise = np.clip((times_s - spec.onset * spec.duration_s) / _RISE_S, 0.0, 1.0)
    rise = rise * rise * (3.0 - 2.0 * rise)
    apex = np.array([getattr(spec.pose_apex, field.name) for field in fields(FacePose)])
    values = rise[:, None] * apex * (1.0 + 0.04 * rng.standard_normal((num_frames, len(apex))))
    poses = [FacePose(*np.clip(row, -1.0, 1.0).tolist()) for row in values]

    sway = spec.pose_apex.sway * rise

    def drift(slow_hz: float) -> np.ndarray:
        return np.sin(2 * np.pi * (slow_hz * rng.uniform(0.8, 1.2) * times_s + rng.random()))

    dx = 0.02 * drift(0.5) + 0.17 * sway * drift(1.5)
    dy = 0.02 * drift(0.4) + 0.03 * sway * drift(2.2)
    roll = 0.02 * drift(0.45) + 0.11 * sway * drift(1.3)
    gaze_x = np.clip(0.25 * drift(0.6) + 1.0 * sway * drift(1.1), -1.0, 1.0)
    blinks = rng.uniform(0.1, 0.9, size=rng.integers(1, 3)) * spec.duration_s
    blink = np.clip(1.0 - np.abs(times_s[:, None] - blinks).min(axis=1) / 0.09, 0.0, 1.0)
    voice_times_s = np.arange(len(level_dbfs)) * spec.duration_s / max(1, len(level_dbfs))
    level = np.interp(times_s, voice_times_s, level_dbfs) if len(level_dbfs) else np.full(num_frames, -99.0)
    loudest = float(np.max(level_dbfs, initial=-99.0))
    speech = np.clip((level - loudest + 22.0) / 22.0, 0.0, 1.0)
    motions = [Motion(*row) for row in np.stack([dx, dy, roll, blink, speech, gaze_x], axis=1).tolist()]
    return poses, motions


@lru_cache(maxsize=2)
def _grain(size_px: int) -> np.ndarray:
    """Return sensor noise to crop frames from, float32[2 size, 2 size, 3], standard deviation 1."""
    return np.random.default_rng(size_px).standard_normal((2 * size_px, 2 * size_px, 3), dtype=np.float32)


def _expose(frames: np.ndarray, spec: ClipSpec, rng: np.random.Generator) -> np.ndarray:
    """Apply the look's light and the camera's noise."""
    size = spec.size_px
    sheet = _grain(size) * np.float32(spec.camera_noise)
    # Whole rows at a time: an inner loop over three colours costs more than the arithmetic.
    rows, sheet = frames.reshape(len(frames), size, -1), sheet.reshape(len(sheet), -1)
    gain = np.tile(np.array(spec.look.grade, dtype=np.float32), size)
    exposed = np.empty_like(rows)
    for index, (top, left) in enumerate(rng.integers(0, size, size=(len(frames), 2)).tolist()):
        lit = rows[index] * gain
        lit += sheet[top : top + size, 3 * left : 3 * (left + size)]
        np.clip(lit, 0, 255, out=lit)
        exposed[index] = lit
    return exposed.reshape(frames.shape)
