"""The layout of the published HumanOmni and R1-Omni checkpoints: their config.json, their names, their towers.

A published folder holds the language model's fields flat in config.json, paths of the towers on the machine that
trained it, and one state dict with everything. Its names are mapped here; what nobody reads (the vision tower's last
layer and heads, the router's pooler, Whisper's classifier) is dropped.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import BertConfig, Qwen2Config, SiglipVisionConfig, WhisperConfig

from r1omni.core.errors import CheckpointError
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import PRESETS
from r1omni.model.weights import Stored, read_inventory, read_json

MODEL_TYPES = ("HumanOmni_qwen2", "humanomni_qwen2")
"""What `model_type` says in a published config.json; compared without regard to case."""

DEFAULT_VISION = {
    "all_in_one_small": "google/siglip-base-patch16-224",
    "all_in_one": "google/siglip-so400m-patch14-384",
}
DEFAULT_AUDIO = "openai/whisper-large-v3"
DEFAULT_ROUTER = "google-bert/bert-base-uncased"

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
    r"model\.bert_model\.pooler\.|.*\.(position_ids|token_type_ids|inv_freq)$"
)
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
"""Part of the model to the prefixes of its parameters."""

_TOWER_FLAGS = {"vision tower": "--vision", "audio tower": "--audio", "router": "--router"}


def part_of(name: str) -> str:
    """Return the part a parameter of ours belongs to.

    Args:
        name: its name in our state dict.
    """
    return next(part for part, prefixes in PARTS.items() if name.startswith(prefixes))


def rename(key: str, num_vision_layers: int) -> str | None:
    """Return our name for a published key; None where nobody reads it.

    Args:
        key: as in the published file.
        num_vision_layers: vision layers that are evaluated.

    Raises:
        KeyError: the key belongs to no part of the model.
    """
    if _UNREAD.match(key):
        return None
    for theirs, ours in _RENAMES:
        if key.startswith(theirs):
            name = ours + key.removeprefix(theirs)
            layer = _LAYER.match(name)
            return None if layer and int(layer[1]) >= num_vision_layers else name
    raise KeyError(key)


@dataclass(frozen=True)
class Towers:
    """Folder or hub id of each tower the checkpoint does not hold; None takes the default."""

    vision: str | None = None
    audio: str | None = None
    router: str | None = None


@dataclass
class OfficialCheckpoint:
    """A published folder, read as far as its headers."""

    folder: Path
    config: HumanOmniConfig
    sources: dict[str, Stored]
    """Our parameter names to the tensors that fill them."""
    unread: list[Stored]
    """Tensors of the folder that nobody reads."""
    router_folder: Path | None
    """Holds the router's vocabulary; None where it could not be had."""
    vision_folder: Path | None = None
    """Holds the image processor's settings; None takes SigLIP's own."""
    problems: list[str] = field(default_factory=list)
    """What is missing, unexpected or misshapen, one sentence each; empty for a checkpoint that loads."""


def is_official(config: dict[str, Any]) -> bool:
    """Whether a config.json is of the published kind.

    Args:
        config: what it holds.
    """
    return str(config.get("model_type", "")).lower() in {name.lower() for name in MODEL_TYPES}


def fetch(path_or_id: str, what: str, flag: str | None = None) -> Path:
    """Return a folder as it is, or download a hub repository's safetensors and settings.

    Args:
        path_or_id: a folder or a hub id.
        what: what it is, for the error.
        flag: the command line's way to name another.

    Raises:
        CheckpointError: it is neither.
    """
    if Path(path_or_id).is_dir():
        return Path(path_or_id)
    mend = f"Name a folder or hub id with {flag}." if flag else "Name a folder or a hub id."
    if path_or_id.startswith((".", "/", "~")) or path_or_id.count("/") != 1:
        raise CheckpointError(f"{path_or_id} is no folder and no hub id (owner/name); it was to be {what}. {mend}")
    try:
        return Path(snapshot_download(path_or_id, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path_or_id}, {what}, is no folder here and did not download: {reason}. {mend}"
        ) from error


