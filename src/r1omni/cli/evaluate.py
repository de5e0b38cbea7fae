"""`r1omni evaluate`: manifests -> predictions.jsonl -> scores.json, and the page that shows them."""

import json as jsonlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from r1omni.cli.build import build_engine, greedy_texts, load_for_use
from r1omni.cli.options import Answers, ModalityOption, VideoPoolingOption
from r1omni.cli.progress import show_progress
from r1omni.cli.report import summary, write_report
from r1omni.config.sections import EngineSection
from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError
from r1omni.core.instruction import INSTRUCTIONS
from r1omni.core.labels import LABEL_SETS, label_set

if TYPE_CHECKING:
    from r1omni.infer.engine import Engine

EXAMPLE = "r1omni evaluate --model runs/r1-omni/model --data dfew.jsonl --fold 1 --out runs/dfew-1"


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint: a folder or a hub id.", show_default=False)],
    data: Annotated[list[Path], typer.Option(help="A manifest; may be given again.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Run folder; with several manifests, one folder each in it.")],
    fold: Annotated[int | None, typer.Option(help="Only the test part of this fold.", show_default=False)] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default=False)] = None,
    labels: Annotated[
        Literal["auto", "dfew", "mafw", "ravdess", "all", "manifest", "open"],
        typer.Option(
            help="Label set; auto takes the smallest that holds the gold labels, or the manifest's own (compound "
            "classes); open has none and scores sets of words."
        ),
    ] = "auto",
    normaliser: Annotated[
        Literal["exact", "synonym"], typer.Option(help="What is done to an answer before it is compared.")
    ] = "exact",
    answers: Answers = "reasoning",
    modality: ModalityOption = "auto",
    video_pooling: VideoPoolingOption = None,
    by: Annotated[list[str] | None, typer.Option(help="Also score by this field; may be given again.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips answered at a time.")] = 32,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens an answer may have.")] = 512,
    shown: Annotated[
        int, typer.Option(min=0, help="Best and worst clips each that report.html shows; 0 spares the pass for them.")
    ] = 3,
    shard: Annotated[
        str, typer.Option(help="I/N: answer every N-th clip, from the I-th (0 first); the last of N processes joins.")
    ] = "0/1",
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run in --out stopped.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Answer every clip of a manifest and score the answers.

    A clip that cannot be read is recorded with its error, and the count of errors stands beside every metric. The model
    is only loaded where answers are missing: a finished run is scored and shown again at once.
    """
    from r1omni.datasets.manifest import manifest_hash, read_manifest
    from r1omni.evaluate.picks import keep_picks
    from r1omni.evaluate.predictions import read_predictions
    from r1omni.evaluate.run import evaluate as run_evaluation
    from r1omni.runs.record import run_facts

    part = _shard(shard)

    @cache
    def engine() -> "Engine":
        return build_engine(
            *load_for_use(model, video_pooling),
            EngineSection(batch_size=batch_size, modality=modality, video_pooling=video_pooling),
        )

    def generate(batch: list[Clip]) -> list[Any]:
        return greedy_texts(engine(), INSTRUCTIONS[answers], max_new_tokens)(batch)

    results: dict[str, Any] = {}
    folders: list[Path] = []
    with show_progress() as report:
        for manifest in data:
            every = read_manifest(manifest)
            clips = [
                clip for clip in every if (fold is None or clip.fold == fold) and (split is None or clip.split == split)
            ]
            if not clips:
                raise ConfigError(f"{manifest}: holds no clip of fold {fold}, split {split}; mend --fold or --split")
            # The whole manifest's labels: one fold of a compound set need not hold all of its classes.
            known = _label_set(labels, every)
            name, folder = str(manifest), out if len(data) == 1 else out / manifest.parent.name / manifest.stem
            digest = manifest_hash(manifest)
            results[name] = run_evaluation(
                generate,
                clips,
                known,
                out_dir=folder,
                normaliser=normaliser,
                batch_size=batch_size,
                resume=resume,
                manifest_hash=digest,
                instruction=INSTRUCTIONS[answers],
                model=model,
                facts=run_facts(manifest_hashes={name: digest})
                | {
                    "manifest": str(manifest.resolve()),
                    "corpus": ", ".join(sorted({clip.corpus or manifest.stem for clip in clips})),
                    "fold": fold,
                    "split": split,
                    "labels": known,
                },
                group_by=by or (),
                shard=part,
                on_progress=lambda done, total, name=name: report(name, done / total),
            )
            if results[name] is None:
                continue
            folders.append(folder)
            if shown and known is not None:
                said = read_predictions(folder / "predictions.jsonl")
                keep_picks(
                    folder,
                    clips,
                    said,
                    lambda some, texts, known=known: engine().label_probabilities(
                        some, INSTRUCTIONS[answers], texts, known
                    ),
                    shown,
                )
    if folders and len(folders) == len(data):
        write_report(folders, out / "report.html")
    if json:
        typer.echo(jsonlib.dumps(results, indent=2))
        return
    for name, scores in results.items():
        typer.echo(f"{name}: {'other shards are still at work' if scores is None else summary(scores)}")


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ConfigError(f"--shard: found {text!r}, expected I/N such as 0/4")
    return int(index), int(count)


def _label_set(labels: str, clips: list[Clip]) -> tuple[str, ...] | None:
    if labels == "open":
        return None
    if labels == "manifest":
        return tuple(sorted({clip.label for clip in clips if clip.label is not None}))
    return LABEL_SETS.get(labels) or label_set(clips)
