"""`r1omni data`: releases to manifests, and tools that check and count manifests."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli import reasoned
from r1omni.cli.listing import PASS_ON, listing
from r1omni.cli.options import LabelsOption, LicenceOption, split_labels
from r1omni.cli.progress import show_progress
from r1omni.config.load import split_flags
from r1omni.core.counted import counted
from r1omni.core.json_text import json_text
from r1omni.datasets.adapters import ADAPTERS

app = typer.Typer(help="Write, check and count manifests.", no_args_is_help=True, rich_markup_mode=None)


def _adapter_verb(corpus: str) -> Callable[..., None]:
    def make_manifest(
        context: typer.Context,
        root: Annotated[Path, typer.Option(help="Folder of the unpacked release.", show_default=False)],
        out: Annotated[Path, typer.Option(help="The manifest to write.", show_default=False)],
    ) -> None:
        from r1omni.datasets.manifest import write_manifest
        from r1omni.datasets.release import read_release

        release = read_release(corpus, root, **dict(split_flags(context.args)))
        for warning in release.warnings:
            typer.echo(f"warning: {warning}", err=True)
        write_manifest(out, release.clips)
        typer.echo(f"{out}: {counted(len(release.clips), 'clip')}")

    make_manifest.__doc__ = f"Write the manifest of {corpus}."
    return make_manifest


def _flags(corpus: str) -> Iterator[tuple[str, str]]:
    """List an adapter's own options as flags with their meaning."""
    from r1omni.datasets.release import adapter_options

    for option in adapter_options(corpus):
        default = "" if option.default is None else f" [default: {option.default}]"
        yield f"--{option.name.replace('_', '-')} {'|'.join(option.choices) or 'VALUE'}", option.meaning + default


for _corpus in ADAPTERS:
    _name = _corpus.replace("_", "-")
    app.command(
        _name,
        epilog=f"Example: r1omni data {_name} --root {_name}/ --out {_name}.jsonl",
        cls=listing("Options of this corpus", partial(_flags, _corpus)),
        context_settings=PASS_ON,
    )(_adapter_verb(_corpus))


@app.command(epilog="Example: r1omni data check dfew.jsonl --out checks/dfew")
def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest to check.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for check.json and the clean manifest.jsonl.", show_default=False)],
    labels: LabelsOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Decode every clip of a manifest and report errors, duplicates and suspicious clips.

    Exits with 1 if no clip is left.
    """
    from r1omni.datasets.check import check_file, check_text

    with show_progress() as progress:
        report = check_file(manifest, out, workers, labels=split_labels(labels), progress=progress)
    typer.echo(json_text(report, indent=2) if json else check_text(report).rstrip())
    raise typer.Exit(int(report["clean"] == 0))


@app.command(epilog="Example: r1omni data stats dfew.jsonl")
def stats(
    manifest: Annotated[Path, typer.Argument(help="The manifest to count.", show_default=False)],
    checked: Annotated[
        Path | None, typer.Option(help="check.json of `data check`, for durations.", show_default=False)
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the counts into this file.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Count a manifest: labels, splits, folds, languages, durations."""
    from r1omni.datasets.manifest import read_manifest
    from r1omni.datasets.stats import manifest_stats, read_durations, stats_svg, stats_text
    from r1omni.runs.files import write_text

    counted = manifest_stats(read_manifest(manifest), read_durations(checked) if checked else None)
    if svg is not None:
        write_text(svg, stats_svg(counted))
    typer.echo(json_text(counted, indent=2) if json else stats_text(counted).rstrip())


@app.command(epilog="Example: r1omni data card dfew.jsonl --license other --out README.md")
def card(
    manifest: Annotated[Path, typer.Argument(help="The manifest to describe.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The Markdown file to write.", show_default=False)],
    license: LicenceOption,
    name: Annotated[
        str | None, typer.Option(help="The data set's name. [default: the manifest's]", show_default=False)
    ] = None,
) -> None:
    """Write a manifest's dataset card, as the Hugging Face hub shows it; the clips are not copied."""
    from r1omni.datasets.dataset_card import dataset_card
    from r1omni.runs.files import write_text

    write_text(out, dataset_card(manifest, licence=license, name=name))
    typer.echo(out)


for _verb, _example in reasoned.EXAMPLES.items():
    app.command(epilog=f"Example: {_example}")(_verb)
