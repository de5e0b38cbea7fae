"""Which folder a path means: our layout, the published layout, or LoRA adapters; any other is described in a sentence.

Any other folder is described by what it holds (a run, a trainer's output, a training state, the hub's cache, another
format), with the path to give instead. Only names of files are looked at, and config.json.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.official import is_official
from r1omni.model.published_towers import TOWER_FLAGS, fetch
from r1omni.model.weights import has_weights, no_weights, read_json

ADAPTER_CONFIG = "adapter_config.json"
PROCESSOR = "processor_config.json"
TEMPERATURE = "label_temperature"
LAPSE_RATE = "label_lapse_rate"
_DEPTH = 3
"""Folders below a given one that are looked through for checkpoints."""
_LISTED = 4
"""Checkpoints that a sentence names at most."""
_STEP = re.compile(r"(?:checkpoint|step)-(\d+)")
_TOWERS = {"siglip": "vision tower", "siglip_vision_model": "vision tower", "whisper": "audio tower", "bert": "router"}


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder that may hold a checkpoint, by its layout."""

    path: Path
    raw: dict[str, Any]
    """config.json; of an adapter folder, adapter_config.json."""
    is_adapter: bool

    @property
    def is_official(self) -> bool:
        """Whether it has the published layout."""
        return not self.is_adapter and is_official(self.raw)

    def processor_settings(self) -> dict[str, Any]:
        """Return processor_config.json, which an adapter that was trained here has too; empty without one.

        Raises:
            CheckpointError: it is not JSON.
        """
        file = self.path / PROCESSOR
        return read_json(file, "the processor's settings") if file.is_file() else {}


def find_checkpoint(path_or_id: str | os.PathLike[str], what: str = "the model") -> CheckpointFolder:
    """Return the checkpoint folder of a path or hub id.

    Args:
        path_or_id: a folder, or a hub id, which is downloaded.
        what: its role, for the error.

    Raises:
        CheckpointError: it is something else; the message says what, and which path to give.
    """
    if not os.fspath(path_or_id):
        raise CheckpointError(f"The name of {what} is empty; expected a folder or a hub id.")
    given = Path(path_or_id).expanduser()
    if given.is_file():
        raise CheckpointError(_of_file(given))
    folder = fetch(os.fspath(given if given.is_dir() else path_or_id), what)
    if (folder / ADAPTER_CONFIG).is_file():
        if has_weights(folder):
            raise CheckpointError(
                f"{folder} holds a whole model and also {ADAPTER_CONFIG}, so it is not clear which one is meant; move "
                "the adapter, or the model, into a folder of its own."
            )
        return CheckpointFolder(folder, read_json(folder / ADAPTER_CONFIG, "the adapter's settings"), True)
    if not (folder / "config.json").is_file():
        raise CheckpointError(describe(folder))
    raw = read_json(folder / "config.json", "the model's settings")
    kind = raw.get("model_type")
    if not is_official(raw) and kind != HumanOmniConfig.model_type:
        raise CheckpointError(_of_another_kind(folder, kind))
    if not has_weights(folder):
        raise CheckpointError(" ".join([no_weights(folder), *_elsewhere(folder)]))
    return CheckpointFolder(folder, raw, False)


def describe(folder: Path) -> str:
    """Say what a folder without config.json is, and which path to give instead.

    Args:
        folder: the folder.
    """
    below = [place for place, _ in zip(_checkpoints_below(folder, _DEPTH), range(64), strict=False)]
    for sentence in (_training_state, _run, _recipe, _trainer_output, _hub_cache):
        if said := sentence(folder, below):
            return said
    if not any(folder.iterdir()):
        return f"{folder} is empty; expected a folder with config.json and weights."
    if (folder / "adapter_model.safetensors").is_file():
        return (
            f"{folder} holds adapter_model.safetensors, a LoRA adapter, but no {ADAPTER_CONFIG}, which says how it is "
            "applied. Copy that file too, from where the adapter was saved."
        )
    if below:
        return f"{folder} holds no config.json, so it is not a checkpoint. {_name_one(below)}"
    if has_weights(folder):
        return (
            f"{folder / 'config.json'} is missing; it is the model's settings. Download the folder again, for example "
            "with `hf download REPO --local-dir FOLDER`, or copy it from where the model was saved."
        )
    return f"{folder / 'config.json'} is missing, so this is not a checkpoint. {no_weights(folder)}"


def _of_file(path: Path) -> str:
    if path.suffix == ".safetensors" or path.name.endswith(".json"):
        return f"{path} is a file; expected the folder that holds it. Name {path.parent}."
    if path.suffix == ".gguf":
        return (
            f"{path} is in llama.cpp's format, which has the language model without the towers; expected a folder with "
            "config.json and model.safetensors. Name the original release."
        )
    return f"{path} is a file; expected a folder with config.json and model.safetensors, or a hub id."


