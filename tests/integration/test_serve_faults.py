"""A running server when things go wrong: full queues, late answers, clients that leave, workers and models that die."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from live_server import LiveServer, children, live_server
from r1omni.infer.predict_files import ASSETS, BUNDLED_MODEL

CLIP = base64.b64encode((ASSETS / "clips" / "angry.mp4").read_bytes()).decode()
ABOUT = [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{CLIP}"}}]}]
REQUEST_S = 5
PATIENCE_S = 30.0
"""Seconds to wait for what happens at once, on a machine that others use too."""


def endless_model(folder: Path) -> Path:
    """Copy the bundled model so that no token it writes ends a turn: its answers last until a limit."""
    shutil.copytree(BUNDLED_MODEL, folder)
    for name, key, value in (
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
        ("generation_config.json", "eos_token_id", 669),
    ):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, key: value}))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    endless = endless_model(tmp_path_factory.mktemp("models") / "endless")
    settings = {
        "models.endless": endless,
        "model": BUNDLED_MODEL,
        "batch_size": 2,
        "max_queued": 2,
        "request_s": REQUEST_S,
        "max_new_tokens": 20_000,
        "clip.decoding_s": 3,
    }
    with live_server(*(word for key, value in settings.items() for word in (f"--{key}", str(value)))) as running:
        yield running


@pytest.fixture
def client(server: LiveServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60) as connected:
        yield connected
        if server.process.poll() is None:
            eventually(lambda: figure(connected, "requests_inside") == 0)


def figure(client: OpenAI, name: str) -> float:
    text = client._client.get(str(client.base_url).replace("/v1/", "/metrics")).text
    return float(re.findall(rf"^r1omni_{name} (\S+)$", text, re.MULTILINE)[0])


def eventually(is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    until_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.02)


def start_endless(client: OpenAI, stack: ExitStack):
    """Begin an answer that does not end by itself; returns its chunks once the first token is there."""
    stream = stack.enter_context(client.chat.completions.create(model="endless", messages=ABOUT, stream=True))
    chunks = iter(stream)
    next(chunk for chunk in chunks if chunk.choices[0].delta.content or chunk.choices[0].delta.model_extra)
    return chunks


def test_a_client_that_leaves_frees_its_rows_at_once(client: OpenAI):
    started_s = time.monotonic()
    with ExitStack() as stack:
        start_endless(client, stack)
        assert figure(client, "requests_inside") == 1
    eventually(lambda: figure(client, "requests_inside") == 0)
    assert time.monotonic() - started_s < REQUEST_S  # it was not the deadline


def test_a_client_that_leaves_without_streaming_frees_its_rows_too(client: OpenAI):
    started_s = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=1.0).chat.completions.create(model="endless", messages=ABOUT)
    eventually(lambda: figure(client, "requests_inside") == 0)
    assert time.monotonic() - started_s < REQUEST_S


def test_a_full_queue_says_when_to_come_again_and_others_go_on(client: OpenAI):
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        first, second = (start_endless(client, stack) for _ in range(2))
        # These two wait for a place of the same model.
        waiting = [
            threads.submit(client.chat.completions.create, model="endless", messages=ABOUT, max_tokens=2)
            for _ in range(2)
        ]
        eventually(lambda: figure(client, "requests_inside") == 4)
        with pytest.raises(openai.RateLimitError, match="ask again later") as refused:
            client.chat.completions.create(model="drawn-people", messages=ABOUT)
        assert refused.value.response.headers["retry-after"] == "2"
        assert next(first) and next(second)
        stack.close()
        assert [future.result().usage.completion_tokens for future in waiting] == [2, 2]


def test_a_deadline_ends_a_request_with_an_error(client: OpenAI):
    with ThreadPoolExecutor(1) as threads, ExitStack() as stack:
        whole = threads.submit(client.chat.completions.create, model="endless", messages=ABOUT)
        with pytest.raises(openai.APIError, match="limit of time"):
            for _ in start_endless(client, stack):
                pass
        with pytest.raises(openai.InternalServerError) as late:
            whole.result()
    assert late.value.status_code == 504 and late.value.body["code"] == "deadline"


def test_two_models_answer_by_name(client: OpenAI):
    assert {model.id for model in client.models.list().data} == {"drawn-people", "endless"}
    answers = {
        name: client.chat.completions.create(model=name, messages=ABOUT, max_tokens=60)
        for name in ("drawn-people", "endless")
    }
    assert answers["drawn-people"].choices[0].finish_reason == "stop"
    assert answers["endless"].choices[0].finish_reason == "length"


def workers(server: LiveServer) -> list[int]:
    return children(server.model_pid())


def test_a_killed_worker_is_replaced_and_its_request_refused(server: LiveServer, client: OpenAI):
    before = figure(client, "decoding_workers_replaced")
    doomed = workers(server)
    for pid in doomed:
        os.kill(pid, signal.SIGSTOP)  # so that the request is in the middle of it
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.chat.completions.create, model="drawn-people", messages=ABOUT)
        eventually(lambda: figure(client, "requests_inside") == 1)
        time.sleep(0.3)
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(openai.BadRequestError, match="ended its process"):
            asked.result()
    for _ in doomed:
        try:
            assert client.chat.completions.create(model="drawn-people", messages=ABOUT).choices[0].message.content
        except openai.BadRequestError as error:  # the other one that was killed
            assert "ended its process" in error.message
    assert client.chat.completions.create(model="drawn-people", messages=ABOUT).choices[0].message.content
    assert figure(client, "decoding_workers_replaced") > before
    assert not set(workers(server)) & set(doomed)


def test_a_worker_that_hangs_is_killed_after_its_time(server: LiveServer, client: OpenAI):
    for pid in workers(server):
        os.kill(pid, signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(openai.BadRequestError, match="longer than the 3 s"):
            client.chat.completions.create(model="drawn-people", messages=ABOUT)
    assert client.chat.completions.create(model="drawn-people", messages=ABOUT).choices[0].message.content


def test_a_killed_model_process_is_started_again_and_says_so(server: LiveServer, client: OpenAI):
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.chat.completions.create, model="endless", messages=ABOUT)
        eventually(lambda: figure(client, "requests_inside") == 1)
        lost = server.model_pid()
        os.kill(lost, signal.SIGKILL)
        with pytest.raises(openai.APIConnectionError):
            asked.result(PATIENCE_S)
    server.wait_for(r"killed by SIGKILL.*restart 1")
    server.wait_for("Ready: ", count=2)
    assert server.model_pid() != lost
    health = client._client.get(f"{server.url}/healthz").json()
    assert (health["status"], health["restarts"]) == ("ok", 1)
    assert client.chat.completions.create(model="drawn-people", messages=ABOUT).choices[0].message.content


def test_sigterm_finishes_what_began_and_refuses_the_rest(server: LiveServer, client: OpenAI):
    """The last test of this server: it ends it."""
    with ExitStack() as stack:
        stream = stack.enter_context(
            client.chat.completions.create(model="endless", messages=ABOUT, stream=True, max_tokens=300)
        )
        chunks = iter(stream)
        next(chunks)
        kept = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        stack.callback(kept.close)
        server.process.send_signal(signal.SIGTERM)

        def is_refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 1).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(is_refused)
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert reasons[-1] == "length"
    assert server.process.wait(PATIENCE_S) == 0
    assert not any("Traceback" in line for line in server.lines)


def test_ctrl_c_reaches_the_server_once_and_ends_it_in_good_order():
    with live_server("--max_new_tokens", "4", process_group=0) as server:
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        assert server.process.wait(PATIENCE_S) == 0
        assert [line for line in server.lines if "Ready" not in line] == []


def test_what_keeps_a_server_from_starting_is_one_sentence(r1omni):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = r1omni("serve", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 2 and "cannot be listened on" in run.stderr
    run = r1omni("serve", "--model", "no/such/folder", "--port", "0", "--host", "0.0.0.0")
    assert run.returncode == 1 and "no/such/folder" in run.stderr and "Traceback" not in run.stderr
    assert "0.0.0.0 is not a loopback address; anybody who can reach it can use this server" in run.stderr
