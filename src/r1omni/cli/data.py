"""`r1omni data`: a release on disk becomes a manifest; manifests are checked and counted."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import typer

from r1omni.cli.listing import PASS_ON, listing
from r1omni.config.load import split_flags
from r1omni.datasets import ADAPTERS

app = typer.Typer(help="Make, check and count manifests.", no_args_is_help=True, rich_markup_mode=None)


def _adapter_verb(corpus: str) -> Callable[..., None]:
    def make_manifest(
        context: typer.Context,
        root: Annotated[Path, typer.Option(help="The release as it was unpacked.", show_default=False)],
        out: Annotated[Path, typer.Option(help="The manifest to write.", show_default=False)],
    ) -> None:
        from r1omni.datasets.manifest import write_manifest
        from r1omni.datasets.release import read_release

        release = read_release(corpus, root, **dict(split_flags(context.args)))
        for warning in release.warnings:
            typer.echo(f"warning: {warning}", err=True)
        write_manifest(out, release.clips)
        typer.echo(f"{out}: {len(release.clips):,} clips")

    make_manifest.__doc__ = f"Write the manifest of {corpus}."
    return make_manifest


def adapter_options(corpus: str) -> Iterator[tuple[str, str]]:
    """List an adapter's own options with their meaning, from the signature and docstring of its `read`.

    Args:
        corpus: a key of `ADAPTERS`.
    """
    read = importlib.import_module(ADAPTERS[corpus]).read
    meanings = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(read) or "", re.MULTILINE))
    for name, parameter in list(inspect.signature(read).parameters.items())[1:]:
        choices = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
        value = "|".join(map(str, choices)) or "VALUE"
        default = "" if parameter.default in (None, inspect.Parameter.empty) else f" [default: {parameter.default}]"
        yield f"--{name.replace('_', '-')} {value}", " ".join(meanings.get(name, "").split()) + default


for _corpus in ADAPTERS:
    _name = _corpus.replace("_", "-")
    app.command(
        _name,
        epilog=f"Example: r1omni data {_name} --root {_name}/ --out {_name}.jsonl",
        cls=listing("Options of this corpus", partial(adapter_options, _corpus)),
        context_settings=PASS_ON,
    )(_adapter_verb(_corpus))
