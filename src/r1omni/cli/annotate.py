"""`r1omni annotate`: an archive's clips -> shards of rows, resumable."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from r1omni.cli.options import (
    AnswerFormatOption,
    Answers,
    ClusterOption,
    DtypeOption,
    EngineOption,
    ModalityOption,
    VideoPoolingOption,
    WindowsOption,
    cluster_section,
    meaning,
    one_of_many,
    split_labels,
)
from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.config.annotation_run import AnnotationConfig
from r1omni.config.sections import EngineSection
from r1omni.core.errors import ConfigError
from r1omni.core.json_text import json_text
from r1omni.core.labels import LABEL_SETS

EXAMPLE = "r1omni annotate interviews/ --model models/r1-omni --labels mafw --format parquet --out runs/interviews"


def annotate(
    source: Annotated[str, typer.Argument(help=meaning(AnnotationConfig, "source"), show_default=False)],
    out: Annotated[Path, typer.Option(help=meaning(AnnotationConfig, "out"), show_default=False)],
    model: Annotated[str | None, typer.Option(help=meaning(AnnotationConfig, "model"), show_default=False)] = None,
    labels: Annotated[
        str,
        typer.Option(
            help=f"Label set of the probabilities: {', '.join(LABEL_SETS)}, or names separated by commas; open has "
            "none and takes answers in the model's own words."
        ),
    ] = "mafw",
    answers: Answers = "reasoning",
    answer_format: AnswerFormatOption = None,
    modality: ModalityOption = "auto",
    windows: WindowsOption = False,
    evidence: Annotated[bool, typer.Option("--evidence", help=meaning(AnnotationConfig, "evidence"))] = False,
    whisper: Annotated[str | None, typer.Option(help=meaning(AnnotationConfig, "whisper"), show_default=False)] = None,
    video_pooling: VideoPoolingOption = None,
    dtype: DtypeOption = "auto",
    format: Annotated[Literal["jsonl", "parquet"], typer.Option(help=meaning(AnnotationConfig, "format"))] = "jsonl",
    shard_clips: Annotated[int, typer.Option(min=1, help=meaning(AnnotationConfig, "shard_clips"))] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips answered together.")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help=meaning(AnnotationConfig, "max_new_tokens"))] = 512,
    part: Annotated[
        str, typer.Option(help="I/N: write every N-th shard, from the I-th (0 first); for N processes on one folder.")
    ] = "0/1",
    engine: EngineOption = "local",
    cluster: ClusterOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Answer every clip of an archive once, and keep the answers as shards of rows.

    Start the same command again after a kill: it goes on where it stopped. A clip that cannot be read is a row with its
    error. The columns are in docs/annotate.md.
    """
    run = AnnotationConfig(
        source=source,
        out=out,
        model=model,
        labels=_label_set(labels),
        answers=answers,
        windows=windows,
        evidence=evidence,
        whisper=whisper,
        max_new_tokens=max_new_tokens,
        format=format,
        shard_clips=shard_clips,
        part=one_of_many("--part", part),
        runner=engine,
        cluster=cluster_section(cluster),
        engine=EngineSection(
            batch_size=batch_size, modality=modality, video_pooling=video_pooling, answer_format=answer_format
        ),
    )
    from r1omni.infer.engine import Engine, build_engine
    from r1omni.infer.predict_files import BUNDLED_MODEL, BUNDLED_NOTE
    from r1omni.model.load_model import load_model
    from r1omni.scale.annotation import annotate as annotate_archive
    from r1omni.scale.ray_jobs import annotation_on_ray

    def load() -> Engine:
        hide_loading_bars()
        loaded = load_model(model or BUNDLED_MODEL, dtype=dtype, device="auto", video_pooling=video_pooling)
        return build_engine(*loaded, run.engine, keeps=False)

    with show_progress() as report:

        def on_progress(num_done: int, num_clips: int, num_failed: int) -> None:
            report("annotation", num_done / num_clips, f"{num_done:,} of {num_clips:,} clips, {num_failed:,} failed")

        summary = annotate_archive(run, load, on_progress, annotation_on_ray(run, load) if engine == "ray" else None)
    if json:
        typer.echo(json_text(summary, indent=2))
    elif summary is None:
        typer.echo(f"Shards of part {part} are written; other parts are still at work.")
    else:
        failures = ", ".join(f"{count:,} {kind}" for kind, count in summary["failures"].items()) or "none"
        typer.echo(f"{summary['num_clips']:,} clips in {len(summary['shards']):,} shards; failed: {failures}.")
        passed_over = ", ".join(f"{count:,} {suffix or 'without'}" for suffix, count in summary["passed_over"].items())
        if passed_over:
            typer.echo(f"Files passed over, by extension: {passed_over}.", err=True)
    if model is None:
        typer.echo(BUNDLED_NOTE, err=True)


def _label_set(text: str) -> tuple[str, ...] | None:
    if text == "open":
        return None
    if text in LABEL_SETS:
        return LABEL_SETS[text]
    labels = tuple(dict.fromkeys(split_labels(text) or ()))
    if len(labels) < 2:
        raise ConfigError(
            f"--labels: found {text!r}; expected {', '.join(LABEL_SETS)}, open, or at least two names separated by "
            "commas."
        )
    return labels
