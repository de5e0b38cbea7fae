"""`r1omni train`: supervised stages and RLVR, each from one configuration."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from r1omni.cli.listing import PASS_ON, listing
from r1omni.cli.progress import hide_loading_bars, show_progress
from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import list_settings, load_run, to_toml
from r1omni.config.schema import Schema
from r1omni.config.sections import TrainingConfig
from r1omni.config.sft_run import SftConfig

if TYPE_CHECKING:
    from r1omni.train.bookkeeping import OnStep, Summary

app = typer.Typer(help="Train a model.", no_args_is_help=True, rich_markup_mode=None)

IS_FIRST_PROCESS = os.environ.get("RANK", "0") == "0"
SHOWN_METRICS = {
    name: name.replace("_", " ")
    for name in ("loss", "reward", "accuracy", "format", "kl", "entropy", "length", "truncation", "zero_variance")
} | {"tokens_per_s": "tokens/s"}
"""What stands on the progress line, as far as the stage measures it -> how it is called there."""

Run = TypeVar("Run", SftConfig, GrpoConfig)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved run as TOML and stop.")]


def setting_rows(schema: type[Schema]) -> Iterator[tuple[str, str]]:
    """List every setting as its flag, with its meaning and default, for `--help`.

    Args:
        schema: a configuration class.
    """
    for setting in list_settings(schema):
        default = setting.default if setting.default == "required" else f"default: {setting.default}"
        yield f"--{setting.key} VALUE", f"{setting.meaning} [{default}]"


def resolve(schema: type[Run], arguments: Sequence[str]) -> Run:
    """Split the command line into files and flags, and resolve the run.

    Args:
        schema: the kind of run.
        arguments: TOML files, then dotted flags.
    """
    num_files = next((place for place, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    return load_run(schema, [Path(word) for word in arguments[:num_files]], arguments[num_files:])


@app.command(
    epilog="Example: r1omni train sft configs/paper-cold-start.toml --training.num_epochs 3",
    cls=listing("Settings", partial(setting_rows, SftConfig)),
    context_settings=PASS_ON,
    options_metavar="[CONFIG.toml]... [--dotted.flag VALUE]...",
)
def sft(context: typer.Context, dry_run: DryRun = False) -> None:
    """Supervised fine-tuning: the cold start, or the label-only baseline.

    Files are read left to right, then flags; the last one wins.
    """
    run = resolve(SftConfig, context.args)
    if dry_run:
        typer.echo(to_toml(run), nl=False)
        return
    from r1omni.train.configured_run import run_sft

    with showing_progress() as on_step:
        summary = run_sft(run, announce, on_step)
    finish(run, summary)


@app.command(
    epilog="Example: r1omni train grpo configs/one-gpu.toml --model runs/cold-start/model --training.max_steps 200",
    cls=listing("Settings", partial(setting_rows, GrpoConfig)),
    context_settings=PASS_ON,
    options_metavar="[CONFIG.toml]... [--dotted.flag VALUE]...",
)
def grpo(context: typer.Context, dry_run: DryRun = False) -> None:
    """RLVR by GRPO from a cold start, on labels alone.

    Files are read left to right, then flags; the last one wins.
    """
    run = resolve(GrpoConfig, context.args)
    if dry_run:
        typer.echo(to_toml(run), nl=False)
        return
    from r1omni.train.configured_run import run_grpo

    with showing_progress() as on_step:
        summary = run_grpo(run, announce, on_step)
    finish(run, summary)


@contextmanager
def showing_progress() -> Iterator["OnStep | None"]:
    """Show the progress of a run; only the first process speaks."""
    hide_loading_bars()
    if not IS_FIRST_PROCESS:
        yield None
        return
    with show_progress() as report:

        def on_step(row: dict[str, Any]) -> None:
            shown = (f"{word} {row[name]:.3g}" for name, word in SHOWN_METRICS.items() if row.get(name) is not None)
            report("training", row["step"] / row["num_steps"], "  ".join(shown))

        yield on_step


def announce(sentence: str) -> None:
    """Say what a run needs before it starts, on standard error; only the first process speaks.

    Args:
        sentence: for the user.
    """
    if IS_FIRST_PROCESS:
        typer.echo(sentence, err=True)


def finish(run: TrainingConfig, summary: "Summary") -> None:
    """Say how the run ended and where its model lies.

    Args:
        run: the configuration.
        summary: what the stage returned.
    """
    if not IS_FIRST_PROCESS:
        return
    best = "" if summary.best_step is None else f", best at step {summary.best_step} ({summary.best_value:.3f})"
    typer.echo(f"{summary.steps} steps in {summary.seconds:.0f} s, {summary.num_errors} clips unreadable{best}")
    typer.echo(run.output_dir / "model")
