"""Safetensors folders: which file has which tensor, read from headers alone, with errors that a user can act on.

No pickle is ever loaded.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from r1omni.core.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_POINTER = b"version https://git-lfs"
_DOWNLOAD = "Download the folder again, for example with `hf download REPO --local-dir FOLDER`."


@dataclass(frozen=True)
class Stored:
    """One tensor on disk."""

    key: str
    """Its name in the file."""
    file: Path
    shape: tuple[int, ...]
    dtype: str
    """As safetensors names it: BF16, F16, F32."""

    @property
    def num_parameters(self) -> int:
        """Numbers in the tensor."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return self.num_parameters * _FLOATS[self.dtype]


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: the purpose of the file, for the error.

    Raises:
        CheckpointError: the file is missing or does not hold a JSON object.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; it is {what}. {_DOWNLOAD}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}); it is {what}. {_DOWNLOAD}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds a {type(found).__name__}; expected a JSON object: it is {what}.")
    return found


def read_inventory(folder: Path) -> dict[str, Stored]:
    """Return every tensor of a folder by its key; only headers are read.

    Args:
        folder: holds `model.safetensors`, or shards and their index.

    Raises:
        CheckpointError: weights are missing, truncated, pickled, quantised, or not where the index says.
    """
    if (folder / INDEX).is_file():
        return _read_shards(folder)
    if (folder / SINGLE).is_file():
        return _read_header(folder / SINGLE)
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when it is opened; expected {SINGLE}. "
            "Convert it where you trust it: torch.load(..., weights_only=True), then safetensors.torch.save_file."
        )
    raise CheckpointError(f"{folder} holds no weights; expected {SINGLE} or {INDEX}. {_DOWNLOAD}")


def _read_shards(folder: Path) -> dict[str, Stored]:
    places = read_json(folder / INDEX, "the list of shards").get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / INDEX} has no weight_map; expected key -> shard. {_DOWNLOAD}")
    inventory: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        path = folder / name
        if not path.is_file():
            keys = [key for key, shard in places.items() if shard == name]
            raise CheckpointError(
                f"{path} is missing; {INDEX} puts {keys[0]} and {len(keys) - 1} more there. {_DOWNLOAD}"
            )
        inventory.update(_read_header(path))
    lost = [key for key in places if key not in inventory]
    if lost:
        raise CheckpointError(
            f"{folder / places[lost[0]]} lacks {lost[0]}, which {INDEX} puts there ({len(lost)} in all). {_DOWNLOAD}"
        )
    return inventory


def _read_header(path: Path) -> dict[str, Stored]:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(f"{path} is a Git LFS pointer, not the weights. Fetch them: `git lfs pull`.")
    try:
        with safe_open(path, "pt") as tensors:
            slices = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118
            found = {k: Stored(k, path, tuple(s.get_shape()), str(s.get_dtype())) for k, s in slices.items()}
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise CheckpointError(f"{path} ({size} bytes) is truncated or damaged: {error}. {_DOWNLOAD}") from error
    for stored in found.values():
        if stored.dtype not in _FLOATS and "position_ids" not in stored.key:
            raise CheckpointError(
                f"{stored.key} in {path} is {stored.dtype}; expected one of {', '.join(_FLOATS)}. Quantised "
                "checkpoints are not supported: use the original."
            )
    return found


def reading_order(wanted: Iterable[Stored]) -> list[Stored]:
    """Order tensors so that every file is opened once.

    Args:
        wanted: the tensors.
    """
    return sorted(wanted, key=lambda stored: (str(stored.file), stored.key))


def read_tensors(wanted: Iterable[Stored]) -> Iterator[tuple[Stored, Tensor]]:
    """Yield tensors one at a time, file by file.

    Args:
        wanted: the tensors.
    """
    for file, group in groupby(reading_order(wanted), key=lambda stored: stored.file):
        with safe_open(file, "pt") as tensors:
            for stored in group:
                yield stored, tensors.get_tensor(stored.key)
