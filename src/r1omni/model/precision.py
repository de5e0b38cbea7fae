"""Which number format a machine computes this model best in."""

import torch


def best_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """Return bfloat16 where the device has units for it, else float16 on a GPU and float32 on a CPU.

    Args:
        device: where the model will run.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if kind == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return torch.bfloat16
    return torch.float32
