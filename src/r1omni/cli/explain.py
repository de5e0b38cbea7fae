"""`r1omni explain`: why a model answered as it did, as a page or as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.options import (
    AnswerFormatOption,
    Answers,
    AudioOption,
    BaseOption,
    DtypeOption,
    LabelsOption,
    ModalityOption,
    RouterOption,
    TextFieldOption,
    VideoPoolingOption,
    VisionOption,
    check_text_field,
    split_labels,
)
from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import instruction_for
from r1omni.core.json_text import json_text
from r1omni.core.labels import MAFW_LABELS

EXAMPLE = "r1omni explain interview.mp4 --out interview.html --model runs/reproduce/stages/r1-omni/model"


def explain(
    clips: Annotated[list[Path], typer.Argument(help="Clips, or one manifest (.jsonl).", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write (.html) for one clip; folder with an index for several.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint: a folder or a hub id. [default: the bundled model]", show_default=False),
    ] = None,
    modality: ModalityOption = "auto",
    answers: Answers = "reasoning",
    answer_format: AnswerFormatOption = None,
    labels: LabelsOption = None,
    text_field: TextFieldOption = "none",
    whisper: Annotated[
        str | None,
        typer.Option(
            help="Whisper folder or hub id, for a transcript as evidence and as --text-field. [default: none]",
            show_default=False,
        ),
    ] = None,
    subtitles: Annotated[bool, typer.Option(help="Look for text in the pictures, the slowest part.")] = True,
    vision: VisionOption = None,
    audio: AudioOption = None,
    router: RouterOption = None,
    base: BaseOption = None,
    dtype: DtypeOption = "auto",
    video_pooling: VideoPoolingOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Show what an answer rests on, and check its reasons against what can be measured in the clip.

    Exits with 1 if a clip could not be read; the others are still explained.
    """
    chosen, is_manifest = _chosen(clips)
    is_page = out is not None and out.suffix.lower() in (".html", ".htm")
    if out is None and not json:
        raise ConfigError(f"Nothing would be written; name a page or a folder with --out, or ask for --json: {EXAMPLE}")
    if is_page and len(chosen) > 1:
        raise ConfigError(f"--out {out}: a page shows one clip, {len(chosen)} were given; name a folder")
    check_text_field(text_field, whisper if text_field == "transcript" else None)
    from r1omni.evidence.measure import ClipMeasurer
    from r1omni.explain.clip_pages import PageFolder, clip_page, explain_clips
    from r1omni.explain.explanation import Question
    from r1omni.infer.predict_files import BUNDLED_NOTE, PREDICT_SETTINGS, load_engine
    from r1omni.runs.files import write_text

    hide_loading_bars()
    engine = load_engine(
        model,
        PREDICT_SETTINGS.model_copy(
            update={
                "modality": modality,
                "video_pooling": video_pooling,
                "answer_format": answer_format,
                "text_field": text_field,
                "whisper": whisper if text_field == "transcript" else None,
            }
        ),
        vision=vision,
        audio=audio,
        router=router,
        base=base,
        dtype=dtype,
    )
    note = BUNDLED_NOTE if model is None else None
    question = Question(instruction_for(answers, engine.answer_format), split_labels(labels) or MAFW_LABELS)
    measurer = ClipMeasurer(whisper, read_subtitles=subtitles)
    title = f"Explained clips of {clips[0].name}" if is_manifest else "Explained clips"
    folder = None if out is None or is_page else PageFolder(out, title, note)
    records, failed = [], False
    with show_progress() as progress:
        for number, explained in enumerate(explain_clips(engine, measurer.measure, chosen, question), start=1):
            if explained.error is not None:
                failed = True
                typer.echo(f"r1omni: {explained.error}", err=True)
            if folder is not None:
                folder.add(explained)
            elif is_page and out is not None and explained.explanation is not None:
                write_text(out, clip_page(explained.explanation, note))
            records += [explained.to_json()] if json else []
            progress("explain", number / len(chosen))
    if folder is not None:
        out = folder.write_index()
    if json:
        typer.echo(json_text({"clips": records}, indent=2))
    elif not (is_page and failed):
        typer.echo(str(out))
    if note is not None:
        typer.echo(note, err=True)
    raise typer.Exit(int(failed))


def _chosen(paths: list[Path]) -> tuple[list[Clip], bool]:
    """Return the clips that the arguments name, and whether they are those of a manifest."""
    if paths[0].suffix.lower() != ".jsonl":
        return [Clip(id=path.stem, path=path.absolute()) for path in paths], False
    if len(paths) > 1:
        raise ConfigError(f"{paths[0]} is a manifest; give it alone, or clips")
    from r1omni.datasets.manifest import read_manifest

    found = read_manifest(paths[0])
    if not found:
        raise ConfigError(f"{paths[0]}: holds no clip; give a manifest with at least one line")
    return found, True
