"""Measuring in a process that may die: a clip goes out as an open file without a name, its evidence comes back."""

from dataclasses import asdict

from r1omni.core.errors import MediaError
from r1omni.core.evidence import Evidence
from r1omni.explain.clip_tracks import Tracks
from r1omni.serve.confined_worker import ConfinedWorker, WorkerPool
from r1omni.serve.decode_pool import Reading
from r1omni.serve.worker_line import as_media_error


class MeasurePool(WorkerPool):
    """One worker that measures clips, started when it is first needed: its nets take memory and seconds to load.

    Args:
        memory_bytes: address space of the worker.
        seconds: that one clip may take.
    """

    def __init__(self, memory_bytes: int, seconds: float) -> None:
        def start() -> ConfinedWorker:
            return ConfinedWorker("r1omni.serve.measure_worker", (memory_bytes, seconds))

        super().__init__(start, 1, seconds, "measuring", starts_now=False)

    def measure(self, clip: bytes, reading: Reading) -> tuple[Evidence, Tracks]:
        """Measure a clip that was decoded within its limits before; waits for the worker.

        Args:
            clip: the file's bytes.
            reading: as the model reads it.

        Returns:
            What was measured, and what is drawn of it.

        Raises:
            MediaError: it cannot be read, or takes too long.
            BusyError: the pool was closed, or the worker cannot be started.
        """

        def work(worker: ConfinedWorker, file: int, deadline_s: float) -> tuple[Evidence, Tracks] | MediaError:
            header = worker.ask(asdict(reading), file, deadline_s)
            if "kind" in header:
                return as_media_error(header)
            return Evidence.from_json(header["evidence"]), Tracks.from_json(header["tracks"])

        return self.run(clip, work)
