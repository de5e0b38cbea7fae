"""Command lines of the benchmarks: the options they share, and how numbers separated by commas are read."""

from typing import Annotated, Literal

import typer

from r1omni.core.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
Preset = Annotated[Literal["tiny", "0.5b", "7b"], typer.Option(help="Size of the model.")]
Layers = Annotated[
    int,
    typer.Option(min=0, help="Layers of the language model; the other parts are cut in proportion. 0 keeps all."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs; auto uses CUDA if it is available.")
]


def new_app() -> typer.Typer:
    """Return the Typer application that a benchmark adds its one command to; `boundary.run` runs it."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )


def device_name(device: str) -> str | None:
    """Return the requested device; None if the benchmark chooses."""
    return None if device == "auto" else device


def read_counts(option: str, text: str) -> tuple[int, ...]:
    """Read positive integers separated by commas.

    Args:
        option: the option's name, for the message.
        text: such as `1,2,4`.

    Returns:
        The numbers in rising order, each once.

    Raises:
        ConfigError: the text contains anything else.
    """
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1:
        raise ConfigError(f"{option}: found {text!r}, expected positive integers separated by commas, such as 1,2,4")
    return counts
