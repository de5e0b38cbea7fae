"""The part of scores.json about reasons: whether they fit the answers, and what that says of the answers' accuracy.

Shares are in percent like every other figure of scores.json, each with its interval, its count and its total.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from r1omni.scoring.coherence import (
    AnswerWithReasons,
    Figure,
    accuracy_by_agreement,
    agreement_confidence,
    area_under_risk,
    coherence_figures,
    risk_coverage,
)
from r1omni.scoring.prediction import Prediction


def explanation_scores(predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    """Score how the reasons of a run fit its answers, by the rules alone; None where no answer has reasons.

    Args:
        predictions: one per clip; those that failed or gave no reasons are left out.
    """
    answered = [prediction for prediction in predictions if prediction.error_kind is None and prediction.reasoning]
    if not answered:
        return None
    rows = [
        AnswerWithReasons(
            prediction.implied,
            prediction.reasons_agree,
            prediction.gold,
            prediction.gold is not None and prediction.normalised == prediction.gold,
        )
        for prediction in answered
    ]
    known = [row for row in rows if row.gold is not None]
    return {
        "num_answers": len(answered),
        "figures": {name: share_record(figure) for name, figure in coherence_figures(rows).items()},
        "accuracy_by_agreement": {name: share_record(figure) for name, figure in accuracy_by_agreement(rows).items()},
        "risk_coverage": risk_record(
            "agreement", [agreement_confidence(row.agrees) for row in known], [row.is_correct for row in known]
        ),
    }


def share_record(figure: Figure) -> dict[str, Any]:
    """Return a share as scores.json holds it.

    Args:
        figure: a fraction.
    """
    return {**_record(figure, 100), "unit": "percent"}


def mean_record(figure: Figure, unit: str) -> dict[str, Any]:
    """Return a mean as scores.json holds it.

    Args:
        figure: the mean.
        unit: what it counts, and of what.
    """
    return {**_record(figure, 1), "unit": unit}


def _record(figure: Figure, factor: int) -> dict[str, Any]:
    def scaled(value: float | None) -> float | None:
        return None if value is None else round(factor * value, 4)

    interval = figure.interval
    return {
        "value": scaled(figure.value),
        "interval": None if interval is None else [scaled(interval.low), scaled(interval.high)],
        "count": round(figure.count, 4),
        "total": round(figure.total, 4),
    }


def risk_record(confidence: str, confidences: Sequence[float], correct: Sequence[bool]) -> Mapping[str, Any]:
    """Return the risk-coverage curve in percent, with the area under it.

    Args:
        confidence: name of what ranks the answers.
        confidences: one per answer, higher is surer.
        correct: whether each answer is right.
    """
    area = area_under_risk(risk_coverage(confidences, correct, max_points=max(1, len(confidences))))
    points = risk_coverage(confidences, correct)
    return {
        "confidence": confidence,
        "points": [[round(100 * point.coverage, 4), round(100 * point.risk, 4)] for point in points],
        "area": None if area is None else round(100 * area, 4),
    }