def read_official(folder: Path, towers: Towers) -> OfficialCheckpoint:
    """Read a published folder's settings and headers and say where each parameter comes from.

    Problems are collected, not raised, so that `inspect` can show them all.

    Args:
        folder: the published folder.
        towers: where towers come from that it does not hold.

    Raises:
        CheckpointError: config.json or the weights cannot be read at all, or the sizes of a tower cannot be known.
    """
    raw = read_json(folder / "config.json", "the model's settings")
    inventory = read_inventory(folder)
    problems: list[str] = []
    config, folders = _translate(raw, folder, inventory, towers)
    sources: dict[str, Stored] = {}
    unread: list[Stored] = []
    for key, stored in inventory.items():
        try:
            name = rename(key, config.num_vision_layers)
        except KeyError:
            problems.append(f"{key} in {stored.file} belongs to no part of the model; is this a HumanOmni checkpoint?")
            continue
        if name is None or (name == "lm_head.weight" and config.tie_word_embeddings):
            unread.append(stored)
        else:
            sources[name] = stored
    expected = expected_shapes(config)
    _add_towers(sources, expected, folders, towers, config, problems)
    problems += _misfits(sources, expected)
    for part, names in _missing_by_part(sources, expected).items():
        problems.append(
            f"{part}: {len(names)} of its tensors are missing, the first is {names[0]}, from {folder}. "
            "Download the folder again, or take a release that holds it."
        )
    return OfficialCheckpoint(folder, config, sources, unread, folders["router"], folders["vision"], problems)


def _misfits(sources: dict[str, Stored], expected: dict[str, tuple[int, ...]]) -> list[str]:
    """Say which tensors do not fit; the towers' come first, for one wrong tower makes others not fit either."""
    towers, others = [], []
    for name, stored in sources.items():
        flag = _TOWER_FLAGS.get(part_of(name))
        mend = f"Name the tower it was made with: {flag}." if flag else "Take config.json and weights from one release."
        if name not in expected:
            found = "is not expected: config.json's sizes leave no room for it."
        elif expected[name] != stored.shape:
            found = f"has shape {list(stored.shape)}; the configuration asks for {list(expected[name])}."
        else:
            continue
        (towers if flag else others).append(f"{stored.key} in {stored.file} {found} {mend}")
    return towers + others


