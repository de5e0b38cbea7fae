"""`r1omni checkpoint`: lists a checkpoint's parts, converts published ones, and writes a folder for the hub."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1omni.cli.options import (
    Answers,
    AudioOption,
    BaseOption,
    LicenceOption,
    RouterOption,
    VideoPoolingOption,
    VisionOption,
)
from r1omni.core.json_text import json_text

if TYPE_CHECKING:
    from r1omni.infer.engine import Engine

app = typer.Typer(
    help="Inspect, convert, calibrate and publish checkpoints.", no_args_is_help=True, rich_markup_mode=None
)

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
    temperature, lapse_rate = report.config.label_temperature, report.config.label_lapse_rate
    typer.echo(f"  probabilities   of labels: temperature {temperature:g}, lapse rate {lapse_rate:g}")
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


@app.command(epilog="Example: r1omni checkpoint calibrate runs/rlvr/model dfew.jsonl --split val")
def calibrate(
    model: Annotated[Path, typer.Argument(help="The model's folder; only its settings change.", show_default=False)],
    data: Annotated[
        list[Path], typer.Argument(help="Manifests of clips that it was not trained on.", show_default=False)
    ],
    split: Annotated[
        str | None, typer.Option(help="Only this split. [default: every clip]", show_default=False)
    ] = None,
    answers: Answers = "reasoning",
    label_errors: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of the gold labels that is wrong, as annotators' agreement tells."),
    ] = 0.0,
    base: BaseOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Calibrate label probabilities on labelled clips, and keep the result in the model's settings.

    Probabilities then are about as often right as they say on clips like these. Answers, weights and the order of
    labels stay as they are.
    """
    from r1omni.cli.progress import hide_loading_bars
    from r1omni.config.sections import EngineSection
    from r1omni.evaluate.label_calibration import calibrate_checkpoint
    from r1omni.infer.engine import build_engine
    from r1omni.model.load_model import load_model

    def load() -> "Engine":
        hide_loading_bars()
        return build_engine(*load_model(str(model), base=base, device="auto"), EngineSection())

    fitted = calibrate_checkpoint(model, data, load, split=split, answers=answers, label_errors=label_errors)
    if json:
        typer.echo(json_text(asdict(fitted), indent=2))
        return
    typer.echo(f"temperature {fitted.temperature:g}, lapse rate {fitted.lapse_rate:g}, kept in {model}")
    typer.echo(f"{fitted.num_clips} clips, {fitted.num_errors} unreadable, {fitted.accuracy:.1%} answered rightly")
    typer.echo(f"mean confidence {fitted.mean_confidence_before:.1%} before, {fitted.mean_confidence:.1%} now")
    typer.echo(f"expected calibration error {fitted.ece_before:.1%} before, {fitted.ece:.1%} now")


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
