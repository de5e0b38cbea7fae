"""A real `r1omni serve` for a test: a process of its own on a free port, ended by SIGTERM."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

READY_S = 120.0
"""Seconds a server may take until it answers, on a machine that others use too."""


@dataclass
class LiveServer:
    """A running server."""

    process: "subprocess.Popen[str]"
    url: str = ""
    lines: list[str] = field(default_factory=list)
    """What it wrote on standard error."""

    def wait_for(self, pattern: str, count: int = 1, timeout_s: float = READY_S) -> re.Match[str]:
        """Return the match of a line that was written, after so many lines that match."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            found = [match for line in list(self.lines) if (match := re.search(pattern, line))]
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None and len(found) < count:
                time.sleep(0.2)  # its last lines may be on their way
                if not any(re.search(pattern, line) for line in self.lines):
                    raise AssertionError(f"the server ended with {self.process.returncode}: {self.lines}")
            time.sleep(0.02)
        raise AssertionError(f"no line {pattern!r} within {timeout_s} s: {self.lines}")

    def model_pid(self) -> int:
        """Return the id of the process that answers."""
        (pid,) = children(self.process.pid)
        return pid


def children(pid: int) -> list[int]:
    """Return the ids of a process's children, whichever of its threads started them."""
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for listing in listings for word in listing.read_text("ascii").split()]


@contextmanager
def live_server(*arguments: str, process_group: int | None = None) -> Iterator[LiveServer]:
    """Run `r1omni serve` on a free port until the block ends; 0 gives it a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "r1omni.cli", "serve", "--port", "0", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=process_group,
    )
    server = LiveServer(process)
    assert process.stderr is not None
    stream = process.stderr

    def read() -> None:
        for line in stream:
            server.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        server.url = server.wait_for(r"Ready: (http\S+)").group(1)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(10)
        stream.close()
