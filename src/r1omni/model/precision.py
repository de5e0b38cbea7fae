"""The device of this process, and the number format that it computes fastest in."""

import os
from typing import Literal

import torch

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


def best_device() -> torch.device:
    """Return this process's GPU (`LOCAL_RANK` says which), or the CPU."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else _CPU


def dtype_on(device: torch.device, dtype: torch.dtype | DtypeName) -> torch.dtype:
    """Return a number format by its name.

    Args:
        device: where the model will run.
        dtype: `auto` chooses the one that the device computes fastest in.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    return best_dtype(device) if dtype == "auto" else getattr(torch, dtype)


def best_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """Return bfloat16 if the device supports it in hardware, else float16 on a GPU and float32 on a CPU.

    Args:
        device: where the model will run.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if kind == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return torch.bfloat16
    return torch.float32


_CPU = torch.device("cpu")
