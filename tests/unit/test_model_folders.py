"""Folders that people name as a model: what is incomplete, what is something else, and what is said about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from r1omni.core.errors import CheckpointError, ConfigError
from r1omni.infer.predict_files import load_engine
from r1omni.model.checkpoint_hash import checkpoint_identity
from r1omni.model.convert_checkpoint import convert_checkpoint
from r1omni.model.inspect_checkpoint import inspect_checkpoint
from r1omni.model.load_model import load_model
from r1omni.model.presets import preset_config
from r1omni.model.publish_checkpoint import publish_checkpoint
from r1omni.model.save_model import save_model
from r1omni.model.stored_answer_format import answer_format_of
from r1omni.model.stored_calibration import write_calibration
from small_model import small_model

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of ours, complete."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    save_model(*small_model(), folder)
    return folder


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def said_of(path: Path | str, **options: Any) -> str:
    """What loading says, which inspecting says too, be it as an error or as a problem."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path, **options)
    try:
        problems = inspect_checkpoint(path, **options).problems
        assert problems and str(caught.value).startswith(problems[0])
    except CheckpointError as error:
        assert str(error) == str(caught.value)
    return str(caught.value)


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    state = load_file(folder / SINGLE)
    edit(state)
    save_file(state, folder / SINGLE, {"format": "pt"})


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def split_into_shards(folder: Path) -> tuple[str, str]:
    state = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    weight_map = {}
    for place, name in enumerate(names):
        part = dict(list(state.items())[place::2])
        save_file(part, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return names


# What a folder of ours needs.


@pytest.mark.parametrize(
    ("file", "purpose"),
    [
        ("tokenizer.json", "the language model's tokenizer"),
        ("tokenizer_config.json", "its control tokens"),
        ("chat_template.jinja", "how a conversation becomes a prompt"),
        ("router_tokenizer/tokenizer.json", "the router's tokenizer"),
        ("router_tokenizer/tokenizer_config.json", "its settings"),
        ("processor_config.json", "the settings of the picture and sound processors"),
    ],
)
@pytest.mark.parametrize("fault", ["missing", "pointer", "empty"])
def test_a_file_that_a_folder_needs_is_named_with_its_purpose(model: Path, file: str, purpose: str, fault: str) -> None:
    if fault == "missing":
        (model / file).unlink()
    else:
        (model / file).write_text(POINTER if fault == "pointer" else "")
    found = {
        "missing": "",
        "pointer": "; found a Git LFS pointer: `git lfs pull` fetches the file",
        "empty": "; found an empty file",
    }
    assert f"lacks {file} ({purpose}{found[fault]})" in said_of(model)


def test_everything_that_is_missing_is_one_sentence(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    shutil.rmtree(model / "router_tokenizer")
    (model / "processor_config.json").unlink()
    edit_weights(model, lambda state: [state.pop(name) for name in list(state) if name.startswith("gate.")])
    edit_weights(model, lambda state: state.pop("projector.readout.0.bias", None) or state.pop(next(iter(state))))
    said = said_of(model)
    for part in ("processor_config.json", "tokenizer.json", "router_tokenizer/tokenizer.json", "the gate (all 4"):
        assert part in said
    assert " and 1 of the " in said and "more problems" not in said and "Copy the whole folder again" in said


@pytest.mark.parametrize("file", ["tokenizer.json", "router_tokenizer/tokenizer.json", "processor_config.json"])
def test_a_damaged_settings_file_is_a_sentence(model: Path, file: str) -> None:
    (model / file).write_text('{"a": ')
    assert f"{model / file} is not JSON" in said_of(model)


def test_a_router_without_its_own_tokenizer_never_takes_the_language_models(model: Path) -> None:
    (model / "router_tokenizer" / "tokenizer.json").write_text("{}")
    assert "The processor in" in said_of(model) and "cannot be read" in said_of(model)


@pytest.mark.parametrize("part", ["image_processor", "feature_extractor"])
def test_a_processor_without_a_part_is_a_sentence(model: Path, part: str) -> None:
    settings = json.loads((model / "processor_config.json").read_text())
    del settings[part]
    (model / "processor_config.json").write_text(json.dumps(settings))
    assert f"processor_config.json lacks {part}" in said_of(model)


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"audio_tokens": 7}, "audio_tokens is 7"), ({"video_token_id": -5}, "video_token_id is -5, in config.json -201")],
)
def test_the_processor_of_another_model_is_refused(model: Path, fields: dict[str, Any], said: str) -> None:
    edit_json(model / "processor_config.json", **fields)
    assert said in said_of(model) and "from one folder" in said_of(model)


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(model: Path) -> None:
    settings = json.loads((model / "tokenizer.json").read_text())
    rows = json.loads((model / "config.json").read_text())["text_config"]["vocab_size"]
    token = settings["added_tokens"][0] | {"id": rows + 5, "content": "<|extra|>"}
    settings["added_tokens"].append(token)
    (model / "tokenizer.json").write_text(json.dumps(settings))
    assert f"tokens for {rows} rows of weights" in said_of(model)


