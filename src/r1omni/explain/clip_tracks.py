"""What a page draws over time: the frames the model saw with faces in them, the waveform, speech, pitch and level.

All times are in seconds from the file's beginning. Curves are thinned to what a page can show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from r1omni.core.clip import Clip
from r1omni.evidence.face_finder import Face
from r1omni.evidence.face_track import FaceTrack
from r1omni.evidence.frames import RATE_FPS
from r1omni.evidence.measure import Measurement
from r1omni.media.decode import Media, load_clip

NUM_COLUMNS = 400
"""Of the waveform and of a curve, at most."""
_SAME_MOMENT_S = 0.75 / RATE_FPS
"""Between a frame that the model saw and the nearest one in which faces were looked for."""
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The outline of the face among MediaPipe's 468 points (face_mesh_connections.py, FACEMESH_FACE_OVAL)."""

_Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """A frame that the model saw."""

    time_s: float
    outlines: tuple[tuple[_Point, ...], ...] = ()
    """Of each face that was followed: points in shares of the picture's width and height, y downwards."""


@dataclass(frozen=True)
class Tracks:
    """What is drawn of one clip."""

    start_s: float
    """Of the part that was read."""
    stop_s: float
    pictures_stop_s: float | None
    """End of the pictures; None without pictures."""
    frames: tuple[Frame, ...] = ()
    """In order; empty without pictures."""
    sound_span_s: tuple[float, float] | None = None
    """Of the waveform; None without sound."""
    heard_stop_s: float | None = None
    """Up to where the model heard the sound; None without sound."""
    peaks: tuple[float, ...] = ()
    """Largest absolute sample of each column of the waveform, of full scale."""
    speech_s: tuple[tuple[float, float], ...] = ()
    """Spans in which somebody speaks."""
    pitch_hz: tuple[tuple[float, float | None], ...] = ()
    """Time and pitch; None where the voice has none."""
    level_dbfs: tuple[tuple[float, float | None], ...] = ()
    """Time and level."""

    def to_json(self) -> dict[str, Any]:
        """Return the tracks as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Tracks":
        """Read what `to_json` wrote.

        Args:
            record: its fields.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is unknown, or not what `to_json` writes.
        """
        values = {name: _as_tuples(value) for name, value in record.items() if name != "frames"}
        frames = tuple(Frame(float(frame["time_s"]), _as_tuples(frame["outlines"])) for frame in record["frames"])
        return cls(**values, frames=frames)


def clip_tracks(clip: Clip, media: Media, measured: Measurement) -> Tracks:
    """Return what is drawn of a clip.

    Args:
        clip: the file, opened again where the model did not hear all of its sound, and its part.
        media: as the model reads it.
        measured: what was found in it.

    Raises:
        MediaError: the clip cannot be read.
    """
    frames, waveform = (), media.waveform
    if media.read.is_partly_heard:
        waveform = load_clip(clip, num_frames=1, modality="audio").waveform
    if media.frames is not None and media.frame_times_s is not None:
        frames = draw_frames(media.frame_times_s, media.frames.shape[1:3], measured.faces)
    return draw_tracks(
        measured,
        clip.start_s or 0.0,
        frames,
        None if media.frames is None else media.pictures_s,
        waveform,
        media.sample_rate_hz,
        0.0 if media.read.sound is None else media.read.sound.used_s,
    )


def distinct_frames(media: Media) -> list[int]:
    """Return the places of the frames that differ, copies left out; empty without pictures.

    Args:
        media: as the model reads it.
    """
    return [] if media.frame_times_s is None else np.unique(media.frame_times_s, return_index=True)[1].tolist()


def waveform_peaks(waveform: np.ndarray) -> tuple[float, ...]:
    """Return the largest absolute sample of each of at most `NUM_COLUMNS` columns.

    Args:
        waveform: float32 [samples].
    """
    if not len(waveform):
        return ()
    columns = np.array_split(np.abs(np.nan_to_num(waveform)), min(NUM_COLUMNS, len(waveform)))
    return tuple(round(float(column.max()), 4) for column in columns)


def thin_curve(times_s: np.ndarray, values: np.ndarray) -> tuple[tuple[float, float | None], ...]:
    """Return a curve of at most `NUM_COLUMNS` points: the median of each stretch, None where it has no finite value.

    Args:
        times_s: [points], ascending.
        values: [points]; values that are not finite are gaps.
    """
    if not len(times_s):
        return ()
    found = []
    for places in np.array_split(np.arange(len(times_s)), min(NUM_COLUMNS, len(times_s))):
        known = values[places][np.isfinite(values[places])]
        value = round(float(np.median(known)), 2) if len(known) else None
        found.append((round(float(times_s[places].mean()), 3), value))
    return tuple(found)


def draw_frames(times_s: np.ndarray, size_px: tuple[int, int], faces: FaceTrack | None) -> tuple[Frame, ...]:
    """Return what is drawn of the frames, copies left out.

    Args:
        times_s: [frames], ascending.
        size_px: height and width of the pictures.
        faces: found in the same pictures; None where nobody looked.
    """
    frames = []
    for time_s in np.unique(times_s).tolist():
        seen = [] if faces is None else _faces_at(faces, time_s)
        frames.append(Frame(round(time_s, 3), tuple(_outline(face, size_px) for face in seen)))
    return tuple(frames)


def _as_tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(_as_tuples(entry) for entry in value) if isinstance(value, list) else value


def _faces_at(faces: FaceTrack, time_s: float) -> list[Face]:
    """Return the faces of the nearest frame that was looked at; nothing where that is another moment."""
    if not faces.times_s:
        return []
    nearest_s = min(faces.times_s, key=lambda other_s: abs(other_s - time_s))
    if abs(nearest_s - time_s) > _SAME_MOMENT_S:
        return []
    return [
        face
        for person in faces.people
        for face_s, face in zip(person.times_s, person.faces, strict=True)
        if face_s == nearest_s
    ]


def _outline(face: Face, size_px: tuple[int, int]) -> tuple[_Point, ...]:
    height, width = size_px
    return tuple((round(float(x) / width, 4), round(float(y) / height, 4)) for x, y in face.points[list(_OVAL), :2])


def draw_tracks(
    measured: Measurement,
    start_s: float,
    frames: Sequence[Frame],
    pictures_s: float | None,
    waveform: np.ndarray | None,
    sample_rate_hz: int,
    heard_s: float,
) -> Tracks:
    """Return what is drawn of a clip.

    Args:
        measured: what was found in it.
        start_s: of the part that was read.
        frames: see `draw_frames`.
        pictures_s: length of the pictures; None without pictures.
        waveform: float32 [samples], the whole sound of the part; None without sound.
        sample_rate_hz: its rate.
        heard_s: length of the sound that the model heard.
    """
    sound_s = 0.0 if waveform is None else len(waveform) / sample_rate_hz
    voice = measured.voice
    return Tracks(
        start_s,
        round(start_s + max(pictures_s or 0.0, sound_s), 3),
        None if pictures_s is None else round(start_s + pictures_s, 3),
        tuple(frames),
        None if waveform is None else (start_s, round(start_s + sound_s, 3)),
        None if waveform is None else round(start_s + min(heard_s, sound_s), 3),
        () if waveform is None else waveform_peaks(waveform),
        () if voice is None else tuple((round(span.start_s, 3), round(span.stop_s, 3)) for span in voice.spans),
        () if voice is None or voice.pitch is None else thin_curve(voice.pitch.times_s, voice.pitch.hz),
        () if voice is None else thin_curve(voice.level_times_s, voice.level_dbfs),
    )
