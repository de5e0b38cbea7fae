"""Seconds, floating-point operations and memory of a piece of work, and the machine's own rate of matrix products."""

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

RATE_ROWS = {"cpu": 2**11, "cuda": 2**14}
"""Rows of the products that the machine's rate is measured with: enough to saturate it."""


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    seconds: float
    operations: int
    """Of products and attention; a multiply-add counts as two, and a causal mask halves the count."""


def measure(run: Callable[[], Any], device: torch.device, repeats: int = 1) -> Cost:
    """Time a piece of work and count its operations.

    Args:
        run: the work, the same every time.
        device: where it runs.
        repeats: runs; the fastest counts.
    """
    seconds, counter = [], OperationCounter()
    for _ in range(repeats):
        gc.collect()
        counter.operations = 0
        synchronise(device)
        started_s = time.perf_counter()
        with counter:
            run()
        synchronise(device)
        seconds.append(time.perf_counter() - started_s)
    return Cost(min(seconds), counter.operations)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class OperationCounter(TorchDispatchMode):
    """Counts operations of products, convolutions and attention as they are dispatched.

    torch's own counter leaves out attention on a CPU, does not halve causal attention, and slows decoding on one core
    by a fifth.
    """

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and add its operations."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        name = packet.__name__
        if "_scaled_dot_product_" in name:
            backward = name.endswith("backward")
            query, key, value = args[1:4] if backward else args[:3]
            count = 2 * query.shape[:-1].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])
            # Backward: the scores again, and a product for each of four gradients, where forward has two.
            count = 5 * count // 2 if backward else count
            self.operations += count // 2 if _is_causal(func, args, kwargs) else count
        elif packet in flop_registry:
            self.operations += flop_registry[packet](*args, **kwargs, out_val=out)
        return out


def _is_causal(func: Any, args: Any, kwargs: Any) -> bool:
    if "is_causal" in kwargs:
        return bool(kwargs["is_causal"])
    names = [argument.name for argument in func._schema.arguments]
    place = names.index("is_causal") if "is_causal" in names else len(args)
    return bool(args[place]) if place < len(args) else False


def matmul_rate(like: Tensor, inner: int, outer: int) -> float:
    """Return the operations per second that this machine reaches in plain matrix products.

    Args:
        like: a weight; its number format and device are used.
        inner: the narrow side of the language model's products.
        outer: the wide side.
    """
    num_rows = RATE_ROWS.get(like.device.type, RATE_ROWS["cuda"])
    rows = torch.randn(num_rows, inner, device=like.device, dtype=like.dtype)
    weight = torch.randn(outer, inner, device=like.device, dtype=like.dtype)
    seconds = []
    for _ in range(8):
        synchronise(like.device)
        started_s = time.perf_counter()
        for _ in range(5):
            functional.linear(rows, weight)
        synchronise(like.device)
        seconds.append((time.perf_counter() - started_s) / 5)
    return 2 * num_rows * inner * outer / min(seconds)


def start_peak(device: torch.device) -> bool:
    """Reset the peak of memory; return false if the system does not report it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that torch freed counts as resident until it is returned
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return False
    return True


def read_peak(device: torch.device) -> int:
    """Return the peak bytes in use, of the process or of the device."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status_bytes("VmHWM")


def bytes_in_use(device: torch.device) -> int | None:
    """Return the bytes in use; None if the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status_bytes("VmRSS") if Path("/proc/self/status").exists() else None


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0
