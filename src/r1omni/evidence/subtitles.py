"""Words written into the pictures: OCR on the lower part of sampled frames, joined over time.

A line is reported only if it has at least two letters or digits and is read at the same place in at least two frames in
a row, so a pattern that looks like a letter for a moment is no subtitle. A part that has not changed since the last
look is not read again. A `mark` is a line in a corner that is there in most of the frames, such as a broadcaster's
logo; the upper part of the picture is looked at for marks alone, in a few frames. Subtitles are level lines around the
middle of the lower part; what is written on a thing that stays there looks like one.

Left out on purpose: subtitles at the top of the picture, vertical text, and text on things elsewhere.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from r1omni.core.errors import ConfigError
from r1omni.core.evidence import EvidenceItem
from r1omni.evidence.item import make_item

if TYPE_CHECKING:
    from rapidocr.utils.output import RapidOCROutput

MEASURED_BY = "rapidocr 3.10"
INSTALL = "pip install 'r1omni[evidence]'"
STEP_S = 0.5
"""Between two looks at the lower part; a subtitle that can be read lasts a second or more."""
STRIP_FROM = 0.6
"""Height at which the lower part begins, as a share of the picture's."""
NUM_WHOLE_LOOKS = 4
"""Looks at the upper part, spread over the clip."""
LEAST_SCORE = 0.8
"""Of a line: real ones scored .96 and more, single letters seen in patterns up to .93, words .62 (docs/log.md)."""

_LEAST_CHARACTERS = 2
_UNCHANGED = 10.0
"""Largest change of a block's mean, of 255, for the lower part to count as unchanged; white letters change it by 20
and more."""
_BLOCKS = (12, 48)
_LEAST_WIDTH_PX = 640
_DETECTION_PX = 640
_LEAST_SIMILARITY = 0.7
_LONGEST_GAP_S = 2.5 * STEP_S
_MARK_SHARE = 0.8
_STEEPEST = 0.1


@dataclass(frozen=True)
class Line:
    """One line of text in one frame; the box in shares of the picture's width and height."""

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> tuple[float, float]:
        """Centre of the box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass
class _LineTrack:
    times_s: list[float] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The reading that occurs most often; of equals the surest."""
        counts = Counter(line.text for line in self.lines)
        return max(self.lines, key=lambda line: (counts[line.text], line.score)).text

    @property
    def score(self) -> float:
        return float(np.mean([line.score for line in self.lines]))


class TextReader:
    """RapidOCR's nets, loaded once."""

    def __init__(self) -> None:
        """Load the nets.

        Raises:
            ConfigError: a package is missing.
        """
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ConfigError(
                f"Subtitles need the packages rapidocr and onnxruntime ({error}); install them: {INSTALL}"
            ) from error
        self._read = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.text_score": LEAST_SCORE,
                "Det.limit_type": "max",
                "Det.limit_side_len": _DETECTION_PX,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: np.ndarray, top: float, bottom: float) -> list[Line]:
        """Return the level lines of a part of a picture, from top to bottom.

        Args:
            picture: uint8 [height, width, 3], RGB.
            top: where the part begins, as a share of the height.
            bottom: where it ends.
        """
        height, width = picture.shape[:2]
        first, last = round(top * height), max(round(bottom * height), round(top * height) + 1)
        part = picture[first:last]
        scale = max(1.0, _LEAST_WIDTH_PX / width)
        if scale > 1.0:
            size = (round(width * scale), max(1, round(len(part) * scale)))
            part = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC))
        found = cast("RapidOCROutput", self._read(np.ascontiguousarray(part[:, :, ::-1])))
        lines = []
        for text, score, corners in zip(found.txts or (), found.scores or (), _boxes(found.boxes), strict=True):
            points = corners / scale + np.array([0.0, first])
            across = points[1] - points[0]
            if sum(map(str.isalnum, text)) >= _LEAST_CHARACTERS and abs(across[1]) <= _STEEPEST * max(
                abs(across[0]), 1e-9
            ):
                left, up = (points.min(axis=0) / np.array([width, height])).tolist()
                right, down = (points.max(axis=0) / np.array([width, height])).tolist()
                lines.append(Line(text.strip(), float(score), left, up, right, down))
        return sorted(lines, key=lambda line: line.top)


def _block_means(strip: np.ndarray) -> np.ndarray:
    """Return the mean brightness of each block of a strip [height, width, 3]."""
    shape = _BLOCKS[1], _BLOCKS[0]
    return np.asarray(Image.fromarray(strip).convert("L").resize(shape, Image.Resampling.BOX), dtype=np.float32)


def _boxes(boxes: np.ndarray | None) -> np.ndarray:
    return np.zeros((0, 4, 2)) if boxes is None else np.asarray(boxes, dtype=np.float64)


