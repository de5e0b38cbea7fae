"""The process that decodes clips: it reads them from open files, confined, and sends back arrays.

It is started by `decode_pool`; how both speak is in `worker_line`.

    worker -> server   {"confinement": [...]}                                once, when it is ready
    server -> worker   {"num_frames", "sample_rate_hz", "modality", ...}     with the file
    worker -> server   {"frames": [n, h, w, 3], "num_samples": n, ...} or {"kind", "sentence"}
"""

import socket
import sys
from typing import Any

import numpy as np
from PIL import Image

from r1omni.media.decode import Media, load_media
from r1omni.media.limits import MediaLimits
from r1omni.serve.sandbox import confine
from r1omni.serve.worker_line import answer_requests, send


def _decode(request: dict[str, Any], path: str) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    limits = MediaLimits(**request.pop("limits"))
    return _describe(load_media(path, limits=limits, **request))


def _describe(media: Media) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    header = {
        "frames": None if media.frames is None else list(media.frames.shape),
        "num_times": 0 if media.frame_times_s is None else len(media.frame_times_s),
        "num_samples": None if media.waveform is None else len(media.waveform),
        "sample_rate_hz": media.sample_rate_hz,
        "duration_s": media.duration_s,
        "pictures_s": media.pictures_s,
        "sound_s": media.sound_s,
        "sound_gaps_s": media.sound_gaps_s[:100],
        "num_damaged_packets": media.num_damaged_packets,
        "pictures_track": media.pictures_track,
        "sound_track": media.sound_track,
    }
    parts = (media.frames, media.frame_times_s, media.waveform)
    return header, tuple(part for part in parts if part is not None)


def _load_heif() -> None:
    """Load HEIC's decoder before files can no longer be opened, where it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        return
    register_heif_opener()


def main() -> None:
    """Run a worker: `python -m r1omni.serve.decode_worker SOCKET MEMORY_BYTES DECODING_S`."""
    number, memory_bytes, decoding_s = sys.argv[1:]
    connection = socket.socket(fileno=int(number))
    Image.init()
    _load_heif()
    send(connection, {"confinement": confine(int(memory_bytes))})
    answer_requests(connection, float(decoding_s), _decode)


if __name__ == "__main__":
    main()
