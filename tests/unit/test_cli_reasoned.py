"""`r1omni data`: reasoned examples and the official JSON, as a user types the commands."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1omni.cli.app import app
from r1omni.core.errors import ConfigError

REASON = "His brows are drawn together, his mouth is open wide, and his voice is loud and sharp."
PARTS = f"<context>A kitchen.</context><think>{REASON}</think>"


def data(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if isinstance(result.exception, Exception):
        raise result.exception
    return result.exit_code, result.output


def reasoned(folder: Path, reasoning: str, label: str = "angry") -> Path:
    path = folder / "reasoned.jsonl"
    path.write_text(json.dumps({"id": "7", "path": "a.mp4", "label": label, "reasoning": reasoning}))
    return path


def test_a_folder_with_one_file_of_the_official_format_is_read_as_the_help_shows(tmp_path: Path) -> None:
    folder = tmp_path / "r1omni-json"
    folder.mkdir()
    (folder / "a.mp4").touch()
    turns = [{"from": "human", "value": "Which emotion?"}, {"from": "gpt", "value": "sad"}]
    (folder / "train.json").write_text(json.dumps([{"video": "a.mp4", "conversations": turns}]))
    code, said = data("r1omni-json", "--root", folder, "--out", tmp_path / "r1omni-json.jsonl")
    assert (code, said) == (0, f"{tmp_path / 'r1omni-json.jsonl'}: 1 clip\n")


def test_validate_reads_the_answer_format_that_is_named(tmp_path: Path) -> None:
    manifest = reasoned(tmp_path, PARTS)
    assert data("validate", manifest, "--answer-format", "context,think,answer") == (0, "")
    code, said = data("validate", manifest)
    assert code == 1 and said.startswith("7: tags: the reasoning holds the tag <think>")
    with pytest.raises(ConfigError, match="cannot be a tag"):
        data("validate", manifest, "--answer-format", "con text,answer")


def test_validate_takes_labels_of_ones_own(tmp_path: Path) -> None:
    manifest = reasoned(tmp_path, REASON, label="bored")
    assert data("validate", manifest)[0] == 1
    assert data("validate", manifest, "--labels", "Amused, Bored") == (0, "")
    with pytest.raises(ConfigError, match="expected names separated by commas"):
        data("validate", manifest, "--labels", " , ")
