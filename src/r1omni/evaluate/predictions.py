"""predictions.jsonl: one line per clip in the manifest's order, appended as they come and repaired after a kill.

What the model said (text or error) and what was read of the clip are the truth; reasoning, answer, normalised answer
and what the reasons imply are derived again when a run ends, so that another normaliser needs no second generation.
Timing is no part of the file: it lies in `timing.jsonl`, so that predictions are the same bytes whatever the batch size
or the number of shards.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
from r1omni.core.clip import Clip
from r1omni.core.errors import ManifestError
from r1omni.core.json_text import json_text
from r1omni.core.media_read import MediaRead
from r1omni.core.window_answer import WindowAnswer
from r1omni.scoring.normalise import NormaliserName
from r1omni.scoring.prediction import Prediction, Said, predict_from


def to_line(prediction: Prediction) -> str:
    """Write a prediction as one JSON line, without its line end."""
    record: dict[str, object] = {"id": prediction.id}
    if prediction.error_kind is None:
        record |= {
            "text": prediction.text,
            "reasoning": prediction.reasoning,
            "answer": prediction.answer,
            "normalised": prediction.normalised,
            "gold": prediction.gold,
            "implied": prediction.implied,
            "reasons_agree": prediction.reasons_agree,
            "read": None if prediction.read is None else prediction.read.to_json(),
        }
        if prediction.windows:
            record["windows"] = [window.to_json() for window in prediction.windows]
            record["answer_window"] = prediction.answer_window
    else:
        record |= {"gold": prediction.gold, "error": {"kind": prediction.error_kind, "sentence": prediction.error}}
    return json_text(record)


def _from_line(line: bytes) -> Prediction:
    record = json.loads(line)
    error = record.get("error") or {}
    return Prediction(
        record["id"],
        record["gold"],
        record.get("text"),
        record.get("reasoning"),
        record.get("answer"),
        record.get("normalised"),
        error.get("kind"),
        error.get("sentence"),
        None if record.get("read") is None else MediaRead.from_json(record["read"]),
        tuple(map(WindowAnswer.from_json, record.get("windows", ()))),
        record.get("answer_window"),
        record.get("implied"),
        record.get("reasons_agree"),
    )


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read every whole line; a last line that a kill left half-written is passed over.

    Args:
        path: a predictions.jsonl.

    Raises:
        ManifestError: the file is missing, or a line that is not the last cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); make it with `r1omni evaluate --out {path.parent}`."
        ) from error
    predictions = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            predictions.append(_from_line(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(
                f"{path}: line {number} is no prediction ({type(error).__name__}: {error}); expected a JSON object "
                "with id, text and gold. Delete the file or give another --out."
            ) from error
    return predictions


def in_order(
    clips: Sequence[Clip],
    predictions: Iterable[Prediction],
    normaliser: NormaliserName,
    labels: Collection[str] | None = None,
    answer_format: AnswerFormat = PAPER_FORMAT,
) -> list[Prediction] | None:
    """Put predictions into the manifest's order and derive their answers anew; None while a clip is missing.

    Args:
        clips: the manifest.
        predictions: in any order; the first of a clip counts.
        normaliser: what is done to the answers.
        labels: the label set, for compound classes.
        answer_format: reads the texts.
    """
    found: dict[str, Prediction] = {}
    for prediction in predictions:
        found.setdefault(prediction.id, prediction)
    if any(clip.id not in found for clip in clips):
        return None
    ordered = []
    for clip in clips:
        # A clip that failed has no text, and is as it was but for its gold label.
        known = found[clip.id]
        again = predict_from(
            clip,
            Said(known.text or "", known.read, known.windows, known.answer_window),
            normaliser,
            labels,
            answer_format,
        )
        ordered.append(again if known.text is not None else replace(known, gold=again.gold))
    return ordered
