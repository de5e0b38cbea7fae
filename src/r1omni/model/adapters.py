"""Adapters: low-rank matrices that peft trains beside the weights of a model.

The adapters live inside the layers of the model itself, so the model beneath computes with them; only saving them needs
peft's wrapper. `lora_folder` loads them without peft.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from r1omni.config.sections import LoraSection
from r1omni.core.errors import ConfigError
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.processing import HumanOmniProcessor
from r1omni.runs.files import replaced_folder, write_json

if TYPE_CHECKING:
    from peft import PeftModel

    TrainedModel = HumanOmniForConditionalGeneration | PeftModel
else:
    TrainedModel = nn.Module  # peft is optional, and importing it takes seconds
"""HumanOmni, or peft's wrapper around it."""

_WRAPPER = "base_model.model."
"""What peft puts before every name."""


def has_adapters(model: nn.Module) -> bool:
    """Whether peft wraps the model."""
    return hasattr(model, "peft_config")


def beneath_adapters(model: nn.Module) -> HumanOmniForConditionalGeneration:
    """Return the model that computes.

    Args:
        model: HumanOmni, or peft's wrapper around it.

    Raises:
        TypeError: it is neither.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore[reportCallIssue]
    if not isinstance(base, HumanOmniForConditionalGeneration):
        raise TypeError(f"Found a {type(model).__name__}; expected HumanOmni, or peft's wrapper around it.")
    return base


def add_adapters(model: HumanOmniForConditionalGeneration, lora: LoraSection) -> "PeftModel":
    """Wrap a model with new adapters on its language model.

    Args:
        model: changed in place.
        lora: rank, scale, dropout and layers.

    Raises:
        ConfigError: peft is not installed.
    """
    try:
        from peft import LoraConfig, PeftModel, get_peft_model
    except ModuleNotFoundError:
        raise ConfigError("found a [lora] section, and peft is not installed: pip install 'r1omni[train]'") from None
    adapters = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=rf"language_model\..*\.({'|'.join(lora.target_modules)})",
    )
    adapted = get_peft_model(model, adapters)
    assert isinstance(adapted, PeftModel)
    return adapted


def save_adapters(
    model: TrainedModel, processor: HumanOmniProcessor, folder: Path, state: Mapping[str, Tensor]
) -> None:
    """Write an adapter folder that peft and `load_model` read: adapters, and the parts that trained beside them.

    Args:
        model: peft's wrapper around HumanOmni.
        processor: its processor, whose settings are kept with the adapters.
        folder: one that exists is replaced.
        state: the model's weights, whole.

    Raises:
        OSError: the disk is full or not writable.
        SafetensorError: likewise, while the weights are written.
    """
    parts = {
        name.removeprefix(_WRAPPER).split(".")[0]
        for name, weight in model.named_parameters()
        if weight.requires_grad and "lora_" not in name
    }
    with replaced_folder(folder) as partial:
        model.save_pretrained(str(partial), state_dict=dict(state))
        processor.to_json_file(partial / "processor_config.json")
        if parts:
            file, settings = partial / "adapter_model.safetensors", partial / "adapter_config.json"
            # peft takes every module whose name ends so: `projector` is `audio_projector` too.
            whole = {
                name: tensor.contiguous()
                for name, tensor in state.items()
                if name.removeprefix(_WRAPPER).split(".")[0].endswith(tuple(parts))
            }
            save_file(load_file(file) | whole, file, {"format": "pt"})
            saved = json.loads(settings.read_text(encoding="utf-8"))
            write_json(settings, saved | {"modules_to_save": sorted(parts)}, indent=2)


def fold_adapters(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the model without adapters that computes what the adapted one does: W + scale * B A.

    Args:
        model: with adapters; left as it is.
        state: its weights, whole.
    """
    weights = dict(state)
    for name, module in model.named_modules():
        scaling = getattr(module, "scaling", {})
        for adapter in getattr(module, "lora_A", {}):
            down, up = (weights.pop(f"{name}.lora_{side}.{adapter}.weight") for side in "AB")
            weights[f"{name}.base_layer.weight"] = weights[f"{name}.base_layer.weight"] + scaling[adapter] * (up @ down)
    return {name.removeprefix(_WRAPPER).replace(".base_layer.", "."): tensor for name, tensor in weights.items()}
