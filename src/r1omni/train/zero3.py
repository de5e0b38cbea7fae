"""DeepSpeed's ZeRO-3 below the loops: weights, gradients and Adam's moments lie in shards over the processes.

accelerate's launcher asks for it and brings its settings. The engine is DeepSpeed's own, so that the backward pass and
the step stay apart: a gradient that is not finite is seen before the step. Every forward pass gathers each module's
weights from all processes, so all of them have to run the same modules: `Scorer.run_every_part`. State is read
and written whole, parameter by parameter, so that checkpoints are those of any other run.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeGuard, runtime_checkable

import torch
from accelerate.utils import DeepSpeedPlugin, is_deepspeed_available
from torch import Tensor, nn
from torch.optim import Optimizer

from r1omni.core.errors import ConfigError
from r1omni.infer.scorer import Scorer

_KNOWN = {
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "steps_per_print",
    "zero_optimization",
}
"""Settings that accelerate always brings; all but the last are set anew."""


def check_settings() -> None:
    """Check what the launcher asked for.

    Raises:
        ConfigError: DeepSpeed is missing, or asked for something that this loop decides itself or cannot take.
    """
    if not is_deepspeed_available():
        raise ConfigError(
            "accelerate was asked for DeepSpeed, which is not installed: pip install 'r1omni[deepspeed]'."
        )
    settings = DeepSpeedPlugin().deepspeed_config
    stage = settings["zero_optimization"]["stage"]
    if stage != 3:
        raise ConfigError(
            f"accelerate was asked for ZeRO stage {stage}; only stage 3 works, set zero_stage: 3. Where the model fits "
            "one process whole, configs/accelerate/ddp.yaml needs no DeepSpeed."
        )
    extra = sorted(settings.keys() - _KNOWN)
    if extra:
        raise ConfigError(
            f"DeepSpeed's setting {extra[0]} does not apply: the run's [training] decides everything outside "
            "zero_optimization; take it out."
        )


@runtime_checkable
class Zero3Engine(Protocol):
    """DeepSpeed's engine, as far as it is used here; it is a module too."""

    optimizer: Any

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        """Say whether the next backward pass is the step's last."""

    def step(self) -> None:
        """Take the optimiser's step."""


