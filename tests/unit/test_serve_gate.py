"""The door of the server, without a model behind it: keys, names, sizes, and uploads."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import httpx2 as httpx
import pytest

from r1omni.config.serving import ClipLimits, ServeConfig
from r1omni.serve.service import Service
from r1omni.serve.web_app import Application, build_application

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def application(keys: list[str] | None = None, **settings) -> Application:
    config = ServeConfig(**{"clip": ClipLimits(max_bytes=1000), **settings})
    return build_application(Service(config), keys or [])


def with_client(
    served: Application, work: Callable[[httpx.AsyncClient], Awaitable[None]], host: str = "http://localhost:8000"
) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(app=served.gate)
        async with httpx.AsyncClient(transport=transport, base_url=host) as client:
            await work(client)

    anyio.run(run)


def error_code(answer: httpx.Response) -> str:
    body = answer.json()["error"]
    assert body["message"].endswith(".") and set(body) == {"message", "type", "param", "code"}
    return body["code"]


def test_keys_let_their_holders_in_and_files_belong_to_them():
    async def work(client: httpx.AsyncClient) -> None:
        first, second, wrong = ({"Authorization": f"Bearer {key}"} for key in ("first", "second", "firs"))
        for headers in ({}, wrong, {"Authorization": "Basic first"}, {"Authorization": "Bearer"}):
            refused = await client.get("/v1/models", headers=headers)
            assert (refused.status_code, error_code(refused)) == (401, "invalid_api_key")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/v1/models", headers=first)).status_code == 200
        upload = {"files": {"file": ("../../etc/a.mp4", b"123")}, "data": {"purpose": "user_data"}}
        card = (await client.post("/v1/files", headers=first, **upload)).json()
        assert card["bytes"] == 3
        path = f"/v1/files/{card['id']}"
        assert (await client.get(path, headers=second)).status_code == 404
        assert (await client.delete(path, headers=second)).status_code == 404
        assert (await client.get(path, headers=first)).json() == card
        assert (await client.delete(path, headers=first)).json()["deleted"] is True
        assert (await client.get(path, headers=first)).status_code == 404
        assert (await client.get("/healthz")).status_code == 200

    with_client(application(["first", "second"]), work)


def test_foreign_names_and_pages_of_other_sites_are_refused():
    async def work(client: httpx.AsyncClient) -> None:
        for host in ("evil.test", "localhost.evil.test", "[::1", ""):
            refused = await client.get("/healthz", headers={"Host": host})
            assert (refused.status_code, error_code(refused)) == (403, "wrong_host")
        for origin, status in (("http://localhost:8000", 503), ("http://evil.test", 403), ("null", 403)):
            answer = await client.post("/v1/chat/completions", json=HELLO, headers={"Origin": origin})
            assert answer.status_code == status

    with_client(application(), work)


def test_what_is_too_large_is_refused_whether_or_not_it_says_so():
    async def blocks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1_000_000

    async def work(client: httpx.AsyncClient) -> None:
        stated = await client.post("/v1/chat/completions", content=b"", headers={"Content-Length": "99999999999"})
        assert (stated.status_code, error_code(stated)) == (413, "too_large")
        unstated = await client.post("/v1/chat/completions", content=blocks(3))
        assert (unstated.status_code, error_code(unstated)) == (413, "too_large")
        upload = {"files": {"file": ("a", b"x" * 1001)}, "data": {"purpose": "user_data"}}
        assert (await client.post("/v1/files", **upload)).status_code == 413

    served = application()
    with_client(served, work)
    assert served.gate.num_inside == 0 and served.gate.num_bytes == 0


def test_all_requests_together_hold_no_more_than_is_allowed():
    async def work(client: httpx.AsyncClient) -> None:
        full = await client.post("/v1/chat/completions", content=b"x" * 600)
        assert (full.status_code, error_code(full)) == (429, "busy") and full.headers["retry-after"] == "7"

    served = application(bodies_bytes=500, retry_after_s=7)
    with_client(served, work)
    assert served.gate.num_bytes == 0


def test_a_request_that_does_not_arrive_is_given_up():
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep(30)
        yield b"}"

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/chat/completions", content=slow())
        assert (answer.status_code, error_code(answer)) == (408, "slow")

    served = application(request_s=0.1)
    with_client(served, work)
    assert served.gate.num_inside == 0


def test_an_ending_server_begins_nothing_but_says_how_it_is():
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/readyz")).json()["status"] == "loading"
        loading = await client.post("/v1/chat/completions", json=HELLO)
        assert (loading.status_code, error_code(loading)) == (503, "loading")
        served.gate.is_draining = served.service.is_draining = True
        ending = await client.post("/v1/chat/completions", json=HELLO)
        assert (ending.status_code, error_code(ending)) == (503, "draining")
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).json()["status"] == "draining"

    served = application()
    with_client(served, work)


@pytest.mark.parametrize(
    "send",
    [
        {"content": b"abc"},
        {"data": {"purpose": "user_data"}},
        {"files": {"file": ("a", b"1")}},
        {"files": {"file": ("a", b"1")}, "data": {"purpose": "user_data", "path": "/etc"}},
        {"files": {"file": ("a", b"1"), "second": ("b", b"2")}, "data": {"purpose": "user_data"}},
        {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"--x\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
    ids=["bare", "no-file", "no-purpose", "more", "two", "no-boundary", "cut"],
)
def test_an_upload_that_is_none_is_refused(send: dict):
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/files", **send)
        assert answer.status_code == 400 and error_code(answer)

    with_client(application(), work)


def test_methods_and_paths_that_do_not_exist_are_named():
    async def work(client: httpx.AsyncClient) -> None:
        assert error_code(await client.get("/v1/none")) == "invalid_request"
        wrong = await client.put(f"/v1/files/file-{'0' * 32}")
        assert wrong.status_code == 405 and wrong.headers["allow"] == "DELETE, GET"

    with_client(application(), work)
