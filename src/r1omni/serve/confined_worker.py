"""Processes that open clips from strangers and may die of it: how they are started, asked, timed, killed and replaced.

A worker that reaches its time, or dies, is killed and replaced, and the others do not notice. A clip whose worker died
goes to another one, once; what two workers died of is an error. The clip is never on a disk: it lives in an anonymous
file in memory.
"""

import logging
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from r1omni.core.errors import BusyError, MediaError
from r1omni.serve.worker_line import CLIP, receive, receive_bytes, send

_log = logging.getLogger(__name__)

Result = TypeVar("Result")
START_S = 60.0
"""Seconds until a new worker has to be ready."""
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HF_HUB_OFFLINE")
"""Variables of the environment that a worker gets; keys and tokens are not among them."""
_TRIES = 2


class ConfinedWorker:
    """One process, ready to be asked.

    Args:
        module: what it runs.
        arguments: follow the number of its socket.

    Raises:
        BusyError: it does not start.
    """

    def __init__(self, module: str, arguments: Sequence[object]) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, (theirs.fileno(), *arguments))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A decoder's messages may hold what is in the clip.
                stderr=subprocess.DEVNULL,
                env={key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {"OPENBLAS_NUM_THREADS": "1"},
            )
        try:
            self._connection.settimeout(START_S)
            hello, _ = receive(self._connection)
        except (OSError, EOFError, ValueError) as error:
            self.kill()
            raise BusyError(f"A worker did not start: {error}; try again later.") from error
        self.confinement = [str(words) for words in hello.get("confinement", [])]
        """What keeps it in."""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, request: dict[str, Any], file: int, deadline_s: float) -> dict[str, Any]:
        """Hand it a clip and return the header of its answer.

        Args:
            request: what is wanted, as JSON.
            file: the clip, open.
            deadline_s: until when it must have answered, on the monotonic clock.

        Raises:
            OSError: it reached the time, or has gone.
            EOFError: it has gone.
            ValueError: it sent what it should not.
        """
        self._connection.settimeout(max(0.01, deadline_s - time.monotonic()))
        send(self._connection, request, file=file)
        return receive(self._connection)[0]

    def receive_bytes(self, size: int) -> bytearray:
        """Return so many bytes that follow a header; errors are those of `ask`.

        Args:
            size: bytes.
        """
        return receive_bytes(self._connection, size)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


Work = Callable[[ConfinedWorker, int, float], Result | MediaError]
"""Asks a worker about an open file until a deadline; an error that it returns is what the worker found in the clip."""


class WorkerPool:
    """Workers of one kind; any thread may ask.

    Args:
        start: starts one.
        num_workers: processes.
        seconds: that one clip may take.
        doing: what they do, for errors.
        starts_now: start all of them at once; otherwise each when it is first needed.
    """

    def __init__(
        self,
        start: Callable[[], ConfinedWorker],
        num_workers: int,
        seconds: float,
        doing: str,
        *,
        starts_now: bool = True,
    ) -> None:
        self.num_replaced = 0
        """Workers that were killed, or died, and were replaced."""
        self.num_opened = 0
        """Clips that workers answered for."""
        self.threads = ThreadPoolExecutor(num_workers, doing)
        """One per worker: whoever must not block asks through them."""
        self._make, self._seconds, self._doing = start, seconds, doing
        self._lock = threading.Lock()
        self._is_closed = False
        self._workers: set[ConfinedWorker] = set()
        self._idle: queue.SimpleQueue[ConfinedWorker | None] = queue.SimpleQueue()
        """None is a place whose worker has to be started."""
        for _ in range(num_workers):
            self._idle.put(self._start() if starts_now else None)

    @property
    def confinement(self) -> list[str]:
        """What keeps the workers in."""
        with self._lock:
            return next((worker.confinement for worker in self._workers), [])

    @property
    def pids(self) -> list[int]:
        """Processes of the workers."""
        with self._lock:
            return [worker.pid for worker in self._workers]

    def run(self, clip: bytes, work: Work[Result]) -> Result:
        """Let a worker open a clip; waits for one, and then no longer than the limit of time.

        Args:
            clip: the file's bytes.
            work: what it is asked.

        Raises:
            MediaError: the worker's own, or it takes too long, or workers died of it.
            BusyError: the pool was closed, or no worker can be started.
        """
        for _ in range(_TRIES):
            worker = self._idle.get()
            try:
                # The place of a worker that died, or could not be started, is filled by whoever takes it next.
                worker = worker or self._start()
                with _anonymous_file(clip) as file:
                    result = work(worker, file.fileno(), time.monotonic() + self._seconds)
            except TimeoutError:
                self._replace(worker)
                words = f"{self._doing} took longer than the {self._seconds:g} s that are allowed"
                raise MediaError("over-limit", f"{CLIP}: {words}; shorten it") from None
            except (OSError, EOFError, ValueError, KeyError, TypeError) as lost:
                self._replace(worker)
                _log.warning("A worker was lost while %s and is replaced: %s", self._doing, type(lost).__name__)
            except BaseException:
                self._replace(worker)
                raise
            else:
                self.num_opened += 1
                self._idle.put(worker)
                if isinstance(result, MediaError):
                    raise result
                return result
        words = f"{self._doing} it ended its process; convert it to H.264 and AAC in mp4"
        raise MediaError("unreadable", f"{CLIP}: {words}")

    def close(self) -> None:
        """End the workers."""
        self._is_closed = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._workers):
            self._end(worker)

    def _start(self) -> ConfinedWorker:
        if self._is_closed:
            raise BusyError("The server is ending; it reads no more clips.")
        worker = self._make()
        with self._lock:
            self._workers.add(worker)
        return worker

    def _replace(self, worker: ConfinedWorker | None) -> None:
        """Leave the place of a worker to be filled again."""
        if worker is not None:
            self.num_replaced += 1
            self._end(worker)
        self._idle.put(None)

    def _end(self, worker: ConfinedWorker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.kill()


def _anonymous_file(content: bytes) -> "tempfile._TemporaryFileWrapper[bytes]":
    """Return an open file in memory without a name; on systems without such files, one that is deleted already."""
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("clip", os.MFD_CLOEXEC), "w+b")
    else:
        file = tempfile.TemporaryFile()
    file.write(content)
    file.flush()
    file.seek(0)
    return file  # pyright: ignore[reportReturnType]
