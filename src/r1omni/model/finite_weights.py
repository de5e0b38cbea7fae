"""Weights that are not numbers: found right after loading, at the cost of one sum per tensor on the model's device.

A sum is finite unless a value is not, or the sum itself overflows; only then is each value looked at.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from r1omni.core.errors import CheckpointError


def check_weights(model: nn.Module, stored: Mapping[str, Tensor], place_of: Callable[[str], str]) -> None:
    """Raise if a weight is NaN or infinite, in the file or in the number format it was loaded in.

    Args:
        model: the loaded model.
        stored: the tensors by parameter name, in the number format of the file.
        place_of: called with a parameter's name; says where it is stored.

    Raises:
        CheckpointError: a value is not finite.
    """
    loaded = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    bad = not_finite(loaded)
    if not bad:
        return
    name = bad[0]
    origin = stored[name] if name in stored else loaded[name]
    if bool(torch.isfinite(origin).all()):
        kind = str(loaded[name].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{name} has values up to {float(origin.abs().max()):.3g}, which {kind} cannot hold. Load it in another "
            "number format: --dtype bfloat16 or --dtype float32."
        )
    raise CheckpointError(sentence(name, origin, place_of(name), len(bad)))


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that hold NaN or infinity.

    Args:
        tensors: floating-point tensors by name, on one device.
    """
    if not tensors:
        return []
    sums = torch.stack([tensor.sum().float() for tensor in tensors.values()])
    suspects = [name for name, fine in zip(tensors, torch.isfinite(sums).tolist(), strict=True) if not fine]
    return [name for name in suspects if not bool(torch.isfinite(tensors[name]).all())]


def sentence(name: str, tensor: Tensor, place: str, num_bad: int) -> str:
    """Say which weights are not numbers.

    Args:
        name: of the first of the tensors.
        tensor: its values.
        place: where it is stored.
        num_bad: tensors with such values.
    """
    num_values = int((~torch.isfinite(tensor)).sum())
    what = "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
    others = f" So do {num_bad - 1} more tensors." if num_bad > 1 else ""
    return (
        f"{name} in {place} holds {what} in {num_values:,} of {tensor.numel():,} values.{others} Such a model answers "
        "nothing: use an earlier checkpoint of the run that saved it, or download it again."
    )
