"""What the processes of a run tell each other, and what all of them share."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object

Validate = Callable[[Any], dict[str, float]]
"""Model -> named metrics, higher is better."""


def start_processes(mixed_precision: str) -> Accelerator:
    """Join the run's processes.

    A clip may lack pictures or sound, so that a part of the model gets no gradient in one process: looked for.
    """
    found = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision=mixed_precision, kwargs_handlers=[found])


def sum_over(accelerator: Accelerator, *values: float) -> list[float]:
    """Sum each value over the processes."""
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    total: Any = accelerator.reduce(tensor)
    return total.tolist()


def gather_rows(accelerator: Accelerator, rows: Sequence[Any]) -> list[Any]:
    """Put the rows of all processes into one list."""
    return list(rows) if accelerator.num_processes == 1 else gather_object(list(rows))


def validate_on_first(accelerator: Accelerator, validate: Validate, model: Any) -> dict[str, float]:
    """Measure in the first process and tell the others.

    Args:
        accelerator: of the run.
        validate: measures the model.
        model: put into evaluation mode.
    """
    measured: list[dict[str, float]] = [{}]
    if accelerator.is_main_process:
        model.eval()
        measured = [validate(model)]
    if accelerator.num_processes > 1:
        torch.distributed.broadcast_object_list(measured)
    return measured[0]
