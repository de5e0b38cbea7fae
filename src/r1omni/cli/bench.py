"""`r1omni bench`: what this machine does with the parts that take the time."""

import json as jsonlib
from typing import Annotated

import typer

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command(epilog="Example: r1omni bench media --repeats 10")
def media(
    clip_seconds: Annotated[float, typer.Option(min=0.5, help="Length of the made clip, seconds.")] = 5.0,
    repeats: Annotated[int, typer.Option(min=1, help="Readings that are timed.")] = 20,
    json: Json = False,
) -> None:
    """Read one made clip with every reader that is installed."""
    from r1omni.media.bench import bench_media

    results = bench_media(clip_seconds=clip_seconds, repeats=repeats)
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, row in results.items():
        memory = "" if row["peak_memory_mib"] is None else f"{row['peak_memory_mib']:8.0f} MiB"
        sound = "" if row["reads_sound"] else "  pictures only"
        typer.echo(f"{name:<12}{row['clips_per_s']:8.1f} clips/s{1000 * row['median_s']:9.1f} ms{memory}{sound}")
