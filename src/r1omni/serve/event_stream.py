"""Answers while they are written: server-sent events, and what happens when the client goes away."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")


class ClientLeftError(Exception):
    """The client closed the connection; there is nobody to answer."""


class EventStream(Response):
    """A response whose events are sent as they are made. When the client leaves, the generator is closed at once.

    Args:
        events: yields the data of each event; its last one is followed by `[DONE]`.
    """

    def __init__(self, events: AsyncGenerator[str]) -> None:
        super().__init__()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with suppress(ClientLeftError, OSError):
            await unless_left(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for data in events:
                await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


async def unless_client_left(request: Request, work: Coroutine[object, object, Result]) -> Result:
    """Do work for a request; it is cancelled when the client leaves.

    Args:
        request: its body was read.
        work: makes the answer.

    Raises:
        ClientLeftError: the client left first.
    """
    return await unless_left(request.receive, work)


async def unless_left(receive: Receive, work: Coroutine[object, object, Result]) -> Result:
    """See `unless_client_left`; `receive` gives what the client sends from now on."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientLeftError
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
