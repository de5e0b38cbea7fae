"""Clips to answers with label probabilities and the record of what was read, batch by batch, whole or in windows."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.media_read import NOTHING_READ, MediaRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.infer.clip_windows import join_windows
from r1omni.infer.engine import Engine
from r1omni.infer.features import Features
from r1omni.infer.prompt import Prompt, Sampling


@dataclass(frozen=True)
class ClipAnswer:
    """What the model says about one clip."""

    text: str = ""
    """The whole output; empty where the clip could not be read."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Label -> how likely it was after the reasons; empty without a label set."""
    read: MediaRead = NOTHING_READ
    """What was read of the clip."""
    windows: tuple[WindowAnswer, ...] = ()
    """The answers that were joined; empty where clips are not answered in windows."""
    answer_window: int | None = None
    """Index of the window that the text is from."""
    seconds: float = 0.0
    """The clip's share of the wall time of its batches, decoding included."""
    error: MediaError | None = None
    """Why there is no answer."""


@dataclass(frozen=True)
class _Piece:
    """A clip, or one window of it."""

    clip: Clip
    is_last: bool
    """Of its clip."""


@dataclass(frozen=True)
class _Outcome:
    """What became of a piece."""

    piece: _Piece
    features: Features | MediaError
    text: str
    probabilities: Mapping[str, float]
    seconds: float


def answer_clips(
    engine: Engine,
    clips: Iterable[Clip],
    instruction: str,
    *,
    labels: Sequence[str] | None,
    max_tokens: int,
    in_windows: bool = False,
) -> Iterator[ClipAnswer]:
    """Yield the likeliest answer to each clip, in the clips' order.

    Args:
        engine: the loaded model.
        clips: any number.
        instruction: what is asked.
        labels: the label set of the probabilities; None asks for none.
        max_tokens: tokens of an answer.
        in_windows: answer what is longer than the model hears in windows; see `clip_windows`.
    """
    pieces = _pieces(engine, clips, in_windows)
    group: list[_Outcome] = []
    while batch := list(islice(pieces, engine.generator.max_prompts)):
        for outcome in _answer_batch(engine, batch, instruction, labels, max_tokens):
            group.append(outcome)
            if outcome.piece.is_last:
                yield _joined(engine, group, labels) if in_windows else _whole(outcome)
                group = []


def _pieces(engine: Engine, clips: Iterable[Clip], in_windows: bool) -> Iterator[_Piece]:
    for clip in clips:
        parts = engine.encoder.windows(clip) if in_windows else [clip]
        yield from (_Piece(part, number == len(parts)) for number, part in enumerate(parts, start=1))


def _answer_batch(
    engine: Engine, batch: Sequence[_Piece], instruction: str, labels: Sequence[str] | None, max_tokens: int
) -> Iterator[_Outcome]:
    started_s = time.perf_counter()
    found = engine.encoder.features([piece.clip for piece in batch])
    prompts = [Prompt.ask(instruction, entry) for entry in found if isinstance(entry, Features)]
    texts = [answer.text for (answer,) in engine.generator.run(prompts, Sampling(max_tokens=max_tokens))]
    chances: list[dict[str, float]] = [{} for _ in prompts]
    if labels is not None:
        chances = engine.scorer.label_probabilities(prompts, texts, labels)
    seconds = (time.perf_counter() - started_s) / len(batch)
    said = iter(zip(texts, chances, strict=True))
    for piece, features in zip(batch, found, strict=True):
        text, probabilities = ("", {}) if isinstance(features, MediaError) else next(said)
        yield _Outcome(piece, features, text, probabilities, seconds)


def _whole(outcome: _Outcome) -> ClipAnswer:
    if isinstance(outcome.features, MediaError):
        return ClipAnswer(seconds=outcome.seconds, error=outcome.features)
    return ClipAnswer(outcome.text, outcome.probabilities, outcome.features.read, seconds=outcome.seconds)


def _joined(engine: Engine, group: Sequence[_Outcome], labels: Sequence[str] | None) -> ClipAnswer:
    seconds = sum(outcome.seconds for outcome in group)
    errors = [outcome.features for outcome in group if isinstance(outcome.features, MediaError)]
    if len(errors) == len(group):
        return ClipAnswer(seconds=seconds, error=errors[0])
    windows = tuple(_window(engine, outcome) for outcome in group)
    joined = join_windows(windows, labels)
    text = windows[joined.answer_window].text or ""
    return ClipAnswer(text, joined.probabilities, joined.read, windows, joined.answer_window, seconds)


def _window(engine: Engine, outcome: _Outcome) -> WindowAnswer:
    clip, features = outcome.piece.clip, outcome.features
    start_s = clip.start_s or 0.0
    if isinstance(features, MediaError):
        return WindowAnswer(start_s, start_s if clip.stop_s is None else clip.stop_s, error=str(features))
    sides = (features.read.pictures, features.read.sound)
    length_s = max((side.total_s for side in sides if side is not None), default=0.0)
    answer = engine.answer_format.parse(outcome.text)
    return WindowAnswer(
        start_s,
        round(start_s + length_s, 3) if clip.stop_s is None else clip.stop_s,
        outcome.text,
        answer.reasoning,
        answer.answer,
        outcome.probabilities,
        features.read,
    )