def test_a_configuration_that_describes_no_model_is_a_sentence(model: Path) -> None:
    edit_json(model / "config.json", projector_type="stc")
    assert "describes no model: projector_type is 'stc'" in said_of(model)


def test_a_configuration_of_another_size_is_one_sentence(model: Path) -> None:
    sizes = json.loads((model / "config.json").read_text())
    edit_json(model / "config.json", text_config=sizes["text_config"] | {"hidden_size": 64})
    said = said_of(model)
    assert "has shape [32]; config.json asks for [64]" in said and "more tensors do not fit either" in said
    edit_json(model / "config.json", text_config=sizes["text_config"] | {"hidden_size": "wide"})
    assert "describes no model" in said_of(model)


def test_options_that_a_complete_folder_does_not_need_are_reported(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_model(model, router="./nowhere")
    assert "--router are not used" in caplog.text


# Weights.


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(model: Path, prefix: str) -> None:
    expected = load_file(model / SINGLE)
    save_file({prefix + name: tensor for name, tensor in expected.items()}, model / SINGLE, {"format": "pt"})
    report = inspect_checkpoint(model)
    assert report.problems == () and sum(part.num_parameters for part in report.parts) == sum(
        tensor.numel() for tensor in expected.values()
    )
    loaded = load_model(model, dtype="float32")[0].state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_names_of_no_part_are_one_sentence_and_inspect_lists_the_rest(model: Path) -> None:
    edit_weights(
        model, lambda state: state.update({"spatial.0.weight": torch.ones(2), "spatial.1.weight": torch.ones(3)})
    )
    assert "spatial.0.weight (and 1 more tensors)" in said_of(model)
    assert inspect_checkpoint(model).num_unread_parameters == 5


def test_weights_with_adapters_inside_are_named_so(model: Path) -> None:
    name = "language_model.layers.0.mlp.up_proj"
    extra = {f"{name}.lora_A.default.weight": torch.ones(2, 32), f"{name}.lora_B.default.weight": torch.ones(64, 2)}
    edit_weights(model, lambda state: state.update(extra))
    assert "merge_and_unload" in said_of(model)


@pytest.mark.parametrize(
    ("value", "word"), [(float("nan"), "NaN"), (float("inf"), "infinity"), (-float("inf"), "infinity")]
)
def test_weights_that_are_no_numbers_are_an_error(model: Path, tmp_path: Path, value: float, word: str) -> None:
    edit_weights(model, lambda state: state["language_model.norm.weight"].__setitem__(3, value))
    with pytest.raises(CheckpointError) as caught:
        load_model(model, dtype="float32")
    assert f"language_model.norm.weight in {model / SINGLE} holds {word} in 1 of 32 values" in str(caught.value)
    assert inspect_checkpoint(model).problems == ()
    assert inspect_checkpoint(model, reads_values=True).problems == (str(caught.value),)


def test_large_weights_whose_sum_overflows_are_no_error(model: Path) -> None:
    edit_weights(model, lambda state: state["language_model.norm.weight"].fill_(3e38))
    assert load_model(model, dtype="float32")[0].language_model.norm.weight.max() == torch.tensor(3e38)


def test_weights_that_a_number_format_cannot_hold_name_the_option(model: Path) -> None:
    edit_weights(model, lambda state: state["language_model.norm.weight"].fill_(1e6))
    with pytest.raises(CheckpointError, match=r"values up to 1e\+06, which float16 cannot hold.*--dtype bfloat16"):
        load_model(model, dtype="float16")


def test_shards_without_an_index_are_named(model: Path) -> None:
    first, second = split_into_shards(model)
    (model / INDEX).unlink()
    assert f"holds {first} and 1 more but no {INDEX}" in said_of(model)
    (model / first).unlink()
    assert f"1 of the 2 shards are missing, the first is {first}" in said_of(model)


def test_an_index_that_names_missing_shards_is_a_sentence(model: Path) -> None:
    first, second = split_into_shards(model)
    (model / second).unlink()
    assert f"{second} is missing" in said_of(model)
    (model / first).unlink()
    assert f"{first} is missing" in said_of(model) and "So are 1 more of 2 shards" in said_of(model)


@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/passwd", "a/../../b.safetensors", "..\\b.safetensors", "C:\\b", "", 5]
)
def test_names_in_an_index_never_leave_the_folder(model: Path, name: str | int) -> None:
    save_file(load_file(model / SINGLE), model.parent / "other.safetensors", {"format": "pt"})
    split_into_shards(model)
    places = json.loads((model / INDEX).read_text())["weight_map"]
    (model / INDEX).write_text(json.dumps({"weight_map": places | {"language_model.norm.weight": name}}))
    said = said_of(model)
    assert f"puts language_model.norm.weight into {name!r}" in said and "Nothing outside it is read" in said


