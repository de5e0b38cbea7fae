"""Published folders: reading, inspecting, converting, and what is said about broken ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from r1omni.core.errors import CheckpointError
from r1omni.media.decode import Media
from r1omni.model import official
from r1omni.model.convert_checkpoint import convert_checkpoint
from r1omni.model.inspect_checkpoint import inspect_checkpoint
from r1omni.model.load_model import load_model
from r1omni.model.modeling import HumanOmniForConditionalGeneration
from r1omni.model.presets import build_model, preset_config
from r1omni.model.processing import HumanOmniProcessor
from r1omni.model.tokenizer import build_tokenizers

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LOGITS_TOLERANCE = 1e-4
"""Between two runs of one model over equal weights whose sums are taken in another order: float32 rounds to 6e-8 of a
value, sums of up to 500 terms over a few layers grow that to about 1e-5 at values up to 10. A wrong tensor moves
logits by far more than 1e-2."""


def _published_name(name: str) -> str:
    """Our name as the published state dict has it."""
    for theirs, ours in official._RENAMES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the official code writes it, towers and router beside it."""
    root = tmp_path_factory.mktemp("published")
    _publish(root)
    return root


def _publish(root: Path, **overrides: Any) -> torch.nn.Module:
    """Write a model of random weights in the published layout; returns it."""
    tokenizer, router_tokenizer = build_tokenizers(["which emotion is the most obvious to you?"], 320)
    fields: dict[str, Any] = {
        "vision_config": {"image_size": 64, "patch_size": 16},
        "text_config": {"vocab_size": 384, "num_hidden_layers": 2},
        "router_config": {"vocab_size": len(router_tokenizer)},
        "gate_hidden_size": 16,
    }
    for name, value in overrides.items():
        fields[name] = {**fields.get(name, {}), **value} if isinstance(value, dict) else value
    config = preset_config("tiny", **fields)
    model = build_model(config)
    folder = root / "checkpoint"
    tokenizer.save_pretrained(folder)
    parts = {name: getattr(config, f"{name}_config").to_dict() for name in ("vision", "audio", "router", "text")}
    flat = {
        **{k: v for k, v in parts["text"].items() if k in official._QWEN2_FIELDS},
        "model_type": "HumanOmni_qwen2",
        "mm_projector_type": config.projector_type,
        "mm_vision_tower": "towers/siglip",
        "mm_audio_tower": "/mnt/data/author/whisper-large-v3",
        "mm_vision_select_layer": -2,
        "num_frames": 4,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(flat))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.eos_token_id}))
    state = {_published_name(k): v.clone() for k, v in model.state_dict().items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    vision = "model.vision_tower.vision_tower.vision_model."
    unread = {
        vision + "post_layernorm.weight": torch.ones(96),
        f"{vision}encoder.layers.{config.num_vision_layers}.mlp.fc1.bias": torch.ones(192),
    }
    save_file(state | unread, folder / SINGLE, {"format": "pt"})
    for name, prefix, ours in (
        ("siglip", "vision_model.", "vision_tower."),
        ("whisper", "model.encoder.", "audio_tower."),
        ("bert", "bert.", "router."),
    ):
        tower = root / "towers" / name
        tower.mkdir(parents=True)
        own = {k.removeprefix(ours): v.clone() for k, v in model.state_dict().items() if k.startswith(ours)}
        own = {k.replace("layers.", "encoder.layers.") if name == "siglip" else k: v for k, v in own.items()}
        own = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in own.items()}  # fmt: skip
        save_file({prefix + k: v for k, v in own.items()}, tower / SINGLE, {"format": "pt"})
        part = {"siglip": "vision", "whisper": "audio", "bert": "router"}[name]
        (tower / "config.json").write_text(json.dumps(parts[part] | {"model_type": parts[part]["model_type"]}))
    router_tokenizer.save_pretrained(root / "towers" / "bert")
    return model


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    shutil.copytree(published, tmp_path / "copy")
    return tmp_path / "copy"


