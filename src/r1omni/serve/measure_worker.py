"""The process that measures clips: voice, faces and subtitles, confined like the one that decodes.

It is started by `measure_pool`; how both speak is in `worker_line`. Its nets are loaded before it gives up opening
files.

    worker -> server   {"confinement": [...]}                       once, when it is ready
    server -> worker   {"num_frames", "modality", ...}              with the file
    worker -> server   {"evidence": {...}, "tracks": {...}} or {"kind", "sentence"}
"""

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from r1omni.core.clip import Clip
from r1omni.evidence.measure import ClipMeasurer
from r1omni.explain.clip_tracks import clip_tracks
from r1omni.media.decode import load_clip
from r1omni.serve.sandbox import confine
from r1omni.serve.worker_line import answer_requests, send


def main() -> None:
    """Run a worker: `python -m r1omni.serve.measure_worker SOCKET MEMORY_BYTES MEASURING_S`."""
    number, memory_bytes, seconds = sys.argv[1:]
    connection = socket.socket(fileno=int(number))
    Image.init()
    measurer = ClipMeasurer()

    def measure(request: dict[str, Any], path: str) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
        clip = Clip(id="clip", path=Path(path))
        measured = measurer.measure(clip, request["modality"])
        tracks = clip_tracks(clip, load_clip(clip, **request), measured)
        return {"evidence": measured.evidence.to_json(), "tracks": tracks.to_json()}, ()

    send(connection, {"confinement": confine(int(memory_bytes))})
    answer_requests(connection, float(seconds), measure)


if __name__ == "__main__":
    main()
