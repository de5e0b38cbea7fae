"""The layout of the published HumanOmni and R1-Omni checkpoints: their config.json, their names, their towers.

A published folder holds the language model's fields flat in config.json, paths of the towers on the machine that
trained it, and one state dict with everything. Its names are mapped here; unused tensors (the vision tower's last
layer and heads, the router's pooler, Whisper's classifier, two unused matrices of HumanOmni's token pooling) are
dropped.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import Qwen2Config

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig, VideoPooling
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.published_towers import (
    DEFAULT_AUDIO,
    DEFAULT_ROUTER,
    DEFAULT_VISION,
    TOWER_FLAGS,
    Towers,
    audio_config,
    fetch,
    named_folder,
    router_config,
    tower_sources,
    vision_config,
)
from r1omni.model.weights import Stored, read_inventory, read_json

MODEL_TYPES = ("HumanOmni_qwen2", "humanomni_qwen2")
"""`model_type` in a published config.json; compared without regard to case."""

_SLOW_FAST = ("humanomni-7b",)
"""Folder names and last parts of hub ids of checkpoints trained with pooled video tokens, in lower case."""

_RENAMES = (
    ("model.vision_tower.vision_tower.vision_model.encoder.layers.", "vision_tower.layers."),
    ("model.vision_tower.vision_tower.vision_model.", "vision_tower."),
    ("model.audio_tower.audio_tower.encoder.", "audio_tower."),
    ("model.mm_projector.mlp_2xgelu_face.", "projector.face."),
    ("model.mm_projector.sampler_video.0.", "projector.sampler_video."),
    ("model.mm_projector.sampler_body.0.", "projector.sampler_body."),
    ("model.mm_projector.", "projector."),
    ("model.audio_projector.", "audio_projector."),
    ("model.bert_model.", "router."),
    ("model.bert_gate.", "gate."),
    ("model.embed_tokens.", "language_model.embed_tokens."),
    ("model.layers.", "language_model.layers."),
    ("model.norm.", "language_model.norm."),
    ("lm_head.", "lm_head."),
)
_UNREAD = re.compile(
    r"model\.vision_tower\.vision_tower\.vision_model\.(post_layernorm|head)\.|"
    r"model\.audio_tower\.audio_tower\.(projector|classifier)\.|"
    r"model\.bert_model\.pooler\.|model\.feature_compressor\.|.*\.(position_ids|token_type_ids|inv_freq)$"
)
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {}
"""What `expected_shapes` found, by the whole configuration as JSON."""
_LAYER = re.compile(r"vision_tower\.layers\.(\d+)\.")

PARTS = {
    "language model": ("language_model.", "lm_head."),
    "vision tower": ("vision_tower.",),
    "projector": ("projector.",),
    "router": ("router.",),
    "gate": ("gate.",),
    "audio tower": ("audio_tower.",),
    "audio projector": ("audio_projector.",),
}
"""Part of the model -> the prefixes of its parameters."""


_HELD = {
    "vision tower": "model.vision_tower.",
    "audio tower": "model.audio_tower.",
    "router": "model.bert_model.",
}


def part_of(name: str) -> str:
    """Return the part a parameter of ours belongs to.

    Args:
        name: its name in our state dict.
    """
    return next(part for part, prefixes in PARTS.items() if name.startswith(prefixes))


def rename(key: str, num_vision_layers: int) -> str | None:
    """Return our name for a published key; None for an unused tensor.

    Args:
        key: as in the published file.
        num_vision_layers: vision layers that are evaluated.

    Raises:
        KeyError: the key does not belong to any part of the model.
    """
    if _UNREAD.match(key):
        return None
    for theirs, ours in _RENAMES:
        if key.startswith(theirs):
            name = ours + key.removeprefix(theirs)
            layer = _LAYER.match(name)
            return None if layer and int(layer[1]) >= num_vision_layers else name
    raise KeyError(key)


@dataclass
class OfficialCheckpoint:
    """A published folder, of which only headers are read."""

    folder: Path
    config: HumanOmniConfig
    sources: dict[str, Stored]
    """Our parameter name -> the tensor that fills it."""
    unread: list[Stored]
    """Unused tensors of the folder."""
    router_folder: Path | None
    """The folder with the router's vocabulary; None if it could not be found."""
    vision_folder: Path | None = None
    """The folder with the image processor's settings; None uses SigLIP's own."""
    problems: list[str] = field(default_factory=list)
    """What is missing, unexpected or misshapen, one sentence each; empty for a checkpoint that loads."""


