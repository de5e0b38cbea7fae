"""The processes of a run: how they start, and what they tell each other."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs, PartialState
from accelerate.utils import gather_object, patch_environment

from r1omni.core.errors import ConfigError
from r1omni.train import zero3

_PATIENCE = timedelta(hours=4)
"""How long processes wait for one that validates, or encodes its share of the clips."""


def start_processes(mixed_precision: str) -> Accelerator:
    """Join the run's processes.

    A clip may lack pictures or sound, so that a part of the model gets no gradient in one process: looked for.

    Raises:
        ConfigError: a way of sharding that the loops cannot take, or processes that accelerate does not join.
    """
    way = asked_sharding()
    if way == "zero3":
        zero3.check_settings()
    if way == "fsdp2" and os.environ.get("FSDP_VERSION") != "2":
        raise ConfigError("accelerate was asked for FSDP version 1; only version 2 works: set fsdp_version: 2.")
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True), InitProcessGroupKwargs(timeout=_PATIENCE)]
    # accelerate's own way with DeepSpeed steps within the backward pass; to it, these are ordinary processes.
    with patch_environment(ACCELERATE_USE_DEEPSPEED="false"):
        accelerator = Accelerator(mixed_precision=mixed_precision, kwargs_handlers=handlers)
    num_started = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != num_started:
        raise ConfigError(
            f"{num_started} processes were started, but accelerate joins processes by their GPUs, and this one found "
            "none: each would train alone into the same folder. Start one process per GPU, or set "
            "ACCELERATE_USE_CPU=true to train on CPUs."
        )
    return accelerator


def asked_sharding() -> Literal["fsdp2", "zero3"] | None:
    """The way of sharding that accelerate's launcher, or the user, asked for in the environment."""
    asked = {name for name in ("DEEPSPEED", "FSDP") if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true"}
    return "zero3" if "DEEPSPEED" in asked else "fsdp2" if asked else None


def sum_over(accelerator: Accelerator, *values: float) -> list[float]:
    """Sum each value over the processes."""
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    total: Any = accelerator.reduce(tensor)
    return total.tolist()


def gather_rows(processes: Accelerator | PartialState, rows: Sequence[Any]) -> list[Any]:
    """Put the rows of all processes into one list, the same on every process."""
    return list(rows) if processes.num_processes == 1 else gather_object(list(rows))
