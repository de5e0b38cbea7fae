"""Clips that are longer than the model hears: split into windows, answered one by one, joined to one answer.

    windows   as long as the model hears, one after the other from the beginning of the clip's part; the last one ends
              with the part, and so overlaps the one before
    weight    the seconds of a window that no window before it covers: each second of the clip counts once
    joined    label probabilities are the windows' mean by weight. Of the labels that a window answered, the one with
              the highest mean is the clip's answer, and text and reasons are those of the window, among those that
              answered it, in which it was most probable. Without a label set, and where no window answered a label of
              it, the answer with most weight wins, and the first window that gave it carries it.

Ties go to the earliest window. A window that cannot be read is recorded with its error and has no say; if none can be
read, the clip has the error of the first. A clip that is at most a tenth of a second longer than what is heard is one
window.

Pure functions besides `windows_of`, which looks up the clip's length: whoever owns the model answers the windows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from r1omni.core.clip import Clip, Modality
from r1omni.core.media_read import NOTICED_S, MediaRead, PicturesRead, SoundRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.media.length import clip_length_s
from r1omni.scoring.normalise import exact, normalise

Split = Callable[[Clip], Sequence[Clip]]
"""A clip to the parts in which it is read: itself, or its windows."""


def as_one_part(clip: Clip) -> list[Clip]:
    """Return a clip as the one part in which it is read.

    Args:
        clip: the clip.
    """
    return [clip]


def windows_of(clip: Clip, window_s: float, modality: Modality = "auto") -> list[Clip]:
    """Split a clip into windows.

    Args:
        clip: the clip; of its part, if it has one, nothing before or behind is read.
        window_s: what the model hears, `Encoder.heard_s`.
        modality: what is read of it.

    Returns:
        The clip itself if it is short enough, or cannot be read, and reading it says why; otherwise clips with a part
        each, in order.
    """
    length_s = clip_length_s(clip, modality) or 0.0
    spans = window_spans(clip.start_s or 0.0, length_s, window_s)
    if len(spans) == 1:
        return [clip]
    return [replace(clip, id=f"{clip.id}@{start:g}", start_s=start, stop_s=stop) for start, stop in spans]


def window_spans(start_s: float, length_s: float, window_s: float) -> list[tuple[float, float]]:
    """Return start and stop of the windows of a part, in milliseconds' steps.

    Args:
        start_s: beginning of the part.
        length_s: of the part.
        window_s: of a window.
    """
    count = max(1, math.ceil((length_s - NOTICED_S) / window_s))
    stop_s = start_s + length_s
    if count == 1:
        return [(round(start_s, 3), round(stop_s, 3))]
    starts = [start_s + number * window_s for number in range(count - 1)]
    spans = [(start, start + window_s) for start in starts] + [(stop_s - window_s, stop_s)]
    return [(round(start, 3), round(stop, 3)) for start, stop in spans]


@dataclass(frozen=True)
class JoinedAnswer:
    """What a clip's windows say together."""

    answer_window: int
    """Index of the window whose text and reasons are the clip's."""
    probabilities: Mapping[str, float]
    """Label -> mean over the windows by weight; empty without a label set."""
    read: MediaRead
    """What was read of all windows together."""


def join_windows(windows: Sequence[WindowAnswer], labels: Sequence[str] | None) -> JoinedAnswer:
    """Join the answers to a clip's windows.

    Args:
        windows: in order, at least one of which could be read.
        labels: the label set of their probabilities; None for free words.
    """
    weights = _weights(windows)
    read = [place for place, window in enumerate(windows) if window.error is None]
    total = sum(weights[place] for place in read) or 1.0
    means = {
        label: sum(weights[place] * windows[place].probabilities.get(label, 0.0) for place in read) / total
        for label in (labels or ())
    }
    by_name = {exact(label): label for label in means}
    answers = {place: normalise(windows[place].answer, "synonym", labels) for place in read}
    named = [(place, by_name[answer]) for place, answer in answers.items() if answer is not None and answer in by_name]
    if named:
        answer_window, _ = max(
            named, key=lambda entry: (means[entry[1]], windows[entry[0]].probabilities.get(entry[1], 0.0), -entry[0])
        )
    else:
        answer_window = _with_most_weight(answers, weights)
    return JoinedAnswer(answer_window, means, _joined_read(windows))


def _weights(windows: Sequence[WindowAnswer]) -> list[float]:
    """Return the seconds of each window that no window before it covers; at least a millisecond, as a picture has."""
    covered_s, weights = -math.inf, []
    for window in windows:
        weights.append(max(0.001, window.stop_s - max(window.start_s, covered_s)))
        covered_s = max(covered_s, window.stop_s)
    return weights


def _with_most_weight(answers: Mapping[int, str | None], weights: Sequence[float]) -> int:
    """Return the first window that gave the answer with most weight; of broken answers only if there are no others."""
    sums: dict[str | None, float] = {}
    for place, answer in answers.items():
        sums[answer] = sums.get(answer, 0.0) + weights[place]
    best = max(sums, key=lambda answer: (answer is not None, sums[answer]))
    return next(place for place, answer in answers.items() if answer == best)


def _joined_read(windows: Sequence[WindowAnswer]) -> MediaRead:
    pictures = [window.read.pictures for window in windows if window.read.pictures is not None]
    sounds = [(window.start_s, window.read.sound) for window in windows if window.read.sound is not None]
    begin_s = windows[0].start_s
    joined = MediaRead()
    if pictures:
        joined = MediaRead(
            PicturesRead(
                num_frames=sum(read.num_frames for read in pictures),
                total_s=round(
                    max(w.start_s + w.read.pictures.total_s for w in windows if w.read.pictures is not None) - begin_s,
                    3,
                ),
                num_damaged_packets=sum(read.num_damaged_packets for read in pictures),
                track=pictures[0].track,
            )
        )
    if not sounds:
        return joined
    sound = SoundRead(
        used_s=_covered_s([(start, start + read.used_s) for start, read in sounds]),
        total_s=round(max(start + read.total_s for start, read in sounds) - begin_s, 3),
        gaps_s=_merged([gap for _, read in sounds for gap in read.gaps_s]),
        num_damaged_packets=sum(read.num_damaged_packets for _, read in sounds),
        is_silent=all(read.is_silent for _, read in sounds),
        track=sounds[0][1].track,
    )
    return replace(joined, sound=sound)


def _merged(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Unite spans that touch or overlap, in order."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)


def _covered_s(spans: Sequence[tuple[float, float]]) -> float:
    return round(sum(stop - start for start, stop in _merged(spans)), 3)
