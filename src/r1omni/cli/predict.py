"""`r1omni predict`: a model's answers to clips, for people or as JSON."""

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from r1omni.cli.options import (
    AnswerFormatOption,
    Answers,
    AudioOption,
    BaseOption,
    DtypeOption,
    LikeOfficialOption,
    ModalityOption,
    RouterOption,
    TextFieldOption,
    VideoPoolingOption,
    VisionOption,
    WhisperOption,
    WindowsOption,
    check_text_field,
)
from r1omni.cli.progress import hide_loading_bars
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import instruction_for
from r1omni.core.json_text import json_text
from r1omni.core.probability_text import probability_text

if TYPE_CHECKING:
    from r1omni.infer.predict_files import Prediction

SHOWN_LABELS = 5
"""Number of labels shown to people, the most probable ones; JSON has all."""
BAR_CELLS = 24
WINDOWS_HINT = "With --windows a clip is answered to its end, in windows of the length that the model hears."

EXAMPLE = "r1omni predict interview.mp4 call.wav --model runs/reproduce/stages/r1-omni/model"


def predict(
    clips: Annotated[list[Path], typer.Argument(help="Files with pictures, sound or both.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint: a folder or a hub id (owner/name@revision). [default: the bundled model]",
            show_default=False,
        ),
    ] = None,
    modality: ModalityOption = "auto",
    windows: WindowsOption = False,
    answers: Answers = "reasoning",
    answer_format: AnswerFormatOption = None,
    vision: VisionOption = None,
    audio: AudioOption = None,
    router: RouterOption = None,
    base: BaseOption = None,
    dtype: DtypeOption = "auto",
    video_pooling: VideoPoolingOption = None,
    like_official: LikeOfficialOption = False,
    text_field: TextFieldOption = "none",
    whisper: WhisperOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Name the emotion that a clip shows, and why.

    Exits with 1 if a clip could not be read; the others are still answered.
    """
    from r1omni.infer.predict_files import BUNDLED_NOTE, PREDICT_SETTINGS, load_engine, predict_files

    check_text_field(text_field, whisper)
    if text_field == "manifest":
        raise ConfigError("--text-field manifest: files have no manifest; choose subtitles or transcript")
    hide_loading_bars()
    engine = load_engine(
        model,
        PREDICT_SETTINGS.model_copy(
            update={
                "modality": modality,
                "video_pooling": video_pooling,
                "answer_format": answer_format,
                "text_field": text_field,
                "whisper": whisper,
            }
        ),
        vision=vision,
        audio=audio,
        router=router,
        base=base,
        dtype=dtype,
        like_official=like_official,
    )
    if not json:
        typer.echo(f"Number format: {str(engine.model.dtype).removeprefix('torch.')}.", err=True)
    predictions = []
    instruction = instruction_for(answers, engine.answer_format)
    for prediction in predict_files(engine, clips, instruction=instruction, in_windows=windows):
        predictions.append(prediction)
        if not json and prediction.error is None:
            _show(prediction)
        if prediction.error is not None:
            typer.echo(f"r1omni: {prediction.error}", err=True)
        elif prediction.note is not None:
            typer.echo(prediction.note, err=True)
    if json:
        typer.echo(json_text({"clips": [prediction.record() for prediction in predictions]}, indent=2))
    if not windows and any(prediction.read.is_partly_heard for prediction in predictions):
        typer.echo(WINDOWS_HINT, err=True)
    if model is None:
        typer.echo(BUNDLED_NOTE, err=True)
    raise typer.Exit(int(any(prediction.error for prediction in predictions)))


def _show(prediction: "Prediction") -> None:
    """Print a prediction: coloured bars on a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    likeliest = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:SHOWN_LABELS]
    answer = shorten(prediction.answer or "no answer: the tags are broken", 60, placeholder=" ...")
    spans = _spans(prediction)
    console = Console(highlight=False)
    if not console.is_terminal:
        typer.echo(f"{prediction.path}: {answer}")
        typer.echo(f"  reasoning: {' '.join((prediction.reasoning or 'none').split())}")
        typer.echo(f"  reasons: {_fit(prediction)}")
        typer.echo("  probabilities: " + ", ".join(f"{label} {probability_text(share)}" for label, share in likeliest))
        if spans:
            typer.echo(f"  windows: {spans}")
        typer.echo(f"  read: {prediction.read.summary()}")
        return
    console.print(Text.assemble((str(prediction.path), "bold"), "  ", (answer, "bold green")), soft_wrap=True)
    if prediction.reasoning:
        console.print(Padding(Text(prediction.reasoning, style="italic"), (0, 0, 0, 2)))
        console.print(Text(f"  The reasons {_fit(prediction)}.", style="dim"))
    for label, share in likeliest:
        filled = round(share * BAR_CELLS)
        bar = Text.assemble(("█" * filled, "green"), ("░" * (BAR_CELLS - filled), "dim"))
        console.print(Text.assemble(f"  {label:<13}", bar, f" {probability_text(share):>6}"))
    if spans:
        console.print(Text(f"  {spans}", style="dim"))
    console.print(Text(f"  {prediction.read.summary()}; answered in {prediction.seconds:.2f} s\n", style="dim"))


def _fit(prediction: "Prediction") -> str:
    if prediction.reasoning is None:
        return "are missing"
    fit = prediction.fit
    if fit.implied.label is None:
        return "imply no clear emotion"
    return f"imply {fit.implied.label}, {'as' if fit.agrees else 'other than'} the answer"


def _spans(prediction: "Prediction") -> str:
    """Return the answer to each window, where there are several, and from which the reasons are."""
    if len(prediction.windows) < 2:
        return ""
    return ", ".join(
        f"{window.start_s:.1f} to {window.stop_s:.1f} s {window.answer or 'no answer'}"
        + (" (these reasons)" if number == prediction.answer_window else "")
        for number, window in enumerate(prediction.windows)
    )
