"""ASGI adapter, for mounting into another server: the same answers, bodies read within the same limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping

from tidewheel.errors import TidewheelError
from tidewheel.web.application import Application
from tidewheel.web.body import BODY_SECONDS, DRAIN_BYTES, announced_bytes, too_large, too_slow
from tidewheel.web.http import Request
from tidewheel.web.problem import Response
from tidewheel.web.run import Runner

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The client hung up."""


class Adapter:
    """An ASGI application around :func:`tidewheel.web.http.handle`."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._runner = Runner(app)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection event of ASGI."""
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        path = str(scope["path"])
        closing = False
        try:
            body = await self._body(headers, receive)
        except _Gone:
            return
        except TidewheelError as error:
            response = self._runner.refuse(error, path)
            closing = True
        else:
            request = Request(str(scope["method"]), path, headers, body, _query(scope))
            response = self._runner.run_quick(request) or await self._runner.run(request)
        await _write(send, response, closing=closing, head=scope["method"] == "HEAD")

    def close(self) -> None:
        """End the threads when their work is done; idempotent."""
        self._runner.close()

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limit = self._app.body_bytes
        if announced_bytes(headers, limit) > DRAIN_BYTES:
            raise too_large(limit)
        chunks: list[bytes] = []
        received = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunk = message.get("body", b"")
                    assert isinstance(chunk, bytes)
                    received += len(chunk)
                    if received <= limit:
                        chunks.append(chunk)
                    elif received > DRAIN_BYTES:
                        raise too_large(limit)
                    if not message.get("more_body"):
                        break
        except TimeoutError as error:
            raise too_slow() from error
        if received > limit:
            raise too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _headers(scope: Message) -> dict[str, str]:
    pairs = scope["headers"]
    assert isinstance(pairs, list)
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


def _query(scope: Message) -> str:
    found = scope.get("query_string", b"")
    assert isinstance(found, bytes)
    return found.decode("latin-1")


async def _write(send: Send, response: Response, *, closing: bool, head: bool) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    pairs.append((b"content-length", b"%d" % len(response.body)))
    if closing:
        pairs.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
