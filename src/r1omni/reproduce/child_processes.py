"""What stages in other processes need, whether they run beside each other or together: environment, SIGTERM, an end."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

from r1omni.core.errors import StoppedError

SAVING_S = 120.0
"""How long stages that were asked to stop may take to save."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set what processes started inside inherit, and restore it afterwards.

    Args:
        values: names of variables and their values.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def stopping() -> Iterator[None]:
    """Raise `StoppedError` on SIGTERM while stages run, so that it reaches them too."""

    def stop(number: int, frame: object) -> None:
        raise StoppedError("Stopped on request; the same command resumes the run.")

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which is the caller's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to stop, give them time to save, and end what is left of them.

    Args:
        processes: those that were started.
    """
    for process in processes:
        process.terminate()
    deadline_s = time.monotonic() + SAVING_S
    for process in processes:
        process.join(max(0.0, deadline_s - time.monotonic()))
    for process in processes:
        process.kill()
