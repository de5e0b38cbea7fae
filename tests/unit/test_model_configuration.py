"""Sizes: presets, published counts, and what does not fit together."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from r1omni.core.errors import ConfigError
from r1omni.model.configuration import HumanOmniConfig
from r1omni.model.official import PARTS, expected_shapes, part_of, rename
from r1omni.model.presets import PRESETS, build_model, preset_config

GOLDEN = Path(__file__).parents[1] / "golden"
PUBLISHED = {
    "language model / embed_tokens": "language_model.embed_tokens.",
    "language model / layers+norm": ("language_model.layers.", "language_model.norm."),
    "language model / lm_head": "lm_head.",
    "vision_tower / used": "vision_tower.",
    "bert_model / used": "router.",
    "bert_gate": "gate.",
    "audio_tower / encoder": "audio_tower.",
    "audio_projector": "audio_projector.",
    "mm_projector / mlp_2xgelu_face": "projector.face.",
    **{
        f"mm_projector / {stage}_{branch}": f"projector.{stage}_{branch}."
        for stage in ("s1", "sampler", "s2", "readout")
        for branch in ("video", "body")
    },
}


def _count(shapes: dict[str, tuple[int, ...]], prefixes: str | tuple[str, ...]) -> int:
    total = 0
    for name, shape in shapes.items():
        if name.startswith(prefixes):
            count = 1
            for length in shape:
                count *= length
            total += count
    return total


@pytest.mark.parametrize("preset", ["0.5b", "7b"])
def test_full_size_parts_have_the_published_numbers_of_parameters(preset: str) -> None:
    inventory: dict[str, Any] = json.loads((GOLDEN / "full_size_inventory.json").read_text())
    parts = next(v for k, v in inventory.items() if k.lower().startswith(f"{preset} (") and "parts" in v)["parts"]
    shapes = expected_shapes(preset_config(preset))
    compared = [name for name in parts if "unused" not in name]
    assert set(compared) <= set(PUBLISHED)
    for name in compared:
        assert _count(shapes, PUBLISHED[name]) == parts[name], name


def _every_layer(pattern: str) -> list[str]:
    """`a.{0..2}.b` -> a.0.b, a.1.b, a.2.b."""
    layers = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if layers is None:
        return [pattern]
    return [pattern.replace(layers[0], str(layer)) for layer in range(int(layers[1]), int(layers[2]) + 1)]


def test_every_published_key_is_mapped_and_shaped_as_ours() -> None:
    written: dict[str, list[int]] = json.loads((GOLDEN / "full_size_keys_0.5B.json").read_text())
    keys = {key: tuple(shape) for pattern, shape in written.items() for key in _every_layer(pattern)}
    assert len(keys) == 1323
    config = preset_config("0.5b")
    expected = expected_shapes(config)
    mapped = {name: shape for key, shape in keys.items() if (name := rename(key, config.num_vision_layers))}
    del mapped["lm_head.weight"]  # tied
    assert mapped == expected


def test_tiny_trains_about_a_million_parameters_and_reads_few_tokens() -> None:
    config = preset_config("tiny", text_config={"vocab_size": 700})
    model = build_model(config)
    trained = sum(p.numel() for n, p in model.named_parameters() if p.requires_grad and not n.startswith("router."))
    assert 500_000 < trained < 2_000_000
    assert config.num_frames * config.video_tokens_per_frame + config.audio_tokens < 150
    assert model.lm_head.weight is model.language_model.embed_tokens.weight


def test_a_seed_draws_the_same_weights_and_leaves_the_callers_random_state() -> None:
    import torch

    config = preset_config("tiny")
    torch.manual_seed(1)
    first, one = build_model(config, seed=3), torch.rand(1)
    torch.manual_seed(1)
    second, two = build_model(config, seed=3), torch.rand(1)
    assert torch.equal(one, two)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.gate[0].weight, build_model(config, seed=4).gate[0].weight)


def test_every_parameter_belongs_to_one_part() -> None:
    assert {part_of(name) for name in expected_shapes(preset_config("tiny"))} == set(PARTS)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"projector_type": "stc_connector"}, "expected all_in_one_small or all_in_one"),
        ({"projector_type": "all_in_one"}, "needs an odd patch grid"),
        ({"aspect": "crop"}, "expected pad or stretch"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        preset_config("tiny", **fields)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"tiny, 0\.5b, 7b"):
        preset_config("1b")
    assert set(PRESETS) == {"tiny", "0.5b", "7b"}


def test_configuration_survives_writing_and_reading(tmp_path: Path) -> None:
    config = preset_config("tiny", text_config={"vocab_size": 321}, aspect="stretch")
    config.save_pretrained(tmp_path)
    again = HumanOmniConfig.from_pretrained(tmp_path)
    assert again.to_dict() == {**config.to_dict(), "transformers_version": again.to_dict()["transformers_version"]}
    assert (again.text.vocab_size, again.aspect, again.tie_word_embeddings) == (321, "stretch", True)