def shard(scorer: Scorer, optimizer: Optimizer, mixed_precision: str) -> tuple[nn.Module, "Zero3Optimizer"]:
    """Shard a scorer and what trains it.

    Args:
        scorer: a `Scorer`, on its device.
        optimizer: over its trainable parameters.
        mixed_precision: arithmetic of its forward pass.

    Returns:
        DeepSpeed's engine and a `Zero3Optimizer`.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    zero = DeepSpeedPlugin().deepspeed_config["zero_optimization"]
    engine = _engine(scorer, optimizer, zero, mixed_precision)
    return engine, Zero3Optimizer(engine, parameters)


def shard_frozen(scorer: Scorer, mixed_precision: str) -> nn.Module:
    """Shard a scorer that does not train; see `shard`."""
    zero = DeepSpeedPlugin().deepspeed_config["zero_optimization"]
    return _engine(
        scorer,
        None,
        {name: value for name, value in zero.items() if name != "offload_optimizer"},
        mixed_precision,
    )


def _engine(scorer: Scorer, optimizer: Optimizer | None, zero: Mapping[str, object], mixed_precision: str) -> Any:
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    settings = {
        "train_micro_batch_size_per_gpu": 1,  # counts nothing here: the loop divides by the whole batch's tokens
        "gradient_accumulation_steps": 1,
        "zero_optimization": {name: value for name, value in zero.items() if value != "auto"},
        "zero_force_ds_cpu_optimizer": False,
        "torch_autocast": {"enabled": mixed_precision == "bf16", "dtype": "bfloat16"},
        "steps_per_print": 2**62,
    }
    scorer.run_every_part()
    _deepspeed().init_distributed()
    engine, *_ = _deepspeed().initialize(model=scorer, optimizer=optimizer, config=settings)
    return engine


def is_engine(scorer: nn.Module) -> TypeGuard[Zero3Engine]:
    """Whether this is what `shard` or `shard_frozen` returned."""
    return hasattr(scorer, "set_gradient_accumulation_boundary")


def is_sharded(tensor: Tensor) -> bool:
    """Whether a parameter lies in shards."""
    return hasattr(tensor, "ds_id")


def whole_weights(engine: Zero3Engine) -> AbstractContextManager[Any]:
    """Lend every process all weights; see `sharding.whole_weights`."""
    return _deepspeed().zero.unwrap_model_for_generation(engine)


def whole(parameter: Tensor) -> Tensor:
    """Return a copy of a parameter put together from its shards, on every process."""
    with _deepspeed().zero.GatheredParameters([parameter]):
        return parameter.detach().clone()


def fill(parameter: Tensor, value: Tensor) -> None:
    """Put a whole value, the same on every process, into a parameter's shards and the optimiser's own copy of them."""
    with _deepspeed().zero.GatheredParameters([parameter], modifier_rank=0):
        if torch.distributed.get_rank() == 0:
            parameter.data.copy_(value)
    if parameter.requires_grad:
        _deepspeed().utils.safe_set_local_fp32_param(parameter, _own_shard(parameter, value))


@dataclass(frozen=True)
class Moment:
    """What the optimiser keeps of a parameter, in shards."""

    parameter: nn.Parameter
    name: str

    def whole(self) -> Tensor:
        """Put it together, on every process."""
        return _deepspeed().utils.safe_get_full_optimizer_state(self.parameter, self.name)


class Zero3Optimizer:
    """The engine's optimiser with the methods of torch's that the loops and checkpoints use.

    Args:
        engine: DeepSpeed's.
        parameters: what trains, in the order of the optimiser that the engine was given.
    """

    def __init__(self, engine: Zero3Engine, parameters: list[nn.Parameter]) -> None:
        self._engine, self._parameters = engine, parameters

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups with their learning rates; their parameters are the engine's."""
        return self._engine.optimizer.param_groups

    def local_grads(self) -> Iterator[Tensor]:
        """This process's shards of the gradients."""
        return (_deepspeed().utils.safe_get_local_grad(parameter) for parameter in self._parameters)

    def clip_at(self, max_grad_norm: float) -> None:
        """Have the next step scale the gradients down to this norm."""
        self._engine.optimizer.clip_grad = max_grad_norm

    def step(self) -> None:
        """Take the step and drop the gradients."""
        self._engine.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: `step` dropped them."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state by the parameters' numbers, moments as `Moment`."""
        inner = self._engine.optimizer.optimizer
        kept: Mapping[str, Tensor] = next(iter(inner.state.values()), {})
        state = {
            number: {name: Moment(parameter, name) if value.dim() else value.clone() for name, value in kept.items()}
            for number, parameter in enumerate(self._parameters)
        }
        return {"state": state}

    def load_whole_state(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Put back the state of any run's optimiser, whole.

        Args:
            state: by the parameters' numbers.
        """
        if not state:
            return
        outer = self._engine.optimizer
        first = next(iter(state.values()))
        for flat in outer.fp32_partitioned_groups_flat:
            outer.optimizer.state[flat] = {
                name: torch.zeros_like(flat, requires_grad=False) if value.dim() else value.clone()
                for name, value in first.items()
            }
        for number, values in state.items():
            for name, value in values.items():
                if value.dim():
                    shard = _own_shard(self._parameters[number], value)
                    _deepspeed().utils.safe_set_local_optimizer_state(self._parameters[number], shard, name)


TrainingOptimizer = Optimizer | Zero3Optimizer
"""What takes the steps of a run."""


def _deepspeed() -> Any:
    """The package, imported late: it takes seconds, and most runs go without."""
    return import_module("deepspeed")


def _own_shard(parameter: Tensor, value: Tensor) -> Tensor:
    """This process's part of a whole value, padded with zeros where the processes do not divide it."""
    shard: Any = getattr(parameter, "ds_tensor")  # noqa: B009 - DeepSpeed's own attribute, which torch's type lacks
    count = shard.ds_numel
    start = count * torch.distributed.get_rank()
    part = value.flatten()[start : start + count].to(shard.device)
    return nn.functional.pad(part, (0, count - len(part)))
