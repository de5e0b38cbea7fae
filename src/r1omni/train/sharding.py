"""How a run's weights lie on its processes, and how they are put together and taken apart again.

Every process holds the whole model (DDP), or, where accelerate's launcher asks for FSDP2 or for DeepSpeed's ZeRO-3, a
shard of each layer. Generation reads weights module by module, out of the wrapper's sight: `whole_weights` lends every
process all of them for as long as a rollout or a validation takes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from r1omni.core.errors import ConfigError
from r1omni.infer.scorer import Scorer
from r1omni.train import zero3
from r1omni.train.processes import asked_sharding, sum_over
from r1omni.train.zero3 import TrainingOptimizer


def distribute(
    accelerator: Accelerator, scorer: Scorer, make_optimizer: Callable[[], Optimizer]
) -> tuple[nn.Module, TrainingOptimizer]:
    """Return the module whose forward pass the processes share, and the optimiser over its parameters.

    DDP wraps the module, FSDP2 shards it in place, ZeRO-3's engine stands for it. FSDP2 leaves frozen parts other than
    the language model whole; they are small.

    Args:
        accelerator: of the run.
        scorer: a `Scorer`, on its device.
        make_optimizer: called when the parameters are those that train: FSDP2 replaces them.

    Raises:
        ConfigError: torch cannot shard parts that get no gradient on one process.
    """
    way = asked_sharding() if accelerator.num_processes > 1 else None
    if way == "zero3":
        return zero3.shard(scorer, make_optimizer(), accelerator.mixed_precision)
    if way == "fsdp2":
        return _shard_layers(accelerator, scorer), make_optimizer()
    return accelerator.prepare(scorer), make_optimizer()


def distribute_frozen(accelerator: Accelerator, scorer: Scorer) -> nn.Module:
    """Return the module that stands for a scorer that does not train; see `distribute`."""
    way = asked_sharding() if accelerator.num_processes > 1 else None
    if way == "zero3":
        return zero3.shard_frozen(scorer, accelerator.mixed_precision)
    return _shard_layers(accelerator, scorer) if way == "fsdp2" else scorer


def _shard_layers(accelerator: Accelerator, scorer: Scorer) -> nn.Module:
    if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
        raise ConfigError(f"Sharding needs torch 2.13, found {torch.__version__}: pip install 'torch>=2.13,<2.14'")
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    kept = {
        parameter
        for name, parameter in scorer.named_parameters()
        if not parameter.requires_grad and not {"language_model", "lm_head"} & set(name.split("."))
    }
    for layer in scorer.model.language_model.layers:
        fully_shard(layer, mesh=mesh, ignored_params=kept)
    sharded: Any = fully_shard(scorer, mesh=mesh, ignored_params=kept)
    sharded.set_reduce_scatter_unused_params(True)
    # FSDP takes the first module that runs for its root, and a rollout would run a layer first.
    sharded.begin = lambda: None
    register_fsdp_forward_method(sharded, "begin")
    sharded.begin()
    sharded.reshard()
    return sharded


@contextmanager
def whole_weights(scorer: nn.Module) -> Iterator[None]:
    """Lend every process all weights: inside, each runs the model's modules as it likes, alone or not at all.

    Args:
        scorer: what `distribute` returned; every process must enter and leave. Without shards nothing happens.
    """
    if zero3.is_engine(scorer):
        with zero3.whole_weights(scorer):
            yield
        return
    parts = [module for module in scorer.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not scorer, recurse=False)


def accumulate(accelerator: Accelerator, scorer: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Return the context of a micro-batch's backward pass: DDP averages gradients once, at the last.

    Shards add up each micro-batch's average, which is the same without whole gradients; ZeRO-3's engine takes `last`.

    Args:
        accelerator: of the run.
        scorer: what `distribute` returned.
        last: whether this is the step's last micro-batch.
    """
    if zero3.is_engine(scorer):
        scorer.set_gradient_accumulation_boundary(last)
        return nullcontext()
    return nullcontext() if last or isinstance(scorer, FSDPModule) else accelerator.no_sync(scorer)


def clip_gradients(
    accelerator: Accelerator, parameters: Sequence[Tensor], optimizer: TrainingOptimizer, max_norm: float
) -> float:
    """Scale the gradients down to a norm, and return the norm they had; ZeRO-3's engine scales within its step.

    Args:
        accelerator: of the run.
        parameters: what trains.
        optimizer: what `distribute` returned.
        max_norm: the norm, over all of them.
    """
    if isinstance(optimizer, zero3.Zero3Optimizer):
        optimizer.clip_at(max_norm)
        return math.sqrt(*sum_over(accelerator, sum(float(grad.square().sum()) for grad in optimizer.local_grads())))
    norm: Any = accelerator.clip_grad_norm_(parameters, max_norm)
    return float(whole(norm))


def whole(tensor: Tensor | zero3.Moment) -> Tensor:
    """Return a tensor put together from its shards, on every process; one that is not sharded as it is."""
    if isinstance(tensor, zero3.Moment):
        return tensor.whole()
    if zero3.is_sharded(tensor):
        return zero3.whole(tensor)
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach()


def gather_whole(tensors: Mapping[str, Tensor | zero3.Moment], keep: bool) -> dict[str, Tensor]:
    """Put tensors together one after the other, on the CPU.

    Args:
        tensors: by name, the same on every process.
        keep: whether this process wants them; it takes part in any case.
    """
    gathered = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            gathered[name] = full.cpu().contiguous()
    return gathered


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape of the whole, however it is sharded."""
    return tuple(getattr(tensor, "ds_shape", tensor.shape))


@torch.no_grad()
def fill(tensor: Tensor, value: Tensor) -> None:
    """Put a whole value, the same on every process, into a tensor or its shards."""
    if zero3.is_sharded(tensor):
        zero3.fill(tensor, value)
    else:
        tensor.copy_(_shard_like(value, tensor))


def load_whole_state(optimizer: TrainingOptimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Put the whole state of an optimiser back, whichever way that run held it.

    Args:
        optimizer: what `distribute` returned.
        state: by the parameters' numbers.
    """
    if isinstance(optimizer, zero3.Zero3Optimizer):
        optimizer.load_whole_state(state)
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    sharded = {
        number: {name: _shard_like(value, parameters[number]) for name, value in values.items()}
        for number, values in state.items()
    }
    optimizer.load_state_dict({"state": sharded, "param_groups": optimizer.state_dict()["param_groups"]})


def _shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's shard of a whole tensor, laid out as another is; the tensor itself where that is whole."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    local = tensor.to(like.to_local())
    return distribute_tensor(local, like.device_mesh, like.placements, src_data_rank=None)