FORMATS = {
    "model.gguf": ("model.gguf, in llama.cpp's format", "the original release"),
    "pytorch_model.bin": ("pytorch_model.bin, a pickle", "weights_only=True"),
    "model.pt": ("model.pt, a pickle", "weights_only=True"),
    "weights.safetensors": ("holds weights.safetensors", f"rename it to {SINGLE}"),
    "tf_model.h5": ("holds tf_model.h5, of another framework", "PyTorch release"),
    "training_args.bin": ("holds no weights", SINGLE),
    "global_step500/mp_rank_00_model_states.pt": ("holds global_step500", "zero_to_fp32.py"),
    "pytorch_model_fsdp_0/__0_0.distcp": ("holds pytorch_model_fsdp_0", "accelerate merge-weights"),
}


@pytest.mark.parametrize("has_config", [True, False])
@pytest.mark.parametrize("file", FORMATS)
def test_weights_in_another_format_are_named(model: Path, file: str, has_config: bool) -> None:
    (model / SINGLE).unlink()
    if not has_config:
        (model / "config.json").unlink()
    (model / file).parent.mkdir(exist_ok=True)
    (model / file).write_bytes(b"GGUF")
    for words in FORMATS[file]:
        assert words in said_of(model)


def test_a_pointer_in_place_of_weights_or_settings_says_so(model: Path) -> None:
    (model / SINGLE).write_text(POINTER)
    assert "model.safetensors is a Git LFS pointer" in said_of(model) and "git lfs pull" in said_of(model)
    (model / "config.json").write_text(POINTER)
    assert "config.json is a Git LFS pointer" in said_of(model)


# Folders that are something else.


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("{}")


STATE = ("checkpoints/step-00000100/state.json", "checkpoints/step-00000100/optimizer.safetensors",
         "checkpoints/step-00000100/model.safetensors")  # fmt: skip
