"""Sizes by name: the two published ones and a tiny one that trains on a CPU in minutes."""

from typing import Any

import torch

from r1omni.core.errors import ConfigError
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.modeling import HumanOmniForConditionalGeneration

_WHISPER_LARGE_V3 = {
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "num_mel_bins": 128,
    "max_source_positions": 1500,
    "decoder_layers": 32,
    "decoder_attention_heads": 20,
    "decoder_ffn_dim": 5120,
    "vocab_size": 51866,
}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "vision_config": {
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "image_size": 96,
            "patch_size": 24,
        },
        "audio_config": {
            "d_model": 96,
            "encoder_layers": 3,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 192,
            "num_mel_bins": 80,
            "max_source_positions": 150,
        },
        "router_config": {
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "vocab_size": 512,
        },
        "text_config": {
            "hidden_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 288,
            "vocab_size": 1024,
            "max_position_embeddings": 2048,
            "initializer_range": 0.08,
            "tie_word_embeddings": True,
        },
        "num_frames": 4,
        "audio_pool": 6,
        "gate_hidden_size": 64,
    },
    "0.5b": {
        "vision_config": {},
        "audio_config": _WHISPER_LARGE_V3,
        "router_config": {},
        "text_config": {
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "intermediate_size": 4864,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        },
    },
    "7b": {
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 384,
            "patch_size": 14,
        },
        "audio_config": _WHISPER_LARGE_V3,
        "router_config": {},
        "text_config": {
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "intermediate_size": 18944,
            "vocab_size": 152064,
            "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        },
        "projector_type": "all_in_one",
    },
}
"""Name -> the fields that differ from the defaults. The published sizes are those of the 0.5B and 7B checkpoints."""


def preset_config(name: str, **overrides: object) -> HumanOmniConfig:
    """Return the configuration of a named size.

    Args:
        name: a key of `PRESETS`.
        **overrides: fields to replace; dictionaries (`text_config={"vocab_size": 600}`) are merged into the preset's.

    Raises:
        ConfigError: the preset is unknown.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}; choose one of {', '.join(PRESETS)}.")
    fields: dict[str, Any] = dict(PRESETS[name])
    for key, value in overrides.items():
        fields[key] = {**fields.get(key, {}), **value} if isinstance(value, dict) else value
    return HumanOmniConfig(**fields)


def cut_config(name: str, layers: int | None, **overrides: object) -> HumanOmniConfig:
    """Return a named size with fewer layers and the full widths and token counts, for measurements.

    Args:
        name: a key of `PRESETS`.
        layers: of the language model; towers, router and vocabulary are cut in proportion. None keeps all.
        **overrides: as in `preset_config`; they take precedence.
    """
    whole = preset_config(name)
    if layers is None:
        return preset_config(name, **overrides)

    def cut(count: int) -> int:
        return max(1, round(count * layers / whole.text.num_hidden_layers))

    cuts: dict[str, dict[str, int]] = {
        # The last vision layer is configured but not built.
        "vision_config": {"num_hidden_layers": cut(whole.vision.num_hidden_layers - 1) + 1},
        "audio_config": {"encoder_layers": cut(whole.audio.encoder_layers)},
        "router_config": {"num_hidden_layers": cut(whole.router.num_hidden_layers)},
        "text_config": {"num_hidden_layers": layers, "vocab_size": cut(whole.text.vocab_size)},
    }
    merged = {part: {**cuts[part], **_mapping(overrides.get(part, {}))} for part in cuts}
    return preset_config(name, **(overrides | merged))


def _mapping(value: object) -> dict[str, object]:
    """Narrow the overrides of one part to a dictionary."""
    if not isinstance(value, dict):
        raise ConfigError(
            f"found a {type(value).__name__} as the overrides of a part; expected a dictionary of fields."
        )
    return value


def build_model(config: HumanOmniConfig, seed: int = 0) -> HumanOmniForConditionalGeneration:
    """Return a model with random weights; the caller's random state is not changed.

    Args:
        config: the sizes.
        seed: the same seed draws the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HumanOmniForConditionalGeneration(config)
