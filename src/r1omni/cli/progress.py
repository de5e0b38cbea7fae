"""Progress of long work, on standard error: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    """Called with the name of a stage, the share of it that is done and, optionally, details."""

    def __call__(self, stage: str, share: float, details: str = "", /) -> None:
        """Show the progress."""
        ...


LINE_EVERY_S = 15.0
"""Minimum time between two plain lines of one stage."""


@contextmanager
def show_progress() -> Iterator[Report]:
    """Show the progress of stages; yields the function to call with each stage's name and share done."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    ending = (TimeRemainingColumn(), TextColumn("{task.fields[details]}", style="dim"))
    with Progress(*columns, *ending, console=Console(stderr=True)) as bars:
        tasks = {}

        def report(stage: str, share: float, details: str = "", /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, details="")
            bars.update(tasks[stage], completed=min(share, 1.0), details=details)

        yield report


def hide_loading_bars() -> None:
    """Hide transformers' progress bars while it reads weights; those of hub downloads remain."""
    from transformers.utils import logging

    logging.disable_progress_bar()


class _Lines:
    """Write a stage's first line, one every `LINE_EVERY_S`, and its last."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[float, float]] = {}
        """Time and share of each stage's first report; a resumed stage starts above 0."""
        self.written_s: dict[str, float] = {}
        self.finished: set[str] = set()

    def __call__(self, stage: str, share: float, details: str = "", /) -> None:
        now = time.monotonic()
        started_s, first_share = self.started.setdefault(stage, (now, share))
        done = share >= 1.0
        due = now - self.written_s.get(stage, float("-inf")) >= LINE_EVERY_S
        if stage in self.finished or not (done or due):
            return
        self.written_s[stage] = now
        if done:
            self.finished.add(stage)
        left = ""
        if not done and share > first_share:
            left = f", {(now - started_s) * (1 - share) / (share - first_share):.0f} s left"
        print(
            f"{stage}: {min(share, 1.0):.0%} ({now - started_s:.0f} s{left})  {details}".rstrip(),
            file=sys.stderr,
            flush=True,
        )
