"""Converting: a published checkpoint, or adapters and their base, written as one self-contained folder.

Tensor by tensor, so that it needs the memory of one output shard and not of the model.
"""

import os
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import VideoPooling
from r1omni.model.finite_weights import not_finite, sentence
from r1omni.model.published_towers import Towers
from r1omni.model.read_checkpoint import Checkpoint, read_checkpoint
from r1omni.model.weights import INDEX, SINGLE, reading_order
from r1omni.runs.files import replaced_folder, sweep, write_json


def convert_checkpoint(
    path_or_id: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    vision: str | None = None,
    audio: str | None = None,
    router: str | None = None,
    base: str | None = None,
    video_pooling: VideoPooling | None = None,
    shard_bytes: int = 2 * 2**30,
) -> Path:
    """Write a published checkpoint, or adapters folded into their base, as one self-contained folder.

    The folder appears under its name only when it is complete. Stored values are not changed, but for weights that
    adapters change; unused tensors are left out.

    Args:
        path_or_id: a published folder, an adapter folder, or a hub id of one.
        out: the folder to write; it must not exist.
        vision: see `load_model`.
        audio: see `load_model`.
        router: see `load_model`.
        base: see `load_model`.
        video_pooling: see `load_model`; kept in the written configuration.
        shard_bytes: maximum size of an output file, and about the memory needed.

    Raises:
        CheckpointError: the checkpoint cannot be read, is ours already, holds NaN or infinity, or `out` exists.
        ConfigError: `base` is given for a checkpoint that is not an adapter.
    """
    target = Path(out)
    if target.exists():
        raise CheckpointError(f"{target} exists; convert writes a new folder. Remove it or name another with --out.")
    checkpoint = read_checkpoint(
        path_or_id, towers=Towers(vision, audio, router), base=base, video_pooling=video_pooling
    )
    if checkpoint.official is None and checkpoint.adapter is None:
        raise CheckpointError(
            f"{checkpoint.folder} is not a published HumanOmni folder: it has this package's own layout and needs no "
            "conversion. Name it as it is."
        )
    checkpoint.raise_problems()
    checkpoint.note_pooling()
    processor = checkpoint.processor()
    sweep(target.parent)
    with replaced_folder(target) as partial:
        checkpoint.config.save_pretrained(partial)
        checkpoint.generation_config(processor).save_pretrained(partial)
        processor.save_pretrained(partial)
        _write_shards(checkpoint, partial, shard_bytes)
    return target


def _write_shards(checkpoint: Checkpoint, folder: Path, shard_bytes: int) -> None:
    """Write tensors as they are read, starting a new file when the next one would not fit."""
    sizes = {name: stored.num_bytes for name, stored in checkpoint.sources.items()}
    names = {id(stored): name for name, stored in checkpoint.sources.items()}
    order = [names[id(stored)] for stored in reading_order(checkpoint.sources.values())]
    shards = _shards(sizes, order, shard_bytes)
    weight_map: dict[str, str] = {}
    tensors = checkpoint.tensors(keeps_dtype=True)
    for place, shard in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f"model-{place:05d}-of-{len(shards):05d}.safetensors"
        held: dict[str, Tensor] = {}
        for _ in shard:
            name, tensor = next(tensors)
            if not_finite({name: tensor}):
                raise CheckpointError(sentence(name, tensor, checkpoint.place_of(name), 1))
            held[name] = tensor.contiguous()
        save_file(held, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(held, file))
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": dict(sorted(weight_map.items()))}
        write_json(folder / INDEX, index, indent=2)


def _shards(sizes: dict[str, int], order: list[str], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name in order:
        if shards[-1] and filled + sizes[name] > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += sizes[name]
    return shards
