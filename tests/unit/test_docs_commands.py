"""Every `r1omni ...` line of the docs is one that the command line takes; Python blocks of guides run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from r1omni.cli.app import app
from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import list_settings, split_flags
from r1omni.config.serving import ServeConfig
from r1omni.config.sft_run import SftConfig
from r1omni.core.errors import R1OmniError

REPOSITORY = Path(__file__).parents[2]
WRITTEN_BY_HAND = [
    REPOSITORY / "README.md",
    *(page for page in sorted((REPOSITORY / "docs").glob("*.md")) if page.name not in ("help.md", "log.md")),
]
SCHEMAS = {"sft": SftConfig, "grpo": GrpoConfig, "serve": ServeConfig}
"""Commands that take settings as dotted flags."""
RUNNING = ("python.md",)
"""Pages whose Python blocks run here, in order, as one program, on the bundled model."""
START = re.compile(r"^(?:\$ )?(?:\S*/)?(?:r1omni|python -m torch\.distributed\.run .*? -m r1omni\.cli) (.*)")


def command_lines(text: str) -> Iterator[str]:
    """What follows `r1omni` in the code blocks of a page, continued lines joined."""
    in_fence = False
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.lstrip().startswith("```"):
            in_fence = not in_fence
        elif (in_fence or line.startswith("    ")) and (found := START.match(line.strip())):
            yield found[1]


def words_of(line: str) -> list[str]:
    """The arguments of one command, up to a comment, a pipe or a redirection."""
    words = shlex.split(re.sub(r"\$k\b", "1", line), comments=True)  # of a loop over folds
    ends = [place for place, word in enumerate(words) if word in (">", "|", "&&", "||", "&", "2>")]
    return words[: ends[0]] if ends else words


def check(words: list[str]) -> None:
    """Parse a command as the command line would, without running it."""
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        context = command.context_class(command, info_name=words[0], parent=context)
        command, words = command.commands[words[0]], words[1:]
    if "--help" in words or "-h" in words:
        return
    parsed = command.make_context(command.name, list(words), parent=context)
    if (schema := SCHEMAS.get(command.name)) is not None:
        flags = parsed.args[next((at for at, word in enumerate(parsed.args) if word.startswith("--")), 99) :]
        settings = {setting.key for setting in list_settings(schema)}
        unknown = [key for key, _ in split_flags(flags) if key not in settings and key.split(".")[0] not in settings]
        assert not unknown, f"there is no setting {', '.join(unknown)}"
        files = parsed.args[: len(parsed.args) - len(flags)]
        missing = [name for name in files if name.startswith("configs/") and not (REPOSITORY / name).is_file()]
        assert not missing, f"there is no file {', '.join(missing)}"


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: page.name)
def test_every_command_of_the_docs_is_one_that_can_be_given(page: Path):
    wrong = []
    for line in command_lines(page.read_text(encoding="utf-8")):
        try:
            check(words_of(line))
        except (AssertionError, TyperException, R1OmniError) as error:
            wrong.append(f"{line}: {error}")
    assert wrong == []


def test_the_check_objects_to_a_wrong_verb_option_setting_and_file():
    with pytest.raises(AssertionError, match="no command 'predicts'"):
        check(["predicts", "clip.mp4"])
    with pytest.raises(Exception, match="--loud"):
        check(["predict", "clip.mp4", "--loud"])
    with pytest.raises(AssertionError, match="no setting training.pace"):
        check(["train", "grpo", "configs/one-gpu.toml", "--training.pace", "3"])
    with pytest.raises(AssertionError, match="no file configs/none.toml"):
        check(["train", "sft", "configs/none.toml"])


def test_commands_are_found_in_blocks_alone_and_joined_over_lines():
    block = "    r1omni predict a.mp4 \\\n      --json   # all of it\n"
    text = f"Run `r1omni predict`.\n\n{block}\n```sh\nr1omni data check m.jsonl > out\n```\n"
    assert [words_of(line) for line in command_lines(text)] == [
        ["predict", "a.mp4", "--json"],
        ["data", "check", "m.jsonl"],
    ]


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
