"""Several worlds in one table: `python scripts/compare_worlds.py RUN RUN RUN` (run folders of other seeds).

A world is a draw of everything: people, voices, clips, labels, weights. So the spread over worlds, not over the clips
of one, says what another world would give.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r1omni.core.errors import ConfigError

_T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Two-sided 95 % quantiles of Student's t by the number of worlds."""


def mean_and_reach(values: Sequence[float]) -> tuple[float, float]:
    """Mean over worlds and half the width of its 95 % interval (Student's t).

    Args:
        values: one figure a world, two to eight of them.
    """
    count = len(values)
    return float(np.mean(values)), float(_T_975[count] * np.std(values, ddof=1) / np.sqrt(count))


def summarise(tables: Sequence[dict[str, Any]]) -> str:
    """Lay out, in Markdown, every model's means and what r1-omni has over the others, world by world.

    Args:
        tables: table.json of runs of one scale and different seeds.

    Raises:
        ConfigError: fewer than two worlds or more than eight, one seed twice, or different scales.
    """
    seeds = [table["seed"] for table in tables]
    if len(tables) not in _T_975 or len(set(seeds)) != len(seeds) or len({t["scale"] for t in tables}) != 1:
        raise ConfigError(
            f"Expected two to eight runs of one scale and different seeds, found seeds {seeds} and scales "
            f"{sorted({t['scale'] for t in tables})}; name the folders of such runs."
        )
    figures = {
        (row["model"], row["corpus"], metric): [
            next(r[metric] for r in t["rows"] if (r["model"], r["corpus"]) == (row["model"], row["corpus"]))
            for t in tables
        ]
        for row in tables[0]["rows"]
        for metric in ("war", "uar")
    }
    models = list(dict.fromkeys(model for model, _, _ in figures))
    columns = list(dict.fromkeys((corpus, metric) for _, corpus, metric in figures))
    head = ["", *(f"{corpus} {metric.upper()}" for corpus, metric in columns)]
    lines = [_line(head), _line(["---"] * len(head))]
    for model in models:
        cells = [mean_and_reach(figures[model, *column]) for column in columns]
        lines.append(_line([model, *(f"{mean:.1f} ± {reach:.1f}" for mean, reach in cells)]))
    for model in models[:-1]:
        gains = [np.subtract(figures[models[-1], *column], figures[model, *column]) for column in columns]
        cells = [f"{np.mean(gain):+.1f} ({', '.join(f'{x:+.1f}' for x in gain)})" for gain in gains]
        lines.append(_line([f"{models[-1]} - {model}", *cells]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(summarise([json.loads((Path(run) / "table.json").read_text()) for run in sys.argv[1:]]))
