"""`r1omni checkpoint`: what is in a checkpoint, and published ones as one self-contained folder."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Inspect and convert checkpoints.", no_args_is_help=True, rich_markup_mode=None)

Source = Annotated[str, typer.Argument(metavar="PATH_OR_ID", help="A folder or a hub id.", show_default=False)]
Vision = Annotated[
    str | None, typer.Option(help="SigLIP folder or hub id, where the checkpoint lacks its vision tower.")
]
Audio = Annotated[str | None, typer.Option(help="Whisper folder or hub id, where it lacks its audio tower.")]
Router = Annotated[str | None, typer.Option(help="BERT folder or hub id; a published checkpoint needs its vocabulary.")]


@app.command(epilog="Example: r1omni checkpoint inspect R1-Omni-0.5B --router bert-base-uncased")
def inspect(source: Source, vision: Vision = None, audio: Audio = None, router: Router = None) -> None:
    """List a checkpoint's parts, and whatever keeps it from loading.

    Exits with 1 when something does.
    """
    from r1omni.model.load_model import inspect_checkpoint

    report = inspect_checkpoint(source, vision=vision, audio=audio, router=router)
    typer.echo(f"{report.folder}: {report.layout} layout")
    for part in report.parts:
        files = ", ".join(part.files) or "nowhere"
        typer.echo(f"  {part.name:<16}{part.num_parameters:>15,}  {', '.join(part.dtypes):<18}{files}")
    typer.echo(f"  {'not read':<16}{report.num_unread_parameters:>15,}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}", err=True)
    raise typer.Exit(int(bool(report.problems)))


@app.command(
    epilog="Example: r1omni checkpoint convert R1-Omni-0.5B --out checkpoints/r1-omni --router bert-base-uncased"
)
def convert(
    source: Source,
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist.", show_default=False)],
    vision: Vision = None,
    audio: Audio = None,
    router: Router = None,
) -> None:
    """Write a published checkpoint as one self-contained folder."""
    from r1omni.model.load_model import convert_checkpoint

    typer.echo(convert_checkpoint(source, out, vision=vision, audio=audio, router=router))
