"""`r1omni evaluate`: manifests -> predictions.jsonl -> scores.json."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from r1omni.cli.build import INSTRUCTIONS, LABEL_SETS, build_engine, greedy_texts, label_set, load_for_use
from r1omni.cli.options import Answers, ModalityOption
from r1omni.cli.progress import show_progress
from r1omni.config.sections import EngineSection

EXAMPLE = "r1omni evaluate --model runs/r1-omni/model --data dfew.jsonl --fold 1 --out runs/dfew-1"


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint: a folder or a hub id.", show_default=False)],
    data: Annotated[list[Path], typer.Option(help="A manifest; may be given again.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Run folder; with several manifests, one folder each in it.")],
    fold: Annotated[int | None, typer.Option(help="Only the test part of this fold.", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default=False)] = None,
    labels: Annotated[
        Literal["auto", "dfew", "mafw", "ravdess", "all", "open"],
        typer.Option(help="Label set; auto takes the smallest that holds the gold labels, open has none."),
    ] = "auto",
    normaliser: Annotated[
        Literal["exact", "synonym"], typer.Option(help="What is done to an answer before it is compared.")
    ] = "exact",
    answers: Answers = "reasoning",
    modality: ModalityOption = "auto",
    by: Annotated[list[str] | None, typer.Option(help="Also score by this field; may be given again.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips answered at a time.")] = 32,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens an answer may have.")] = 512,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run in --out stopped.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Answer every clip of a manifest and score the answers.

    A clip that cannot be read is recorded with its error, and the count of errors stands beside every metric.
    """
    from r1omni.config.record import run_facts
    from r1omni.datasets.manifest import manifest_hash, read_manifest
    from r1omni.evaluate.run import evaluate as run_evaluation

    engine = build_engine(*load_for_use(model), EngineSection(batch_size=batch_size, modality=modality))
    generate = greedy_texts(engine, INSTRUCTIONS[answers], max_new_tokens)
    results: dict[str, Any] = {}
    with show_progress() as report:
        for manifest in data:
            clips = [
                clip
                for clip in read_manifest(manifest)
                if (fold is None or clip.fold == fold) and (split is None or clip.split == split)
            ]
            known = None if labels == "open" else LABEL_SETS.get(labels) or label_set(clips)
            name = str(manifest)
            results[name] = run_evaluation(
                generate,
                clips,
                known,
                out_dir=out if len(data) == 1 else out / manifest.parent.name / manifest.stem,
                normaliser=normaliser,
                batch_size=batch_size,
                resume=resume,
                manifest_hash=manifest_hash(manifest),
                instruction=INSTRUCTIONS[answers],
                model=model,
                facts=run_facts(),
                group_by=by or (),
                on_progress=lambda done, total, name=name: report(name, done / total),
            )
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, scores in results.items():
        typer.echo(f"{name}: {summary(scores)}")


def summary(scores: dict[str, Any]) -> str:
    """Put the headline numbers of scores.json in a line; a metric over nothing is shown as a dash.

    Args:
        scores: what an evaluation returned.
    """
    numbers = ((key, scores.get(key)) for key in ("war", "uar", "oov_rate", "format_rate", "hit_rate") if key in scores)
    told = ", ".join(f"{key} {'-' if value is None else f'{value:.2f}'}" for key, value in numbers)
    return f"{told} ({scores['num_scored']} of {scores['num_clips']} clips scored, {scores['num_errors']} unreadable)"
