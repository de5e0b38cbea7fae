"""Learning curves from the rows that training writes to metrics.jsonl, and the page that a run folder keeps of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r1omni.report.charts import Chart, Series, short
from r1omni.report.page import chart_view, render

LEARNING_CURVES: dict[str, str] = {
    "loss": "Loss",
    "reward": "Reward",
    "reward/accuracy": "Accuracy reward",
    "reward/format": "Format reward",
    "kl": "KL to the reference policy, nats per token",
    "entropy": "Entropy of the policy, nats per token",
    "length": "Answer length, tokens",
    "truncation": "Share of answers truncated at the limit",
    "zero_variance": "Share of groups with equal rewards",
    "grad_norm": "Gradient norm",
    "learning_rate": "Learning rate",
}
"""Name of a metric in a row -> title of its chart."""


def training_charts(
    logs: Mapping[str, Iterable[Mapping[str, Any]]], metrics: Mapping[str, str] | None = None
) -> list[Chart]:
    """Make a chart per metric with a line per run; metrics that no run recorded at least twice are left out.

    Args:
        logs: name of the run -> its rows, each with `step` and metrics; a nested table is read as `outer/inner`.
        metrics: name of the metric -> title of its chart; None uses `LEARNING_CURVES`.
    """
    rows_of = {run: [_flat(row) for row in rows] for run, rows in logs.items()}
    charts = []
    for name, title in (LEARNING_CURVES if metrics is None else metrics).items():
        lines = [_line(run, rows, name) for run, rows in rows_of.items()]
        if series := [line for line in lines if len(line.x) > 1]:
            charts.append(Chart(title, series))
    return charts


def curves_page(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Lay out one run: a chart per metric, one for validation, and the last value of each.

    Args:
        name: of the run.
        rows: of its metrics.jsonl.
    """
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    charts = training_charts({name: flat})
    validation = [_line(figure.split("/")[1], flat, figure) for figure in names if figure.startswith("validation/")]
    # A single validation is a point, which a line cannot show; the table below has it.
    if validation and len(validation[0].x) > 1:
        charts.insert(0, Chart("Validation, share", validation))
    last = {figure: line.y[-1] for figure in names if figure != "step" and (line := _line(name, flat, figure)).x}
    return render(
        "curves.html.j2",
        title=f"Training of {name}",
        num_steps=max((row["step"] for row in flat if "step" in row), default=0),
        curves=[chart_view(chart) for chart in charts],
        last=[(figure, short(value)) for figure, value in last.items() if value is not None],
    )


def _line(run: str, rows: Sequence[Mapping[str, Any]], name: str) -> Series:
    found = [(row["step"], row[name]) for row in rows if "step" in row and isinstance(row.get(name), int | float)]
    return Series(run, [step for step, _ in found], [value for _, value in found])


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