def _towers(root: Path) -> dict[str, str]:
    return {part: str(root / "towers" / name) for part, name in
            (("vision", "siglip"), ("audio", "whisper"), ("router", "bert"))}  # fmt: skip


def _edit_config(root: Path, folder: str = "checkpoint", **fields: Any) -> None:
    path = root / folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _edit_weights(root: Path, edit: Callable[[dict[str, torch.Tensor]], None], folder: str = "checkpoint") -> None:
    path = root / folder / SINGLE
    state = load_file(path)
    edit(state)
    save_file(state, path, {"format": "pt"})


def _shard(root: Path, weight_map: dict[str, str] | None = None) -> None:
    folder = root / "checkpoint"
    keys = load_file(folder / SINGLE)
    (folder / SINGLE).rename(folder / "model-00001-of-00002.safetensors")
    (folder / INDEX).write_text(
        json.dumps({"weight_map": dict.fromkeys(keys, "model-00001-of-00002.safetensors") | (weight_map or {})})
    )


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


MALFORMED: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no config": (lambda r: (r / "checkpoint/config.json").unlink(), ("config.json is missing", "Download")),
    "config is no JSON": (lambda r: (r / "checkpoint/config.json").write_text("<html>"), ("config.json is not JSON",)),
    "config is a list": (lambda r: (r / "checkpoint/config.json").write_text("[]"), ("holds a list", "JSON object")),
    "another model": (lambda r: _edit_config(r, model_type="llama"), ("model_type 'llama'", "HumanOmni_qwen2")),
    "another projector": (
        lambda r: _edit_config(r, mm_projector_type="stc_connector"),
        ("mm_projector_type 'stc_connector'", "all_in_one_small"),
    ),
    "grid and projector": (lambda r: _edit_config(r, mm_projector_type="all_in_one"), ("odd patch grid",)),
    "no weights": (lambda r: (r / "checkpoint" / SINGLE).unlink(), ("holds no weights", SINGLE)),
    "pickled weights": (
        lambda r: (r / "checkpoint" / SINGLE).rename(r / "checkpoint/pytorch_model.bin"),
        ("pytorch_model.bin, a pickle", "weights_only=True"),
    ),
    "pointer": (
        lambda r: (r / "checkpoint" / SINGLE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        ("Git LFS pointer", "git lfs pull"),
    ),
    "cut short": (lambda r: _cut(r / "checkpoint" / SINGLE), ("truncated", SINGLE, "Download")),
    "empty file": (lambda r: (r / "checkpoint" / SINGLE).write_bytes(b""), ("(0 bytes) is truncated",)),
    "shard missing": (
        lambda r: _shard(r, {"model.norm.weight": "model-00002-of-00002.safetensors"}),
        ("model-00002-of-00002.safetensors is missing", "model.norm.weight"),
    ),
    "index names an absent key": (
        lambda r: _shard(r, {"model.layers.9.x": "model-00001-of-00002.safetensors"}),
        ("lacks model.layers.9.x", INDEX),
    ),
    "index without map": (
        lambda r: (r / "checkpoint" / INDEX).write_text("{}"),
        ("has no weight_map",),
    ),
    "missing key": (
        lambda r: _edit_weights(r, lambda s: s.pop("model.bert_gate.2.bias")),
        ("gate: 1 of its tensors are missing", "gate.2.bias"),
    ),
    "half a tower": (
        lambda r: _edit_weights(r, lambda s: s.pop("model.audio_tower.audio_tower.encoder.conv1.weight")),
        ("audio tower: 1 of its tensors", "audio_tower.conv1.weight"),
    ),
    "unexpected key": (
        lambda r: _edit_weights(r, lambda s: s.update({"model.spatial.weight": torch.zeros(2)})),
        ("model.spatial.weight", "belongs to no part"),
    ),
    "more layers than the config": (
        lambda r: _edit_config(r, num_hidden_layers=1),
        ("model.layers.1.", "is not expected", "config.json"),
    ),
    "wrong shape": (
        lambda r: _edit_weights(r, lambda s: s.update({"model.norm.weight": torch.zeros(3)})),
        ("model.norm.weight", "[3]", "one release"),
    ),
    "quantised": (
        lambda r: _edit_weights(r, lambda s: s.update({"model.norm.weight": torch.zeros(128, dtype=torch.int8)})),
        ("model.norm.weight", "I8", "Quantised"),
    ),
    "no tokenizer": (
        lambda r: [p.unlink() for p in (r / "checkpoint").glob("tokenizer*")],
        ("holds no tokenizer", "tokenizer.json"),
    ),
    "no chat template": (
        lambda r: (r / "checkpoint/chat_template.jinja").unlink(),
        ("no chat template", "tokenizer_config.json"),
    ),
    "tokenizer of another release": (
        lambda r: (_edit_config(r, vocab_size=200), _edit_weights(r, _shrink_table)),
        ("tokens, but model.embed_tokens.weight only 200 rows",),
    ),
    "no router vocabulary": (
        lambda r: [p.unlink() for p in (r / "towers/bert").glob("*token*")],
        ("holds no vocab.txt", "--router"),
    ),
    "router of another kind": (
        lambda r: _edit_config(r, "towers/bert", model_type="roberta"),
        ("'roberta'", "must be a BERT", "--router"),
    ),
    "vision tower of another kind": (
        lambda r: _edit_config(r, "towers/siglip", model_type="clip"),
        ("'clip'", "must be a SigLIP", "--vision"),
    ),
    "audio tower of another kind": (
        lambda r: _edit_config(r, "towers/whisper", model_type="hubert"),
        ("'hubert'", "must be a Whisper", "--audio"),
    ),
    "tower of another size": (
        lambda r: _edit_config(r, "towers/siglip", hidden_size=48),
        ("vision_model", "[96]", "[48]", "--vision"),
    ),
    "generation settings": (
        lambda r: (r / "checkpoint/generation_config.json").write_text("{"),
        ("generation_config.json is not JSON",),
    ),
}


