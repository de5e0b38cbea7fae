"""Starts the process that answers, and starts it again when it ends unexpectedly.

The listening socket belongs to this process, so that clients who come in between wait instead of being refused. API
keys and settings go through a socket, not through arguments or the environment, where others could read them.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from r1omni.config.serving import ServeConfig
from r1omni.core.errors import ConfigError, NotReadyError

_log = logging.getLogger(__name__)

BACKLOG = 1024
MAX_QUICK_ENDS = 5
"""Ends in a row, each within `QUICK_S`, after which it is not started again."""
QUICK_S = 10.0


def read_keys(file: Path | None) -> list[str]:
    """Return the API keys of a file.

    Args:
        file: one key per line; empty lines and lines that begin with # are left out. None holds none.

    Raises:
        ConfigError: it cannot be read, or holds no key.
    """
    if file is None:
        return []
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the API keys cannot be read ({error}); expected one per line.") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{file}: holds no API key; write one per line.")
    return keys


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: address or name.
        port: 0 takes a free one.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened on ({error.strerror}); take another --port.") from error
    listening.listen(BACKLOG)
    return listening


@dataclass
class _Child:
    process: "subprocess.Popen[bytes]"
    line: socket.socket
    started_s: float = field(default_factory=time.monotonic)
    is_ready: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Runs a server until it is asked to stop.

    Args:
        config: the server's settings.
        announce: called with a sentence for the person who started it.
    """

    def __init__(self, config: ServeConfig, announce: Callable[[str], None]) -> None:
        self.config, self._announce = config, announce
        self._keys = read_keys(config.api_keys_file)
        self._listening = listen(config.host, config.port)
        self._is_stopping = False
        self._child: _Child | None = None

    @property
    def url(self) -> str:
        """Where the server is."""
        host, port = self._listening.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> int:
        """Start the process, and again whenever it ends unexpectedly; returns the exit code.

        Raises:
            NotReadyError: it ended again and again.
        """
        url = self.url
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        restarts, quick_ends = 0, 0
        while True:
            self._child = child = self._start(restarts, url)
            code = child.process.wait()
            child.line.close()
            if self._is_stopping:
                return 0
            if not child.is_ready.is_set() and code > 0:
                return code  # it said why
            quick_ends = quick_ends + 1 if time.monotonic() - child.started_s < QUICK_S else 0
            if quick_ends >= MAX_QUICK_ENDS:
                raise NotReadyError(
                    f"The model process ended {quick_ends} times in a row, each within {QUICK_S:g} s; the lines "
                    "above say why."
                )
            restarts += 1
            self._announce(f"The model process ended ({_reason(code)}); it is started again (restart {restarts}).")

    def _start(self, restarts: int, url: str) -> _Child:
        line, theirs = socket.socketpair()
        numbers = theirs.fileno(), self._listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "r1omni.serve.model_process", *map(str, (*numbers, restarts))],
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches this process alone, which passes it on once: a second signal would cut off what was begun.
            start_new_session=True,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"},
        )
        theirs.close()
        settings = {"config": self.config.model_dump(mode="json"), "keys": self._keys}
        child = _Child(process, line)
        try:
            line.sendall(json.dumps(settings).encode() + b"\n")
        except OSError:
            _log.debug("The process ended before it read its settings.")
        threading.Thread(target=self._await_ready, args=(child, url), daemon=True).start()
        return child

    def _await_ready(self, child: _Child, url: str) -> None:
        try:
            is_ready = bool(child.line.recv(1))
        except OSError:
            return
        if is_ready:
            child.is_ready.set()
            self._announce(f"Ready: {url}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Take no more clients, and let the process finish; a second signal ends it."""
        is_second, self._is_stopping = self._is_stopping, True
        self._listening.close()
        if self._child is not None and self._child.process.poll() is None:
            self._child.process.send_signal(signal.SIGKILL if is_second else signal.SIGTERM)


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
