"""A fresh process per measurement: peak memory depends on everything a process has run before.

Imports nothing heavy, so that the process holds only what its measurement needs.
"""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from r1omni.core.errors import NotReadyError

T = TypeVar("T")


def run_alone(function: Callable[..., T], *args: object) -> T:
    """Call a function in a fresh process and return its result.

    Args:
        function: defined at the top of a module, so that the process can import it.
        args: its arguments, picklable.

    Raises:
        NotReadyError: the process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(function, *args).result()
        except BrokenProcessPool as error:
            raise NotReadyError(
                "The measuring process was killed, most likely because memory ran out; try fewer --layers or smaller "
                "batches."
            ) from error


def say(line: str) -> None:
    """Print on standard error what is measured next."""
    print(line, file=sys.stderr, flush=True)