SOMETHING_ELSE: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "run": (("run.json", "model/config.json", *STATE), "", ("is the folder of a run", "Name {root}/model.")),
    "unfinished run": (("run.json", *STATE), "", ("a training run that has not ended", "start the same command again")),
    "states": (("run.json", "model/config.json", *STATE), "checkpoints", ("states of a training run", "/model, the")),
    "state": (
        ("run.json", "model/config.json", *STATE),
        "checkpoints/step-00000100",
        ("the state of a training run after step 100", "Name {root}/model, the model of that run"),
    ),
    "state of an unfinished run": (
        ("run.json", *STATE),
        "checkpoints/step-00000100",
        ("the optimiser, not a whole model", "writes its model to {root}/model when it ends"),
    ),
    "trainer": (
        ("checkpoint-500/config.json", "checkpoint-1000/config.json", "checkpoint-90/config.json"),
        "",
        ("output folder of a trainer", "Name {root}/checkpoint-1000 (the newest; also checkpoint-500, checkpoint-90)"),
    ),
    "recipe": (
        ("stages/base/model/config.json", "stages/r1-omni/model/config.json"),
        "",
        ("folder of `r1omni reproduce`", "{root}/stages/r1-omni/model, {root}/stages/base/model."),
    ),
    "stages": (("base/model/config.json",), "", ("Name the one below it: {root}/base/model.",)),
    "hub cache": (
        ("models--a--b/snapshots/0f/config.json", "models--a--b/refs/main"),
        "models--a--b",
        ("the hub's cache of a model", "Name {root}/models--a--b/snapshots/0f, or the hub id a/b"),
    ),
    "evaluation": (("run.json", "predictions.jsonl", "scores.json"), "", ("folder of an evaluation",)),
    "nothing": ((), "", ("is empty",)),
    "adapter without settings": (("adapter_model.safetensors",), "", ("a LoRA adapter, but no adapter_config.json",)),
    "some folder": (("notes.txt",), "", ("config.json is missing", "holds no weights")),
    "weights alone": (("model.safetensors",), "", ("config.json is missing", "Download")),
    "file": (("model/model.safetensors",), "model/model.safetensors", ("is a file", "Name {root}/model.")),
    "gguf file": (("model.gguf",), "model.gguf", ("llama.cpp's format",)),
}


@pytest.mark.parametrize("case", SOMETHING_ELSE)
def test_a_folder_that_is_something_else_is_named_with_the_path_to_give(tmp_path: Path, case: str) -> None:
    files, named, words = SOMETHING_ELSE[case]
    touch(tmp_path, *files)
    said = said_of(tmp_path / named)
    for part in words:
        assert part.format(root=tmp_path) in said
    with pytest.raises(CheckpointError):
        checkpoint_identity(tmp_path / named)
    with pytest.raises(CheckpointError):
        convert_checkpoint(tmp_path / named, tmp_path / "out")


def test_a_name_near_that_of_a_folder_is_a_question(model: Path, tmp_path: Path) -> None:
    assert f"is neither a folder nor a hub id (owner/name); expected the model. Is it {model}?" in said_of(
        tmp_path / "modle"
    )


def test_an_empty_name_is_not_the_bundled_model(tmp_path: Path) -> None:
    assert said_of("") == "The name of the model is empty; expected a folder or a hub id."
    with pytest.raises(CheckpointError, match="is empty"):
        load_engine("")


def test_a_tower_by_itself_names_its_option(model: Path) -> None:
    edit_json(model / "config.json", model_type="whisper")
    assert "This is an audio tower by itself: name the whole model, and this with --audio." in said_of(model)


# LoRA adapters.


@pytest.fixture(scope="module")
def adapted(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """An adapter of `whole` as peft saves it, and the weights that peft itself merges it to."""
    peft = pytest.importorskip("peft", reason="adapters need peft")
    model, _ = load_model(whole, dtype="float32")
    settings = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=r"language_model\.layers.*_proj",
        rank_pattern={"mlp.up_proj": 2},
        alpha_pattern={"layers.1.self_attn.q_proj": 20},
        modules_to_save=["gate"],
        init_lora_weights=False,
    )
    torch.manual_seed(1)
    wrapped = peft.get_peft_model(model, settings)
    with torch.no_grad():
        wrapped.base_model.model.gate.modules_to_save.default[0].weight.add_(1)
    folder = tmp_path_factory.mktemp("adapted") / "adapter"
    wrapped.save_pretrained(str(folder))
    return folder, wrapped.merge_and_unload().state_dict()


@pytest.fixture
def adapter(adapted: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapted[0], tmp_path / "adapter"))


