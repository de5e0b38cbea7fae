"""`r1omni serve`: an HTTP API that OpenAI's clients speak, and a page."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from r1omni.cli.listing import listing
from r1omni.cli.train import setting_rows
from r1omni.config.load import load_run, to_toml
from r1omni.config.serving import ServeConfig
from r1omni.core.errors import NotReadyError

EXAMPLE = "r1omni serve --model runs/reproduce/stages/r1-omni/model --port 8000"
COMMAND = listing("Settings", partial(setting_rows, ServeConfig))


def serve(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings as TOML and stop.")] = False,
) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C.

    Files are read left to right, then flags; the last one wins. Several models: --models.NAME PATH, repeatable.
    """
    words = context.args
    num_files = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    config = load_run(ServeConfig, [Path(word) for word in words[:num_files]], words[num_files:])
    if dry_run:
        typer.echo(to_toml(config), nl=False)
        return
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client") if not find_spec(name)]
    if missing:
        raise NotReadyError(f"serve needs {', '.join(missing)}; pip install 'r1omni[serve]'")
    from r1omni.serve.gate import is_loopback

    run = _runner(config)
    if not is_loopback(config.host):
        whom = "anybody who can reach it" if config.api_keys_file is None else "whoever has a key"
        typer.echo(f"Warning: {config.host} is not a loopback address; {whom} can use this server.", err=True)
    raise typer.Exit(run())


def _runner(config: ServeConfig) -> Callable[[], int]:
    """Return what serves until it is asked to stop, and then returns the exit code."""

    def announce(sentence: str) -> None:
        typer.echo(sentence, err=True)

    if config.engine == "local":
        from r1omni.serve.supervisor import Supervisor

        return Supervisor(config, announce).run
    try:
        from r1omni.serve.ray_replicas import run_replicas
    except ImportError as error:
        raise NotReadyError("--engine ray needs Ray Serve; pip install 'r1omni[replicas]'") from error
    return partial(run_replicas, config, announce)