def is_official(config: dict[str, Any]) -> bool:
    """Return whether a config.json is of the published kind.

    Args:
        config: its content.
    """
    return str(config.get("model_type", "")).lower() in {name.lower() for name in MODEL_TYPES}


def published_pooling(path_or_id: str | os.PathLike[str]) -> VideoPooling:
    """Return how a published checkpoint pools its video tokens, which its config.json does not say.

    Args:
        path_or_id: the folder or hub id; its name decides.
    """
    named = path_or_id if Path(path_or_id).is_dir() else os.fspath(path_or_id).partition("@")[0]
    return "slow_fast" if Path(named).absolute().name.lower() in _SLOW_FAST else "none"


def read_official(folder: Path, towers: Towers) -> OfficialCheckpoint:
    """Read a published folder's settings and headers and determine where each parameter comes from.

    Problems are collected, not raised, so that `inspect` can show them all.

    Args:
        folder: the published folder.
        towers: the sources of towers that it does not contain.

    Raises:
        CheckpointError: config.json or the weights cannot be read at all, or the sizes of a tower cannot be determined.
    """
    raw = read_json(folder / "config.json", "the model's settings")
    inventory = read_inventory(folder)
    problems: list[str] = []
    config, folders = _translate(raw, folder, inventory, towers)
    sources: dict[str, Stored] = {}
    unread: list[Stored] = []
    unknown: list[Stored] = []
    for key, stored in inventory.items():
        try:
            name = rename(key, config.num_vision_layers)
        except KeyError:
            unknown.append(stored)
            continue
        if name is None or (name == "lm_head.weight" and config.tie_word_embeddings):
            unread.append(stored)
        else:
            sources[name] = stored
    problems += belonging_to_no_part(unknown, "Is this a HumanOmni checkpoint?")
    expected = expected_shapes(config)
    _add_towers(sources, expected, folders, towers, config, problems)
    problems += _misfits(sources, expected)
    for part, names in _missing_by_part(sources, expected).items():
        problems.append(
            f"{part}: {len(names)} of its tensors are missing, the first is {names[0]}, from {folder}. "
            "Download the folder again, or use a release that contains it."
        )
    return OfficialCheckpoint(folder, config, sources, unread, folders["router"], folders["vision"], problems)


def belonging_to_no_part(unknown: Sequence[Stored], fix: str) -> list[str]:
    """Return a sentence about tensors whose names no part of the model has, or nothing if there are none.

    Args:
        unknown: the tensors.
        fix: what to do, unless their names tell.
    """
    if not unknown:
        return []
    if any("lora_" in stored.key or ".base_layer." in stored.key for stored in unknown):
        fix = "These are weights with LoRA adapters inside: save them after peft's merge_and_unload()."
    more = f" (and {len(unknown) - 1} more tensors)" if len(unknown) > 1 else ""
    return [f"{unknown[0].key}{more} in {unknown[0].file} belongs to no part of the model. {fix}"]


def _misfits(sources: dict[str, Stored], expected: dict[str, tuple[int, ...]]) -> list[str]:
    """Return messages about misshapen tensors; the towers' come first, because a wrong tower causes the others."""
    by_part: dict[str, list[str]] = {}
    for name, stored in sources.items():
        if name not in expected:
            found = "is not expected: config.json's sizes leave no room for it."
        elif expected[name] != stored.shape:
            found = f"has shape {list(stored.shape)}; the configuration asks for {list(expected[name])}."
        else:
            continue
        by_part.setdefault(part_of(name), []).append(f"{stored.key} in {stored.file} {found}")
    towers, others = [], []
    for part, found in by_part.items():
        flag = TOWER_FLAGS.get(part)
        more = f" {len(found) - 1} more tensors of the {part} do not fit either." if len(found) > 1 else ""
        fix = f"Name the tower it was made with: {flag}." if flag else "Take config.json and weights from one release."
        (towers if flag else others).append(f"{found[0]}{more} {fix}")
    return towers + others


