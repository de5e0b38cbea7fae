"""One table over several worlds: the run folders of `r1omni reproduce` with different seeds.

A world is one draw of everything: people, voices, clips, labels, weights. The spread over worlds, not over the clips of
one, tells what another world would give.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from r1omni.cli import boundary
from r1omni.core.errors import ConfigError

_T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Number of worlds -> two-sided 95 % quantile of Student's t."""


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog="Example: python scripts/compare_worlds.py runs/reproduce runs/world-1 runs/world-2")
def main(runs: Annotated[list[Path], typer.Argument(help="Run folders of one scale and different seeds.")]) -> None:
    """Print one Markdown table over several runs of `r1omni reproduce`."""
    typer.echo(summarise([read_table(run) for run in runs]))


def read_table(run: Path) -> dict[str, Any]:
    """Read table.json of a run.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    path = run / "table.json"
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; name the folder of a finished `r1omni reproduce`.")
    return json.loads(path.read_text(encoding="utf-8"))


def mean_and_reach(values: Sequence[float]) -> tuple[float, float]:
    """Mean over worlds and half the width of its 95 % interval (Student's t).

    Args:
        values: one figure per world, two to eight of them.
    """
    count = len(values)
    return float(np.mean(values)), float(_T_975[count] * np.std(values, ddof=1) / np.sqrt(count))


def summarise(tables: Sequence[dict[str, Any]]) -> str:
    """Format in Markdown each model's means, and what the last model has over the others, world by world.

    A second table has the figures of the reasons, a third those with one side of the clips taken away; each mean stands
    with its 95 % interval over worlds, and the leads too.

    Args:
        tables: table.json of runs of one scale and different seeds.

    Raises:
        ConfigError: fewer than two worlds or more than eight, repeated seeds, or different scales.
    """
    seeds = [table["seed"] for table in tables]
    if len(tables) not in _T_975 or len(set(seeds)) != len(seeds) or len({t["scale"] for t in tables}) != 1:
        raise ConfigError(
            f"Found seeds {seeds} and scales {sorted({t['scale'] for t in tables})}, expected two to eight runs of one "
            f"scale and different seeds; name the folders of such runs."
        )
    parts = [
        _table([table["rows"] for table in tables], ("war", "uar"), ("corpus",)),
        _table([table["rows"] for table in tables], ("epc", "hallucination_rate"), ("corpus",)),
        _table([table.get("one_sided", []) for table in tables], ("war",), ("corpus", "absent")),
    ]
    return "\n\n".join(part for part in parts if part)


_WORDS = {"war": "WAR", "uar": "UAR", "epc": "EPC", "hallucination_rate": "false claims"}


def _table(worlds: Sequence[Sequence[dict[str, Any]]], metrics: Sequence[str], place: Sequence[str]) -> str:
    """Format one table: a line per model that has the figures in every world, a column per place and metric.

    Args:
        worlds: rows of each world.
        metrics: names of figures.
        place: keys of a row that say where it was measured.
    """
    figures: dict[tuple[str, tuple[str, ...], str], list[float]] = {}
    for row in worlds[0]:
        where = tuple(row[key] for key in place)
        for metric in metrics:
            values = [
                other[metric]
                for rows in worlds
                for other in rows
                if other["model"] == row["model"]
                and tuple(other[key] for key in place) == where
                and other.get(metric) is not None
            ]
            if len(values) == len(worlds):
                figures[row["model"], where, metric] = values
    if not figures:
        return ""
    columns = list(dict.fromkeys((where, metric) for _, where, metric in figures))
    models = [
        model
        for model in dict.fromkeys(model for model, _, _ in figures)
        if all((model, *column) in figures for column in columns)
    ]
    head = ["", *(f"{' without '.join(where)} {_WORDS[metric]}" for where, metric in columns)]
    lines = [_line(head), _line(["---"] * len(head))]
    for model in models:
        cells = [mean_and_reach(figures[model, *column]) for column in columns]
        lines.append(_line([model, *(f"{mean:.1f} ± {reach:.1f}" for mean, reach in cells)]))
    for model in models[:-1]:
        leads = [np.subtract(figures[models[-1], *column], figures[model, *column]).tolist() for column in columns]
        means = [mean_and_reach(lead) for lead in leads]
        cells = [
            f"{mean:+.1f} ± {reach:.1f} ({', '.join(f'{x:+.1f}' for x in lead)})"
            for (mean, reach), lead in zip(means, leads, strict=True)
        ]
        lines.append(_line([f"{models[-1]} - {model}", *cells]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    boundary.run(app)
