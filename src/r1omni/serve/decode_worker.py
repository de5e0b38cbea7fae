"""The process that opens clips: it reads them from open files, confined, and sends back arrays.

It is started by `decode_pool`, and speaks over one Unix socket. A message is a length (4 bytes, big-endian), as much
JSON, and then the arrays that the JSON describes. The clip itself comes as an open file with its request. Nothing is
pickled: what a hostile clip makes of this process must not reach into the server through its answers.

    worker -> server   {"confinement": [...]}                                once, when it is ready
    server -> worker   {"num_frames", "sample_rate_hz", "modality", ...}     with the file
    worker -> server   {"frames": [n, h, w, 3], "num_samples": n, ...} or {"kind", "sentence"}
"""

import json
import os
import resource
import socket
import sys
from typing import Any

import numpy as np
from PIL import Image

from r1omni.core.errors import MediaError
from r1omni.media.decode import Media, load_media
from r1omni.media.limits import MediaLimits
from r1omni.serve.sandbox import confine

CLIP = "the clip"
"""What errors call the file, which has no name."""
MAX_HEADER_BYTES = 1 << 16


def send(
    connection: socket.socket, header: dict[str, Any], arrays: tuple[np.ndarray, ...] = (), file: int = -1
) -> None:
    """Send one message.

    Args:
        connection: to the other side.
        header: JSON.
        arrays: follow it, as they lie in memory.
        file: an open file that goes with it; -1 sends none.
    """
    text = json.dumps(header).encode()
    message = len(text).to_bytes(4, "big") + text
    if file >= 0:
        sent = socket.send_fds(connection, [message], [file])
        message = message[sent:]
    connection.sendall(message)
    for array in arrays:
        connection.sendall(np.ascontiguousarray(array).data.cast("B"))


def receive(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """Wait for one message, without its arrays.

    Args:
        connection: to the other side.

    Returns:
        The header, and the open file that came with it, -1 for none.

    Raises:
        EOFError: the other side has gone.
        ValueError: it sent something else.
    """
    first, files, _, _ = socket.recv_fds(connection, 4, 1)
    file = files[0] if files else -1
    size = int.from_bytes(first + receive_bytes(connection, 4 - len(first)) if first else b"", "big")
    if not first:
        raise EOFError("the other side has gone")
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {size} bytes; expected at most {MAX_HEADER_BYTES}")
    header = json.loads(bytes(receive_bytes(connection, size)))
    if not isinstance(header, dict):
        raise ValueError(f"a header of type {type(header).__name__}; expected an object")
    return header, file


def receive_bytes(connection: socket.socket, size: int) -> bytearray:
    """Wait for so many bytes.

    Args:
        connection: to the other side.
        size: bytes.

    Raises:
        EOFError: the other side has gone.
    """
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        count = connection.recv_into(view[filled:])
        if count == 0:
            raise EOFError("the other side has gone")
        filled += count
    return buffer


def serve(connection: socket.socket, memory_bytes: int, decoding_s: float) -> None:
    """Decode clips until the server has gone.

    Args:
        connection: to the server.
        memory_bytes: address space of this process.
        decoding_s: seconds of processor time for a clip. The server kills the worker by the wall clock; this holds if
            the server is gone.
    """
    Image.init()
    _load_heif()
    send(connection, {"confinement": confine(memory_bytes)})
    while True:
        try:
            request, file = receive(connection)
        except EOFError:
            return
        used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        limit_s = int(used_s + decoding_s) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            _answer(connection, request, file)
        finally:
            os.close(file)


def _answer(connection: socket.socket, request: dict[str, Any], file: int) -> None:
    limits = MediaLimits(**request.pop("limits"))
    try:
        media = load_media(f"/dev/fd/{file}", limits=limits, **request)
    except MediaError as error:
        sentence = str(error).replace(f"/dev/fd/{file}", CLIP)
        send(connection, {"kind": error.kind, "sentence": sentence})
        return
    except MemoryError:
        send(connection, {"kind": "unreadable", "sentence": f"{CLIP}: needs more memory than decoding may take"})
        return
    header, arrays = _describe(media)
    send(connection, header, arrays)


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
    serve(socket.socket(fileno=int(number)), int(memory_bytes), float(decoding_s))


if __name__ == "__main__":
    main()
