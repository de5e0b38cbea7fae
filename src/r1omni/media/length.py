"""How long a clip is, without decoding it."""

import math
from pathlib import Path

import av
from av.error import FFmpegError

from r1omni.core.clip import Clip, Modality
from r1omni.media.demux import demux
from r1omni.media.folder import FRAME_RATE_FPS, picture_files, sound_file
from r1omni.media.moving_webp import picture_ends_s
from r1omni.media.tracks import best_pictures, best_sound, stated_end_s
from r1omni.media.whole import is_cut_short
from r1omni.media.window import Window, is_still, open_file


def clip_length_s(clip: Clip, modality: Modality = "auto") -> float | None:
    """Return the length of a clip's part: the longer of the pictures and the sound that are read.

    Args:
        clip: the clip.
        modality: what is read of it.

    Returns:
        Seconds, 0 for a still image; None if the clip cannot be read, and reading it says why.
    """
    start_s = clip.start_s or 0.0
    stop_s = math.inf if clip.stop_s is None else clip.stop_s
    try:
        if clip.path.is_dir():
            end_s = _folder_end_s(clip, modality)
        elif clip.stop_s is None and is_cut_short(clip.path, clip.path.stat().st_size):
            return None
        else:
            end_s = _file_end_s(str(clip.path), modality)
    except (FFmpegError, UnicodeDecodeError, ValueError, OSError, OverflowError):
        return None
    return max(0.0, min(stop_s, end_s) - start_s)


def _folder_end_s(clip: Clip, modality: Modality) -> float:
    rate_fps, sound = clip.meta.get("frame_rate_fps", FRAME_RATE_FPS), sound_file(clip.path)
    pictures_s = 0.0 if modality == "audio" else len(picture_files(clip.path)) / float(rate_fps)
    return max(pictures_s, 0.0 if sound is None or modality == "video" else _file_end_s(str(sound), "audio"))


def _file_end_s(name: str, modality: Modality) -> float:
    """Return when the last of the tracks that are read ends: as the file states, else by its packets."""
    with open_file(name) as container:
        if is_still(container):
            return 0.0 if modality == "audio" else (picture_ends_s(Path(name)) or [0.0])[-1]
        sound = None if modality == "video" else best_sound(container)
        pictures = None if modality == "audio" else best_pictures(container)
        pictures_s = None if pictures is None else stated_end_s(container, pictures)
        sound_s = None if sound is None else stated_end_s(container, sound)
        end_s = max(pictures_s or 0.0, sound_s or 0.0)
        unstated = (pictures if pictures_s is None else None, sound if sound_s is None else None)
        if any(track is not None for track in unstated):
            whole = Window(0.0, math.inf, (container.start_time or 0) / av.time_base)
            end_s = max(end_s, demux(container, *unstated, None, whole, whole).end_s)
        return end_s