def test_an_adapter_of_a_known_base_loads_as_peft_merges_it(
    adapted: tuple[Path, dict[str, torch.Tensor]], whole: Path, tmp_path: Path
) -> None:
    folder, merged = adapted
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(whole)
    report = inspect_checkpoint(folder, reads_values=True)
    # 7 projections in each of 2 layers, and the two linear layers of the gate, which have a bias each.
    assert (report.problems, report.adapter, report.num_adapted) == ((), folder, 14 + 4)
    before = load_file(whole / SINGLE)
    for loaded in (load_model(folder, dtype="float32"), load_model(folder, base=str(whole), dtype="float32")):
        state = loaded[0].state_dict()
        assert state.keys() == merged.keys()
        for name, tensor in merged.items():
            torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=1e-6)
        assert not torch.equal(state["gate.0.weight"], before["gate.0.weight"])
    out = convert_checkpoint(folder, tmp_path / "one")
    again = load_model(out, dtype="float32")[0].state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_an_adapter_is_another_checkpoint_than_its_base(adapter: Path, whole: Path) -> None:
    with_adapter, alone = checkpoint_identity(adapter)["weights"], checkpoint_identity(whole)["weights"]
    state = load_file(adapter / "adapter_model.safetensors")
    name = next(iter(state))
    save_file(state | {name: state[name] + 1}, adapter / "adapter_model.safetensors", {"format": "pt"})
    assert len({with_adapter, alone, checkpoint_identity(adapter)["weights"]}) == 3
    edit_json(adapter / "adapter_config.json", lora_alpha=7)
    assert checkpoint_identity(adapter)["weights"] not in (with_adapter, alone)


def test_an_adapter_keeps_what_it_answers_in(adapter: Path) -> None:
    spelled = "context,think,answer"
    assert load_model(adapter)[1].answer_format == "think,answer" == str(answer_format_of(adapter))
    (adapter / "processor_config.json").write_text(json.dumps({"answer_format": spelled, "video_pooling": "slow_fast"}))
    model, processor = load_model(adapter)
    assert processor.answer_format == spelled == str(answer_format_of(adapter))
    assert (processor.video_pooling, model.config.video_pooling) == ("slow_fast", "slow_fast")
    assert load_model(adapter, video_pooling="none")[0].config.video_pooling == "none"


def test_a_calibration_is_written_and_nothing_else_of_a_model_changes(model: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.glob("*") if path.is_file()}
    unfitted = load_model(model)[0].config
    assert (unfitted.label_temperature, unfitted.label_lapse_rate) == (1.0, 0.0)
    identity = checkpoint_identity(model)["weights"]
    fitted = {"label_temperature": 2.5, "label_lapse_rate": 0.25}
    facts = {"temperature": 2.5, "lapse_rate": 0.25, "num_clips": 3, "label_errors": 0.0}
    write_calibration(model, 2.5, 0.25, facts)
    after = {path.name: path.read_bytes() for path in model.glob("*") if path.is_file()}
    assert {name for name in after if after[name] != before.get(name)} == {"config.json", "calibration.json"}
    assert json.loads(after["config.json"]) == json.loads(before["config.json"]) | fitted
    loaded, processor = load_model(model)
    assert loaded.config.label_temperature == 2.5 and checkpoint_identity(model)["weights"] != identity
    save_model(loaded, processor, model.parent / "again")
    assert load_model(model.parent / "again")[0].config.to_dict().items() >= fitted.items()
    published = publish_checkpoint(model, model.parent / "published", licence="apache-2.0")
    assert (
        load_model(published)[0].config.to_dict().items() >= fitted.items()
        and (published / "calibration.json").is_file()
    )
    assert (
        "calibrated (temperature 2.5, lapse rate 0.25) on 3 clips. On other data"
        in (published / "README.md").read_text()
    )


def test_an_adapter_has_the_calibration_of_its_base_until_it_has_its_own(
    adapter: Path, whole: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(whole, tmp_path / "base"))
    write_calibration(base, 2.5, 0.25, {})
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=str(base))
    assert load_model(adapter)[0].config.label_temperature == 2.5
    with pytest.raises(CheckpointError, match="no place for a calibration"):
        write_calibration(adapter, 3.0, 0.0, {})
    (adapter / "processor_config.json").write_text(json.dumps({"answer_format": "think,answer"}))
    assert load_model(adapter)[0].config.label_temperature == 2.5
    write_calibration(adapter, 3.0, 0.0, {})
    loaded, processor = load_model(adapter)
    assert (loaded.config.label_temperature, loaded.config.label_lapse_rate) == (3.0, 0.0)
    assert processor.answer_format == "think,answer"
    one = convert_checkpoint(adapter, tmp_path / "one")
    assert load_model(one)[0].config.label_temperature == 3.0
    edit_json(adapter / "processor_config.json", label_temperature=0)
    with pytest.raises(CheckpointError, match="label_temperature is 0; expected a finite number above 0"):
        load_model(adapter)
    edit_json(adapter / "processor_config.json", label_temperature=2, label_lapse_rate=1)
    with pytest.raises(CheckpointError, match="label_lapse_rate is 1; expected a share of at least 0 and below 1"):
        load_model(adapter)


