"""Finds the files of a release by name, anywhere under its root.

The folder is walked once. A clip is found by its name without the extension; a name that is a number is found with and
without leading zeros, since releases pad the same id differently. Hidden files are skipped: macOS archives contain a
`._name` for every clip. A folder of pictures counts as a clip of kind `frames` under the folder's name.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from r1omni.core.counted import counted
from r1omni.core.errors import DatasetError
from r1omni.media.folder import PICTURE_SUFFIXES

MediaKind = Literal["video", "audio", "frames"]

_VIDEO = "mp4 avi mkv mov webm flv m4v mpg mpeg wmv 3gp 3g2 ts mts m2ts ogv gif vob asf mxf f4v divx rm rmvb"
_AUDIO = "wav mp3 flac m4a ogg opus aac wma aiff aif aifc oga amr ac3 mka caf au wv ape m4b mp2 spx"
_KIND_OF_SUFFIX: dict[str, MediaKind] = {
    **{f".{suffix}": "video" for suffix in _VIDEO.split()},
    **{f".{suffix}": "audio" for suffix in _AUDIO.split()},
}


def media_kind(name: str) -> Literal["video", "audio", "image"] | None:
    """Return the kind of a file by its extension; None if it is not a video, sound or picture.

    Args:
        name: the file's name.
    """
    suffix = os.path.splitext(name)[1].lower()
    kind = _KIND_OF_SUFFIX.get(suffix)
    if kind is not None and kind != "frames":
        return kind
    return "image" if suffix in PICTURE_SUFFIXES else None


class Tree:
    """Every file under a release's root, by name.

    Args:
        root: the folder; links to folders are followed.

    Raises:
        DatasetError: the root is not a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.ambiguous: dict[str, list[Path]] = {}
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder; give the release's folder as --root")
        self._media: dict[str, list[tuple[MediaKind, Path]]] = {}
        self._files: dict[str, list[Path]] = {}
        self._pictures: list[Path] = []
        self._by_name: dict[str, list[Path]] = {}
        seen: set[str] = set()
        for folder, folders, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            self._add(Path(folder), sorted(name for name in names if not name.startswith(".")))

    def _add(self, folder: Path, names: list[str]) -> None:
        pictures = False
        for name in names:
            stem, suffix = os.path.splitext(name)
            self._by_name.setdefault(name.lower(), []).append(folder / name)
            kind = _KIND_OF_SUFFIX.get(suffix.lower())
            if kind is not None:
                self._media.setdefault(_key(stem), []).append((kind, folder / name))
            elif suffix.lower() in PICTURE_SUFFIXES:
                pictures = True
                self._pictures.append(folder / name)
            else:
                self._files.setdefault(name.lower(), []).append(folder / name)
        if pictures and folder != self.root:
            self._media.setdefault(_key(folder.name), []).append(("frames", folder))
            self._by_name.setdefault(folder.name.lower(), []).append(folder)

    def clips(self, kinds: Sequence[MediaKind] = ("video", "audio")) -> Iterator[tuple[str, Path]]:
        """Yield every media file as (name without extension, path), sorted by path.

        Args:
            kinds: what to yield.
        """
        found = [path for files in self._media.values() for kind, path in files if kind in kinds]
        for path in sorted(found):
            yield path.name if path.is_dir() else path.stem, path

    def pictures(self) -> list[Path]:
        """Return every still image, sorted by path, including those in a clip's folder of pictures."""
        return sorted(self._pictures)

    def others(self) -> list[Path]:
        """Return every file that is neither video, sound nor picture by its extension, sorted by path."""
        return sorted(path for paths in self._files.values() for path in paths)

    def named(self, name: str) -> list[Path]:
        """Return the files, and folders of pictures, of exactly this name, or else those that differ in case only.

        Args:
            name: the file's name with its extension.
        """
        found = self._by_name.get(name.lower(), [])
        return [path for path in found if path.name == name] or found

    def with_stem(self, stem: str) -> list[Path]:
        """Return the media files and folders of pictures of this name, whatever their extension.

        Args:
            stem: the name without an extension; a number is found with and without leading zeros.
        """
        return [path for _, path in self._media.get(_key(stem), ())]

    def clip(
        self,
        name: str,
        *,
        kinds: Sequence[MediaKind] = ("video",),
        prefer: Sequence[str] = (),
        within: Sequence[str] = (),
        parent: str | None = None,
    ) -> Path | None:
        """Find one clip; None if it is not under the root.

        If several files fit equally well, the first path in alphabetical order is taken, and `ambiguous` records them.

        Args:
            name: the clip's name, with or without a media extension.
            kinds: allowed kinds, best first.
            prefer: parts of folder names, best first, that decide between several files.
            within: if given, some folder above the file must contain one of these words.
            parent: if given, the file's folder must have this name.
        """
        stem, suffix = os.path.splitext(name)
        key = _key(stem if suffix.lower() in _KIND_OF_SUFFIX else name)
        ranked: list[tuple[tuple[int, int], Path]] = []
        for kind, path in self._media.get(key, ()):
            folders = [part.lower() for part in path.relative_to(self.root).parts[:-1]]
            if parent is not None and path.parent.name != parent:
                continue
            if kind in kinds and (not within or any(word in part for word in within for part in folders)):
                order = next((i for i, word in enumerate(prefer) if any(word in part for part in folders)), len(prefer))
                ranked.append(((list(kinds).index(kind), order), path))
        if not ranked:
            return None
        ranked.sort()
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            self.ambiguous[name] = [path for rank, path in ranked if rank == ranked[0][0]]
        return ranked[0][1]

    def warnings(self) -> list[str]:
        """Return warnings about clips found more than once."""
        if not self.ambiguous:
            return []
        name, paths = next(iter(self.ambiguous.items()))
        return [
            f"{counted(len(self.ambiguous), 'clip')} found more than once under {self.root}; the first path was taken: "
            f"{name} is {', '.join(str(path.relative_to(self.root)) for path in paths[:3])}"
        ]

    def find(self, *names: str, within: Sequence[str] = ()) -> Path | None:
        """Find an annotation file by its published names, the shallowest first; None if it is not under the root.

        Args:
            *names: file names, best first; case does not matter.
            within: folder names that must occur above the file, in this order.
        """
        for name in names:
            fits = [path for path in self._files.get(name.lower(), ()) if self._under(path, within)]
            if fits:
                return min(fits, key=lambda path: (len(path.parts), path))
        return None

    def require(self, *names: str, purpose: str, within: Sequence[str] = ()) -> Path:
        """Find an annotation file.

        Args:
            *names: file names, best first.
            purpose: its content and where to get it, for the error.
            within: folder names that must occur above the file, in this order.

        Raises:
            DatasetError: the file is not under the root.
        """
        path = self.find(*names, within=within)
        if path is None:
            wanted = " or ".join("/".join([*within, name]) for name in names)
            raise DatasetError(f"{self.root}: found no {wanted}; expected {purpose}")
        return path

    def all_files(self, suffix: str, within: Sequence[str] = ()) -> list[Path]:
        """Return every non-media file with this extension, sorted.

        Args:
            suffix: the extension with its dot.
            within: folder names that must occur above the file, in this order.
        """
        found = [path for paths in self._files.values() for path in paths if path.suffix.lower() == suffix]
        return sorted(path for path in found if self._under(path, within))

    def _under(self, path: Path, within: Sequence[str]) -> bool:
        folders = iter(part.lower() for part in path.relative_to(self.root).parts[:-1])
        return all(any(part == word.lower() for part in folders) for word in within)


def _key(stem: str) -> str:
    stem = stem.strip().lower()
    return (stem.lstrip("0") or "0") if stem.isdecimal() else stem