@dataclass
class TextTrack:
    """Collects the lines of a clip, look by look."""

    reader: TextReader
    duration_s: float
    """Of the pictures."""
    looks_s: list[float] = field(default_factory=list)
    whole_looks_s: list[float] = field(default_factory=list)
    lower: list[_LineTrack] = field(default_factory=list)
    upper: list[_LineTrack] = field(default_factory=list)
    _last_lower: tuple[np.ndarray, list[Line]] | None = None
    _last_upper: tuple[np.ndarray, list[Line]] | None = None

    def add(self, time_s: float, picture: np.ndarray) -> None:
        """Look at one frame, unless the last look was a moment ago.

        Args:
            time_s: from the file's beginning, later than the frame before.
            picture: uint8 [height, width, 3].
        """
        if self.looks_s and time_s - self.looks_s[-1] < STEP_S - 1e-6:
            return
        self.looks_s.append(time_s)
        self._last_lower = self._read(picture, STRIP_FROM, 1.0, self._last_lower)
        _join(self.lower, time_s, self._last_lower[1], _LONGEST_GAP_S)
        due_s = self.duration_s / NUM_WHOLE_LOOKS
        if not self.whole_looks_s or time_s - self.whole_looks_s[-1] >= due_s - 1e-6:
            self.whole_looks_s.append(time_s)
            self._last_upper = self._read(picture, 0.0, STRIP_FROM, self._last_upper)
            _join(self.upper, time_s, self._last_upper[1], np.inf)

    def _read(
        self, picture: np.ndarray, top: float, bottom: float, last: tuple[np.ndarray, list[Line]] | None
    ) -> tuple[np.ndarray, list[Line]]:
        """Read a part of a picture, unless it is as it was at the last look."""
        height = len(picture)
        blocks = _block_means(picture[round(top * height) : max(round(bottom * height), round(top * height) + 1)])
        if last is not None and np.abs(blocks - last[0]).max() <= _UNCHANGED:
            return last
        return blocks, self.reader.read(picture, top, bottom)

    def items(self, span_s: tuple[float, float]) -> list[EvidenceItem]:
        """Return the subtitles, in order of time, then the marks.

        Args:
            span_s: beginning and end of the pictures, seconds from the file's beginning.
        """
        marks, subtitles = [], []
        for track in self.lower:
            if _is_mark(track, len(self.looks_s)):
                marks.append(track)
            elif _is_subtitle(track, len(self.looks_s)):
                subtitles.append(track)
        marks += [track for track in self.upper if _is_mark(track, len(self.whole_looks_s))]
        return [
            *(_subtitle_item(group, span_s) for group in _joined_lines(subtitles)),
            *(make_item("mark", track.text, span_s, MEASURED_BY, confidence=track.score) for track in marks),
        ]


def _join(tracks: list[_LineTrack], time_s: float, lines: Sequence[Line], longest_gap_s: float) -> None:
    current = [track for track in tracks if time_s - track.times_s[-1] <= longest_gap_s]
    for line in lines:
        same = next((track for track in current if _is_same(track.lines[-1], line)), None)
        if same is None:
            same = _LineTrack()
            tracks.append(same)
        else:
            current.remove(same)
        same.times_s.append(time_s)
        same.lines.append(line)


def _is_same(line: Line, other: Line) -> bool:
    """Return whether two lines of two frames are one: at the same height, across each other, and with similar words."""
    height = max(line.bottom - line.top, other.bottom - other.top)
    is_there = abs(line.middle[1] - other.middle[1]) <= 0.5 * height
    crosses = min(line.right, other.right) > max(line.left, other.left)
    if not (is_there and crosses):
        return False
    texts = line.text.casefold(), other.text.casefold()
    return SequenceMatcher(None, *texts, autojunk=False).ratio() >= _LEAST_SIMILARITY


def _is_mark(track: _LineTrack, num_looks: int) -> bool:
    x, y = track.lines[0].middle
    is_aside = x <= 0.3 or x >= 0.7
    is_corner = is_aside and (y <= 0.25 or y >= 0.75) and track.lines[0].right - track.lines[0].left <= 0.4
    return is_corner and len(track.lines) >= max(min(2, num_looks), _MARK_SHARE * num_looks)


def _is_subtitle(track: _LineTrack, num_looks: int) -> bool:
    x, _ = track.lines[0].middle
    return 0.25 <= x <= 0.75 and len(track.lines) >= min(2, num_looks)


def _joined_lines(tracks: Sequence[_LineTrack]) -> list[list[_LineTrack]]:
    """Group the lines that were shown together."""
    groups: list[list[_LineTrack]] = []
    for track in sorted(tracks, key=lambda track: track.times_s[0]):
        for group in groups:
            shared = len(set(track.times_s) & set(group[0].times_s))
            if shared >= 0.6 * min(len(track.times_s), len(group[0].times_s)):
                group.append(track)
                break
        else:
            groups.append([track])
    return groups


def _subtitle_item(group: Sequence[_LineTrack], span_s: tuple[float, float]) -> EvidenceItem:
    text = " ".join(track.text for track in sorted(group, key=lambda track: track.lines[0].top))
    start_s = max(span_s[0], min(track.times_s[0] for track in group) - STEP_S / 2)
    stop_s = min(span_s[1], max(track.times_s[-1] for track in group) + STEP_S / 2)
    score = float(np.mean([track.score for track in group]))
    return make_item("subtitle", text, (start_s, max(start_s, stop_s)), MEASURED_BY, confidence=score)
