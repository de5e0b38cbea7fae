"""Every command that takes a model says the same of a folder that cannot be one."""

import json
from pathlib import Path

import pytest

from conftest import Command
from r1omni.model.save_model import save_model
from small_model import small_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(*small_model(), tmp_path / "model")
    return tmp_path / "model"


def commands(model: Path, folder: Path) -> list[tuple[str | Path, ...]]:
    row = {"id": "1", "path": "1.mp4", "label": "happy", "reasoning": "a smile"}
    (folder / "clips.jsonl").write_text(json.dumps(row) + "\n")
    run = ("--model", model, "--data.train", folder / "clips.jsonl", "--output_dir", folder / "run")
    return [
        ("predict", "1.mp4", "--model", model),
        ("evaluate", "--model", model, "--data", folder / "clips.jsonl", "--out", folder / "out"),
        ("train", "sft", *run),
        ("train", "grpo", *run),
        ("checkpoint", "inspect", model),
    ]


def test_every_command_names_the_missing_tokenizer(r1omni_in_process: Command, model: Path, tmp_path: Path) -> None:
    (model / "tokenizer.json").unlink()
    for command in commands(model, tmp_path):
        done = r1omni_in_process(*command)
        assert done.returncode == 1, command
        assert "lacks tokenizer.json (the language model's tokenizer)" in done.stderr, command
        assert "Traceback" not in done.stderr


def test_every_command_names_the_model_of_a_run_folder(r1omni_in_process: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    for command in [*commands(tmp_path, tmp_path), ("checkpoint", "convert", tmp_path, "--out", tmp_path / "new")]:
        done = r1omni_in_process(*command)
        assert done.returncode == 1, command
        assert f"is the folder of a run; its model is below it. Name {model}." in done.stderr, command


def test_a_base_for_a_whole_model_exits_with_2(r1omni_in_process: Command, model: Path) -> None:
    done = r1omni_in_process("checkpoint", "inspect", model, "--base", model)
    assert done.returncode == 2 and "--base is for LoRA adapters" in done.stderr
