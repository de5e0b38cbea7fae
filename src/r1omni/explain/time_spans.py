"""Features of a clip with one span of its pictures or of its sound left out.

Frames of the span are not there at all: the vision tower reads each frame alone, so no tower runs again. The sound of
the span is digital silence, because sound has no gaps: the log-mel steps of the span take the value that silence has
there, and the audio tower, which mixes all times, reads the clip again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from r1omni.explain.attribution import MAX_PREFILLS, LeftOut, Player
from r1omni.infer.encoder import Encoder
from r1omni.infer.features import Features, Side

MOST_SPANS = 8
"""Of one side."""
SHORTEST_SOUND_S = 0.1
"""A span of sound is at least so long."""
_FEWEST_FRAMES = 2
"""Frames that must remain: one frame alone is a still image to the model, another kind of prompt."""
_MEL_RANGE = 2.0
"""Whisper's log-mel features end 8 powers of ten below their loudest value, and are divided by 4."""


def num_spans(players: Sequence[Player], num_others: int) -> int:
    """Return into how many spans each side is cut, so that a clip takes at most `MAX_PREFILLS` prefills.

    Args:
        players: what the model was given.
        num_others: prefills that are taken already.
    """
    num_sides = sum(player in ("pictures", "sound") for player in players)
    return 0 if num_sides == 0 else min(MOST_SPANS, (MAX_PREFILLS - num_others) // num_sides)


def leave_out_spans(
    encoder: Encoder,
    features: Features,
    inputs: Mapping[str, Tensor],
    count: int,
    frame_times_s: np.ndarray | None,
    start_s: float,
) -> tuple[LeftOut, ...]:
    """Return the features with each span of each side left out, pictures first, in order of time.

    Args:
        encoder: made the features.
        features: of the clip.
        inputs: what the towers read, as `Encoder.load_inputs` gives it.
        count: spans of each side, at most.
        frame_times_s: of the frames, from the file's beginning; None without pictures.
        start_s: of the part of the file that was read.

    Returns:
        Nothing of a side that is too short to be cut.
    """
    found = []
    if features.video is not None and frame_times_s is not None:
        found += _without_frames(features, count, frame_times_s, start_s)
    if features.audio is not None and features.read.sound is not None:
        found += _without_sound(encoder, features, inputs["input_features"], count, start_s)
    return tuple(found)


def _without_frames(features: Features, count: int, times_s: np.ndarray, start_s: float) -> list[LeftOut]:
    video = features.video
    assert video is not None
    length_s = features.read.pictures.total_s if features.read.pictures is not None else 0.0
    stop_s = max(start_s + length_s, float(times_s[-1]))
    # Frames repeat where a clip has fewer than the model samples: copies go together.
    distinct_s = np.unique(times_s)
    parts = [part for part in np.array_split(distinct_s, min(count, len(distinct_s)) or 1) if len(part)]
    borders = [start_s, *((a[-1] + b[0]) / 2 for a, b in zip(parts, parts[1:], strict=False)), stop_s]
    found = []
    for place, part in enumerate(parts):
        keep = torch.from_numpy(~np.isin(times_s, part))
        if int(keep.sum()) >= _FEWEST_FRAMES:
            left = replace(features, video=video[keep])
            found.append(_left_out("pictures", borders[place], borders[place + 1], left))
    return found


def _without_sound(encoder: Encoder, features: Features, mels: Tensor, count: int, start_s: float) -> list[LeftOut]:
    sound = features.read.sound
    assert sound is not None
    count = min(count, int(sound.used_s / SHORTEST_SOUND_S))
    if count < 2:
        return []
    steps_per_s = mels.shape[-1] / encoder.heard_s
    borders_s = np.linspace(0.0, sound.used_s, count + 1)
    silence = mels.max() - _MEL_RANGE
    muted = []
    for first_s, last_s in zip(borders_s, borders_s[1:], strict=False):
        steps = mels.clone()
        steps[:, round(first_s * steps_per_s) : round(last_s * steps_per_s)] = silence
        muted.append({"input_features": steps})
    return [
        _left_out("sound", start_s + first_s, start_s + last_s, replace(features, audio=encoded.audio))
        for first_s, last_s, encoded in zip(borders_s, borders_s[1:], encoder.encode(muted), strict=False)
    ]


def _left_out(side: Side, start_s: float, stop_s: float, features: Features) -> LeftOut:
    return LeftOut(side, round(float(start_s), 3), round(float(stop_s), 3), features)
