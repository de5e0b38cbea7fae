"""What identifies a tower: its weights, and the settings that change what the same weights give.

    fingerprint = SHA-256(settings | name, shape, number format and bytes of every tensor)

Hashing gigabytes takes seconds, so the result is remembered with the files that the weights were loaded from. Weights
can change after loading, in ways that leave no trace; so what is remembered is asked for with a checksum of the weights
as they are now, which runs at the speed of memory and never leaves the device.
"""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from r1omni.infer.features import Side
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.runs.file_hashes import FileHashes, FileStamp

_COLUMNS = 256
"""Sums per tensor: any change of one number, and nearly any swap of two, changes one of them."""


def fingerprint_towers(model: HumanOmniForConditionalGeneration, hashes: FileHashes) -> dict[Side, str]:
    """Return what identifies both towers of a model, with the settings that their weights do not tell.

    Args:
        model: names and shapes of its towers' tensors tell their depths and widths.
        hashes: remembers the fingerprints with the files that the model was loaded from.
    """
    config, files = model.config, model.weights_files
    vision, audio = config.vision, config.audio
    pictures = [vision.num_attention_heads, vision.hidden_act, vision.layer_norm_eps, vision.patch_size]
    sound = [audio.encoder_attention_heads, audio.activation_function, audio.scale_embedding]
    return {
        "pictures": tower_fingerprint(model.vision_tower, repr(pictures), files, hashes),
        "sound": tower_fingerprint(model.audio_tower, repr(sound), files, hashes),
    }


def tower_fingerprint(tower: nn.Module, settings: str, files: Sequence[FileStamp], hashes: FileHashes) -> str:
    """Return what identifies a tower, remembered where its weights came from files.

    Args:
        tower: the tower, on any device.
        settings: everything else that shapes what it gives.
        files: those that its weights were loaded from, as they were then; empty hashes the weights themselves.
        hashes: remembers it.
    """
    name = f"tower|{settings}|{_checksum(tower)}" if files else ""
    return hashes.derived(name, files, lambda: _hash(tower, settings))


def weights_state(tower: nn.Module) -> tuple[tuple[int, int], ...]:
    """Return what changes when a tower's tensors are replaced or written to; it costs next to nothing.

    Writes through `Tensor.data` do not show.

    Args:
        tower: the tower.
    """
    # Tensors made in inference mode count no versions; nothing may write to them either.
    return tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in _tensors(tower))


def _hash(tower: nn.Module, settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, tensor in tower.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checksum(tower: nn.Module) -> str:
    state = tower.state_dict()
    digest = hashlib.sha256(repr([(name, tuple(t.shape), str(t.dtype)) for name, t in state.items()]).encode())
    sums = [_sums(tensor.detach()) for tensor in state.values()]
    if sums:
        digest.update(torch.cat(sums).cpu().numpy().data)
    return digest.hexdigest()


def _sums(tensor: Tensor) -> Tensor:
    """Sums of a tensor's bits, read as 64-bit integers, over every `_COLUMNS`-th: exact, so the same on any device."""
    numbers = tensor.contiguous().flatten()
    if numbers.storage_offset() * numbers.element_size() % 8:
        numbers = numbers.clone()
    per_integer = 8 // numbers.element_size()
    whole = len(numbers) // per_integer * per_integer
    integers = numbers[:whole].view(torch.int64)
    rows = len(integers) // _COLUMNS * _COLUMNS
    rest = numbers[whole:].view(torch.uint8).long()
    return torch.cat([integers[:rows].view(-1, _COLUMNS).sum(0), integers[rows:], rest])


def _tensors(tower: nn.Module) -> Iterable[Tensor]:
    yield from tower.parameters()
    yield from tower.buffers()
