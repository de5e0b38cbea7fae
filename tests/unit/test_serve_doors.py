"""What the server lets in and out: fetched URLs, uploaded files, features that are kept."""

import hashlib
import threading
import time
from asyncio import run
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from r1omni.infer.features import Features
from r1omni.serve.failures import ApiError
from r1omni.serve.gate import is_loopback, known_hosts
from r1omni.serve.remote_clip import RemoteClips, is_public
from r1omni.serve.served_model import FeatureShelf
from r1omni.serve.uploaded_files import UploadedFiles


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.9", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_private_addresses_are_known_in_every_dress(address: str, expected: bool):
    assert is_public(address) is expected


@contextmanager
def site(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[int, list[str]]]:
    """A web site on loopback that gives these answers in turn; yields its port and the paths that were asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def clips(hosts: tuple[str, ...] = ("good.test",), max_bytes: int = 100, **options) -> RemoteClips:
    options = {"resolve": lambda host, port: ["127.0.0.1"], "is_allowed": lambda address: True, **options}
    return RemoteClips(hosts, max_bytes=max_bytes, timeout_s=5, max_redirects=2, **options)


def test_a_listed_host_is_fetched_from_the_address_that_was_checked():
    resolved = []

    def resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        # A second look would lead elsewhere: the connection must go to what the first one gave.
        return ["127.0.0.1"] if len(resolved) == 1 else ["192.0.2.1"]

    with site((200, {}, b"content")) as (port, asked):
        assert clips(resolve=resolve).fetch(f"http://GOOD.test:{port}/a/b.mp4?c=1") == b"content"
    assert asked == ["/a/b.mp4?c=1"] and resolved == ["good.test"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://bad.test/a", "not one that clips are fetched from"),
        ("http://good.test.evil.test/a", "not one that clips are fetched from"),
        ("http://user:pw@good.test/a", "without a user"),
        ("ftp://good.test/a", "not an http"),
        ("file:///etc/passwd", "not an http"),
        ("good.test/a", "not an http"),
        ("http://good.test:99999/a", "cannot be read"),
        ("http://[::1/a", "cannot be read"),
        ("http://good.test/a b", "percent-encoded"),
        ("http://good.test/a\r\nHost: x", "percent-encoded"),
    ],
)
def test_other_urls_are_refused_before_anything_is_asked(url: str, words: str):
    def never(host: str, port: int) -> list[str]:
        raise AssertionError("resolved")

    with pytest.raises(ApiError, match=words):
        clips(resolve=never).fetch(url)


def test_a_listed_name_with_a_private_address_is_refused():
    for addresses in (["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], []):
        with pytest.raises(ApiError, match="not public"):
            clips(resolve=lambda host, port, found=addresses: found, is_allowed=is_public).fetch("http://good.test/")


def test_redirects_are_followed_to_listed_hosts_only_and_not_for_ever():
    with site((302, {"Location": "/next"}, b""), (200, {}, b"there")) as (port, asked):
        assert clips().fetch(f"http://good.test:{port}/") == b"there"
        assert asked == ["/", "/next"]
    with site((302, {"Location": "http://bad.test/"}, b"")) as (port, asked):
        with pytest.raises(ApiError, match=r"bad\.test"):
            clips().fetch(f"http://good.test:{port}/")
    with site((302, {"Location": "/again"}, b"")) as (port, asked):
        with pytest.raises(ApiError, match="more than 2 redirects"):
            clips().fetch(f"http://good.test:{port}/")
        assert len(asked) == 3


def test_a_redirect_to_a_name_with_a_private_address_is_refused():
    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "good.test" else ["10.0.0.1"]

    with site((302, {"Location": "http://inside.test/"}, b"")) as (port, _):
        fetching = clips(
            ("good.test", "inside.test"), resolve=resolve, is_allowed=lambda address: address != "10.0.0.1"
        )
        with pytest.raises(ApiError, match="not public"):
            fetching.fetch(f"http://good.test:{port}/")


def test_what_is_too_large_or_no_success_is_refused():
    with site((200, {}, b"x" * 101)) as (port, _), pytest.raises(ApiError) as refused:
        clips().fetch(f"http://good.test:{port}/")
    assert refused.value.status == 413
    with site((404, {}, b"")) as (port, _), pytest.raises(ApiError, match="status 404"):
        clips().fetch(f"http://good.test:{port}/")


def test_files_belong_to_their_key_and_the_oldest_go_first():
    gone = []
    files = UploadedFiles(10, 60.0, gone.append)
    first = run(files.add(b"12345", "a", "user_data", "one"))
    assert run(files.get(first.id, "one")).content == b"12345"
    with pytest.raises(ApiError, match="no file"):
        run(files.get(first.id, "two"))
    second = run(files.add(b"1234567", "b", "user_data", "one"))
    assert gone == [hashlib.sha256(b"12345").hexdigest()] and files.num_bytes == 7
    assert files.digests == {hashlib.sha256(b"1234567").hexdigest()}
    with pytest.raises(ApiError, match="may take 10"):
        run(files.add(b"12345678901", "c", "user_data", "one"))
    run(files.delete(second.id, "one"))
    assert files.num_bytes == 0 and len(gone) == 2


def test_files_go_when_their_time_is_over():
    files = UploadedFiles(10, 0.05, lambda file: None)
    card = run(files.add(b"1", "a", "user_data", ""))
    time.sleep(0.06)
    with pytest.raises(ApiError, match="no file"):
        run(files.get(card.id, ""))
    assert files.num_bytes == 0


def test_features_are_kept_for_their_time_and_within_their_room():
    features = Features(torch.zeros(1, 2, 2), None)  # 16 bytes
    shelf = FeatureShelf(max_bytes=40)
    shelf.put("a/both", features, until_s=10.0)
    shelf.put("b/both", features, until_s=5.0)
    assert shelf.get("a/both", 1.0) is features and shelf.num_bytes == 32
    shelf.put("c/both", features, until_s=20.0)  # b was not used for longest
    assert shelf.get("b/both", 1.0) is None and shelf.num_bytes == 32
    assert shelf.get("a/both", 11.0) is None and shelf.num_bytes == 16
    shelf.forget("c")
    assert shelf.num_bytes == 0


def test_a_loopback_server_goes_by_loopback_names():
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.1.2") and not is_loopback("server.test")
    assert "localhost" in (known_hosts("127.0.0.1", ()) or ())
    assert known_hosts("0.0.0.0", ()) is None
    assert known_hosts("0.0.0.0", ("server.test",)) == ("server.test",)