def expected_shapes(config: HumanOmniConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter that must come from a file.

    A process that loads models of the same sizes again, as the recipe's stages do, builds the empty model once.

    Args:
        config: the sizes.
    """
    settings = config.to_json_string(use_diff=False)
    if settings not in _SHAPES:
        with torch.device("meta"):
            model = HumanOmniForConditionalGeneration(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if config.tie_word_embeddings:
            del shapes["lm_head.weight"]
        _SHAPES[settings] = shapes
    return dict(_SHAPES[settings])


def _missing_by_part(sources: dict[str, Stored], expected: dict[str, tuple[int, ...]]) -> dict[str, list[str]]:
    missing: dict[str, list[str]] = {}
    for name in expected:
        if name not in sources:
            missing.setdefault(part_of(name), []).append(name)
    return missing


def _add_towers(
    sources: dict[str, Stored],
    expected: dict[str, tuple[int, ...]],
    folders: dict[str, Path | None],
    towers: Towers,
    config: HumanOmniConfig,
    problems: list[str],
) -> None:
    """Fill towers that the checkpoint does not contain from their own folders."""
    held = {part_of(name) for name in sources}
    defaults = {
        "vision tower": ("vision", towers.vision or DEFAULT_VISION[config.projector_type]),
        "audio tower": ("audio", towers.audio or DEFAULT_AUDIO),
        "router": ("router", towers.router or DEFAULT_ROUTER),
    }
    for part, (kind, default) in defaults.items():
        if part in held:
            continue
        try:
            folder = folders[kind] or fetch(
                default, f"the {part}, which the checkpoint does not contain", TOWER_FLAGS[part]
            )
            folders[kind] = folder
            found = read_inventory(folder)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        wanted = [name for name in expected if part_of(name) == part]
        sources.update(tower_sources(kind, found, wanted))


def _translate(
    raw: dict[str, Any], folder: Path, inventory: dict[str, Stored], towers: Towers
) -> tuple[HumanOmniConfig, dict[str, Path | None]]:
    """Convert a published config.json; the towers' sizes come from their folders, or follow from their shapes."""
    projector = raw.get("mm_projector_type")
    if projector not in DEFAULT_VISION:
        raise CheckpointError(
            f"{folder / 'config.json'} has mm_projector_type {projector!r}; expected all_in_one_small or all_in_one. "
            "Other kinds of HumanOmni projector are not supported."
        )
    lacks = {part: not any(key.startswith(prefix) for key in inventory) for part, prefix in _HELD.items()}
    folders = {
        kind: named_folder(getattr(towers, kind), raw.get(f"mm_{kind}_tower"), folder, part, lacks[part])
        for kind, part in (("vision", "vision tower"), ("audio", "audio tower"), ("router", "router"))
    }
    if folders["router"] is None:
        with suppress(CheckpointError):  # reported where the vocabulary is needed
            folders["router"] = fetch(DEFAULT_ROUTER, "the router", "--router", weights=lacks["router"])
    text_fields = {k: v for k, v in raw.items() if k in _QWEN2_FIELDS}
    gate = inventory.get("model.bert_gate.0.weight")
    try:
        return HumanOmniConfig(
            vision_config=vision_config(folders["vision"], inventory, projector),
            audio_config=audio_config(folders["audio"], inventory),
            router_config=router_config(folders["router"], inventory),
            text_config=Qwen2Config(**text_fields),
            projector_type=projector,
            num_frames=raw.get("num_frames") or 8,
            vision_feature_layer=raw.get("mm_vision_select_layer", -2),
            gate_hidden_size=gate.shape[0] if gate else 3584,
            dtype=raw.get("torch_dtype") or raw.get("dtype"),
            architectures=["HumanOmniForConditionalGeneration"],
        ), folders
    except (ValueError, TypeError, StrictDataclassError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error


_QWEN2_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "tie_word_embeddings", "rope_theta",
    "rope_scaling", "rope_parameters", "use_sliding_window", "sliding_window", "max_window_layers", "attention_dropout",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
