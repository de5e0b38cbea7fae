"""Pictures of a clip at a fixed rate, in order of time and in bounded memory: read window by window."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.media.decode import load_clip

RATE_FPS = 5.0
"""Expressions last half a second and more; blinks are missed or hit by chance."""
WINDOW_S = 4.0


def sampled_frames(clip: Clip, duration_s: float, rate_fps: float = RATE_FPS) -> Iterator[tuple[float, np.ndarray]]:
    """Yield times, in seconds from the file's beginning, and pictures, uint8 [height, width, 3].

    Args:
        clip: with pictures.
        duration_s: length of the part that the clip names; 0 for a still image.
        rate_fps: pictures per second; a picture comes once where the clip has fewer.

    Raises:
        MediaError: a window of the pictures cannot be read.
    """
    start_s = clip.start_s or 0.0
    stop_s = start_s + duration_s
    if duration_s <= WINDOW_S:
        yield from _window(clip, max(1, round(duration_s * rate_fps)))
        return
    while start_s < stop_s - 1e-6:
        window_s = min(WINDOW_S, stop_s - start_s)
        part = replace(clip, start_s=start_s, stop_s=start_s + window_s)
        try:
            yield from _window(part, max(1, round(window_s * rate_fps)))
        except MediaError as error:
            if error.kind != "no-frames":
                raise
        start_s += window_s


def _window(clip: Clip, num_frames: int) -> Iterator[tuple[float, np.ndarray]]:
    media = load_clip(clip, num_frames=num_frames, modality="video")
    assert media.frames is not None and media.frame_times_s is not None
    last_s = -np.inf
    for time_s, frame in zip(media.frame_times_s, media.frames, strict=True):
        if time_s > last_s:
            yield float(time_s), frame
        last_s = float(time_s)
