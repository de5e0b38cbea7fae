"""`r1omni reproduce`: the whole recipe, from corpora to Table 1."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.config.scale import ScaleName
from r1omni.core.json_text import json_text

EXAMPLE = "r1omni reproduce --out runs/smoke --scale smoke"


def reproduce(
    out: Annotated[Path, typer.Option(help="Run folder; the same command resumes it.")] = Path("runs/reproduce"),
    scale: Annotated[
        ScaleName,
        typer.Option(
            help="smoke: 3 minutes, without meaningful figures; tiny: 20 to 25 minutes on two cores; small: one GPU; "
            "real-parts: an hour on two cores, with a fetched language model."
        ),
    ] = "tiny",
    seed: Annotated[int, typer.Option(min=0, help="Seeds the world and every random choice in it.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print table.json, and nothing else.")] = False,
) -> None:
    """Run the recipe end to end: corpora, models, table.json and report.html.

    Finished stages are not repeated; a run that was killed resumes where it stopped.
    """
    from r1omni.config.scale import load_scale
    from r1omni.reproduce.recipe import reproduce as run_recipe
    from r1omni.reproduce.table1 import table_text

    hide_loading_bars()
    with show_progress() as report:
        run_recipe(out, load_scale(scale), seed, report)
    table = jsonlib.loads((out / "table.json").read_text(encoding="utf-8"))
    if json:
        typer.echo(json_text(table, indent=2))
        return
    typer.echo(table_text(table["rows"]))
    typer.echo(f"\n{out / 'table.json'}\n{out / 'report.html'}")