def test_a_calibration_is_written_only_into_a_folder_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Download a model from the hub"):
        write_calibration(Path("owner/name"), 2.0, 0.0, {})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        write_calibration(tmp_path, 2.0, 0.0, {})


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_divides_by_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected a finite number above 0"):
        preset_config("tiny", label_temperature=value)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_lapse_rate_that_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected a share of at least 0 and below 1"):
        preset_config("tiny", label_lapse_rate=value)


def test_an_adapter_with_nan_is_named_with_its_base(adapter: Path, whole: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    state = load_file(file)
    name = "language_model.layers.0.self_attn.q_proj"
    state[f"base_model.model.{name}.lora_A.weight"].fill_(float("nan"))
    save_file(state, file, {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        load_model(adapter, dtype="float32")
    assert f"{name}.weight in {whole / SINGLE} with {file} holds NaN in 1,024 of 1,024 values" in str(caught.value)


def test_the_recorded_base_may_be_relative_to_the_adapter(adapter: Path, whole: Path) -> None:
    shutil.copytree(whole, adapter.parent / "base")
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="base")
    assert inspect_checkpoint(adapter).folder == adapter.parent / "base"
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="../base")
    assert inspect_checkpoint(adapter).folder.resolve() == adapter.parent / "base"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_model_name_or_path": None}, "does not name its base"),
        (
            {"base_model_name_or_path": "/gone/model"},
            "is a LoRA adapter of /gone/model. /gone/model is neither a folder",
        ),
        ({"peft_type": "IA3"}, "of the kind IA3; expected LORA"),
        ({"use_dora": True}, "use_dora is set"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base too"),
    ],
)
def test_an_adapter_that_cannot_be_folded_in_says_why(adapter: Path, fields: dict[str, Any], said: str) -> None:
    edit_json(adapter / "adapter_config.json", **fields)
    assert said in said_of(adapter)
    assert any(fix in said_of(adapter) for fix in ("--base BASE", "merge_and_unload()"))


def test_rank_stabilised_adapters_divide_by_the_root_of_the_rank(adapter: Path, whole: Path) -> None:
    edit_json(adapter / "adapter_config.json", use_rslora=True, alpha_pattern={})
    name = "language_model.layers.0.self_attn.q_proj"
    state = load_file(adapter / "adapter_model.safetensors")
    up, down = (state[f"base_model.model.{name}.lora_{side}.weight"] for side in "BA")
    expected = load_file(whole / SINGLE)[f"{name}.weight"] + 6 / 4**0.5 * up @ down
    torch.testing.assert_close(load_model(adapter, dtype="float32")[0].get_parameter(f"{name}.weight"), expected)


def test_an_adapter_of_another_base_is_refused(adapter: Path) -> None:
    state = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file(state | {name: torch.ones(4, 8)}, adapter / "adapter_model.safetensors", {"format": "pt"})
    assert "do not fit language_model.layers.0.self_attn.q_proj.weight" in said_of(adapter)
    state["base_model.model.transformer.h.0.lora_A.weight"] = torch.ones(4, 8)
    save_file(state, adapter / "adapter_model.safetensors", {"format": "pt"})
    assert "changes transformer.h.0.weight, which the base does not have" in said_of(adapter)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "adapter_model.safetensors").unlink(), "adapter without its weights"),
        (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "adapter_model.bin, a pickle"),
        (lambda f: (f / "adapter_model.safetensors").write_text(POINTER), "Git LFS pointer"),
        (lambda f: (f / "non_lora_trainables.bin").write_text(""), "non_lora_trainables.bin, a pickle"),
        (lambda f: (f / SINGLE).write_text(""), "holds a whole model and also adapter_config.json"),
    ],
)
def test_an_incomplete_adapter_says_what_it_holds(adapter: Path, spoil: Callable[[Path], Any], said: str) -> None:
    spoil(adapter)
    assert said in said_of(adapter)


def test_a_base_for_a_whole_model_is_wrong_use(model: Path) -> None:
    with pytest.raises(ConfigError, match="--base is for LoRA adapters"):
        load_model(model, base=str(model))
