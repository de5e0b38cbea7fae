"""Finds the files of a list whose paths were written on another machine.

An existing path is used as it is. Otherwise files of exactly that name are searched under the folder; of several, the
one whose folders agree best with the path's is taken: first by the longest common suffix of whole folder names, then by
the number of common folder names, then by depth. A remaining tie is an error that lists the candidates: a guess could
give a clip another clip's label.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from r1omni.core.counted import counted
from r1omni.core.errors import DatasetError
from r1omni.datasets.tree import Tree, media_kind

_NAMED = 3


def locate(given: Sequence[str], folder: Path) -> tuple[list[Path | None], list[str]]:
    """Find clips by the paths that a list gives; return the paths, None if no file fits, and warnings about them.

    Args:
        given: the paths, with slashes or backslashes, absolute or relative, with or without an extension.
        folder: the clips' folder; it is walked only if some path does not exist.

    Raises:
        DatasetError: several files fit one path equally well.
    """
    folder = Path(os.path.abspath(folder))
    paths = [_as_given(text, folder) for text in given]
    if all(paths):
        return paths, []
    tree = Tree(folder)
    other_extension: list[str] = []
    other_kind: list[tuple[str, Path]] = []
    ambiguous: list[tuple[str, list[Path]]] = []
    for place, text in enumerate(given):
        if paths[place] is not None:
            continue
        wanted = _parts(text)
        candidates = tree.named(wanted[-1]) if wanted else []
        if wanted and not candidates:
            candidates = _of_same_kind(tree, wanted[-1])
            if candidates and media_kind(wanted[-1]) is not None:
                other_extension.append(text)
            elif others := tree.with_stem(os.path.splitext(wanted[-1])[0]):
                other_kind.append((text, others[0])) if not candidates else None
        best = _best(candidates, wanted, folder)
        if len(best) > 1:
            ambiguous.append((text, best))
        paths[place] = best[0] if best else None
    if ambiguous:
        text, best = ambiguous[0]
        shown = ", ".join(str(path.relative_to(folder)) for path in best[:_NAMED])
        raise DatasetError(
            f"{counted(len(ambiguous), 'path')} under {folder} with several files that fit equally well: {text} may be "
            f"{shown}; write paths relative to that folder in the list, or give a folder with one of them as "
            "--media-root"
        )
    warnings = []
    if other_extension:
        warnings.append(
            f"{counted(len(other_extension), 'file')} found by name with another extension, {other_extension[0]} first"
        )
    if other_kind:
        text, path = other_kind[0]
        warnings.append(
            f"{counted(len(other_kind), 'path')} for which only a file of another kind has this name, {text} first "
            f"({path.relative_to(folder)} is there, and was not taken)"
        )
    return paths, warnings


def _as_given(text: str, folder: Path) -> Path | None:
    if not text.strip():
        return None
    relative = "/".join(_parts(text))
    for path in (Path(text), folder / text, folder / relative):
        if path.is_absolute() and (path.is_file() or path.is_dir()) and path != folder:
            return path
    return None


def _parts(text: str) -> list[str]:
    """Return the folder and file names of a path of any system, without drive and root."""
    return [
        part
        for part in PurePosixPath(text.strip().replace("\\", "/")).parts
        if part not in ("/", ".", "..") and part[-1:] != ":"
    ]


def _of_same_kind(tree: Tree, name: str) -> list[Path]:
    """Return files of the same name with another extension, of the same kind if the name has an extension."""
    kind = media_kind(name)
    stem = os.path.splitext(name)[0] if kind is not None else name
    return [path for path in tree.with_stem(stem) if kind is None or media_kind(path.name) == kind]


def _best(candidates: Sequence[Path], wanted: Sequence[str], folder: Path) -> list[Path]:
    """Return the candidates that agree best with a path; several if they agree equally well."""
    above = [part.lower() for part in wanted[:-1]]
    ranked: dict[Path, tuple[int, int, int]] = {}
    for path in candidates:
        parents = [part.lower() for part in path.relative_to(folder).parts[:-1]]
        ending = 0
        for one, other in zip(reversed(parents), reversed(above), strict=False):
            if one != other:
                break
            ending += 1
        ranked[path] = (ending, len(set(parents) & set(above)), -len(parents))
    if not ranked:
        return []
    top = max(ranked.values())
    return sorted(path for path, rank in ranked.items() if rank == top)
