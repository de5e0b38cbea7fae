"""The part of scores.json about reasons: whether they fit the answers, and what that says of the answers' accuracy.

Shares are in percent like every other figure of scores.json, each with its interval, its count and its total.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1omni.runs.files import read_rows
from r1omni.scoring.coherence import (
    AnswerWithReasons,
    Figure,
    accuracy_by_agreement,
    agreement_confidence,
    area_under_risk,
    coherence_figures,
    risk_coverage,
)
from r1omni.scoring.explained_answer import (
    ExplainedAnswer,
    attribution_figures,
    claim_figures,
    count_figures,
    hash_of,
    model_reader_figures,
    reliance_figures,
)
from r1omni.scoring.intervals import ratio_difference_interval
from r1omni.scoring.prediction import Prediction


def read_explained(folder: Path, predictions: Sequence[Prediction]) -> list[ExplainedAnswer]:
    """Read the explanations of a run that are of its present outputs, in the order of the predictions.

    Args:
        folder: the run folder; without `explanations.jsonl` nothing is known.
        predictions: of the run.
    """
    rows = {row["id"]: row for row in read_rows(folder / "explanations.jsonl")}
    known = [(rows[prediction.id], prediction) for prediction in predictions if prediction.id in rows]
    return [ExplainedAnswer.from_json(row) for row, said in known if row["text_hash"] == hash_of(said.text or "")]


def explanation_scores(
    predictions: Sequence[Prediction], explained: Sequence[ExplainedAnswer] = ()
) -> dict[str, Any] | None:
    """Score the reasons of a run; None where no answer has reasons.

    Whether reasons fit their answer is read by the rules from the text alone; the other figures are over the answers
    that were explained.

    Args:
        predictions: one per clip; those that failed or gave no reasons are left out.
        explained: what is known of the reasons of any of the answers.
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
    figures = {name: share_record(figure) for name, figure in coherence_figures(rows).items()}
    return {
        "num_answers": len(answered),
        "num_explained": len(explained),
        "figures": figures | (_explained_figures(answered, explained) if explained else {}),
        "accuracy_by_agreement": {name: share_record(figure) for name, figure in accuracy_by_agreement(rows).items()},
        "risk_coverage": risk_record(
            "agreement", [agreement_confidence(row.agrees) for row in known], [row.is_correct for row in known]
        ),
    }


def _explained_figures(
    predictions: Sequence[Prediction], explained: Sequence[ExplainedAnswer]
) -> dict[str, dict[str, Any]]:
    by_id = {prediction.id: prediction for prediction in predictions}
    explained = [answer for answer in explained if answer.id in by_id]
    said = [by_id[answer.id] for answer in explained]
    shares = {
        **claim_figures(explained),
        **model_reader_figures(explained, said),
        **reliance_figures(explained),
        **attribution_figures(explained),
    }
    return {name: share_record(figure) for name, figure in shares.items()} | {
        name: mean_record(figure, "per answer") for name, figure in count_figures(explained).items()
    }


def compare_reasons(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    explained_first: Sequence[ExplainedAnswer] = (),
    explained_second: Sequence[ExplainedAnswer] = (),
) -> dict[str, Any]:
    """Return the second run's figures minus the first's in points, with paired intervals; empty where one has none.

    Args:
        first: answers of one run with a gold label.
        second: answers of another to the same clips, in the same order.
        explained_first: what is known of the reasons of the first.
        explained_second: of the second.
    """
    figures = {}
    for name in ("eea", "epc", "fcr", "hallucination_rate"):
        parts = [
            _parts(name, first, {answer.id: answer for answer in explained_first}),
            _parts(name, second, {answer.id: answer for answer in explained_second}),
        ]
        interval = ratio_difference_interval(*parts)
        if interval is not None:
            values = [sum(top for top, _ in rows) / sum(bottom for _, bottom in rows) for rows in parts]
            figures[name] = {
                "difference": round(100 * (values[1] - values[0]), 4),
                "interval": [round(100 * interval.low, 4), round(100 * interval.high, 4)],
            }
    return figures


def _parts(
    name: str, predictions: Sequence[Prediction], explained: Mapping[str, ExplainedAnswer]
) -> list[tuple[float, float]]:
    """Numerator and denominator of a figure for each answer."""
    rows = []
    for said in predictions:
        if name == "hallucination_rate":
            states = [claim.state for claim in explained[said.id].claims] if said.id in explained else []
            wrong = states.count("contradicted")
            rows.append((wrong, wrong + states.count("supported")))
            continue
        is_known = said.implied is not None
        holds = {
            "eea": said.implied == said.gold,
            "epc": bool(said.reasons_agree),
            "fcr": bool(said.reasons_agree) and said.implied == said.gold and said.normalised == said.gold,
        }
        rows.append((float(is_known and holds[name]), float(is_known)))
    return rows


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
