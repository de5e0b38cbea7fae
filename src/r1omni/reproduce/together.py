"""Runs one stage in several processes that train one model together, each on its share of every batch.

A stage that runs alone would leave the other core idle. The processes find each other through the variables that
accelerate reads, and gradients are averaged over gloo, so that a run depends on the number of processes by rounding
alone. Results lie in the run's folder; only progress and errors pass to the caller.
"""

import socket
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue

from r1omni.core.errors import R1OmniError
from r1omni.reproduce.child_processes import end_processes, environment, stopping

Report = Callable[[str, float], None]

_POLL_S = 0.2


def run_together(run: Callable[[Report], object], num_processes: int, report: Report) -> None:
    """Run a stage in several processes, or here if one is asked for.

    Args:
        run: the stage, called with the reporter in every process; pickled.
        num_processes: how many.
        report: called with the progress of the first process.

    Raises:
        StoppedError: SIGTERM was received; the processes were asked to stop.
        Exception: whatever the stage raises in the first process that fails; the others are first asked to stop.
    """
    if num_processes == 1:
        run(report)
        return
    spawn = get_context("spawn")
    told: SimpleQueue[tuple[str, float]] = spawn.SimpleQueue()
    failed: SimpleQueue[Exception] = spawn.SimpleQueue()
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "ACCELERATE_USE_CPU": "true"}
    address |= {"WORLD_SIZE": str(num_processes), "LOCAL_WORLD_SIZE": str(num_processes)}
    processes = [spawn.Process(target=_join_in, args=(run, rank, told, failed)) for rank in range(num_processes)]
    with stopping():
        try:
            for rank, process in enumerate(processes):
                with environment(address | {"RANK": str(rank), "LOCAL_RANK": str(rank)}):
                    process.start()
            while any(process.is_alive() for process in processes) and failed.empty():
                processes[0].join(_POLL_S)
                while not told.empty():
                    report(*told.get())
                if any(process.exitcode for process in processes):
                    break
        finally:
            end_processes([process for process in processes if process.pid is not None])
    if not failed.empty():
        raise failed.get()
    lost = [process.exitcode for process in processes if process.exitcode]
    if lost:
        raise R1OmniError(f"A process of the stage ended with exit status {lost[0]}; the same command resumes the run.")


def _join_in(
    run: Callable[[Report], object],
    rank: int,
    told: "SimpleQueue[tuple[str, float]]",
    failed: "SimpleQueue[Exception]",
) -> None:
    try:
        run(lambda name, share: told.put((name, share)) if rank == 0 else None)
    except Exception as error:  # noqa: BLE001 - the process's boundary: the caller raises it
        failed.put(error)
        raise SystemExit(1) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
