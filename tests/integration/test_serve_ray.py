"""Two replicas behind Ray Serve's proxy: the plain server's answers, files that both know, figures of both."""

import re
import time
from collections.abc import Iterator
from importlib.util import find_spec

import openai
import pytest
from openai import OpenAI

from live_server import LiveServer, live_server
from r1omni.infer.predict_files import ASSETS

pytestmark = pytest.mark.skipif(
    not (find_spec("ray") and find_spec("aiohttp_cors")),
    reason="Ray Serve is not installed: pip install -c constraints.txt -e '.[replicas]'",
)
CLIPS = ASSETS / "clips"
MODEL = "drawn-people"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    options = {"engine": "ray", "ray.replicas": 2, "ray.num_cpus": 0.5, "decoding_workers": 1, "shutdown_s": 5}
    with live_server(*(word for key, value in options.items() for word in (f"--{key}", str(value)))) as running:
        yield running
        lines = list(running.lines)
    assert running.process.returncode == 0 and not any("Traceback" in line for line in lines), lines


def answered_by(client: OpenAI) -> dict[str, float]:
    """Replica -> chat requests that it answered."""
    text = client._client.get(str(client.base_url).replace("/v1/", "/metrics")).text
    found = re.findall(r"^r1omni_requests_total\{(.*)\} (\S+)$", text, re.MULTILINE)
    return {
        re.findall(r'replica="([^"]+)"', labels)[0]: float(count)
        for labels, count in found
        if 'route="/v1/chat/completions"' in labels and 'status="200"' in labels
    }


def test_both_replicas_answer_as_one_process_does_and_know_every_upload(client: OpenAI, expected):
    ids = {
        name: client.files.create(file=(f"{name}.mp4", (CLIPS / f"{name}.mp4").read_bytes()), purpose="user_data").id
        for name in expected
    }

    def about(name: str) -> list:
        return [{"role": "user", "content": [{"type": "file", "file": {"file_id": ids[name]}}]}]

    num_asked = 0
    while len(answered_by(client)) < 2 or num_asked < 6:
        assert num_asked < 60, "one replica gets every request"
        name = list(expected)[num_asked % 3]
        if num_asked % 2:
            answer = client.chat.completions.create(model=MODEL, messages=about(name)).choices[0].message
            said = answer.content, answer.model_dump()["reasoning"]
        else:
            texts = {"content": "", "reasoning": ""}
            num_chunks = 0
            for chunk in client.chat.completions.create(model=MODEL, messages=about(name), stream=True):
                num_chunks += 1
                for choice in chunk.choices:
                    for key in texts:
                        texts[key] += getattr(choice.delta, key, None) or ""
            said = texts["content"], texts["reasoning"]
            assert num_chunks > 10
        assert said == (expected[name].answer, expected[name].reasoning)
        num_asked += 1
    # The figures of the replica that is not asked are some seconds old.
    until_s = time.monotonic() + 30
    while sum(answered_by(client).values()) < num_asked and time.monotonic() < until_s:
        time.sleep(0.5)
    assert sum(answered_by(client).values()) == num_asked
    for name, file_id in ids.items():
        client.files.delete(file_id)
        for _ in range(4):  # whichever replica is asked
            with pytest.raises(openai.NotFoundError, match="There is no file"):
                client.chat.completions.create(model=MODEL, messages=about(name))


def test_refusals_and_health_pass_the_proxy(server: LiveServer, client: OpenAI):
    get = client._client.get
    assert get(f"{server.url}/healthz").json()["status"] == get(f"{server.url}/readyz").json()["status"] == "ok"
    refused = get(f"{server.url}/v1/models", headers={"Host": "evil.test"})
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "wrong_host"
    with pytest.raises(openai.BadRequestError, match="max_tokens is 100000"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=100_000)
    assert "knows only drawn people" in get(server.url).text