def _shrink_table(state: dict[str, torch.Tensor]) -> None:
    state["model.embed_tokens.weight"] = state["model.embed_tokens.weight"][:200].clone()


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_checkpoint_names_the_problem_and_the_fix(copy: Path, case: str) -> None:
    spoil, said = MALFORMED[case]
    spoil(copy)
    with pytest.raises(CheckpointError) as caught:
        load_model(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    for words in said:
        assert words in str(caught.value)
    with pytest.raises(CheckpointError):
        convert_checkpoint(copy / "checkpoint", copy / "out", **_towers(copy))  # pyright: ignore
    assert not (copy / "out").exists()


def _drop(*prefixes: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def edit(state: dict[str, torch.Tensor]) -> None:
        for key in [k for k in state if k.startswith(prefixes)]:
            del state[key]

    return edit


@pytest.mark.parametrize(
    ("flag", "prefix"),
    [("vision", "model.vision_tower."), ("audio", "model.audio_tower."), ("router", "model.bert_model.")],
)
def test_a_missing_tower_is_taken_from_its_folder_or_asked_for(copy: Path, flag: str, prefix: str) -> None:
    whole, _ = load_model(copy / "checkpoint", **_towers(copy), dtype=torch.float32)  # pyright: ignore
    _edit_weights(copy, _drop(prefix))
    model, _ = load_model(copy / "checkpoint", **_towers(copy), dtype=torch.float32)  # pyright: ignore
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    with pytest.raises(CheckpointError, match=f"--{flag}"):
        load_model(copy / "checkpoint", **(_towers(copy) | {flag: "./nowhere"}))  # pyright: ignore


def test_a_tower_path_of_the_training_machine_is_not_needed_where_the_recorded_folder_exists(copy: Path) -> None:
    towers = _towers(copy)
    del towers["vision"]  # config.json says towers/siglip
    load_model(copy / "checkpoint", **towers)  # pyright: ignore
    del towers["audio"]  # config.json says /mnt/data/author/whisper-large-v3, and the sizes are no published ones
    with pytest.raises(CheckpointError, match="sizes of the audio tower cannot be determined.*--audio openai/whisper"):
        load_model(copy / "checkpoint", **towers)  # pyright: ignore


def test_inspect_reports_parts_and_every_problem_without_loading(copy: Path) -> None:
    report = inspect_checkpoint(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    assert (report.layout, report.problems) == ("official", ())
    parts = {part.name: part for part in report.parts}
    assert parts["gate"].num_parameters == 64 * 16 + 16 + 16 * 3 + 3
    assert parts["gate"].dtypes == ("F32",)
    assert report.num_unread_parameters == 96 + 192
    _edit_weights(copy, _drop("model.bert_gate.2.bias", "model.norm"))
    problems = inspect_checkpoint(copy / "checkpoint", **_towers(copy)).problems  # pyright: ignore
    assert len(problems) == 2


def test_an_untied_file_of_a_tied_model_keeps_the_embeddings(copy: Path) -> None:
    _edit_weights(copy, lambda s: s.update({"lm_head.weight": torch.zeros(384, 8)}))
    model, _ = load_model(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    assert model.lm_head.weight is model.language_model.embed_tokens.weight
    assert model.lm_head.weight.any()


@torch.no_grad()
def test_converted_folder_is_complete_and_has_identical_weights(copy: Path) -> None:
    before, processor = load_model(copy / "checkpoint", **_towers(copy), dtype=torch.float32)  # pyright: ignore
    out = convert_checkpoint(copy / "checkpoint", copy / "own", **_towers(copy), shard_bytes=500_000)  # pyright: ignore
    assert all(len(load_file(file)) == 1 or file.stat().st_size < 550_000 for file in out.glob("*.safetensors"))
    shutil.rmtree(copy / "towers")
    shutil.rmtree(copy / "checkpoint")
    after, reader = load_model(out, dtype=torch.float32)
    assert inspect_checkpoint(out).problems == ()
    text = processor.process_text(["which emotion?"], [False], [False], [0])
    assert torch.equal(reader.process_text(["which emotion?"], [False], [False], [0])["input_ids"], text["input_ids"])
    ours, theirs = after.state_dict(), before.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # Memory-mapped weights have other addresses, where float32 kernels may round otherwise; see LOGITS_TOLERANCE.
    torch.testing.assert_close(after(**text).logits, before(**text).logits, atol=LOGITS_TOLERANCE, rtol=0)
    with pytest.raises(CheckpointError, match="exists"):
        convert_checkpoint(out, out)
    with pytest.raises(CheckpointError, match="not a published HumanOmni folder"):
        convert_checkpoint(out, copy / "again")
    assert isinstance(reader, HumanOmniProcessor)


def test_own_folder_with_a_missing_key_or_shape_is_refused(copy: Path) -> None:
    out = convert_checkpoint(copy / "checkpoint", copy / "own", **_towers(copy))  # pyright: ignore
    _edit_weights(copy, _drop("gate.2.bias"), "own")
    with pytest.raises(CheckpointError, match=r"lacks 1 of the 4 tensors of the gate \(the first is gate.2.bias\)"):
        load_model(out)
    _edit_weights(copy, lambda s: s.update({"gate.2.bias": torch.zeros(4)}), "own")
    with pytest.raises(CheckpointError, match=r"gate\.2\.bias .* has shape \[4\]; config.json asks for \[3\]"):
        load_model(out)


SIZES: dict[str, dict[str, Any]] = {
    "7B projector, odd grid, untied": {
        "projector_type": "all_in_one",
        # 86 // 12 = 7 patches: 2 pixels at the right and bottom belong to none; 7 -> (7 + 2) // 2 = 4 tokens a side
        "vision_config": {"image_size": 86, "patch_size": 12, "num_attention_heads": 2, "layer_norm_eps": 1e-5},
        "text_config": {"tie_word_embeddings": False, "hidden_size": 48, "num_attention_heads": 6},
        "audio_pool": 3,
    },
    "deeper, other heads and epsilons": {
        "vision_config": {"hidden_size": 40, "num_attention_heads": 5, "num_hidden_layers": 3, "image_size": 96},
        "audio_config": {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "num_mel_bins": 80},
        "text_config": {"num_hidden_layers": 5, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "rope_theta": 5000.0},
        "audio_pool": 3,
    },
}


@torch.no_grad()
@pytest.mark.parametrize(("size", "sharded"), list(zip(SIZES, (True, False), strict=True)))
def test_any_size_loads_number_for_number(tmp_path: Path, size: str, sharded: bool) -> None:
    written = _publish(tmp_path, **SIZES[size]).eval()
    (tmp_path / "checkpoint/generation_config.json").unlink()
    if sharded:
        _split(tmp_path / "checkpoint")
    model, processor = load_model(tmp_path / "checkpoint", **_towers(tmp_path), dtype=torch.float32)  # pyright: ignore
    ours, theirs = model.state_dict(), written.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    frames = np.random.default_rng(0).integers(0, 255, (3, 50, 70, 3), dtype=np.uint8)
    waveform = np.sin(np.arange(16_000) / 9).astype(np.float32)
    batch = processor([Media(frames, None, waveform, 16_000, 1.0)], ["which emotion?"])
    side = (model.config.grid_patches + 1) // 2
    assert (batch["input_ids"] == model.config.video_token_id).sum() == 3 * side * side
    # Memory-mapped weights have other addresses, where float32 kernels may round otherwise; see LOGITS_TOLERANCE.
    torch.testing.assert_close(model(**batch).logits, written(**batch).logits, atol=LOGITS_TOLERANCE, rtol=0)
    again, _ = load_model(convert_checkpoint(tmp_path / "checkpoint", tmp_path / "own", **_towers(tmp_path)),  # pyright: ignore
                          dtype=torch.float32)  # fmt: skip
    assert all(torch.equal(again.state_dict()[name], theirs[name]) for name in theirs)


def _split(folder: Path) -> None:
    """Write the weights as two shards and their index, as large models are."""
    state = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    weight_map = {}
    for number in (0, 1):
        name = f"model-{number + 1:05d}-of-00002.safetensors"
        shard = {key: value for place, (key, value) in enumerate(state.items()) if place % 2 == number}
        save_file(shard, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(shard, name)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_neither_a_folder_nor_a_hub_id_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a hub id"):
        load_model("./nowhere")


def _named(root: Path, name: str) -> Path:
    return (root / "checkpoint").rename(root / name)


def test_a_checkpoint_named_humanomni_7b_pools_its_video_tokens_with_a_note(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _named(copy, "HumanOmni-7B")
    model, processor = load_model(folder, **_towers(copy))  # pyright: ignore
    assert (model.config.video_pooling, processor.video_pooling) == ("slow_fast", "slow_fast")
    assert "video tokens are pooled" in caplog.text and "--video-pooling none" in caplog.text
    # Four frames of a 2x2 token grid: 4 means, and frame 1 in full.
    ids = processor.process_text(["why?"], [True], [False], [4])["input_ids"]
    assert (ids == model.config.video_token_id).sum() == 4 + 4
    caplog.clear()
    model, processor = load_model(folder, **_towers(copy), video_pooling="none")  # pyright: ignore
    assert (model.config.video_pooling, processor.video_pooling, caplog.text) == ("none", "none", "")


def test_other_published_names_pool_only_when_asked(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("R1-Omni-0.5B", "HumanOmni-0.5B", "HumanOmni-7B-Video"):
        assert official.published_pooling(f"StarJiaxing/{name}") == "none"
    assert official.published_pooling("StarJiaxing/HumanOmni-7B") == "slow_fast"
    assert inspect_checkpoint(copy / "checkpoint", **_towers(copy)).config.video_pooling == "none"  # pyright: ignore
    asked = inspect_checkpoint(copy / "checkpoint", **_towers(copy), video_pooling="slow_fast")  # pyright: ignore
    assert (asked.config.video_pooling, caplog.text) == ("slow_fast", "")


def test_pooling_is_kept_by_a_converted_folder_under_any_name(copy: Path) -> None:
    folder = _named(copy, "HumanOmni-7B")
    out = convert_checkpoint(folder, copy / "own", **_towers(copy))  # pyright: ignore
    assert inspect_checkpoint(out).config.video_pooling == "slow_fast"
    model, processor = load_model(out)
    assert (model.config.video_pooling, processor.video_pooling) == ("slow_fast", "slow_fast")
    assert HumanOmniProcessor.from_pretrained(out).video_pooling == "slow_fast"
    model, processor = load_model(out, video_pooling="none")
    assert (model.config.video_pooling, processor.video_pooling) == ("none", "none")
    plain = convert_checkpoint(folder, copy / "plain", **_towers(copy), video_pooling="none")  # pyright: ignore
    assert load_model(plain)[0].config.video_pooling == "none"


def test_the_matrices_of_humanomnis_pooling_that_nothing_reads_do_not_keep_it_from_loading(copy: Path) -> None:
    unused = {"model.feature_compressor.vlm_query_projector.weight": torch.ones(8, 4)}
    _edit_weights(copy, lambda state: state.update(unused))
    report = inspect_checkpoint(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    assert (report.problems, report.num_unread_parameters) == ((), 96 + 192 + 32)


def _files_of(model: HumanOmniForConditionalGeneration) -> tuple[Path, ...]:
    return tuple(Path(stamp.path) for stamp in model.weights_files)


def test_a_loaded_model_knows_the_files_its_weights_came_from(copy: Path) -> None:
    model, _ = load_model(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    assert _files_of(model) == (copy / "checkpoint" / SINGLE,)
    _edit_weights(copy, _drop("model.vision_tower."))
    model, _ = load_model(copy / "checkpoint", **_towers(copy))  # pyright: ignore
    assert _files_of(model) == (copy / "checkpoint" / SINGLE, copy / "towers" / "siglip" / SINGLE)
    out = convert_checkpoint(copy / "checkpoint", copy / "own", **_towers(copy))  # pyright: ignore
    assert _files_of(load_model(out)[0]) == (out / SINGLE,)
    assert build_model(model.config).weights_files == ()


def test_adapters_of_the_published_names_fold_into_a_published_base_and_into_its_converted_folder(copy: Path) -> None:
    base = copy / "checkpoint"
    key, name = "model.layers.1.self_attn.v_proj", "language_model.layers.1.self_attn.v_proj.weight"
    before = load_model(base, **_towers(copy), dtype="float32")[0].get_parameter(name)  # pyright: ignore
    down, up = torch.randn(2, before.shape[1]), torch.randn(before.shape[0], 2)
    (copy / "lora").mkdir()
    save_file(
        {f"base_model.model.{key}.lora_A.weight": down, f"base_model.model.{key}.lora_B.weight": up},
        copy / "lora" / "adapter_model.safetensors",
    )
    (copy / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 3}))
    own = convert_checkpoint(base, copy / "own", **_towers(copy))  # pyright: ignore
    for given in (base, own):
        model, _ = load_model(copy / "lora", base=str(given), **_towers(copy), dtype="float32")  # pyright: ignore
        torch.testing.assert_close(model.get_parameter(name), before + 3 / 2 * up @ down)
    one = convert_checkpoint(copy / "lora", copy / "one", base=str(base), **_towers(copy))  # pyright: ignore
    torch.testing.assert_close(load_model(one, dtype="float32")[0].get_parameter(name), before + 3 / 2 * up @ down)
