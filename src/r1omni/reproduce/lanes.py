"""Runs independent stages in parallel, each in a process of its own with one thread.

A small model gains little from a second thread and much from a second process. The recipe defines the stages and their
dependencies; this module only schedules them. Stages leave their results in the run's folder, so that only names,
progress and errors pass between processes.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue

from r1omni.core.errors import StoppedError
from r1omni.reproduce.child_processes import end_processes, environment, stopping

Report = Callable[[str, float], None]

_POLL_S = 0.2
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
"""glibc's settings in the lanes: returning activations to the system takes a third of a training step."""
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Of the lanes: read by torch and transformers where a stage imports them."""


@dataclass(frozen=True)
class Stage:
    """One step of a recipe, run once."""

    run: Callable[..., object]
    """A function of a module, called with the context of `run_stages` and the reporter."""
    needs: tuple[str, ...] = ()
    """Names of the stages that must be finished first."""


def run_stages(
    stages: Mapping[str, Stage], context: object, num_lanes: int, report: Report, finished: Callable[[str, float], None]
) -> None:
    """Run every stage after those that it depends on.

    Args:
        stages: name -> stage, in the order of preference.
        context: passed to every stage; pickled.
        num_lanes: maximum number of stages at a time; 1 runs them in this process.
        report: called with the progress of the stages.
        finished: called with each finished stage and its seconds.

    Raises:
        StoppedError: SIGTERM was received; running stages were asked to stop.
        Exception: whatever a stage raises; running stages are first asked to stop, as by SIGTERM.
    """
    with stopping():
        if num_lanes == 1:
            _run_in_turn(stages, context, report, finished)
        else:
            _run_beside(stages, context, num_lanes, report, finished)


def _run_in_turn(
    stages: Mapping[str, Stage], context: object, report: Report, finished: Callable[[str, float], None]
) -> None:
    done: set[str] = set()
    while todo := [name for name, stage in stages.items() if name not in done and done.issuperset(stage.needs)]:
        started_s = time.monotonic()
        stages[todo[0]].run(context, report)
        done.add(todo[0])
        finished(todo[0], time.monotonic() - started_s)


def _run_beside(
    stages: Mapping[str, Stage], context: object, num_lanes: int, report: Report, finished: Callable[[str, float], None]
) -> None:
    spawn = multiprocessing.get_context("spawn")
    told = spawn.SimpleQueue()
    waiting = dict(stages)
    running: dict[Future[float], str] = {}
    done: set[str] = set()

    def pass_on() -> None:
        while not told.empty():
            report(*told.get())

    with (
        environment({name: os.environ.get(name, value) for name, value in _KEEP_MEMORY.items()} | _ENVIRONMENT),
        ProcessPoolExecutor(num_lanes, mp_context=spawn, initializer=_enter, initargs=(told,)) as pool,
    ):
        try:
            while waiting or running:
                ready = [name for name, stage in waiting.items() if done.issuperset(stage.needs)]
                for name in ready[: num_lanes - len(running)]:
                    running[pool.submit(_run, waiting.pop(name), context)] = name
                over, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                pass_on()
                for future in over:
                    finished(running[future], future.result())
                    done.add(running.pop(future))
        except BaseException:
            end_processes(multiprocessing.active_children())
            raise
        finally:
            pass_on()
            told.close()


_told: SimpleQueue[tuple[str, float]] | None = None
"""In a lane's process: the queue for its progress."""


def _enter(told: SimpleQueue[tuple[str, float]]) -> None:
    global _told
    _told = told


def _run(stage: Stage, context: object) -> float:
    def report(name: str, share: float) -> None:
        if _told is not None:
            _told.put((name, share))

    started_s = time.monotonic()
    try:
        stage.run(context, report)
    except StoppedError:
        # The stage has saved. This process must not ask for another one: an idle lane that was ended beside it may
        # have held the lock of the queue that they share, and nobody would ever release it.
        os._exit(128 + signal.SIGTERM)
    return time.monotonic() - started_s


def lanes_here() -> int:
    """Return the number of stages that this machine runs at a time: one on a GPU, else one per core, at most two."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if torch.cuda.is_available() else min(2, cores)
