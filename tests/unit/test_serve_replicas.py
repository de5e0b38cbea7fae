"""What replicas share, without a cluster: uploaded files, figures, and the errors that pass between processes."""

import hashlib
import pickle
from asyncio import run
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from r1omni.config.serving import RaySection
from r1omni.serve.failures import ApiError
from r1omni.serve.service_metrics import ServiceMetrics, replicas_text


class Local:
    """An actor of this process: its methods are called as Ray's are."""

    def __init__(self, actor: object) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=getattr(self._actor, name))


def test_a_file_is_known_to_all_replicas_and_its_features_go_from_each():
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'r1omni[replicas]'")
    from r1omni.serve.ray_replicas import Commons, SharedFiles

    commons = Local(Commons(max_bytes=10, kept_s=60.0))
    gone: dict[str, list[str]] = {"one": [], "two": []}
    one, two = (SharedFiles(commons, gone[name].append) for name in gone)
    digest = hashlib.sha256(b"12345").hexdigest()

    async def work() -> None:
        card = await one.add(b"12345", "a.mp4", "user_data", "key")
        found = await two.get(card.id, "key")
        assert found.content == b"12345" and found.card == card
        with pytest.raises(ApiError, match="There is no file") as refused:
            await two.get(card.id, "another key")
        assert refused.value.status == 404
        with pytest.raises(ApiError, match="all files may take 10"):
            await two.add(b"12345678901", "b.mp4", "user_data", "key")
        await one.sweep()
        await two.sweep()
        assert (one.num_bytes, two.num_bytes) == (5, 5) and gone == {"one": [], "two": []}
        await one.delete(card.id, "key")  # the replica that is asked to delete it never used it
        await two.sweep()
        assert gone == {"one": [], "two": [digest]} and two.num_bytes == 0
        with pytest.raises(ApiError, match="There is no file"):
            await two.delete(card.id, "key")

    run(work())


def test_figures_of_replicas_make_one_page_and_the_silent_are_left_out(monkeypatch: pytest.MonkeyPatch):
    first, second = ServiceMetrics(0), ServiceMetrics(0)
    first.requests.labels("/v1/models", "200").inc(3)
    second.requests.labels("/v1/models", "200").inc(4)
    figures = {name: list(metrics.registry.collect()) for name, metrics in (("a", first), ("b", second))}
    lines = replicas_text(pickle.loads(pickle.dumps(figures))).decode().splitlines()
    assert 'r1omni_requests_total{replica="a",route="/v1/models",status="200"} 3.0' in lines
    assert 'r1omni_requests_total{replica="b",route="/v1/models",status="200"} 4.0' in lines
    assert lines.count("# TYPE r1omni_requests_total counter") == 1

    pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'r1omni[replicas]'")
    from r1omni.serve.ray_replicas import SILENT_S, Commons

    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)

    async def work() -> None:
        nonlocal now_s
        commons = Commons(10, 60.0)
        assert list(await commons.exchange("b", figures["b"])) == ["b"]
        assert list(await commons.exchange("a", figures["a"])) == ["a", "b"]
        now_s += SILENT_S
        assert list(await commons.exchange("a", figures["a"])) == ["a"]

    with pytest.raises(StopIteration):  # it never waits; an event loop would read the clock
        work().send(None)


def test_an_error_arrives_whole_in_another_process():
    error = ApiError(404, "There is no file.", "file_not_found", "file", {"Retry-After": "2"})
    arrived = pickle.loads(pickle.dumps(error))
    assert (arrived.status, arrived.headers, arrived.body) == (404, {"Retry-After": "2"}, error.body)


def test_fewer_replicas_at_most_than_at_least_are_refused():
    assert RaySection(replicas=2, max_replicas=2).max_replicas == 2
    with pytest.raises(ValidationError, match="max_replicas is 1; expected at least replicas, 2"):
        RaySection(replicas=2, max_replicas=1)
