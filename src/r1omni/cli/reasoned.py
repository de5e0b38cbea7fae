"""`r1omni data mix | template | annotations | validate`: reasoned examples for a cold start."""

from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.options import AnswerFormatOption, LabelsOption, split_labels
from r1omni.core.counted import counted

Manifest = Annotated[Path, typer.Argument(help="A manifest.", show_default=False)]
Out = Annotated[Path, typer.Option(help="The manifest to write.", show_default=False)]


def mix(
    emer: Annotated[Path, typer.Argument(help="Manifest of EMER.", show_default=False)],
    own: Annotated[Path, typer.Argument(help="Manifest of your own reasoned examples.", show_default=False)],
    out: Out,
    num_emer: Annotated[int, typer.Option(min=0, help="Examples drawn from the first.")] = 232,
    num_own: Annotated[int, typer.Option(min=0, help="Examples drawn from the second.")] = 348,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the draw and the order.")] = 0,
) -> None:
    """Draw a cold start from two manifests; the paper's mix by default."""
    from r1omni.datasets import reasoned_examples
    from r1omni.datasets.manifest import read_manifest, write_manifest

    clips = reasoned_examples.mix(
        read_manifest(emer), read_manifest(own), num_emer=num_emer, num_own=num_own, seed=seed
    )
    write_manifest(out, clips)
    typer.echo(f"{out}: {counted(len(clips), 'clip')}")


def template(
    manifest: Manifest,
    out: Annotated[Path, typer.Option(help="The table to write: .csv or .xlsx.", show_default=False)],
    labels: LabelsOption = None,
) -> None:
    """Write a table in which annotators enter each clip's label and reasoning."""
    from r1omni.core.labels import EMOTIONS
    from r1omni.datasets.manifest import read_manifest
    from r1omni.datasets.reasoned_examples import write_template

    write_template(out, read_manifest(manifest), split_labels(labels) or EMOTIONS)
    typer.echo(out)


def annotations(
    manifest: Manifest,
    table: Annotated[Path, typer.Option(help="The completed table.", show_default=False)],
    out: Out,
) -> None:
    """Join a completed table with the manifest it was made from."""
    from r1omni.datasets.manifest import read_manifest, write_manifest
    from r1omni.datasets.reasoned_examples import read_annotations

    release = read_annotations(table, read_manifest(manifest))
    for warning in release.warnings:
        typer.echo(f"warning: {warning}", err=True)
    write_manifest(out, release.clips)
    typer.echo(f"{out}: {counted(len(release.clips), 'clip')}")


def validate(manifest: Manifest, labels: LabelsOption = None, answer_format: AnswerFormatOption = None) -> None:
    """List the problems of reasoned examples; exits with 1 if there are any."""
    from r1omni.core.answer_format import PAPER_FORMAT, AnswerFormat
    from r1omni.core.labels import EMOTIONS
    from r1omni.datasets import reasoned_examples
    from r1omni.datasets.manifest import read_manifest

    problems = reasoned_examples.validate(
        read_manifest(manifest),
        labels=split_labels(labels) or EMOTIONS,
        answer_format=PAPER_FORMAT if answer_format is None else AnswerFormat.spelled(answer_format),
    )
    for problem in problems:
        typer.echo(f"{problem['id']}: {problem['kind']}: {problem['message']}")
    raise typer.Exit(int(bool(problems)))


EXAMPLES = {
    mix: "r1omni data mix emer.jsonl own.jsonl --out cold-start.jsonl",
    template: "r1omni data template own.jsonl --out annotate.xlsx",
    annotations: "r1omni data annotations own.jsonl --table annotate.xlsx --out reasoned.jsonl",
    validate: "r1omni data validate reasoned.jsonl",
}
"""Verb of this file -> an example of its use."""
