"""`r1omni report`: runs of `r1omni evaluate` side by side in one page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from r1omni.core.json_text import json_text

EXAMPLE = "r1omni report runs/base-dfew-1 runs/r1-omni-dfew-1 --out report.html"

SHOWN_OF_REASONS = ("eea", "epc", "fcr", "hallucination_rate")
"""Figures of the reasons that a run's line names."""


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished evaluations.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    training: Annotated[
        list[Path] | None, typer.Option(help="Folder of a training run whose curves are shown; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Compare evaluations: figures, paired comparisons, means over folds, best and worst clips.

    Runs of one corpus share a table with the published figures. No model is loaded.
    """
    from r1omni.evaluate.side_by_side import write_report

    figures = write_report(runs, out, training or [])
    if json:
        typer.echo(json_text(figures, indent=2))
        return
    for run in figures["runs"]:
        typer.echo(f"{run['corpus']}, {run['model']}: {summary(run['scores'])}")
    for row in figures["folds"]:
        told = ", ".join(f"{name} {_mean(row[name])}" for name in ("war", "uar"))
        typer.echo(
            f"{row['corpus']}, {row['model']}, {row['num_folds']} folds: {told} (normaliser {row['normaliser']})"
        )
    for row in figures["comparisons"]:
        gap = row["war"]
        typer.echo(
            f"{row['corpus']}, {row['b']} minus {row['a']}: war {gap['difference']:+.2f} "
            f"[{gap['interval'][0]:+.2f}, {gap['interval'][1]:+.2f}], McNemar p {row['mcnemar']['p_value']:.3g}"
        )
    typer.echo(out)


def summary(scores: dict[str, Any]) -> str:
    """Format the main metrics of scores.json in one line; a metric over nothing is a dash.

    Args:
        scores: what an evaluation returned.
    """
    numbers = ((key, scores.get(key)) for key in ("war", "uar", "oov_rate", "format_rate", "hit_rate") if key in scores)
    told = ", ".join(f"{key} {'-' if value is None else f'{value:.2f}'}" for key, value in numbers)
    if "sector" in scores:
        told = f"set f1 {scores['sector']['f1']}, {told}"
    reasons = scores.get("explanations", {}).get("figures", {})
    shown = ((name, reasons[name]["value"]) for name in SHOWN_OF_REASONS if name in reasons)
    told += "".join(f", {name} {'-' if value is None else f'{value:.2f}'}" for name, value in shown)
    if "calibration" in scores:
        told += f", ece {scores['calibration']['ece']:.2f}"
    counts = f"{scores['num_scored']} of {scores['num_clips']} clips scored, {scores['num_errors']} unreadable"
    return f"{told} ({counts}, normaliser {scores['normaliser']})"


def _mean(figure: dict[str, Any]) -> str:
    if figure["mean"] is None:
        return "-"
    deviation = figure["standard_deviation"]
    return f"{figure['mean']:.2f}" + ("" if deviation is None else f" +- {deviation:.2f}")
