"""What an adapter returns, and the one call that runs an adapter by name.

An adapter is a module with `read(root, *, options...) -> Release`. A missing annotation file is an error that names the
file; a clip that is listed but not on disk, or a count that differs from the published one, is a warning, because
people often have only part of a release. Nothing is guessed: what a release does not state stays None.
"""

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import ValidationError, validate_call
from pydantic_core import ErrorDetails

from r1omni.core.clip import Clip
from r1omni.core.counted import counted
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.datasets.adapters import ADAPTERS

_NAMED_CLIPS = 3


@dataclass(frozen=True)
class Release:
    """The clips of a release that are on disk."""

    clips: list[Clip]
    """In an order that depends only on the release; paths are absolute."""
    warnings: list[str]
    """One sentence each: what is missing, differs or was left out."""


@dataclass(frozen=True)
class AdapterOption:
    """One option of an adapter's `read`."""

    name: str
    choices: tuple[str, ...]
    """Allowed values; empty for free ones."""
    default: object
    """None where there is no default."""
    meaning: str


def read_release(corpus: str, root: Path | str, /, **options: object) -> Release:
    """Run an adapter.

    Args:
        corpus: a key of `ADAPTERS`, with dashes or underscores.
        root: the release's folder, or its file if the adapter reads one.
        **options: the adapter's own; strings, as from a command line, are converted.

    Raises:
        ConfigError: there is no such adapter, or it lacks an option or cannot use its value.
        DatasetError: the release lacks a file or has an unexpected layout.
    """
    name = corpus.replace("-", "_")
    if name not in ADAPTERS:
        raise ConfigError(f"no adapter for {corpus!r}; known are {', '.join(ADAPTERS)}; for your own data use `table`")
    read = importlib.import_module(ADAPTERS[name]).read
    try:
        return validate_call(read)(Path(root), **options)
    except ValidationError as error:
        known = ", ".join(list(inspect.signature(read).parameters)[1:])
        wrong = "; ".join(_what_is_wrong(item) for item in error.errors())
        raise ConfigError(f"{name}: {wrong}; its options are {known or 'none'}") from error


def _what_is_wrong(fault: ErrorDetails) -> str:
    option = ".".join(map(str, fault["loc"]))
    if fault["type"] == "unexpected_keyword_argument":
        return f"there is no option {option}"
    return f"option {option} is {fault['input']!r}: {fault['msg']}"


def adapter_options(corpus: str) -> list[AdapterOption]:
    """List an adapter's own options, from the signature and docstring of its `read`.

    Args:
        corpus: a key of `ADAPTERS`.
    """
    read = importlib.import_module(ADAPTERS[corpus]).read
    meanings = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(read) or "", re.MULTILINE))
    options = []
    for name, parameter in list(inspect.signature(read).parameters.items())[1:]:
        is_choice = get_origin(parameter.annotation) is Literal
        choices = tuple(map(str, get_args(parameter.annotation))) if is_choice else ()
        default = None if parameter.default is inspect.Parameter.empty else parameter.default
        options.append(AdapterOption(name, choices, default, " ".join(meanings.get(name, "").split())))
    return options


def finish(
    corpus: str,
    root: Path,
    listed: Sequence[tuple[Clip, Path | None]],
    warnings: Iterable[str],
    example: str,
    option: str = "--root",
) -> Release:
    """Keep one of each clip that is on disk, and report missing and repeated ones.

    Args:
        corpus: its name in messages.
        root: where the clips were searched.
        listed: each listed clip with the file found for it, or None.
        warnings: the adapter's own.
        example: an expected file name, for the error when no clip was found.
        option: names the clips' folder on the command line.

    Raises:
        DatasetError: nothing is listed, or no listed clip is on disk.
    """
    notes = list(warnings)
    found = [replace(clip, path=path) for clip, path in listed if path is not None]
    missing = [clip.id for clip, path in listed if path is None]
    if not listed:
        raise DatasetError(f"{corpus}: the list contains no usable clip; {'; '.join(notes) or 'expected at least one'}")
    if not found:
        raise DatasetError(
            f"{corpus}: found none of {counted(len(listed), 'listed clip')} under {root}; expected files such as "
            f"{example} anywhere below it; unpack the clips there, or give their folder as {option}"
        )
    if missing:
        notes.append(
            f"{corpus}: {len(missing):,} of {counted(len(listed), 'listed clip')} not found under {root} and left "
            f"out: {_some(missing)}"
        )
    times = Counter(clip.id for clip in found)
    if twice := [name for name, count in times.items() if count > 1]:
        notes.append(
            f"{corpus}: {counted(len(twice), 'clip')} listed more than once, of which the first line was kept: "
            f"{_some(twice)}"
        )
    return Release(clips=list({clip.id: clip for clip in reversed(found)}.values())[::-1], warnings=notes)


def fold_split(fold_of_clip: int | None, fold: int | None) -> str | None:
    """Return the split of a clip for a chosen fold: test in its own fold, train otherwise.

    Args:
        fold_of_clip: the fold whose test part holds the clip.
        fold: the chosen fold; None gives no split.
    """
    if fold is None:
        return None
    return "test" if fold_of_clip == fold else "train"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_CLIPS:,} more" if len(names) > _NAMED_CLIPS else ""
    return ", ".join(names[:_NAMED_CLIPS]) + more
