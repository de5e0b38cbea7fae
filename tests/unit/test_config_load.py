"""Defaults < files left to right < flags, and errors that name the key."""

import re
from pathlib import Path
from typing import get_args

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from pydantic import ValidationError

from r1omni.config.grpo_run import GrpoConfig, GrpoSettings
from r1omni.config.load import list_settings, load_run, parse_flags, to_toml
from r1omni.config.scale import ScaleName, ScaleSettings, load_scale
from r1omni.config.sections import TRAINED_PARTS, Part
from r1omni.config.sft_run import SftConfig, SftSettings
from r1omni.core.errors import ConfigError
from r1omni.train.optimise import PARTS

REPOSITORY = Path(__file__).parents[2]
NEEDED = ["--model", "m", "--output_dir", "runs/a", "--data.train", '["a.jsonl"]']


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_flags_override_files_and_later_files_override_earlier_ones(tmp_path: Path):
    first = write(tmp_path / "1.toml", 'seed = 1\nmodel = "m1"\n[training]\nbeta = 0.1\nepsilon = 0.3\n')
    second = write(tmp_path / "2.toml", 'model = "m2"\n[training]\nbeta = 0.2\n')
    run = load_run(GrpoConfig, [first, second], [*NEEDED[2:], "--training.beta", "0.5"])
    assert (run.seed, run.model, run.training.beta, run.training.epsilon) == (1, "m2", 0.5, 0.3)
    assert run.training.num_generations == 8


def test_flags_read_numbers_booleans_lists_strings_and_none():
    assert parse_flags(["--a.b", "2", "--a.c=x/y=z", "--d", "--e-f", "[1, 2]", "--g", "none", "--h", "-1.5"]) == {
        "a": {"b": 2, "c": "x/y=z"},
        "d": True,
        "e_f": [1, 2],
        "g": None,
        "h": -1.5,
    }


def test_a_word_that_is_no_flag_is_wrong_use():
    with pytest.raises(ConfigError, match="found 'word'"):
        parse_flags(["word"])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--training.bta", "1"], "unknown key training.bta, did you mean training.beta?"),
        (["--training.num_generations", "1"], "training.num_generations: Input should be greater than or equal to 2"),
        (["--training.loss_type", "ppo"], "training.loss_type: Input should be 'grpo', 'bnpo', 'dr_grpo' or 'dapo'"),
        (["--rewards.accuracy", "0", "--rewards.format", "0"], "no reward has a weight"),
        (["--training.learning_rate", "-1e-4"], "training.learning_rate: Input should be greater than 0"),
        (["--lora.lora_dropout", "0.1"], "lora.lora_dropout must be 0 in RLVR"),
        (["--training", "3"], "training: "),
    ],
    ids=["unknown", "range", "choice", "rewards", "rate", "dropout", "section"],
)
def test_a_wrong_setting_is_named_with_its_fix(flags: list[str], sentence: str):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load_run(GrpoConfig, flags=[*NEEDED, *flags])


def test_every_missing_setting_is_named_at_once():
    with pytest.raises(ConfigError, match=r"model is missing.*output_dir is missing.*data is missing"):
        load_run(SftConfig)


@pytest.mark.parametrize("text", ["not = toml = at all", "seed ="], ids=["syntax", "no-value"])
def test_a_broken_file_is_named(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match=r"broken.toml: expected a TOML file"):
        load_run(SftConfig, [write(tmp_path / "broken.toml", text)])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent.toml: no such configuration file"):
        load_run(SftConfig, [tmp_path / "absent.toml"])


def test_a_resolved_run_loads_back_to_an_equal_one(tmp_path: Path):
    flags = [*NEEDED, "--lora.r", "8", "--data.fold", "2", "--rewards.format", "0.5"]
    run = load_run(GrpoConfig, flags=[*flags, "--model", 'a "quoted"\\name'])
    assert load_run(GrpoConfig, [write(tmp_path / "resolved.toml", to_toml(run))]) == run


