"""The likeliest answer to every clip, one after the other: what evaluation and validation measure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.clip_answers import answer_clips
from r1omni.infer.engine import Engine
from r1omni.infer.prompt import Sampling
from r1omni.scoring.normalise import NormaliserName
from r1omni.scoring.prediction import Prediction, Said, predict_from


def greedy_outcomes(
    engine: Engine, clips: Sequence[Clip], instruction: str, max_tokens: int
) -> Iterator[Said | MediaError]:
    """Yield the likeliest text of each clip with what was read, or the error, in the clips' order.

    See `Engine.answer` for what is held.

    Args:
        engine: the loaded model.
        clips: the clips.
        instruction: what is asked.
        max_tokens: tokens of an answer.
    """
    for answers in engine.answer(clips, instruction, Sampling(max_tokens=max_tokens)):
        yield answers if isinstance(answers, MediaError) else Said(answers[0].text, answers[0].read)


def greedy_outcomes_in_windows(
    engine: Engine, clips: Sequence[Clip], instruction: str, max_tokens: int, labels: Sequence[str] | None
) -> Iterator[Said | MediaError]:
    """Yield the same, where what is longer than the model hears is answered in windows, which `clip_windows` joins.

    Probabilities decide between windows and are not kept: they depend on the batch by rounding.

    Args:
        engine: see `greedy_outcomes`.
        clips: see `greedy_outcomes`.
        instruction: see `greedy_outcomes`.
        max_tokens: see `greedy_outcomes`.
        labels: the label set; None for free words.
    """
    for said in answer_clips(engine, clips, instruction, labels=labels, max_tokens=max_tokens, in_windows=True):
        windows = tuple(replace(window, probabilities={}) for window in said.windows)
        yield said.error or Said(said.text, said.read, windows, said.answer_window)


def greedy_predictions(
    engine: Engine,
    clips: Sequence[Clip],
    instruction: str,
    max_tokens: int,
    normaliser: NormaliserName = "exact",
    labels: Sequence[str] | None = None,
) -> Iterator[Prediction]:
    """Yield the graded greedy answer to each clip, in their order; `war_and_uar` measures them.

    Args:
        engine: see `greedy_outcomes`.
        clips: see `greedy_outcomes`.
        instruction: see `greedy_outcomes`.
        max_tokens: see `greedy_outcomes`.
        normaliser: what is done to an answer.
        labels: the label set, for compound classes.
    """
    for clip, outcome in zip(clips, greedy_outcomes(engine, clips, instruction, max_tokens), strict=True):
        yield predict_from(clip, outcome, normaliser, labels, engine.answer_format)
