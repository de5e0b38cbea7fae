"""Decoding in processes that may die: clips go out as open files without a name, arrays come back.

A worker that reaches a limit of time or memory, or crashes, is killed and replaced; the clip it worked on becomes an
error, the others do not notice. The clip is never on a disk: it lives in an anonymous file in memory.
"""

import logging
import math
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from r1omni.config.serving import ClipLimits
from r1omni.core.clip import Modality
from r1omni.core.errors import BusyError, MediaError, MediaErrorKind
from r1omni.media.decode import Media
from r1omni.media.pictures import MAX_SIDE_PX
from r1omni.serve.decode_worker import CLIP, receive, receive_bytes, send

_log = logging.getLogger(__name__)

START_S = 60.0
"""Seconds until a new worker has to be ready."""
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
"""Variables of the environment that a worker gets; keys and tokens are not among them."""


@dataclass(frozen=True)
class Reading:
    """What a model needs of a clip."""

    num_frames: int
    """Pictures to sample."""
    sample_rate_hz: int
    """Rate of the sound."""
    max_sound_s: float
    """Sound that is decoded at most."""
    modality: Modality = "auto"
    """What is read."""


class _Worker:
    """One process."""

    def __init__(self, limits: ClipLimits) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "r1omni.serve.decode_worker"),
                    *map(str, (theirs.fileno(), limits.decoding_bytes, limits.decoding_s)),
                ],
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
            raise BusyError(f"A decoding worker did not start: {error}; try again later.") from error
        self.confinement = [str(words) for words in hello.get("confinement", [])]

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(self, file: int, reading: Reading, limits: ClipLimits, deadline_s: float) -> Media | MediaError:
        """Decode one clip.

        Raises:
            OSError: the worker reached the time, or has gone.
            EOFError: it has gone.
            ValueError: it sent what it should not.
        """
        self._connection.settimeout(max(0.01, deadline_s - time.monotonic()))
        request = {
            "num_frames": reading.num_frames,
            "sample_rate_hz": reading.sample_rate_hz,
            "max_sound_s": reading.max_sound_s,
            "modality": reading.modality,
            "limits": {
                "max_duration_s": limits.max_duration_s,
                "max_pixels": limits.max_pixels,
                "max_frames": limits.max_frames,
                "max_streams": limits.max_streams,
            },
        }
        send(self._connection, request, file=file)
        header, _ = receive(self._connection)
        if "kind" in header:
            return _error(header)
        return self._receive_media(header, reading)

    def _receive_media(self, header: dict[str, Any], reading: Reading) -> Media:
        """Read the arrays, no more of them than was asked for."""
        frames = times_s = waveform = None
        if header["frames"] is not None:
            shape = [int(size) for size in header["frames"]]
            is_fair = len(shape) == 4 and shape[3] == 3 and min(shape) > 0 and shape[0] <= reading.num_frames
            if not is_fair or max(shape[1:3]) > MAX_SIDE_PX or header["num_times"] != shape[0]:
                raise ValueError(f"frames of shape {shape}")
            raw = receive_bytes(self._connection, math.prod(shape))
            frames = np.frombuffer(raw, np.uint8).reshape(shape)
            times_s = np.frombuffer(receive_bytes(self._connection, 8 * shape[0]), np.float64)
        if header["num_samples"] is not None:
            count = int(header["num_samples"])
            if not 0 <= count <= (reading.max_sound_s + 1) * reading.sample_rate_hz:
                raise ValueError(f"{count} samples of sound")
            waveform = np.frombuffer(receive_bytes(self._connection, 4 * count), np.float32)
            if not np.isfinite(waveform).all():
                raise ValueError("samples that are no numbers")
        return Media(
            frames,
            times_s,
            waveform,
            reading.sample_rate_hz,
            duration_s=float(header["duration_s"]),
            pictures_s=float(header["pictures_s"]),
            sound_s=float(header["sound_s"]),
            sound_gaps_s=tuple((float(start), float(stop)) for start, stop in header["sound_gaps_s"]),
            num_damaged_packets=int(header["num_damaged_packets"]),
            pictures_track=_track(header["pictures_track"]),
            sound_track=_track(header["sound_track"]),
        )

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


class DecodePool:
    """Workers that decode clips; any thread may ask.

    Args:
        limits: what a clip may be and cost.
        num_workers: processes.
    """

    def __init__(self, limits: ClipLimits, num_workers: int = 2) -> None:
        self.limits, self.num_workers = limits, num_workers
        self.num_replaced = 0
        """Workers that were killed, or died, and were replaced."""
        self.threads = ThreadPoolExecutor(num_workers, "decode")
        """One per worker: whoever must not block asks through them."""
        self._lock = threading.Lock()
        self._is_closed = False
        self._workers: set[_Worker] = set()
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        """None is a place whose worker has to be started."""
        for _ in range(num_workers):
            self._idle.put(self._start())

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

    def decode(self, clip: bytes, reading: Reading) -> Media:
        """Decode a clip; waits for a worker, and then no longer than the limit of time.

        Args:
            clip: the file's bytes.
            reading: what is needed of it.

        Raises:
            MediaError: it cannot be read, or is beyond a limit.
            BusyError: the pool was closed, or no worker can be started.
        """
        if len(clip) > self.limits.max_bytes:
            raise MediaError(
                "over-limit", f"{CLIP}: has {len(clip):,} bytes, and {self.limits.max_bytes:,} are allowed; shorten it"
            )
        worker = self._idle.get()
        try:
            # The place of a worker that died, or could not be started, is filled by whoever takes it next.
            if worker is None:
                worker = self._start()
            media, worker = self._decode(worker, clip, reading)
        except BaseException:
            if worker is not None:
                self._end(worker)
            self._idle.put(None)
            raise
        self._idle.put(worker)
        if isinstance(media, MediaError):
            raise media
        return media

    def _decode(self, worker: _Worker, clip: bytes, reading: Reading) -> tuple[Media | MediaError, _Worker | None]:
        deadline_s = time.monotonic() + self.limits.decoding_s
        try:
            with _anonymous_file(clip) as file:
                return worker.decode(file.fileno(), reading, self.limits, deadline_s), worker
        except TimeoutError:
            seconds = self.limits.decoding_s
            error = MediaError(
                "over-limit", f"{CLIP}: decoding took longer than the {seconds:g} s that are allowed; shorten it"
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as lost:
            _log.warning("A decoding worker was lost and is replaced: %s", type(lost).__name__)
            error = MediaError(
                "unreadable", f"{CLIP}: decoding it ended its process; convert it to H.264 and AAC in mp4"
            )
        self.num_replaced += 1
        self._end(worker)
        return error, None

    def _start(self) -> _Worker:
        if self._is_closed:
            raise BusyError("The server is ending; it decodes no more clips.")
        worker = _Worker(self.limits)
        with self._lock:
            self._workers.add(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.kill()

    def close(self) -> None:
        """End the workers."""
        self._is_closed = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._workers):
            self._end(worker)


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


def _track(words: str | None) -> str | None:
    """A track's name, as much of it as anybody reads."""
    return None if words is None else str(words)[:100]


def _error(header: dict[str, Any]) -> MediaError:
    kind: MediaErrorKind = "unreadable"
    for known in get_args(MediaErrorKind):
        if header["kind"] == known:
            kind = known
    return MediaError(kind, str(header["sentence"])[:500])
