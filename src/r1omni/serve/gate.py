"""The door: who may come in, how many at once, and how much they may bring. Everything behind it sees whole requests.

    host and origin    a name that the server goes by; no page of another site            403
    key                one of the API keys, compared in constant time                     401
    room               as many requests as may wait; the next is asked to come again      429, Retry-After
    body               counted while it is read, within the time of the request           413, 408
    end                after SIGTERM nothing new is begun                                 503

What it writes to the log is a method, a route, a status and a time; never what was sent.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r1omni.serve.failures import ApiError, busy, draining
from r1omni.serve.service_metrics import ServiceMetrics

_log = logging.getLogger(__name__)

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_ROUTES = frozenset(
    {
        "/v1/chat/completions",
        "/v1/predictions",
        "/v1/explain",
        "/v1/files",
        "/v1/models",
        "/healthz",
        "/readyz",
        "/metrics",
    }
)
_OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths of the API that need no key: they tell nothing about requests."""


def is_loopback(host: str) -> bool:
    """Return whether an address lets in this machine alone.

    Args:
        host: name or address to listen on.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """An ASGI application around the server's own.

    Args:
        app: gets whole requests, with `deadline_s` and `owner` in the state of their scope.
        metrics: counts them.
        keys: API keys; empty asks for none.
        hosts: names by which clients may call the server; None allows any.
        max_requests: requests that may be inside.
        max_body_bytes: what a request may bring.
        max_bodies_bytes: what all of them together may bring.
        request_s: seconds a request may take.
        retry_after_s: see `ServeConfig`.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: ServiceMetrics,
        *,
        keys: Sequence[str],
        hosts: Sequence[str] | None,
        max_requests: int,
        max_body_bytes: int,
        max_bodies_bytes: int,
        request_s: float,
        retry_after_s: int,
    ) -> None:
        self._app, self._metrics = app, metrics
        self._keys = [hashlib.sha256(key.encode()).digest() for key in keys]
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._max_requests, self._max_body_bytes = max_requests, max_body_bytes
        self._max_bodies_bytes = max_bodies_bytes
        self._request_s, self._retry_after_s = request_s, retry_after_s
        self.num_inside = 0
        """Requests that were let in and are not answered."""
        self.num_bytes = 0
        """What they brought."""
        self.is_draining = False
        """Whether the server is ending."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        status = 500

        async def count(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, count, started_s)
        except ApiError as error:
            await error.response()(scope, receive, count)
        finally:
            seconds = time.monotonic() - started_s
            route = scope["path"] if scope["path"] in _ROUTES else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_s.labels(route).observe(seconds)
            _log.info("%s %s %d %.3f s", scope["method"], route, status, seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, started_s: float) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        self._check_host(headers, scope["method"])
        state = scope.setdefault("state", {})
        state["deadline_s"] = started_s + self._request_s
        state["owner"] = self._check_key(scope["path"], headers)
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self.is_draining:
            raise draining()
        if self.num_inside >= self._max_requests:
            raise busy(
                f"{self.num_inside} requests are being answered or waiting, as many as may; ask again later.",
                self._retry_after_s,
            )
        self.num_inside += 1
        body = _Body()
        try:
            await self._read(headers, receive, body, state["deadline_s"])
            await self._app(scope, _replay(body.take(), receive), send)
        finally:
            self.num_inside -= 1
            self.num_bytes -= body.size

    async def _read(self, headers: dict[str, str], receive: Receive, body: "_Body", deadline_s: float) -> None:
        stated = headers.get("content-length", "0")
        if stated.isdecimal() and int(stated) > self._max_body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "The client left before the request was whole.", "client_left")
                    self.num_bytes += body.add(message.get("body", b""))
                    if body.size > self._max_body_bytes:
                        raise self._too_large()
                    if self.num_bytes > self._max_bodies_bytes:
                        raise busy("The requests under way hold too much; ask again later.", self._retry_after_s)
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            raise ApiError(
                408, "The request did not arrive in time; send it faster, or a smaller clip.", "slow"
            ) from None

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The request is larger than the {self._max_body_bytes:,} bytes that are allowed; shorten the clip.",
            "too_large",
            headers={"Connection": "close"},
        )

    def _check_host(self, headers: dict[str, str], method: str) -> None:
        """Refuse names that a foreign page could have pointed at this server, and requests of foreign pages."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if self._hosts is not None and name not in self._hosts:
            raise ApiError(
                403, "The server does not go by this name; call it by another, or set allowed_hosts.", "wrong_host"
            )
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            raise ApiError(403, "Pages of other sites may not ask this server.", "wrong_origin")

    def _check_key(self, path: str, headers: dict[str, str]) -> str:
        """Return whose request it is; empty where no keys are asked for."""
        if not self._keys or not path.startswith("/v1/") or path in _OPEN:
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        found = hashlib.sha256(key.strip().encode()).digest()
        # Every key is compared, so that the time does not say which came close.
        matches = [hmac.compare_digest(found, known) for known in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise ApiError(
                401,
                "An API key is needed: send the header Authorization: Bearer KEY with one of the server's keys.",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found.hex()


class _Body:
    """What a request brings, as it comes in."""

    def __init__(self) -> None:
        self.size = 0
        self._blocks: list[bytes] = []

    def add(self, block: bytes) -> int:
        """Add a block and return its size."""
        self._blocks.append(block)
        self.size += len(block)
        return len(block)

    def take(self) -> bytes:
        """Hand out the whole and let go of it."""
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)


def known_hosts(host: str, allowed_hosts: Sequence[str]) -> Sequence[str] | None:
    """Return the names by which clients may call a server; None for any.

    Args:
        host: the address it listens on.
        allowed_hosts: names that were set.
    """
    if allowed_hosts:
        return allowed_hosts
    return sorted(_LOOPBACK_NAMES | {host}) if is_loopback(host) else None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands out a body that was read, and afterwards what comes."""
    is_handed_out = False

    async def replayed() -> Message:
        nonlocal is_handed_out, body
        if is_handed_out:
            return await receive()
        is_handed_out, content = True, body
        del body
        return {"type": "http.request", "body": content, "more_body": False}

    return replayed
