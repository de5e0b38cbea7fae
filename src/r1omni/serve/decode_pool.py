"""Decoding in processes that may die: clips go out as open files without a name, arrays come back."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from r1omni.config.serving import ClipLimits
from r1omni.core.clip import Modality
from r1omni.core.errors import MediaError
from r1omni.media.decode import Media
from r1omni.media.pictures import MAX_SIDE_PX
from r1omni.serve.confined_worker import ConfinedWorker, WorkerPool
from r1omni.serve.worker_line import CLIP, as_media_error


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


class DecodePool(WorkerPool):
    """Workers that decode clips; any thread may ask.

    Args:
        limits: what a clip may be and cost.
        num_workers: processes.
    """

    def __init__(self, limits: ClipLimits, num_workers: int = 2) -> None:
        def start() -> ConfinedWorker:
            return ConfinedWorker("r1omni.serve.decode_worker", (limits.decoding_bytes, limits.decoding_s))

        self.limits = limits
        super().__init__(start, num_workers, limits.decoding_s, "decoding")

    def decode(self, clip: bytes, reading: Reading) -> Media:
        """Decode a clip; waits for a worker, and then no longer than the limit of time.

        Args:
            clip: the file's bytes.
            reading: what is needed of it.

        Raises:
            MediaError: it cannot be read, or is beyond a limit.
            BusyError: the pool was closed, or no worker can be started.
        """
        limits = self.limits
        if len(clip) > limits.max_bytes:
            raise MediaError(
                "over-limit", f"{CLIP}: has {len(clip):,} bytes, and {limits.max_bytes:,} are allowed; shorten it"
            )
        allowed = {
            "max_duration_s": limits.max_duration_s,
            "max_pixels": limits.max_pixels,
            "max_frames": limits.max_frames,
            "max_streams": limits.max_streams,
        }

        def work(worker: ConfinedWorker, file: int, deadline_s: float) -> Media | MediaError:
            header = worker.ask(asdict(reading) | {"limits": allowed}, file, deadline_s)
            return as_media_error(header) if "kind" in header else _receive_media(worker, header, reading)

        return self.run(clip, work)


def _receive_media(worker: ConfinedWorker, header: dict[str, Any], reading: Reading) -> Media:
    """Read the arrays, no more of them than was asked for."""
    frames = times_s = waveform = None
    if header["frames"] is not None:
        shape = [int(size) for size in header["frames"]]
        is_fair = len(shape) == 4 and shape[3] == 3 and min(shape) > 0 and shape[0] <= reading.num_frames
        if not is_fair or max(shape[1:3]) > MAX_SIDE_PX or header["num_times"] != shape[0]:
            raise ValueError(f"frames of shape {shape}")
        raw = worker.receive_bytes(math.prod(shape))
        frames = np.frombuffer(raw, np.uint8).reshape(shape)
        times_s = np.frombuffer(worker.receive_bytes(8 * shape[0]), np.float64)
    if header["num_samples"] is not None:
        count = int(header["num_samples"])
        if not 0 <= count <= (reading.max_sound_s + 1) * reading.sample_rate_hz:
            raise ValueError(f"{count} samples of sound")
        waveform = np.frombuffer(worker.receive_bytes(4 * count), np.float32)
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


def _track(words: str | None) -> str | None:
    """A track's name, as much of it as anybody reads."""
    return None if words is None else str(words)[:100]
