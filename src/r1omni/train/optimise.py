"""What is trained and how fast: named freezing, the optimiser, and the learning rate as a function of the step."""

import math
from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, get_scheduler

from r1omni.config.sections import Part, Schedule
from r1omni.core.errors import ConfigError, DivergedError
from r1omni.train.sharding import clip_gradients
from r1omni.train.zero3 import TrainingOptimizer

_SCHEDULERS: dict[Schedule, str] = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""Schedule -> its name in transformers."""

PARTS: dict[str, tuple[str, ...]] = {
    "language_model": ("language_model", "lm_head"),
    "projector": ("projector",),
    "audio_projector": ("audio_projector",),
    "router_gate": ("gate",),
    "router": ("router",),
}
"""Name of a part -> the model's modules."""


def set_trainable(model: nn.Module, parts: Sequence[Part | str]) -> None:
    """Let the named parts train and freeze everything else.

    Where the language model carries adapters, they train in its place.

    Args:
        model: HumanOmni, with or without adapters.
        parts: names out of `PARTS`.

    Raises:
        ConfigError: an unknown part.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        frozen = " The towers stay frozen, for their features are computed once." if "tower" in unknown[0] else ""
        raise ConfigError(f"trainable names {unknown[0]!r}; expected names out of {', '.join(PARTS)}.{frozen}")
    adapters = any("lora_" in name for name, _ in model.named_parameters())
    modules = {module for part in parts for module in PARTS[part]}
    if adapters:
        modules -= set(PARTS["language_model"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or not modules.isdisjoint(name.split(".")))


def recompute_activations(language_model: PreTrainedModel) -> None:
    """Keep no activations within the language model's layers; they are computed again in the backward pass."""
    # transformers 5.2x renamed the method and warns at the old name.
    enable = getattr(language_model, "activation_checkpointing_enable", None)
    (enable or language_model.gradient_checkpointing_enable)({"use_reentrant": False})


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return what trains, by name; a tied weight comes once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW over what trains; norms and biases do not decay.

    Args:
        model: the model, its freezing already set.
        learning_rate: peak.
        weight_decay: decoupled.

    Raises:
        ConfigError: nothing trains.
    """
    parameters = list(trainable_parameters(model).values())
    if not parameters:
        raise ConfigError("No parameter of the model trains; name at least one part in trainable.")
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=fused)


def learning_rate_schedule(
    num_steps: int, peak: float, schedule: Schedule, warmup_ratio: float
) -> Callable[[int], float]:
    """Return the learning rate as a function of the step, from 0: a rise in the warm-up, then transformers' schedule.

    transformers gives its first step the rate 0 and would end at 0 one step after the last. Here its schedule runs over
    one warm-up step and one step more and is read one step later, so that no step is wasted. Beyond the last step the
    rate stays at the schedule's end. A function, not a scheduler that counts: a resumed run needs no state of it.

    Args:
        num_steps: of the whole run.
        peak: the highest learning rate.
        schedule: course after the warm-up.
        warmup_ratio: share of the steps in which the rate rises.

    Source:
        `get_scheduler` of transformers.
    """
    num_warmup = math.ceil(warmup_ratio * num_steps)
    stand_in = torch.optim.SGD([torch.zeros(1)], lr=peak)
    scheduler = get_scheduler(_SCHEDULERS[schedule], stand_in, num_warmup + 1, num_steps + 1)
    assert isinstance(scheduler, LambdaLR)
    share_at = scheduler.lr_lambdas[0]
    return lambda step: peak * share_at(min(step, num_steps) + 1)


def take_step(
    accelerator: Accelerator,
    parameters: Sequence[nn.Parameter],
    optimizer: TrainingOptimizer,
    *,
    learning_rate: float,
    max_grad_norm: float,
    last_good: str,
) -> float:
    """Clip the gradients, take one optimiser step, and return the gradients' norm before clipping.

    Args:
        accelerator: of the run.
        parameters: whose gradients are clipped.
        optimizer: takes the step.
        learning_rate: of this step.
        max_grad_norm: the norm gradients are scaled down to.
        last_good: where the last good weights are, for the error's sentence.

    Raises:
        DivergedError: a gradient is not a finite number; no step was taken.
    """
    grad_norm = clip_gradients(accelerator, parameters, optimizer, max_grad_norm)
    if not math.isfinite(grad_norm):
        raise DivergedError(
            f"The norm of the gradients is {grad_norm}, expected a finite number; training was stopped. The last good "
            f"weights: {last_good}. Lower the learning rate and start again from there."
        )
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return grad_norm
