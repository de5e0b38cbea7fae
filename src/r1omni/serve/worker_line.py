"""How the server and its workers speak: over one Unix socket, in JSON and raw arrays.

A message is a length (4 bytes, big-endian), as much JSON, and then the arrays that the JSON describes. The clip itself
comes as an open file with its request. Nothing is pickled: what a hostile clip makes of a worker must not reach into
the server through its answers.
"""

import gc
import json
import os
import resource
import socket
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from r1omni.core.errors import MediaError, MediaErrorKind

CLIP = "the clip"
"""What errors call the file, which has no name."""
MAX_HEADER_BYTES = 1 << 20


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


def as_media_error(header: dict[str, Any]) -> MediaError:
    """Return the error that a worker answered with.

    Args:
        header: of its answer.
    """
    kind: MediaErrorKind = "unreadable"
    for known in get_args(MediaErrorKind):
        if header["kind"] == known:
            kind = known
    return MediaError(kind, str(header["sentence"])[:500])


def answer_requests(
    connection: socket.socket,
    seconds: float,
    work: Callable[[dict[str, Any], str], tuple[dict[str, Any], tuple[np.ndarray, ...]]],
) -> None:
    """Answer until the server has gone; a clip that cannot be read is answered with its error.

    Args:
        connection: to the server.
        seconds: of processor time for a clip. The server kills the worker by the wall clock; this holds if the server
            is gone.
        work: gets a request and the path of its open file, and returns a header and arrays.
    """
    gc.freeze()  # what was loaded stays: a collection then looks at a clip's objects alone
    while True:
        try:
            request, file = receive(connection)
        except EOFError:
            return
        used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        limit_s = int(used_s + seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        path, arrays = f"/dev/fd/{file}", ()
        try:
            header, arrays = work(request, path)
        except MediaError as error:
            header = {"kind": error.kind, "sentence": str(error).replace(path, CLIP)}
        except MemoryError:
            header = {"kind": "unreadable", "sentence": f"{CLIP}: needs more memory than reading it may take"}
        finally:
            os.close(file)
            # Decoders are part of reference cycles, and each keeps threads whose stacks fill the address space.
            gc.collect()
        send(connection, header, arrays)
