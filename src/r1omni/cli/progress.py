"""Progress of long work, on standard error: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    """Told what is being done, the share of it that is done and, where there is something to say, details."""

    def __call__(self, stage: str, share: float, details: str = "", /) -> None:
        """Show it."""
        ...


LINE_EVERY_S = 15.0
"""Least time between two plain lines of one stage."""


@contextmanager
def show_progress() -> Iterator[Report]:
    """Show stages as they go on; yields the function to call with each stage's name and share done."""
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
    """Keep transformers from drawing a bar while it reads weights; bars of hub downloads stay."""
    from transformers.utils import logging

    logging.disable_progress_bar()


class _Lines:
    """Write a stage's first line, one every `LINE_EVERY_S`, and its last."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[float, float]] = {}
        """Time and share of each stage's first report; a resumed one starts above 0."""
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
