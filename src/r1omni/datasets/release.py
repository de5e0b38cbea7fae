"""What an adapter returns, and the one call that runs an adapter by name.

An adapter is a module with `read(root, *, options...) -> Release`. A missing annotation file is an error that names the
file; a clip that is listed but not on disk, or a count that differs from the published one, is a warning, because
people hold parts of a release. Nothing is guessed: what a release does not say stays None.
"""

import importlib
import inspect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from r1omni.core.clip import Clip
from r1omni.core.errors import ConfigError, DatasetError
from r1omni.datasets.adapters import ADAPTERS

_NAMED_CLIPS = 3


@dataclass(frozen=True)
class Release:
    """The clips of a release, as far as they are on disk."""

    clips: list[Clip]
    """In a fixed order that depends on the release alone; paths are absolute."""
    warnings: list[str]
    """One sentence each: what is missing, differs or was left out."""


def read_release(corpus: str, root: Path | str, /, **options: Any) -> Release:
    """Run an adapter.

    Args:
        corpus: a key of `ADAPTERS`; a dash may stand for the underscore.
        root: the release's folder, or its file where the adapter reads one.
        **options: the adapter's own; texts, as a command line gives them, are converted.

    Raises:
        ConfigError: no such adapter, or an option that it does not have or cannot use.
        DatasetError: the release lacks a file or is not laid out as expected.
    """
    name = corpus.replace("-", "_")
    if name not in ADAPTERS:
        raise ConfigError(f"no adapter for {corpus!r}; there are {', '.join(ADAPTERS)}; for your own data use `table`")
    read = importlib.import_module(ADAPTERS[name]).read
    try:
        return validate_call(read)(Path(root), **options)
    except ValidationError as error:
        known = ", ".join(list(inspect.signature(read).parameters)[1:])
        wrong = "; ".join(f"option {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{name}: {wrong}; options are {known or 'none'}") from error


def finish(
    corpus: str, root: Path, listed: Sequence[tuple[Clip, Path | None]], warnings: Iterable[str], example: str
) -> Release:
    """Keep the clips that are on disk and once, and say how many are not.

    Args:
        corpus: the corpus as it is written in sentences.
        root: where the clips were looked for.
        listed: every listed clip with the file that was found for it, or None.
        warnings: what the adapter has to say.
        example: the file name that was looked for, shown where no clip at all was found.

    Raises:
        DatasetError: nothing is listed, or no listed clip is on disk.
    """
    notes = list(warnings)
    found = [replace(clip, path=path) for clip, path in listed if path is not None]
    missing = [clip.id for clip, path in listed if path is None]
    if not listed:
        raise DatasetError(f"{corpus}: the list holds no usable clip; {'; '.join(notes) or 'expected at least one'}")
    if not found:
        raise DatasetError(
            f"{corpus}: none of the {len(listed):,} listed clips is under {root}; expected files such as {example} "
            "anywhere below it; unpack the clips there, or give their folder as --root"
        )
    if missing:
        notes.append(
            f"{corpus}: {len(missing):,} of {len(listed):,} listed clips are not under {root} and were left out: "
            f"{_some(missing)}"
        )
    times = Counter(clip.id for clip in found)
    if twice := [name for name, count in times.items() if count > 1]:
        notes.append(
            f"{corpus}: {len(twice):,} clips are listed more than once, the first line was kept: {_some(twice)}"
        )
    return Release(clips=list({clip.id: clip for clip in reversed(found)}.values())[::-1], warnings=notes)


def fold_split(fold_of_clip: int | None, fold: int | None) -> str | None:
    """Return the part a clip belongs to once a fold is chosen: test in its own fold, train otherwise.

    Args:
        fold_of_clip: the fold whose test part holds the clip.
        fold: the chosen fold; None chooses none, and no split is written.
    """
    if fold is None:
        return None
    return "test" if fold_of_clip == fold else "train"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_CLIPS:,} more" if len(names) > _NAMED_CLIPS else ""
    return ", ".join(names[:_NAMED_CLIPS]) + more
