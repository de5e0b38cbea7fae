"""What a model said of one clip, graded: the one way from a text to a prediction, and from predictions to WAR and UAR.

Evaluation and validation during training both go through here, so that what selects a checkpoint is what is reported.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import MediaError
from r1omni.core.labels import EMOTIONS
from r1omni.core.media_read import MediaRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.scoring.coherence import reasons_fit
from r1omni.scoring.metrics import uar, war
from r1omni.scoring.normalise import NormaliserName, exact, normalise


@dataclass(frozen=True)
class Said:
    """What the model said of one clip, before it is graded."""

    text: str
    """The whole output."""
    read: MediaRead | None = None
    """What was read of the clip; None where nobody kept it."""
    windows: tuple[WindowAnswer, ...] = ()
    """The answers that the text was chosen from; empty where clips are not answered in windows."""
    answer_window: int | None = None
    """Index of the window that the text is from."""


@dataclass(frozen=True)
class Prediction:
    """One clip's outcome; a line of predictions.jsonl."""

    id: str
    """The clip's id."""
    gold: str | None
    """The true label, stripped and lower-cased; None where the manifest gives none."""
    text: str | None
    """The whole output; None where the clip failed."""
    reasoning: str | None = None
    answer: str | None = None
    normalised: str | None = None
    error_kind: str | None = None
    """What was wrong with the clip, as one word; None where it was read."""
    error: str | None = None
    """The same as a sentence."""
    read: MediaRead | None = None
    """What was read of the clip; None where it failed, or nobody kept it."""
    windows: tuple[WindowAnswer, ...] = ()
    """See `Said.windows`."""
    answer_window: int | None = None
    """See `Said.answer_window`."""
    implied: str | None = None
    """The emotion that the reasons alone imply; None where there are no reasons or they imply none."""
    reasons_agree: bool | None = None
    """Whether the reasons imply the answer, synonyms apart; None where they imply no emotion."""
    well_formed: bool | None = field(default=None, compare=False)
    """See `Answer.well_formed`; None where the clip failed, and where the prediction was read from its line, which
    does not hold it."""


def predict_from(
    clip: Clip,
    outcome: str | Said | MediaError,
    normaliser: NormaliserName,
    labels: Collection[str] | None = None,
    answer_format: AnswerFormat = PAPER_FORMAT,
) -> Prediction:
    """Turn what the model said of a clip into its prediction.

    Args:
        clip: the clip.
        outcome: the generated text, alone or with what was read, or why the clip could not be read.
        normaliser: what is done to the answer.
        labels: the label set, for compound classes.
        answer_format: reads the text.
    """
    gold = None if clip.label is None else exact(clip.label)
    if isinstance(outcome, MediaError):
        return Prediction(clip.id, gold, None, error_kind=outcome.kind, error=str(outcome))
    said = Said(outcome) if isinstance(outcome, str) else outcome
    answer = answer_format.parse(said.text)
    normalised = normalise(answer.answer, normaliser, labels)
    fit = reasons_fit(answer.reasoning, answer.answer, EMOTIONS if labels is None else labels)
    return Prediction(
        clip.id,
        gold,
        said.text,
        answer.reasoning,
        answer.answer,
        normalised,
        read=said.read,
        windows=said.windows,
        answer_window=said.answer_window,
        implied=fit.implied.label,
        reasons_agree=fit.agrees,
        well_formed=answer.well_formed,
    )


def scored(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions that metrics are over: of clips that were read and have a gold label.

    Args:
        predictions: one per clip.
    """
    return [prediction for prediction in predictions if prediction.error_kind is None and prediction.gold is not None]


def war_and_uar(predictions: Sequence[Prediction]) -> tuple[float | None, float | None]:
    """WAR and UAR of a set of clips, as fractions; None over nothing.

    Args:
        predictions: one per clip; those that were not read or have no gold label are left out.
    """
    over = scored(predictions)
    golds, answers = [prediction.gold or "" for prediction in over], [prediction.normalised for prediction in over]
    return war(golds, answers), uar(golds, answers)


def validation_figures(predictions: Sequence[Prediction]) -> dict[str, float]:
    """WAR and UAR for choosing a checkpoint, as fractions; 0 where nothing could be scored, so that it is not chosen.

    The share of clips that could not be read is returned beside them where there are any.

    Args:
        predictions: one per validation clip.
    """
    war_found, uar_found = war_and_uar(predictions)
    num_unread = sum(prediction.error_kind is not None for prediction in predictions)
    unread = {"unreadable": num_unread / len(predictions)} if num_unread else {}
    return {"war": war_found or 0.0, "uar": uar_found or 0.0, **unread}
