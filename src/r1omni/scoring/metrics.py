"""Corpus metrics over (gold, normalised answer) pairs, as fractions in [0, 1]; None over nothing.

    WAR      = correct / all                          (accuracy; recall weighted by support)
    UAR      = mean over classes present in the gold of correct_c / support_c
    macro F1 = mean over the same classes of 2 TP / (2 TP + FP + FN)
    OOV rate = answers outside the label set / all    (a missing answer counts as outside)

An answer outside the label set is a miss in all of them: nothing is dropped, so nothing is inflated.
Source: MAE-DFER `run_class_finetuning.py`; R1-Omni `eval_mafw_dfew.py` (recall over the classes present in the gold).
"""

from collections import Counter
from collections.abc import Sequence

from r1omni.core.errors import ConfigError

Golds = Sequence[str]
Predictions = Sequence[str | None]


def _paired(golds: Golds, predictions: Predictions) -> list[tuple[str, str | None]]:
    if len(golds) != len(predictions):
        raise ConfigError(
            f"Found {len(golds)} gold labels and {len(predictions)} answers; expected one answer per clip."
        )
    return list(zip(golds, predictions, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def war(golds: Golds, predictions: Predictions) -> float | None:
    """Weighted average recall: the share of clips answered correctly.

    Args:
        golds: true labels.
        predictions: normalised answers in the same order; None where there was no answer.
    """
    return _mean([float(gold == prediction) for gold, prediction in _paired(golds, predictions)])


def recall_per_class(golds: Golds, predictions: Predictions, labels: Sequence[str]) -> dict[str, float | None]:
    """Recall of each label; None for a label that no clip has.

    Args:
        golds: true labels.
        predictions: normalised answers in the same order.
        labels: the label set, in the desired order.
    """
    support = Counter(golds)
    hits = Counter(gold for gold, prediction in _paired(golds, predictions) if gold == prediction)
    return {label: hits[label] / support[label] if support[label] else None for label in labels}


def uar(golds: Golds, predictions: Predictions) -> float | None:
    """Unweighted average recall: the mean recall over the classes present in the gold labels.

    Args:
        golds: true labels.
        predictions: normalised answers in the same order.
    """
    recalls = recall_per_class(golds, predictions, sorted(set(golds)))
    return _mean([recall for recall in recalls.values() if recall is not None])


def macro_f1(golds: Golds, predictions: Predictions) -> float | None:
    """Mean F1 over the classes present in the gold labels.

    Args:
        golds: true labels.
        predictions: normalised answers in the same order.
    """
    support, answered = Counter(golds), Counter(predictions)
    hits = Counter(gold for gold, prediction in _paired(golds, predictions) if gold == prediction)
    return _mean([2 * hits[label] / (support[label] + answered[label]) for label in sorted(support)])


def out_of_vocabulary_rate(predictions: Predictions, labels: Sequence[str]) -> float | None:
    """Share of answers that are not in the label set; a missing answer is one of them.

    Args:
        predictions: normalised answers.
        labels: the label set.
    """
    return _mean([float(prediction not in labels) for prediction in predictions])


def confusion(golds: Golds, predictions: Predictions, labels: Sequence[str]) -> list[list[int]]:
    """Count answers per gold label.

    Args:
        golds: true labels, all of them in `labels`.
        predictions: normalised answers in the same order.
        labels: the label set; gives the order of rows and columns.

    Returns:
        A row per gold label, a column per label and one last column for answers outside the label set.

    Raises:
        ConfigError: a gold label is not in the label set.
    """
    strangers = sorted(set(golds) - set(labels))
    if strangers:
        raise ConfigError(f"Gold labels {strangers} are not in the label set ({', '.join(labels)}).")
    counts = Counter(
        (gold, prediction if prediction in labels else None) for gold, prediction in _paired(golds, predictions)
    )
    return [[counts[gold, column] for column in (*labels, None)] for gold in labels]
