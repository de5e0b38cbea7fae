"""Whether a written command is one that the command line takes; nothing is run."""

from pathlib import Path
from typing import Any

import typer

from r1omni.cli.app import app
from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import list_settings, split_flags
from r1omni.config.serving import ServeConfig
from r1omni.config.sft_run import SftConfig

REPOSITORY = Path(__file__).parents[1]
SCHEMAS = {"sft": SftConfig, "grpo": GrpoConfig, "serve": ServeConfig}
"""Commands that take settings as dotted flags."""


def check_command(words: list[str]) -> None:
    """Parse a command as the command line would, and look for its settings and the configurations it names.

    Raises:
        AssertionError: there is no such verb, setting or configuration.
        TyperException: there is no such option, or a value does not fit.
    """
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"there is no command {' '.join(words[:1])!r}"
        context = command.context_class(command, info_name=words[0], parent=context)
        command, words = command.commands[words[0]], words[1:]
    if "--help" in words or "-h" in words:
        return
    parsed = command.make_context(command.name, list(words), parent=context)
    if (schema := SCHEMAS.get(command.name)) is not None:
        num_files = next((place for place, word in enumerate(parsed.args) if word.startswith("--")), len(parsed.args))
        files, flags = parsed.args[:num_files], parsed.args[num_files:]
        settings = {setting.key for setting in list_settings(schema)}
        unknown = [key for key, _ in split_flags(flags) if key not in settings and key.split(".")[0] not in settings]
        assert not unknown, f"there is no setting {', '.join(unknown)}"
        missing = [name for name in files if name.startswith("configs/") and not (REPOSITORY / name).is_file()]
        assert not missing, f"there is no file {', '.join(missing)}"
