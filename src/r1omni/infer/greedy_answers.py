"""The likeliest answer to every clip, one after the other: what evaluation and validation measure."""

from collections.abc import Iterator, Sequence

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.infer.engine import Engine
from r1omni.infer.prompt import Sampling
from r1omni.scoring.normalise import NormaliserName
from r1omni.scoring.prediction import Prediction, predict_from


def greedy_texts(
    engine: Engine, clips: Sequence[Clip], instruction: str, max_tokens: int
) -> Iterator[str | MediaError]:
    """Yield the likeliest text, or the error, of each clip, in their order; see `Engine.answer` for what is held.

    Args:
        engine: the loaded model.
        clips: the clips.
        instruction: what is asked.
        max_tokens: tokens of an answer.
    """
    for answers in engine.answer(clips, instruction, Sampling(max_tokens=max_tokens)):
        yield answers if isinstance(answers, MediaError) else answers[0].text


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
        engine: see `greedy_texts`.
        clips: see `greedy_texts`.
        instruction: see `greedy_texts`.
        max_tokens: see `greedy_texts`.
        normaliser: what is done to an answer.
        labels: the label set, for compound classes.
    """
    for clip, text in zip(clips, greedy_texts(engine, clips, instruction, max_tokens), strict=True):
        yield predict_from(clip, text, normaliser, labels, engine.answer_format)
