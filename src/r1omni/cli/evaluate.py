"""`r1omni evaluate`: manifests -> predictions.jsonl -> scores.json, and the page that shows them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from r1omni.cli.options import (
    AnswerFormatOption,
    Answers,
    ClusterOption,
    EngineOption,
    ModalityOption,
    TextFieldOption,
    VideoPoolingOption,
    WhisperOption,
    WindowsOption,
    check_text_field,
    cluster_section,
    meaning,
    one_of_many,
)
from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.cli.report import summary
from r1omni.config.evaluation_run import EvaluationConfig, LabelSetChoice
from r1omni.config.sections import EngineSection
from r1omni.core.json_text import json_text

EXAMPLE = "r1omni evaluate --model runs/r1-omni/model --data dfew.jsonl --fold 1 --out runs/dfew-1"


def evaluate(
    model: Annotated[str, typer.Option(help=meaning(EvaluationConfig, "model"), show_default=False)],
    data: Annotated[list[Path], typer.Option(help="A manifest; repeatable.", show_default=False)],
    out: Annotated[Path, typer.Option(help=meaning(EvaluationConfig, "out"))],
    fold: Annotated[int | None, typer.Option(help=meaning(EvaluationConfig, "fold"), show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help=meaning(EvaluationConfig, "split"), show_default=False)] = None,
    labels: Annotated[LabelSetChoice, typer.Option(help=meaning(EvaluationConfig, "labels"))] = "auto",
    normaliser: Annotated[
        Literal["exact", "synonym"], typer.Option(help=meaning(EvaluationConfig, "normaliser"))
    ] = "exact",
    answers: Answers = "reasoning",
    answer_format: AnswerFormatOption = None,
    modality: ModalityOption = "auto",
    windows: WindowsOption = False,
    video_pooling: VideoPoolingOption = None,
    text_field: TextFieldOption = "none",
    whisper: WhisperOption = None,
    by: Annotated[list[str] | None, typer.Option(help="Also score by this field; repeatable.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips per batch.")] = 32,
    max_new_tokens: Annotated[int, typer.Option(min=1, help=meaning(EvaluationConfig, "max_new_tokens"))] = 512,
    shown: Annotated[int, typer.Option(min=0, help=meaning(EvaluationConfig, "shown"))] = 3,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help=meaning(EvaluationConfig, "probabilities"))
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help=meaning(EvaluationConfig, "explain"))] = False,
    relied_on: Annotated[int, typer.Option(min=0, help=meaning(EvaluationConfig, "relied_on"))] = 128,
    shard: Annotated[
        str,
        typer.Option(
            help="I/N: answer every N-th clip, starting at the I-th (from 0); the last of N processes joins the shards."
        ),
    ] = "0/1",
    engine: EngineOption = "local",
    cluster: ClusterOption = None,
    resume: Annotated[bool, typer.Option(help="Resume an earlier run in --out.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Answer every clip of a manifest and score the answers.

    A clip that cannot be read is recorded with its error, and every metric is reported with the count of errors. The
    model is loaded only if answers are missing: a finished run is scored and shown again at once. A folder that holds
    another run (other weights, modality, limit, instruction or clips) is refused.
    """
    check_text_field(text_field, whisper)
    run = EvaluationConfig(
        model=model,
        data=tuple(data),
        out=out,
        fold=fold,
        split=split,
        labels=labels,
        normaliser=normaliser,
        answers=answers,
        windows=windows,
        group_by=tuple(by or ()),
        max_new_tokens=max_new_tokens,
        shown=shown,
        probabilities=probabilities,
        explain=explain,
        relied_on=relied_on,
        shard=one_of_many("--shard", shard),
        resume=resume,
        runner=engine,
        cluster=cluster_section(cluster),
        engine=EngineSection(
            batch_size=batch_size,
            modality=modality,
            video_pooling=video_pooling,
            answer_format=answer_format,
            text_field=text_field,
            whisper=whisper,
        ),
    )
    from r1omni.evaluate.manifests import evaluate_manifests
    from r1omni.explain.explained_corpus import corpus_explainer
    from r1omni.infer.engine import Engine, build_engine
    from r1omni.model.load_model import load_model
    from r1omni.scale.ray_jobs import evaluation_on_ray

    def load() -> Engine:
        hide_loading_bars()
        loaded = load_model(run.model, device="auto", video_pooling=run.engine.video_pooling)
        return build_engine(*loaded, run.engine)

    with show_progress() as report:
        elsewhere = evaluation_on_ray(run, load) if run.runner == "ray" else None
        results = evaluate_manifests(run, load, report, corpus_explainer(run.relied_on, whisper), elsewhere)
    if json:
        typer.echo(json_text(results, indent=2))
        return
    for name, scores in results.items():
        typer.echo(f"{name}: {'other shards are still at work' if scores is None else summary(scores)}")
