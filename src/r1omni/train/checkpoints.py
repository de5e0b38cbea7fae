"""A run's state on disk: complete or absent, never a pickle.

    checkpoints/step-00000100/
        model.safetensors       what trains, and buffers
        optimizer.safetensors   the optimiser's tensors as `<parameter>.<name>`
        state.json              step, position of the sampler, best value, generator states of every process

A checkpoint is written under a temporary name and renamed. The newest few are kept, and the best by validation. Sharded
weights are written whole, so that any number of processes, sharded or not, goes on from them.
"""

import base64
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from r1omni.core.errors import CheckpointError
from r1omni.core.json_text import json_text
from r1omni.runs.files import remove_folder, replaced_folder
from r1omni.train.optimise import trainable_parameters
from r1omni.train.sharding import fill, gather_whole, load_whole_state, shape_of, whole
from r1omni.train.zero3 import Moment, TrainingOptimizer

_NAME = re.compile(r"step-(\d{8})")


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what training changes, whole: trainable parameters and persistent buffers, by name."""
    return {name: whole(tensor) for name, tensor in _trained_tensors(model).items()}


def _trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {**trainable_parameters(model)}
    persistent = model.state_dict().keys()
    state.update({name: buffer for name, buffer in model.named_buffers() if name in persistent})
    return state


def load_trained_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `trained_state` returned.

    Raises:
        CheckpointError: a name or a shape does not fit the model.
    """
    own = _trained_tensors(model)
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise CheckpointError(
            f"The checkpoint and the model disagree about {len(odd)} trained tensors ({odd[0]} first); resume with the "
            "model and the trainable parts the run was started with, or use another output_dir."
        )
    for name, tensor in own.items():
        if shape_of(tensor) != state[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(state[name].shape)} in the checkpoint, {shape_of(tensor)} in the model; "
                "resume with the model the run was started with, or use another output_dir."
            )
        fill(tensor, state[name])


def generator_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's generators as JSON."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [kind, _encode(keys.tobytes()), position, has_gauss, gauss],  # pyright: ignore
        "torch": _encode(torch.get_rng_state().numpy().tobytes()),
    }
    if torch.cuda.is_available():
        state["cuda"] = _encode(torch.cuda.get_rng_state().numpy().tobytes())
    return state


def restore_generators(states: Sequence[dict[str, Any]], process: int = 0) -> None:
    """Put back what `generator_state` returned.

    Args:
        states: of every process of the run that saved them.
        process: number of this one; where the run had fewer, it takes turns.
    """
    state = states[process % len(states)]
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, np.frombuffer(base64.b64decode(keys), dtype=np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(_decode(state["torch"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_decode(state["cuda"]))


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: of the run; they lie in `checkpoints` below it.
        keep: how many of the newest are kept, besides the best.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder / "checkpoints"
        self.keep = keep

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps that have a complete checkpoint, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name)))

    @property
    def newest(self) -> str:
        """The newest checkpoint's folder in words, for messages."""
        steps = self.steps()
        return str(self.path(steps[-1])) if steps else "none was saved yet"

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: TrainingOptimizer,
        state: dict[str, Any],
        writes: bool = True,
    ) -> None:
        """Write a checkpoint and remove what is no longer kept; every process takes part where weights are sharded.

        Args:
            step: optimiser steps done.
            model: its trained state is written.
            optimizer: its state is written.
            state: as JSON; `best_step` in it, if any, is never removed.
            writes: whether this process writes.

        Raises:
            CheckpointError: the disk is full or not writable; nothing half-written is left.
        """
        files = {
            "model": gather_whole(_trained_tensors(model), writes),
            "optimizer": gather_whole(_flatten(optimizer), writes),
        }
        target = self.path(step)
        if not writes or target.exists():
            return
        try:
            with replaced_folder(target) as partial:
                for name, tensors in files.items():
                    save_file(tensors, partial / f"{name}.safetensors")
                (partial / "state.json").write_text(json_text({"step": step, **state}))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"The checkpoint of step {step} could not be written to {target}: {error}. Free some space, then start "
                f"again with the same output_dir; the run goes on from the newest checkpoint ({self.newest})."
            ) from error
        kept = {*self.steps()[-self.keep :], state.get("best_step")}
        for old in self.steps():
            if old not in kept:
                remove_folder(self.path(old))

    def load_model(self, step: int, model: nn.Module) -> None:
        """Put a checkpoint's weights into the model.

        Raises:
            CheckpointError: the checkpoint is gone or does not fit.
        """
        path = self.path(step) / "model.safetensors"
        if not path.exists():
            raise CheckpointError(f"{path} is missing; restore it, or remove the run folder and train again.")
        load_trained_state(model, load_file(path))

    def load(self, step: int, model: nn.Module, optimizer: TrainingOptimizer) -> dict[str, Any]:
        """Put a checkpoint back and return its state.

        Raises:
            CheckpointError: the checkpoint does not fit the model.
        """
        self.load_model(step, model)
        _unflatten(optimizer, load_file(self.path(step) / "optimizer.safetensors"))
        return json.loads((self.path(step) / "state.json").read_text())


def _flatten(optimizer: TrainingOptimizer) -> dict[str, Tensor | Moment]:
    entries = optimizer.state_dict()["state"].items()
    return {f"{index}.{name}": value for index, values in entries for name, value in values.items()}


def _unflatten(optimizer: TrainingOptimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    load_whole_state(optimizer, state)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype=np.uint8).copy())
