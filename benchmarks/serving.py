"""A server under load: throughput, time to the first token, memory, and what happens when a worker is killed.

    alone      one client, one request after the other
    crowd      many clients at once; in the middle a decoding worker is killed
    quarter    requests that arrive evenly, at a quarter of the crowd's throughput

The server is a process of its own on loopback, with the bundled model; every request brings a clip that was never sent
before, as a data URL, and reads a streamed answer. The clients share the processor with it.

Each phase's figures go to standard error as soon as it has ended; the whole goes to standard output at the end, also
when a later phase fails or is interrupted.
"""

import asyncio
import base64
import json as jsonlib
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx2 as httpx
import typer

from options import Json, new_app
from r1omni.cli import boundary
from r1omni.infer.predict_files import ASSETS

app = new_app()
MOST_SHORT_S = 30.0
"""Of the phases beside the crowd."""
END_S = 60
"""Seconds that the server gets to end."""


@dataclass
class Phase:
    """What the clients of one phase saw."""

    name: str
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    first_token_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    """Of the model process, once a second."""

    def row(self) -> dict[str, Any]:
        """Return the figures."""
        answered = self.statuses["200"]
        return {
            "phase": self.name,
            "seconds": round(self.seconds, 1),
            "statuses": dict(self.statuses),
            "answers_per_s": round(answered / self.seconds, 2),
            "first_token_s": _quantiles(self.first_token_s),
            "whole_s": _quantiles(self.whole_s),
            "resident_mib": [round(self.resident_mib[0]), round(max(self.resident_mib)), round(self.resident_mib[-1])]
            if self.resident_mib
            else None,
        }


