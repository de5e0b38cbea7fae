"""`r1omni reproduce`: the whole recipe, from corpora to Table 1."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from r1omni.cli.progress import hide_loading_bars, show_progress

EXAMPLE = "r1omni reproduce --out runs/smoke --scale smoke"


def reproduce(
    out: Annotated[Path, typer.Option(help="Run folder; the same command goes on in it.")] = Path("runs/reproduce"),
    scale: Annotated[
        Literal["smoke", "tiny", "small"],
        typer.Option(help="smoke: 3 minutes, figures mean nothing; tiny: 20 minutes on two cores; small: one GPU."),
    ] = "tiny",
    seed: Annotated[int, typer.Option(min=0, help="The world, and every random choice in it.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print table.json, and nothing else.")] = False,
) -> None:
    """Make the corpora, train the models, compare them, write table.json and report.html.

    Stages that are done are not repeated; a run that was killed goes on where it stopped.
    """
    from r1omni.config.scale import load_scale
    from r1omni.reproduce.recipe import reproduce as run_recipe

    hide_loading_bars()
    with show_progress() as report:
        run_recipe(out, load_scale(scale), seed, report)
    table = jsonlib.loads((out / "table.json").read_text(encoding="utf-8"))
    if json:
        typer.echo(jsonlib.dumps(table, indent=2))
        return
    typer.echo(table_text(table["rows"]))
    typer.echo(f"\n{out / 'table.json'}\n{out / 'report.html'}")


def table_text(rows: list[dict[str, Any]]) -> str:
    """Lay out Table 1: a line per model, WAR and UAR per corpus; a metric over nothing is a dash.

    Args:
        rows: of table.json.
    """
    cells = {(row["model"], row["corpus"], metric): row[metric] for row in rows for metric in ("war", "uar")}
    models, corpora = dict.fromkeys(row["model"] for row in rows), dict.fromkeys(row["corpus"] for row in rows)
    lines = ["".join([f"{'':<16}", *(f"{corpus:>16}" for corpus in corpora)])]
    lines.append("".join([f"{'':<16}", *(f"{'WAR':>9}{'UAR':>7}" for _ in corpora)]))
    for model in models:
        line = f"{model:<16}"
        for corpus in corpora:
            war, uar = (cells.get((model, corpus, metric)) for metric in ("war", "uar"))
            line += f"{'-' if war is None else f'{war:.1f}':>9}{'-' if uar is None else f'{uar:.1f}':>7}"
        lines.append(line)
    return "\n".join(lines)
