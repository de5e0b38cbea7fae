"""Learning curves from the rows that training writes to metrics.jsonl."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r1omni.report.charts import Chart, Series

LEARNING_CURVES: dict[str, str] = {
    "reward": "Reward",
    "reward/accuracy": "Accuracy reward",
    "reward/format": "Format reward",
    "kl": "KL to the cold start",
    "length": "Answer length, tokens",
    "entropy": "Entropy of the answers, nats per token",
    "zero_variance": "Groups whose rewards are all equal, share",
    "loss": "Loss",
}
"""Name of a figure in a row -> title of its chart."""


def training_charts(
    logs: Mapping[str, Iterable[Mapping[str, Any]]], metrics: Mapping[str, str] | None = None
) -> list[Chart]:
    """Make a chart per figure with a line per run; figures that no run recorded twice are left out.

    Args:
        logs: name of the run -> its rows, each with `step` and figures; a nested table is read as `outer/inner`.
        metrics: name of the figure -> title of its chart; None takes `LEARNING_CURVES`.
    """
    rows_of = {run: [_flat(row) for row in rows] for run, rows in logs.items()}
    charts = []
    for name, title in (LEARNING_CURVES if metrics is None else metrics).items():
        lines = [_line(run, rows, name) for run, rows in rows_of.items()]
        if series := [line for line in lines if len(line.x) > 1]:
            charts.append(Chart(title, series))
    return charts


def _line(run: str, rows: Sequence[Mapping[str, Any]], name: str) -> Series:
    found = [(row["step"], row[name]) for row in rows if "step" in row and isinstance(row.get(name), int | float)]
    return Series(run, [step for step, _ in found], [value for _, value in found])


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
