"""probabilities.jsonl: how likely each label was after the reasons of an answer, and what scores.json says of it.

    {"id": ..., "text_hash": ..., "probabilities": {label: probability}}

Apart from the predictions, because probabilities depend on the batch by rounding. A row holds as long as output and
label set stay the same. `label_chances` asks the model for them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.runs.files import read_rows
from r1omni.scoring.calibration import NUM_BINS, expected_calibration_error
from r1omni.scoring.normalise import exact
from r1omni.scoring.prediction import Prediction, scored

FILE_NAME = "probabilities.jsonl"


def read_probabilities(
    folder: Path, predictions: Sequence[Prediction], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the probabilities of a run's present outputs over a label set, by the clip's id.

    Args:
        folder: of the run; without `probabilities.jsonl` there are none.
        predictions: of the run.
        labels: the label set, in any spelling.
    """
    rows = known_rows(folder / FILE_NAME, predictions, labels)
    return {name: {exact(label): share for label, share in row["probabilities"].items()} for name, row in rows.items()}


def known_rows(path: Path, predictions: Sequence[Prediction], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the rows that still hold, by the clip's id.

    Args:
        path: a probabilities.jsonl; need not exist.
        predictions: of the run.
        labels: the label set, in any spelling.
    """
    hashes = {said.id: hash_of_text(said.text) for said in predictions if said.text is not None}
    wanted = set(map(exact, labels))
    return {
        row["id"]: row
        for row in read_rows(path)
        if hashes.get(row["id"]) == row["text_hash"] and set(map(exact, row["probabilities"])) == wanted
    }


def hash_of_text(text: str) -> str:
    """Return a short hash of a model's output.

    Args:
        text: the whole output.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def calibration_scores(
    predictions: Sequence[Prediction], probabilities: Mapping[str, Mapping[str, float]]
) -> dict[str, Any] | None:
    """Return whether the probability of the likeliest label is as often right as it says; None without any.

    Shares are in percent like every other figure of scores.json. The likeliest label is what is graded: it is the one
    that a probability is shown for, and differs from the written answer where that is outside the label set.

    Args:
        predictions: of the run; those without a gold label or probabilities are left out.
        probabilities: label -> probability, by the clip's id.
    """
    pairs = [(said, probabilities[said.id]) for said in scored(predictions) if said.id in probabilities]
    if not pairs:
        return None
    confidences = [max(chances.values()) for _, chances in pairs]
    right = [max(chances, key=chances.__getitem__) == said.gold for said, chances in pairs]
    error = expected_calibration_error(confidences, right)
    return {
        "ece": None if error is None else round(100 * error, 4),
        "num_bins": NUM_BINS,
        "mean_confidence": round(100 * sum(confidences) / len(pairs), 4),
        "accuracy": round(100 * sum(right) / len(pairs), 4),
        "num_clips": len(pairs),
    }
