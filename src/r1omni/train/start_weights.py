"""Which weights a run starts from, for its identity: a checksum at the speed of memory, on whatever device.

    checksum = SHA-256(name, shape, number format, 256 sums of the bits of every tensor)

The sums are of integers and therefore exact: the same on every device, and any change of one number changes one of
them. New adapters are left out: they are drawn at random, and a resumed run draws them again before it loads its own.
"""

import hashlib

import torch
from torch import Tensor, nn

_COLUMNS = 256


def weights_checksum(model: nn.Module) -> str:
    """Return what tells a model's weights from others.

    Args:
        model: on any device, whole.
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if "lora_" not in name:
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(_sums(tensor.detach()).cpu().numpy().data)
    return digest.hexdigest()


def _sums(tensor: Tensor) -> Tensor:
    octets = tensor.contiguous().flatten().view(torch.uint8)
    padded = torch.nn.functional.pad(octets, (0, -len(octets) % (8 * _COLUMNS)))
    return padded.view(torch.int64).view(-1, _COLUMNS).sum(0)
