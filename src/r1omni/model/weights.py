"""Safetensors folders: which file has which tensor, read from headers alone, with errors that a user can act on.

No pickle is ever loaded, and no file outside the folder is opened. Prefixes that wrappers of training put before every
name (DDP and DeepSpeed `module.`, torch.compile `_orig_mod.`, FSDP) are taken off.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PureWindowsPath
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from r1omni.core.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SHARD = re.compile(r"model-(\d+)-of-(\d+)\.safetensors")
"""A shard's number and how many there are."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_TRAINERS_OWN = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state)\b.*|rng_state.*")
"""Pickles of a trainer that hold no weights."""
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_POINTER = b"version https://git-lfs"
_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
DOWNLOAD = "Download the folder again, for example with `hf download REPO --local-dir FOLDER`."
FETCH = "Fetch the file itself with `git lfs pull`."


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


def is_pointer(path: Path) -> bool:
    """Return whether a file is a Git LFS pointer, a few lines in place of the content.

    Args:
        path: a file.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:  # whoever reads the content says why it cannot be read
        return False


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: the purpose of the file, for the error.

    Raises:
        CheckpointError: the file is missing or does not hold a JSON object.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; it is {what}. {DOWNLOAD}")
    if is_pointer(path):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the file itself; it is {what}. {FETCH}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); it is {what}. Make it readable.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}); it is {what}. {DOWNLOAD}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds a {type(found).__name__}; expected a JSON object: it is {what}.")
    return found


def read_inventory(folder: Path) -> dict[str, Stored]:
    """Return every tensor of a folder by its name, without the prefixes of wrappers; only headers are read.

    Args:
        folder: holds `model.safetensors`, or shards and their index.

    Raises:
        CheckpointError: weights are missing, truncated, pickled, quantised, or not where the index says.
    """
    if (folder / INDEX).is_file():
        return _unwrapped(_read_shards(folder))
    if (folder / SINGLE).is_file():
        return _unwrapped(read_header(folder / SINGLE))
    raise CheckpointError(no_weights(folder))


def has_weights(folder: Path) -> bool:
    """Return whether a folder has weights, whole or not, that `read_inventory` looks at.

    Args:
        folder: a folder.
    """
    return (folder / INDEX).is_file() or (folder / SINGLE).is_file()


def no_weights(folder: Path) -> str:
    """Say what a folder without `model.safetensors` and without an index holds instead, and what to do.

    Args:
        folder: the folder.
    """
    wanted = f"expected {SINGLE}, or shards and {INDEX}"
    if states := _named(folder, "global_step*", "pytorch_model_fsdp*", "distributed_checkpoint", "*.distcp"):
        tool = (
            f"`python {folder / 'zero_to_fp32.py'} {folder} OUT --safe_serialization`"
            if states[0].startswith("global_step")
            else f"`accelerate merge-weights {folder / states[0]} OUT`"
        )
        return (
            f"{folder} holds {states[0]}, weights spread over the processes of a training run; {wanted}. Merge them "
            f"where they were trained: {tool}, then copy {SINGLE} to {folder}."
        )
    if shards := [name for name in _named(folder, "model-*.safetensors") if SHARD.fullmatch(name)]:
        return (
            f"{folder} holds {_list(shards)} but no {INDEX}, which says what is in which shard"
            f"{_absent_shards(shards)}. Download the index too, from where the shards came from."
        )
    if quantised := _named(folder, "*.gguf"):
        return (
            f"{folder} holds {_list(quantised)}, in llama.cpp's format, which has the language model without the "
            f"towers; {wanted}. Name the original release."
        )
    if pickles := [name for name in _named(folder, *_PICKLES) if not _TRAINERS_OWN.fullmatch(name)]:
        return (
            f"{folder} holds {_list(pickles)}, a pickle, which can run code when it is opened; {wanted}. Convert it "
            f"where you trust it: torch.load(..., weights_only=True), then safetensors.torch.save_file to {SINGLE}."
        )
    if others := _named(folder, "*.safetensors"):
        return f"{folder} holds {_list(others)}; {wanted}. If that is the whole model, rename it to {SINGLE}."
    if others := _named(folder, "*.h5", "*.msgpack", "*.onnx", "*.npz"):
        return f"{folder} holds {_list(others)}, of another framework; {wanted}. Name the original PyTorch release."
    return f"{folder} holds no weights; {wanted}. {DOWNLOAD}"


def _named(folder: Path, *patterns: str) -> list[str]:
    return sorted({path.name for pattern in patterns for path in folder.glob(pattern)})


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _absent_shards(names: Sequence[str]) -> str:
    found = [match for name in names if (match := SHARD.fullmatch(name))]
    total, width = int(found[0][2]), len(found[0][1])
    absent = sorted(set(range(1, total + 1)) - {int(match[1]) for match in found})
    if not absent:
        return ""
    name = f"model-{absent[0]:0{width}d}-of-{found[0][2]}.safetensors"
    return f", and {len(absent)} of the {total} shards are missing, the first is {name}"


def _read_shards(folder: Path) -> dict[str, Stored]:
    places = read_json(folder / INDEX, "the list of shards").get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / INDEX} has no weight_map; expected key -> shard. {DOWNLOAD}")
    for key, name in places.items():
        if not isinstance(name, str) or _leaves(name):
            raise CheckpointError(
                f"{folder / INDEX} puts {key} into {name!r}; expected the name of a file in that folder. Nothing "
                f"outside it is read. {DOWNLOAD}"
            )
    shards = sorted(set(places.values()))
    absent = [name for name in shards if not (folder / name).is_file()]
    if absent:
        keys = [key for key, shard in places.items() if shard == absent[0]]
        more = f" So are {len(absent) - 1} more of {len(shards)} shards." if len(absent) > 1 else ""
        raise CheckpointError(
            f"{folder / absent[0]} is missing; {INDEX} puts {keys[0]} and {len(keys) - 1} more there.{more} {DOWNLOAD}"
        )
    inventory: dict[str, Stored] = {}
    for name in shards:
        inventory.update(read_header(folder / name))
    lost = [key for key in places if key not in inventory]
    if lost:
        raise CheckpointError(
            f"{folder / places[lost[0]]} lacks {lost[0]}, which {INDEX} puts there ({len(lost)} in all). {DOWNLOAD}"
        )
    return inventory


def _leaves(name: str) -> bool:
    """Whether a name leads out of its folder, read as a POSIX or as a Windows path."""
    path = PureWindowsPath(name)
    return not path.name or bool(path.anchor) or ".." in path.parts


def _unwrapped(inventory: dict[str, Stored]) -> dict[str, Stored]:
    found = {_WRAPPERS.sub("", key): stored for key, stored in inventory.items()}
    while found and all(key.startswith("module.") for key in found):
        found = {key.removeprefix("module."): stored for key, stored in found.items()}
    return found


def read_header(path: Path) -> dict[str, Stored]:
    """Return the tensors of one safetensors file by their keys; only the header is read.

    Args:
        path: the file.

    Raises:
        CheckpointError: it is a Git LFS pointer, truncated or quantised.
    """
    if is_pointer(path):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the weights. {FETCH}")
    try:
        with safe_open(path, "pt") as tensors:
            slices = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118
            found = {k: Stored(k, path, tuple(s.get_shape()), str(s.get_dtype())) for k, s in slices.items()}
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise CheckpointError(f"{path} ({size} bytes) is truncated or damaged: {error}. {DOWNLOAD}") from error
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