@app.command(epilog="Example: python benchmarks/serving.py --seconds 300 --clients 64")
def main(
    seconds: Annotated[
        float, typer.Option(min=1, help="Length of the crowd; the others take a third of it, and 30 s at most.")
    ] = 30,
    clients: Annotated[int, typer.Option(min=1, help="Clients of the crowd.")] = 64,
    kill: Annotated[bool, typer.Option(help="Kill a decoding worker in the middle of the crowd.")] = True,
    json: Json = False,
) -> None:
    """Serve the bundled model to many clients."""
    process = subprocess.Popen(
        [sys.executable, "-m", "r1omni.cli", "serve", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is cut off shows what it has
    result: dict[str, Any] = {"seconds": seconds, "clients": clients, "phases": []}
    try:
        found = next((match for line in process.stderr if (match := re.search(r"Ready: (\S+)", line))), None)
        if found is None:
            raise SystemExit("the server did not start; run r1omni serve to see why")
        # The pipe is read on, so that the server is never held up by what it says.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        asyncio.run(_measure(found[1], process.pid, seconds, clients, kill, result))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
        _show(result, json)


async def _measure(url: str, pid: int, seconds: float, num_clients: int, kill: bool, result: dict[str, Any]) -> None:
    """Run the phases, and add the figures of each to the result when it has ended."""
    (model_pid,) = _children(pid)
    limits = httpx.Limits(max_connections=num_clients, max_keepalive_connections=num_clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        clips = [path.read_bytes() for path in sorted((ASSETS / "clips").glob("*.mp4"))]

        async def ask(phase: Phase, number: int) -> None:
            await _ask(client, _body(clips[number % len(clips)]), phase)

        def note(phase: Phase) -> None:
            row = phase.row()
            result["phases"].append(row)
            typer.echo(_line(row), err=True)

        await _closed_loop(Phase("warm-up"), 0, 2, ask)
        alone, crowd, quarter = Phase("alone"), Phase("crowd"), Phase("quarter")
        short_s = min(seconds / 3, MOST_SHORT_S)
        await _closed_loop(alone, short_s, 1, ask)
        note(alone)
        watching = asyncio.create_task(_watch(model_pid, crowd))
        killing = asyncio.create_task(_kill_worker(model_pid, seconds / 2)) if kill else None
        await _closed_loop(crowd, seconds, num_clients, ask)
        watching.cancel()
        if killing is not None:
            await killing
        note(crowd)
        rates = [row["answers_per_s"] for row in result["phases"]]
        result["throughput_ratio"] = round(rates[1] / rates[0], 2)
        await _open_loop(quarter, short_s, rates[1] / 4, ask)
        note(quarter)
        medians = [row["first_token_s"]["median"] for row in result["phases"]]
        result["first_token_ratio"] = round(medians[2] / medians[0], 2)
        figures = (await client.get("/metrics")).text
        (replaced,) = re.findall(r"^r1omni_decoding_workers_replaced (\S+)$", figures, re.MULTILINE)
        result["workers_replaced"] = float(replaced)
        result["restarts"] = (await client.get("/healthz")).json()["restarts"]


def _line(row: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in row.items())


def _show(result: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(jsonlib.dumps(result, indent=2))
        return
    for row in result["phases"]:
        typer.echo(_line(row))
    typer.echo(_line({key: value for key, value in result.items() if key != "phases"}))


Ask = Callable[[Phase, int], Coroutine[Any, Any, None]]


async def _closed_loop(phase: Phase, seconds: float, num_clients: int, ask: Ask) -> None:
    """Let each client ask, and again as soon as it is answered."""
    started_s = time.monotonic()

    async def client(number: int) -> None:
        await ask(phase, number)
        while time.monotonic() - started_s < seconds:
            await ask(phase, number)

    await asyncio.gather(*(client(number) for number in range(num_clients)))
    phase.seconds = time.monotonic() - started_s


async def _open_loop(phase: Phase, seconds: float, rate_per_s: float, ask: Ask) -> None:
    """Let requests arrive evenly, whether or not the ones before are answered."""
    started_s = time.monotonic()
    asked = []
    for number in range(max(1, int(seconds * rate_per_s))):
        await asyncio.sleep(max(0.0, started_s + number / rate_per_s - time.monotonic()))
        asked.append(asyncio.create_task(ask(phase, number)))
    await asyncio.gather(*asked)
    phase.seconds = time.monotonic() - started_s


async def _ask(client: httpx.AsyncClient, body: bytes, phase: Phase) -> None:
    started_s = time.monotonic()
    status, first_s, is_whole, wait_s = "no answer", None, False, 1.0
    headers = {"Content-Type": "application/json"}
    try:
        async with client.stream("POST", "/v1/chat/completions", content=body, headers=headers) as response:
            status = str(response.status_code)
            wait_s = float(response.headers.get("retry-after", 1))
            async for line in response.aiter_lines():
                if first_s is None and '"reasoning"' in line:
                    first_s = time.monotonic() - started_s
                is_whole = is_whole or line == "data: [DONE]"
                if line.startswith('data: {"error"'):
                    status = "error in the stream"
    except httpx.HTTPError as error:
        status = type(error).__name__
    phase.statuses[status if status != "200" or is_whole else "cut off"] += 1
    if status == "200" and first_s is not None:
        phase.first_token_s.append(first_s)
        phase.whole_s.append(time.monotonic() - started_s)
    if status == "429":
        await asyncio.sleep(wait_s)


async def _watch(pid: int, phase: Phase) -> None:
    while True:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        phase.resident_mib.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        await asyncio.sleep(1)


async def _kill_worker(pid: int, after_s: float) -> None:
    await asyncio.sleep(after_s)
    os.kill(_children(pid)[0], signal.SIGKILL)


def _children(pid: int) -> list[int]:
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for listing in listings for word in listing.read_text("ascii").split()]


def _body(clip: bytes) -> bytes:
    # A box of random bytes that readers skip: equal clips that are asked about at once would be decoded once.
    clip += (16).to_bytes(4, "big") + b"free" + os.urandom(8)
    url = f"data:video/mp4;base64,{base64.b64encode(clip).decode()}"
    content = [{"type": "video_url", "video_url": {"url": url}}]
    body = {"model": "drawn-people", "stream": True, "messages": [{"role": "user", "content": content}]}
    return jsonlib.dumps(body).encode()


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if len(values) < 2:
        return None
    ordered = sorted(values)
    return {"median": round(statistics.median(ordered), 3), "p95": round(ordered[int(0.95 * len(ordered))], 3)}


if __name__ == "__main__":
    boundary.run(app)
