"""Two runs' reasons compared clip by clip, and shown side by side."""

from pathlib import Path

import pytest

from r1omni.core.clip import Clip
from r1omni.core.evidence import Evidence, EvidenceItem
from r1omni.core.instruction import format_answer
from r1omni.core.labels import DFEW_LABELS
from r1omni.evaluate.explanation_scores import explanation_scores
from r1omni.evaluate.scores import compare
from r1omni.report.reasons_view import HEADINGS, ReasonsOfRun, reasons_tables
from r1omni.scoring.explained_answer import explain_by_evidence
from r1omni.scoring.prediction import predict_from

LOUD = EvidenceItem("loudness_db", "sound", -15.0, "dBFS", 0.0, 4.0, None, "a test", "loud")
EVIDENCE = Evidence(True, True, 4.0, (LOUD,))


def _run(*answers):
    clips = [Clip(str(place), Path(f"{place}.mp4"), label="angry") for place in range(len(answers))]
    said = [
        predict_from(clip, format_answer(reasoning, answer), "exact", DFEW_LABELS)
        for clip, (reasoning, answer) in zip(clips, answers, strict=True)
    ]
    return said, [explain_by_evidence(prediction, EVIDENCE) for prediction in said]


FIRST = _run(("The voice is soft. He feels sad.", "angry"), ("The voice is loud. He feels angry.", "angry"))
SECOND = _run(("The voice is loud. He feels angry.", "angry"), ("The voice is loud. He feels angry.", "angry"))


def test_reasons_of_two_runs_are_compared_in_points():
    reasons = compare(FIRST[0], SECOND[0], FIRST[1], SECOND[1])["reasons"]
    # 1 of 2 agree, then 2 of 2; 1 of 2 claims is contradicted, then none
    assert reasons["epc"]["difference"] == 50 and reasons["fcr"]["difference"] == 50
    assert reasons["hallucination_rate"]["difference"] == -50
    low, high = reasons["epc"]["interval"]
    assert low <= 50 <= high


def test_runs_without_reasons_have_nothing_to_compare():
    clip = Clip("0", Path("0.mp4"), label="angry")
    labels = [predict_from(clip, "angry", "exact", DFEW_LABELS)]
    assert explanation_scores(labels) is None
    assert compare(labels, labels)["reasons"] == {}
    assert "hallucination_rate" not in compare(FIRST[0], SECOND[0])["reasons"]


def test_the_page_shows_every_figure_of_the_scores_under_a_heading():
    scores = [explanation_scores(*run) for run in (FIRST, SECOND)]
    assert all(score is not None and set(score["figures"]) <= set(HEADINGS) for score in scores)
    runs = [ReasonsOfRun(name, "films", score) for name, score in zip(("a", "b"), scores, strict=True) if score]
    (table,) = reasons_tables(runs)
    assert table["runs"] == ["a", "b"] and table["counts"] == [2, 2]
    shown = dict(table["rows"])
    assert [cell["value"] for cell in shown[HEADINGS["epc"]]] == [50, 100]
    assert [cell["value"] for cell in shown["right answers where reasons and answer agree"]] == [100, 100]
    assert "svg" in table["risk"]


def test_risk_falls_where_answers_with_agreeing_reasons_are_given_first():
    said, _ = _run(("He feels sad.", "happy"), ("He feels angry.", "angry"))
    scores = explanation_scores(said)
    assert scores is not None
    assert scores["risk_coverage"] == {
        "confidence": "agreement",
        "points": [[50, 0], [100, 50]],
        "area": pytest.approx(25),
    }
