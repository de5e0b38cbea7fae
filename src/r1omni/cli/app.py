"""The command `r1omni` and its verbs.

Each verb is one file; what it needs beyond parsing is imported when it runs, so that `--help` is fast.
"""

import typer

from r1omni.cli import (
    annotate,
    checkpoint,
    clip_evidence,
    clip_features,
    data,
    evaluate,
    explain,
    predict,
    report,
    reproduce,
    serve,
    synth,
    train,
)
from r1omni.cli.boundary import run
from r1omni.cli.listing import PASS_ON

app = typer.Typer(
    name="r1omni",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _print_version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(version("r1omni"))
        raise typer.Exit()
    return asked


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Emotion recognition from video and sound that explains itself: predict, evaluate, train."""


app.command("reproduce", epilog=f"Example: {reproduce.EXAMPLE}")(reproduce.reproduce)
app.command("synth", epilog=f"Example: {synth.EXAMPLE}")(synth.synth)
app.command("predict", epilog=f"Example: {predict.EXAMPLE}")(predict.predict)
app.command("evidence", epilog=f"Example: {clip_evidence.EXAMPLE}")(clip_evidence.evidence)
app.command("explain", epilog=f"Example: {explain.EXAMPLE}")(explain.explain)
app.command("evaluate", epilog=f"Example: {evaluate.EXAMPLE}")(evaluate.evaluate)
app.command(
    "serve",
    epilog=f"Example: {serve.EXAMPLE}",
    cls=serve.COMMAND,
    context_settings=PASS_ON,
    options_metavar="[CONFIG.toml]... [--dotted.flag VALUE]...",
)(serve.serve)
app.command("report", epilog=f"Example: {report.EXAMPLE}")(report.report)
app.command("features", epilog=f"Example: {clip_features.EXAMPLE}")(clip_features.features)
app.command("annotate", epilog=f"Example: {annotate.EXAMPLE}")(annotate.annotate)
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")
app.add_typer(checkpoint.app, name="checkpoint")


def main() -> None:
    """Run the command line; the entry point of `r1omni`."""
    run(app)