def expected_shapes(config: HumanOmniConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter that must come from a file.

    Args:
        config: the sizes.
    """
    with torch.device("meta"):
        model = HumanOmniForConditionalGeneration(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    return shapes


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
    """Fill towers of which the checkpoint holds nothing from their own folders."""
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
                default, f"the {part}, which the checkpoint does not hold", _TOWER_FLAGS[part]
            )
            folders[kind] = folder
            found = read_inventory(folder)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        wanted = [name for name in expected if part_of(name) == part]
        sources.update(_tower_sources(kind, found, wanted))


_TOWER_PREFIXES = {
    "vision": ("vision_model.", ""),
    "audio": ("model.encoder.", "encoder.", ""),
    "router": ("bert.", ""),
}


def _tower_sources(kind: str, found: dict[str, Stored], wanted: list[str]) -> dict[str, Stored]:
    """Map a tower's own release; BERT's old `gamma` and `beta` are read as weight and bias."""
    modern = {k.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): s
              for k, s in found.items()}  # fmt: skip
    out: dict[str, Stored] = {}
    for name in wanted:
        own = name.split(".", 1)[1]
        own = "encoder." + own if kind == "vision" and own.startswith("layers.") else own
        stored = next((modern[p + own] for p in _TOWER_PREFIXES[kind] if p + own in modern), None)
        if stored is not None:
            out[name] = stored
    return out


def _translate(
    raw: dict[str, Any], folder: Path, inventory: dict[str, Stored], towers: Towers
) -> tuple[HumanOmniConfig, dict[str, Path | None]]:
    """Translate a published config.json; the towers' sizes come from their folders, or are known by their shapes."""
    projector = raw.get("mm_projector_type")
    if projector not in DEFAULT_VISION:
        raise CheckpointError(
            f"{folder / 'config.json'} has mm_projector_type {projector!r}; expected all_in_one_small or all_in_one. "
            "Other kinds of HumanOmni projector are not supported."
        )
    folders = {
        "vision": _named_folder(towers.vision, raw.get("mm_vision_tower"), folder, "--vision"),
        "audio": _named_folder(towers.audio, raw.get("mm_audio_tower"), folder, "--audio"),
        "router": _named_folder(towers.router, None, folder, "--router"),
    }
    if folders["router"] is None:
        try:
            folders["router"] = fetch(DEFAULT_ROUTER, "the router's vocabulary", "--router")
        except CheckpointError:
            folders["router"] = None
    text_fields = {k: v for k, v in raw.items() if k in _QWEN2_FIELDS}
    gate = inventory.get("model.bert_gate.0.weight")
    try:
        return HumanOmniConfig(
            vision_config=_vision_config(folders["vision"], inventory, projector),
            audio_config=_audio_config(folders["audio"], inventory),
            router_config=_router_config(folders["router"], inventory),
            text_config=Qwen2Config(**text_fields),
            projector_type=projector,
            num_frames=raw.get("num_frames") or 8,
            vision_feature_layer=raw.get("mm_vision_select_layer", -2),
            gate_hidden_size=gate.shape[0] if gate else 3584,
            dtype=raw.get("torch_dtype") or raw.get("dtype"),
            architectures=["HumanOmniForConditionalGeneration"],
        ), folders
    except (ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error


_QWEN2_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "tie_word_embeddings", "rope_theta",
    "rope_scaling", "rope_parameters", "use_sliding_window", "sliding_window", "max_window_layers", "attention_dropout",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def _named_folder(given: str | None, recorded: str | None, folder: Path, flag: str) -> Path | None:
    """Return the tower folder that was given, else the recorded one where it exists here."""
    if given is not None:
        return fetch(given, "a tower", flag)
    if not recorded:
        return None
    places = (Path(recorded), folder / recorded, folder.parent / recorded)
    return next((place for place in places if place.is_dir()), None)


def _settings(folder: Path | None, what: str) -> dict[str, Any] | None:
    return None if folder is None else read_json(folder / "config.json", what)


def _unknown(what: str, flag: str, default: str, shape: object) -> CheckpointError:
    return CheckpointError(
        f"The sizes of the {what} cannot be known from the checkpoint (found {shape}). Name its folder or hub id with "
        f"{flag}, for example {flag} {default}."
    )


def _vision_config(folder: Path | None, inventory: dict[str, Stored], projector: str) -> SiglipVisionConfig:
    saved = _settings(folder, "the vision tower's settings")
    if saved is not None:
        if "siglip" not in str(saved.get("model_type", "")):
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the vision tower must be a SigLIP, "
                f"for example --vision {DEFAULT_VISION[projector]}."
            )
        return SiglipVisionConfig(**_plain(saved.get("vision_config", saved)))
    table = inventory.get("model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight")
    by_shape = {(196, 768): PRESETS["0.5b"]["vision_config"], (729, 1152): PRESETS["7b"]["vision_config"]}
    if table is None:
        return SiglipVisionConfig(**by_shape[(196, 768) if projector == "all_in_one_small" else (729, 1152)])
    if table.shape not in by_shape:
        raise _unknown("vision tower", "--vision", DEFAULT_VISION[projector], f"position table {list(table.shape)}")
    return SiglipVisionConfig(**by_shape[table.shape])  # pyright: ignore[reportArgumentType]


def _audio_config(folder: Path | None, inventory: dict[str, Stored]) -> WhisperConfig:
    saved = _settings(folder, "the audio tower's settings")
    if saved is not None:
        if saved.get("model_type") != "whisper":
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the audio tower must be a Whisper, "
                f"for example --audio {DEFAULT_AUDIO}."
            )
        return WhisperConfig(**_plain(saved))
    table = inventory.get("model.audio_tower.audio_tower.encoder.embed_positions.weight")
    if table is not None and table.shape != (1500, 1280):
        raise _unknown("audio tower", "--audio", DEFAULT_AUDIO, f"position table {list(table.shape)}")
    return WhisperConfig(**PRESETS["0.5b"]["audio_config"])


def _router_config(folder: Path | None, inventory: dict[str, Stored]) -> BertConfig:
    saved = _settings(folder, "the router's settings")
    if saved is not None:
        if saved.get("model_type") != "bert":
            raise CheckpointError(
                f"{folder}/config.json has model_type {saved.get('model_type')!r}; the router must be a BERT, "
                f"for example --router {DEFAULT_ROUTER}."
            )
        return BertConfig(**_plain(saved))
    table = inventory.get("model.bert_model.embeddings.word_embeddings.weight")
    if table is not None and table.shape != (30522, 768):
        raise _unknown("router", "--router", DEFAULT_ROUTER, f"word table {list(table.shape)}")
    return BertConfig()


def _plain(saved: dict[str, Any]) -> dict[str, Any]:
    """Leave out what describes the file rather than the model."""
    return {k: v for k, v in saved.items() if k not in ("model_type", "architectures", "torch_dtype", "dtype")}
