"""`r1omni checkpoint`: lists a checkpoint's parts, converts published ones, and writes a folder for the hub."""

from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.options import (
    AudioOption,
    BaseOption,
    LicenceOption,
    RouterOption,
    VideoPoolingOption,
    VisionOption,
)

app = typer.Typer(help="Inspect, convert and publish checkpoints.", no_args_is_help=True, rich_markup_mode=None)

Source = Annotated[
    str, typer.Argument(metavar="PATH_OR_ID", help="A folder or a hub id (owner/name@revision).", show_default=False)
]


@app.command(epilog="Example: r1omni checkpoint inspect R1-Omni-0.5B --router bert-base-uncased")
def inspect(
    source: Source,
    vision: VisionOption = None,
    audio: AudioOption = None,
    router: RouterOption = None,
    base: BaseOption = None,
    video_pooling: VideoPoolingOption = None,
    values: Annotated[
        bool, typer.Option("--values", help="Also read every weight, and report NaN and infinity.")
    ] = False,
) -> None:
    """List a checkpoint's parts and the problems that keep it from loading.

    Exits with 1 if there are problems.
    """
    from r1omni.model.inspect_checkpoint import inspect_checkpoint
    from r1omni.model.stored_answer_format import answer_format_of

    report = inspect_checkpoint(
        source,
        vision=vision,
        audio=audio,
        router=router,
        base=base,
        video_pooling=video_pooling,
        reads_values=values,
    )
    typer.echo(f"{report.folder}: {report.layout} layout")
    if report.adapter is not None:
        typer.echo(f"{report.adapter}: LoRA adapter of it, changes {report.num_adapted} tensors")
    for part in report.parts:
        files = ", ".join(part.files) or "nowhere"
        typer.echo(f"  {part.name:<16}{part.num_parameters:>15,}  {', '.join(part.dtypes):<18}{files}")
    typer.echo(f"  {'not read':<16}{report.num_unread_parameters:>15,}")
    frames = report.config.num_frames
    tokens = report.config.num_video_tokens(frames)
    typer.echo(f"  video pooling   {report.config.video_pooling}: {frames} frames become {tokens:,} tokens")
    typer.echo(f"  answer format   {answer_format_of(source, base=base)}")
    typer.echo(f"  values          {'read' if values else 'not read: --values checks them for NaN and infinity'}")
    for problem in report.problems:
        typer.echo(f"problem: {problem}", err=True)
    raise typer.Exit(int(bool(report.problems)))


@app.command(
    epilog="Example: r1omni checkpoint convert R1-Omni-0.5B --out checkpoints/r1-omni --router bert-base-uncased"
)
def convert(
    source: Source,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.", show_default=False)],
    vision: VisionOption = None,
    audio: AudioOption = None,
    router: RouterOption = None,
    base: BaseOption = None,
    video_pooling: VideoPoolingOption = None,
) -> None:
    """Convert a published checkpoint, or a LoRA adapter and its base, to one self-contained folder."""
    from r1omni.model.convert_checkpoint import convert_checkpoint

    typer.echo(
        convert_checkpoint(
            source, out, vision=vision, audio=audio, router=router, base=base, video_pooling=video_pooling
        )
    )


@app.command(
    epilog="Example: r1omni checkpoint card runs/rlvr --scores runs/dfew --license cc-by-nc-4.0 --out hub/my-model"
)
def card(
    run: Annotated[
        Path, typer.Argument(help="The folder of a finished training run, or a model's.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.", show_default=False)],
    license: LicenceOption,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an evaluation of this model, with scores.json; repeatable.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The model's name. [default: the name of --out]", show_default=False)
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(
            help="Hub id of the model it was trained from. [default: what the run started from, if that is a hub id]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a model and its model card into a folder that the Hugging Face hub takes as it is."""
    from r1omni.model.publish_checkpoint import publish_checkpoint

    folder = publish_checkpoint(run, out, licence=license, scores=scores or (), name=name, base=base_model)
    typer.echo(folder)
    typer.echo(f"Read {folder / 'README.md'}, then: hf upload OWNER/{name or out.name} {folder}", err=True)
