"""Every `r1omni ...` line of the docs is one that the command line takes; Python blocks of guides run."""

import re
from itertools import chain
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from command_check import REPOSITORY, check_command
from docs_blocks import blocks, words_of
from r1omni.core.errors import R1OmniError

WRITTEN_BY_HAND = [
    REPOSITORY / "README.md",
    *(page for page in sorted((REPOSITORY / "docs").glob("*.md")) if page.name not in ("help.md", "log.md")),
]
RUNNING = ("python.md", "extend.md")
"""Pages whose Python blocks run here, in order, as one program, on the bundled model."""


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: page.name)
def test_every_command_of_the_docs_is_one_that_can_be_given(page: Path):
    wrong = []
    for line in chain.from_iterable(block.commands for block in blocks(page.read_text(encoding="utf-8"))):
        try:
            check_command(words_of(line))
        except (AssertionError, TyperException, R1OmniError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


def test_the_check_objects_to_a_wrong_verb_option_setting_and_file():
    with pytest.raises(AssertionError, match="no command 'predicts'"):
        check_command(["predicts", "clip.mp4"])
    with pytest.raises(Exception, match="--loud"):
        check_command(["predict", "clip.mp4", "--loud"])
    with pytest.raises(AssertionError, match="no setting training.pace"):
        check_command(["train", "grpo", "configs/one-gpu.toml", "--training.pace", "3"])
    with pytest.raises(AssertionError, match="no file configs/none.toml"):
        check_command(["train", "sft", "configs/none.toml"])


def test_blocks_are_found_with_their_commands_and_their_marks():
    indented = "    r1omni predict a.mp4 \\\n      --json   # all of it\n"
    fenced = "```sh\nr1omni data check m.jsonl > out\n\nmake test\n```\n"
    text = f"Run `r1omni predict`.\n\n<!-- run -->\n\n{indented}\nThen:\n\n<!-- not run: why -->\n{fenced}\n{fenced}"
    found = list(blocks(text))
    assert [block.mark for block in found] == ["run", "not run: why", None]
    assert [words_of(line) for block in found for line in block.commands] == [
        ["predict", "a.mp4", "--json"],
        ["data", "check", "m.jsonl"],
        ["data", "check", "m.jsonl"],
    ]
    (alone,) = blocks(f"<!-- commands not run: slow -->\n\n{indented}")
    assert alone.mark == "not run: slow"


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: page.name)
def test_every_command_of_the_docs_is_run_or_says_why_not(page: Path):
    text = page.read_text(encoding="utf-8")
    assert [block.lines[0] for block in blocks(text) if block.commands and block.mark is None] == []


@pytest.mark.parametrize("name", RUNNING)
def test_the_pages_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R1OMNI_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})


def test_every_public_name_is_documented():
    import r1omni

    table = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8").partition("## Public names")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)", "".join(rows))) == r1omni.__all__
