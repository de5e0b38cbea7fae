"""The likeliest answer to every clip, one after the other: what evaluation and validation measure."""

from collections.abc import Iterator, Sequence

from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
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
