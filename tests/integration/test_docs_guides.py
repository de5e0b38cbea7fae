"""The guides' commands that are marked to be run, in a folder like the one they speak of: three clips and a model."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs_blocks import blocks, words_of
from r1omni.cli.app import app
from r1omni.infer.predict_files import ASSETS
from r1omni.model.save_model import save_model
from small_model import small_model

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = {
    page.name: [
        line for block in blocks(page.read_text(encoding="utf-8")) if block.mark == "run" for line in block.lines
    ]
    for page in sorted(DOCS.glob("*.md"))
}
WRITTEN = {
    "first-clip.md": ("fear.html",),
    "annotate.md": ("runs/first/annotations.json", "runs/first/shards/part-00000.jsonl"),
    "evaluate.md": ("runs/evaluation/scores.json", "report.html"),
    "publish.md": ("hub/my-r1-omni/README.md", "hub/my-r1-omni/model.safetensors", "README-data.md"),
}
"""What a page's commands leave behind, among others."""


def test_the_pages_that_are_run_are_those_that_are_checked():
    assert {name for name, lines in GUIDES.items() if lines} == set(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_commands_of_a_guide_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path / "cache"))
    shutil.copytree(ASSETS / "clips", tmp_path / "clips")
    save_model(*small_model(), tmp_path / "models" / "r1-omni")
    for line in GUIDES[name]:
        program, *words = words_of(line)
        assert program == "r1omni", line
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output}{done.exception!r}"
    assert [file for file in WRITTEN[name] if not (tmp_path / file).is_file()] == []
