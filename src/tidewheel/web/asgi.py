"""ASGI adapter: reads bodies within their limits, decides what runs on the loop and what in a thread, writes the answer."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from tidewheel.errors import BodyTooLarge, Invalid, Overloaded, TidewheelError
from tidewheel.web.application import Application
from tidewheel.web.http import Request, handle
from tidewheel.web.problem import Response, problem, protocol_problem

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DRAIN_BYTES = 64_000_000
_BODY_SECONDS = 30.0
_INLINE_BYTES = 16_384
_INLINE_SECONDS = 0.002
_QUEUE_SECONDS = 2.0
_QUEUE_LENGTH = 256
_THREADS = 4
_COSTS = 1_000  # paths that are measured: the table must not grow with what strangers send
_QUICK = ("predict", "v2", "health", "features", "get-online-features")


class _Gone(Exception):
    """The client hung up."""


class Adapter:
    """An ASGI application around :func:`tidewheel.web.http.handle`.

    A prediction that takes well under two milliseconds runs on the event loop: a thread would cost more than it. Larger
    requests, slower models, pushes, labels and pages run in threads. When what waits for a thread would take longer than two
    seconds, by the measured time of such requests, a request is refused at once with 429.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tidewheel-http")
        self._seconds: dict[str, float] = {}
        self._waiting = 0
        self._waiting_seconds = 0.0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection event of ASGI."""
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        path = str(scope["path"])
        closing = False
        try:
            body = await self._body(headers, receive)
            request = Request(str(scope["method"]), path, headers, _inflate(body, headers, self._app.body_bytes), _query(scope))
            response = await self._run(request)
        except _Gone:
            return
        except TidewheelError as error:
            write = protocol_problem if path.startswith("/v2") else problem
            response = write(error, "body")
            self._app.answerer.measurements.answered("body", response.status)
            closing = True
        await _write(send, response, closing=closing, head=scope["method"] == "HEAD")

    def close(self) -> None:
        """End the threads when their work is done; idempotent."""
        self._threads.shutdown(wait=True)

    async def _run(self, request: Request) -> Response:
        kind = request.path.lstrip("/").partition("/")[0]
        cost = request.path if kind in _QUICK else kind
        expected = self._seconds.get(cost, 0.0 if kind in _QUICK else 0.01)
        if kind in _QUICK and len(request.body) <= _INLINE_BYTES and expected < _INLINE_SECONDS:
            response, seconds = _timed(self._app, request)
            self._learn(cost, seconds, response)
            return response
        if self._waiting >= _QUEUE_LENGTH or self._waiting_seconds > _QUEUE_SECONDS:
            self._app.answerer.measurements.shed()
            raise Overloaded(
                f"{self._waiting} requests wait for {self._waiting_seconds:.1f} s of work",
                where="server",
                fix="retry in a second",
            )
        self._waiting += 1
        self._waiting_seconds += expected
        try:
            loop = asyncio.get_running_loop()
            response, seconds = await loop.run_in_executor(self._threads, _timed, self._app, request)
            if len(request.body) <= _INLINE_BYTES:
                self._learn(cost, seconds, response)
            return response
        finally:
            self._waiting -= 1
            self._waiting_seconds = max(0.0, self._waiting_seconds - expected)

    def _learn(self, cost: str, seconds: float, response: Response) -> None:
        if response.status == 200 and (cost in self._seconds or len(self._seconds) < _COSTS):
            # Near the lower edge of what was measured: what other threads and processes take is not the model's cost.
            known = self._seconds.get(cost, seconds)
            self._seconds[cost] = known + (seconds - known) * (0.5 if seconds < known else 0.02)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limit = self._app.body_bytes
        announced = headers.get("content-length", "0")
        size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else limit + 1
        if size > _DRAIN_BYTES:
            raise _too_large(limit)
        chunks: list[bytes] = []
        received = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunk = message.get("body", b"")
                    assert isinstance(chunk, bytes)
                    received += len(chunk)
                    if received <= limit:
                        chunks.append(chunk)
                    elif received > _DRAIN_BYTES:
                        raise _too_large(limit)
                    if not message.get("more_body"):
                        break
        except TimeoutError as error:
            raise Invalid(f"the body did not arrive in {_BODY_SECONDS:.0f} s", where="body", fix="send it quicker") from error
        # A body somewhat above the limit is read and dropped: a client that is still writing would not see the answer.
        if received > limit:
            raise _too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _timed(app: Application, request: Request) -> tuple[Response, float]:
    started = perf_counter()
    response = handle(app, request)
    return response, perf_counter() - started


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes", where="body", fix="send fewer rows at a time")


def _headers(scope: Message) -> dict[str, str]:
    pairs = scope["headers"]
    assert isinstance(pairs, list)
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


def _query(scope: Message) -> str:
    found = scope.get("query_string", b"")
    assert isinstance(found, bytes)
    return found.decode("latin-1")


def _inflate(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Invalid(f"content-encoding {encoding[:40]!r} is not known", where="content-encoding", fix="gzip, deflate or none")
    inflating = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, by their headers
    try:
        inflated = inflating.decompress(body, limit + 1)
    except zlib.error as error:
        raise Invalid(
            f"the body is not {encoding}: {error}", where="body", fix="compress it again, or send it plain"
        ) from error
    if len(inflated) > limit:
        raise _too_large(limit)
    if not inflating.eof:
        raise Invalid(f"the {encoding} body ends too early", where="body", fix="compress it again, or send it plain")
    return inflated


async def _write(send: Send, response: Response, *, closing: bool, head: bool) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    pairs.append((b"content-length", b"%d" % len(response.body)))
    if closing:
        pairs.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