def _of_another_kind(folder: Path, kind: object) -> str:
    message = f"{folder / 'config.json'} has model_type {kind!r}; expected humanomni or HumanOmni_qwen2."
    if tower := _TOWERS.get(str(kind)):
        article = "an" if tower[0] in "aeiou" else "a"
        return (
            f"{message} This is {article} {tower} by itself: name the whole model, and this with {TOWER_FLAGS[tower]}."
        )
    return message


def _training_state(folder: Path, below: list[Path]) -> str | None:
    if not ((folder / "state.json").is_file() and (folder / "optimizer.safetensors").is_file()):
        return None
    run = folder.absolute().parent.parent
    step = int(match[1]) if (match := _STEP.fullmatch(folder.absolute().name)) else None
    of_step = "" if step is None else f" after step {step}"
    what = f"{folder} is the state of a training run{of_step}: what trains and the optimiser, not a whole model."
    return f"{what} {_model_of_run(run)}"


def _model_of_run(run: Path) -> str:
    if (run / "model" / "config.json").is_file():
        return f"Name {_short(run / 'model')}, the model of that run."
    return (
        f"The run writes its model to {_short(run / 'model')} when it ends: start the same command again, and it goes "
        "on from its newest state."
    )


def _run(folder: Path, below: list[Path]) -> str | None:
    """A run's folder: its record or its metrics beside `model/` or `checkpoints/`."""
    if folder.absolute().name == "checkpoints" and any((place / "state.json").is_file() for place in folder.iterdir()):
        return f"{folder} holds the states of a training run. {_model_of_run(folder.absolute().parent)}"
    recorded = any((folder / name).is_file() for name in ("run.json", "run.toml", "metrics.jsonl"))
    if recorded and (folder / "model" / "config.json").is_file():
        return f"{folder} is the folder of a run; its model is below it. Name {folder / 'model'}."
    if recorded and (folder / "checkpoints").is_dir():
        return f"{folder} is the folder of a training run that has not ended. {_model_of_run(folder)}"
    if (folder / "predictions.jsonl").is_file() or (folder / "scores.json").is_file():
        return (
            f"{folder} is the folder of an evaluation, which holds answers and no model. Name the model it evaluated."
        )
    return None


def _recipe(folder: Path, below: list[Path]) -> str | None:
    stages = folder / "stages"
    if not stages.is_dir():
        return None
    best = stages / "r1-omni" / "model"
    if best in below:
        below = [best, *(place for place in below if place != best)]
    what = f"{folder} is the folder of `r1omni reproduce`, with one model per stage."
    return f"{what} {_name_one(below)}" if below else f"{what} None of them is finished: start the same command again."


def _trainer_output(folder: Path, below: list[Path]) -> str | None:
    steps = {int(match[1]): place for place in folder.iterdir() if (match := _STEP.fullmatch(place.name))}
    steps = {step: place for step, place in sorted(steps.items(), reverse=True) if place.is_dir()}
    if not steps:
        return None
    newest = next(iter(steps.values()))
    names = ", ".join(place.name for place in list(steps.values())[1 : _LISTED + 1])
    also = f" (the newest; also {names})" if names else ""
    return f"{folder} is the output folder of a trainer; a model is in each checkpoint below it. Name {newest}{also}."


def _hub_cache(folder: Path, below: list[Path]) -> str | None:
    if not (folder / "snapshots").is_dir():
        return None
    parts = folder.absolute().name.split("--")
    by_id = f", or the hub id {'/'.join(parts[1:])}" if parts[0] == "models" and len(parts) > 1 else ""
    if not below:
        return f"{folder} is the hub's cache of a model, without a complete snapshot. Download it again."
    return f"{folder} is the hub's cache of a model. Name {below[0]}{by_id}."


def _elsewhere(folder: Path) -> Iterator[str]:
    """Where the weights of a folder with a config.json may be instead: its trainer's checkpoints."""
    if said := _trainer_output(folder, []):
        yield said


def _name_one(below: list[Path]) -> str:
    if len(below) == 1:
        return f"Name the one below it: {below[0]}."
    others = ", ".join(str(place) for place in below[1:_LISTED])
    more = f" and {len(below) - _LISTED} more" if len(below) > _LISTED else ""
    return f"Name one of those below it: {below[0]}, {others}{more}."


def _checkpoints_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inner = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    except OSError:
        return
    for place in inner:
        if any((place / name).is_file() for name in ("config.json", ADAPTER_CONFIG)):
            yield place
        elif depth > 1:
            yield from _checkpoints_below(place, depth - 1)


def _short(path: Path) -> Path:
    """Show a path relative to the working folder where it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