def test_one_manifest_needs_no_list():
    assert load_run(SftConfig, flags=[*NEEDED, "--data.train", "b.jsonl"]).data.train == (Path("b.jsonl"),)


def test_a_run_is_frozen():
    run = load_run(SftConfig, flags=NEEDED)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(run, "seed", 3)  # noqa: B010 - a plain assignment would not pass the type check


def test_steps_cover_the_epochs():
    # 100 clips x 2 epochs = 200 prompts; 1 prompt x 2 accumulated x 8 processes = 16 a step; 200 / 16 = 12.5 -> 13
    settings = GrpoSettings(num_epochs=2, prompts_per_device=1, gradient_accumulation_steps=2)
    assert settings.steps(100, num_processes=8) == 13
    assert GrpoSettings(max_steps=7).steps(100) == 7


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("prompts_per_step", "training.prompts_per_step was renamed: write prompts_per_device, times gradient_acc"),
        ("prompts_per_micro_batch", "training.prompts_per_micro_batch was renamed: write prompts_per_device"),
    ],
)
def test_a_renamed_key_is_refused_with_its_new_name(key: str, sentence: str):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load_run(GrpoConfig, flags=[*NEEDED, f"--training.{key}", "8"])


def test_a_scale_fills_the_schemas_of_the_training_commands():
    scale = load_scale("tiny")
    assert type(scale.grpo) is GrpoSettings and type(scale.label_sft) is SftSettings
    assert isinstance(scale.base, SftSettings) and scale.base.trainable == ("language_model",)
    # 24 prompts a step, scored 8 at a time.
    assert (scale.grpo.prompts_per_device, scale.grpo.gradient_accumulation_steps) == (8, 3)


def test_each_choice_is_defined_once():
    """The parts that can train are those that the model's modules are known for."""
    assert set(PARTS) == set(get_args(Part)) and set(TRAINED_PARTS) < set(PARTS)


@pytest.mark.parametrize("schema", [SftConfig, GrpoConfig])
def test_every_setting_is_listed_and_documented(schema: type[SftConfig] | type[GrpoConfig]):
    settings = {setting.key: setting for setting in list_settings(schema)}
    assert {"model", "data.train", "lora.r", "training.learning_rate"} <= set(settings)
    assert settings["model"].default == "required"
    assert all(setting.meaning for setting in settings.values())


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_run_loads(path: Path):
    schema = SftConfig if "sft" in path.stem or "cold-start" in path.stem else GrpoConfig
    load_run(schema, [path])


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs/accelerate").iterdir()), ids=lambda path: path.stem)
def test_every_shipped_launch_loads(path: Path):
    launch = load_config_from_file(str(path))
    assert launch.num_processes == 8
    assert (launch.fsdp_config or {}).get("fsdp_version", 2) == 2
    assert (launch.deepspeed_config or {}).get("zero_stage", 3) == 3


def test_every_shipped_file_is_named_in_the_docs():
    page = (REPOSITORY / "docs/engine.md").read_text()
    files = [path for path in (REPOSITORY / "configs").rglob("*") if path.suffix in (".toml", ".yaml")]
    assert [path.name for path in files if str(path.relative_to(REPOSITORY)) not in page] == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "src/r1omni/config/scales").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_scale_loads(path: Path):
    assert path.stem in get_args(ScaleName)
    assert isinstance(load_scale(path.stem), ScaleSettings)


def test_the_papers_run_is_the_papers():
    run = load_run(GrpoConfig, [REPOSITORY / "configs/paper.toml"])
    training = run.training
    assert (training.num_generations, training.beta, training.learning_rate) == (8, 0.04, 1e-6)
    assert (training.num_epochs, training.max_completion_length, training.temperature) == (2, 512, 1.0)
    assert training.prompts_per_device * training.gradient_accumulation_steps * 8 == 16
