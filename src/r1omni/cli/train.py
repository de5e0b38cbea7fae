"""`r1omni train`: supervised stages and RLVR, each from one configuration."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from r1omni.cli.build import (
    build_engine,
    load_for_training,
    named_rewards,
    training_clips,
    validator,
)
from r1omni.cli.listing import PASS_ON, listing
from r1omni.cli.progress import show_progress
from r1omni.config.grpo_run import GrpoConfig
from r1omni.config.load import list_settings, load_run, to_toml
from r1omni.config.schema import Schema
from r1omni.config.sft_run import SftConfig
from r1omni.core.instruction import INSTRUCTIONS
from r1omni.core.labels import label_set

app = typer.Typer(help="Train a model.", no_args_is_help=True, rich_markup_mode=None)

IS_FIRST_PROCESS = os.environ.get("RANK", "0") == "0"
NUM_PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))
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
    from r1omni.reproduce.examples import label_examples, reasoned_examples
    from r1omni.train.sft import train_sft

    clips = training_clips(run.data, needs_reasoning=run.answers == "reasoning")
    examples = reasoned_examples(clips) if run.answers == "reasoning" else label_examples(clips)
    model, processor = load_for_training(run.model, run.lora, run.engine.video_pooling)
    engine = build_engine(model, processor, run.engine)
    with recorded(run) as on_step:
        summary = train_sft(
            model,
            processor,
            examples,
            engine.features,
            output_dir=run.output_dir,
            seed=run.seed,
            resume=run.resume,
            trackers=run.trackers,
            validate=validator(engine, run.data, INSTRUCTIONS[run.answers], run.max_completion_length, run.seed),
            on_step=on_step,
            **run.training.model_dump(),
        )
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
    from r1omni.train.grpo import train_grpo

    clips, settings = training_clips(run.data), run.training
    rewards = named_rewards(run.rewards, label_set(clips))
    model, processor = load_for_training(run.model, run.lora, run.engine.video_pooling)
    reference = (
        None if run.lora or not run.training.beta else load_for_training(run.model, None, run.engine.video_pooling)[0]
    )
    engine = build_engine(model, processor, run.engine)
    with recorded(run) as on_step:
        summary = train_grpo(
            model,
            reference,
            processor,
            engine,
            clips,
            rewards,
            output_dir=run.output_dir,
            max_steps=settings.steps(len(clips), NUM_PROCESSES),
            seed=run.seed,
            resume=run.resume,
            trackers=run.trackers,
            validate=validator(engine, run.data, settings.instruction, settings.max_completion_length, run.seed),
            on_step=on_step,
            **settings.model_dump(exclude={"num_epochs", "max_steps"}),
        )
    finish(run, summary)


@contextmanager
def recorded(run: SftConfig | GrpoConfig) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Write what the run is made of, then show its progress; only the first process writes and speaks.

    Args:
        run: the resolved configuration.
    """
    if not IS_FIRST_PROCESS:
        yield None
        return
    from r1omni.datasets.manifest import manifest_hash
    from r1omni.runs.record import run_facts, write_record

    hashes = {str(manifest): manifest_hash(manifest) for manifest in (*run.data.train, *run.data.validation)}
    write_record(run.output_dir, to_toml(run), run_facts(run.seed, hashes))
    with show_progress() as report:

        def on_step(row: dict[str, Any]) -> None:
            shown = (f"{word} {row[name]:.3g}" for name, word in SHOWN_METRICS.items() if row.get(name) is not None)
            report("training", row["step"] / row["num_steps"], "  ".join(shown))

        yield on_step


def finish(run: SftConfig | GrpoConfig, summary: Any) -> None:
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
