"""A command whose `--help` also lists the options it passes on: an adapter's options, a schema's settings."""

from collections.abc import Callable, Iterable
from typing import Any

from typer.core import TyperCommand

PASS_ON: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of a command that passes on unknown options."""


def listing(heading: str, rows: Callable[[], Iterable[tuple[str, str]]]) -> type[TyperCommand]:
    """Return the command class.

    Args:
        heading: heading of the list.
        rows: called only when help is shown; returns each option and its meaning.
    """

    class ListingCommand(TyperCommand):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            super().format_epilog(ctx, formatter)
            if listed := list(rows()):
                with formatter.section(heading):
                    formatter.write_dl(listed)

    return ListingCommand
