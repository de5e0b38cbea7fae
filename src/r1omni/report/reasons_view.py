"""Lays out what is known of the reasons of several runs: one table per corpus, and the risk at growing coverage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1omni.report import charts
from r1omni.report.charts import Chart, Series

HEADINGS: dict[str, str] = {
    "implied_rate": "reasons imply an emotion",
    "eea": "EEA: they imply the label",
    "epc": "EPC: they imply the answer",
    "fcr": "FCR: label, answer and reasons are one",
    "eea_by_model": "EEA, read by the model alone",
    "epc_by_model": "EPC, read by the model alone",
    "fcr_by_model": "FCR, read by the model alone",
    "hallucination_rate": "contradicted claims",
    "hallucination_rate_pictures": "of those about pictures",
    "hallucination_rate_sound": "of those about sound",
    "hallucination_rate_text": "of those about text",
    "absent_side_rate": "claims about absent sides",
    "verifiable_rate": "claims that could be checked",
    "subtitle_error_rate": "character errors in quotations",
    "reliance_removed": "answers changed without reasons",
    "reliance_cut": "changed where reasons are cut",
    "reliance_replaced": "changed by another clip's reasons",
    "reliance_turned": "changed by one claim turned round",
    "pictures_share": "share of the pictures",
    "sound_share": "share of the sound",
    "subtitle_share": "share of the subtitle field",
    "changed_by_other_sound": "answers changed by another clip's sound",
    "claims_per_answer": "claims per answer",
    "verifiable_claims_per_answer": "of which could be checked",
    "abstentions_per_answer": "abstentions per answer",
}
"""Figure of scores.json -> what its row is called; figures without a heading keep their name."""


@dataclass(frozen=True)
class ReasonsOfRun:
    """The reasons of one run."""

    name: str
    corpus: str
    explanations: Mapping[str, Any]
    """`explanations` of its scores.json."""


def reasons_tables(runs: Sequence[ReasonsOfRun]) -> list[dict[str, Any]]:
    """Return one table per corpus, and its chart of risk over coverage.

    Args:
        runs: those whose answers have reasons.
    """
    return [
        _table(corpus, [run for run in runs if run.corpus == corpus])
        for corpus in dict.fromkeys(run.corpus for run in runs)
    ]


def _table(corpus: str, runs: Sequence[ReasonsOfRun]) -> dict[str, Any]:
    present = [name for run in runs for name in run.explanations["figures"]]
    names = [name for name in [*HEADINGS, *dict.fromkeys(present)] if name in present]
    rows = [
        (HEADINGS.get(name, name.replace("_", " ")), [run.explanations["figures"].get(name) for run in runs])
        for name in dict.fromkeys(names)
    ]
    rows += [
        (
            f"right answers where reasons and answer {words}",
            [run.explanations["accuracy_by_agreement"][group] for run in runs],
        )
        for group, words in (("agree", "agree"), ("disagree", "disagree"), ("unknown", "cannot be compared"))
    ]
    curves = [(run.name, run.explanations["risk_coverage"]["points"]) for run in runs]
    chart = Chart(
        "Wrong answers, percent",
        [Series(name, [x for x, _ in points], [y for _, y in points]) for name, points in curves if points],
        x_label="percent of the clips answered, those whose reasons agree first",
    )
    return {
        "corpus": corpus,
        "runs": [run.name for run in runs],
        "counts": [run.explanations["num_answers"] for run in runs],
        "rows": [(heading, cells) for heading, cells in rows if any(cell is not None for cell in cells)],
        "risk": charts.line_chart(chart) if chart.series else None,
    }
