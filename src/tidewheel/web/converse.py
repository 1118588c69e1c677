"""Converse in HTTP/1.1 on one connection: the parser is llhttp's, the limits are ours.

What comes is taken as it comes: heads within a size, bodies within a size, both within a time, requests that were sent ahead
one after the other. What a client does not read is not piled up. The connections of one server share a clock that looks at
their deadlines once a second: a timer for each request would cost as much as parsing it. A client sends the same head again and
again: what llhttp said of these very bytes is remembered, and a request that comes in one piece is not parsed again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from tidewheel.errors import HeadTooLarge, NotHttp, TidewheelError, TooSlow
from tidewheel.web.body import BODY_SECONDS, DRAIN_BYTES, announced_bytes, too_large, too_slow
from tidewheel.web.http import Request
from tidewheel.web.problem import JSON_HEADERS, Response
from tidewheel.web.run import Runner

HEAD_BYTES, URL_BYTES, HEADERS = 65_536, 16_384, 100
"""Most bytes of a request's head, of its address, and most headers."""
HEAD_SECONDS, IDLE_SECONDS, LINGER_SECONDS = 20.0, 75.0, 2.0
_AHEAD = 16
_KNOWN, _KNOWN_BYTES = 512, 2_048
"""How many heads are remembered, of how many bytes at most."""
_VECTOR_BYTES = 16_384
"""A body above this is handed to the kernel beside its head, and not copied behind it."""
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "


class Connections:
    """The open connections of a server.

    Parameters
    ----------
    idle_seconds
        After which a connection on which nothing is asked is closed.
    """

    def __init__(self, runner: Runner, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.runner = runner
        self.loop = asyncio.get_running_loop()
        self.idle_seconds = idle_seconds
        self.open: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.heads: dict[bytes, tuple[Request, int]] = {}
        """Heads of requests that were whole: the request without its body, and how long the body is."""

    def tick(self, now: float) -> None:
        """Close what is overdue; called about once a second."""
        for one in [one for one in self.open if one.deadline < now]:
            one.overdue()

    def stop(self) -> None:
        """Close what is idle; the rest closes when it has answered what was begun."""
        self.stopping = True
        for one in list(self.open):
            one.stop()

    def abort(self) -> None:
        """Close everything now."""
        for one in list(self.open):
            one.abort()


class _Ahead(NamedTuple):
    """A request that waits: whether the connection stays open after it, and whether it must be told so, being HTTP/1.0."""

    request: Request
    keep: bool
    old: bool


class Connection(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_ahead",
        "_begun",
        "_body",
        "_broken",
        "_bytes",
        "_close_after",
        "_connections",
        "_eof",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_last",
        "_lingering",
        "_message",
        "_parser",
        "_paused",
        "_refused",
        "_runner",
        "_running",
        "_transport",
        "_turn",
        "_unread",
        "_url",
        "deadline",
    )

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._runner = connections.runner
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._ahead: deque[_Ahead] = deque()
        self._last: _Ahead | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._bytes = self._head_bytes = self._message = 0
        self._broken = False
        self._in_head, self._begun = True, False
        self._refused: TidewheelError | None = None
        self._running = self._turn = self._paused = self._unread = False
        self._close_after = self._lingering = self._eof = False
        self.deadline = 0.0

    # ── what asyncio tells ───────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclass of asyncio's
        self._connections.open.add(self)
        self.deadline = self._connections.loop.time() + self._connections.idle_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer that is under way goes nowhere."""
        self._transport = None
        self._ahead.clear()
        self._connections.open.discard(self)

    def eof_received(self) -> bool:
        """The client has said everything; answers that are under way are still sent."""
        self._eof = True
        if self._running or self._ahead or self._paused:
            self._close_after = True
            return True
        return False

    def pause_writing(self) -> None:
        """The client does not read: nothing more is answered until it does, or for too long."""
        self._paused = True
        self.deadline = self._connections.loop.time() + BODY_SECONDS

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused = False
        self.deadline = self._connections.loop.time() + self._connections.idle_seconds
        self._next()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._lingering or self._broken:
            self._bytes += len(data)
            if self._bytes > DRAIN_BYTES:
                self.abort()
            return
        whole = not self._begun
        if whole and not (self._ahead or self._running or self._paused):
            end = data.find(b"\r\n\r\n") + 4
            known = self._connections.heads.get(data[:end])
            if known is not None and len(data) - end == known[1]:
                method, path, headers, _, query = known[0]
                self._begin(_Ahead(Request(method, path, headers, data[end:], query), True, False))
                return
        self._turn, alone = True, self._message + whole
        before = self._last
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close_after = True  # the request is answered as if it had not asked; the rest would be another protocol
        except httptools.HttpParserError as error:
            if not self._broken:
                cause = error.__context__ if isinstance(error.__context__, TidewheelError) else None
                what = f"the bytes are not an HTTP request: {error}"
                self._refuse(cause or NotHttp(what, where="head", fix="speak HTTP/1.1"))
        if self._message <= alone and self._begun and self._in_head and not self._lingering:
            self._head_bytes += len(data)  # the parser keeps half a header to itself, however long
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_head_too_large())
        if self._ahead and not self._running and self._transport is not None:
            self._connections.loop.call_soon(self._next)
        last = self._last
        if whole and last is not None and last is not before and self._message == alone:
            self._remember(data, last)

    def _remember(self, data: bytes, last: _Ahead) -> None:
        """Remember the head of a request that was all of the bytes."""
        request, heads = last.request, self._connections.heads
        end = data.find(b"\r\n\r\n") + 4
        plain = last.keep and not last.old and "transfer-encoding" not in request.headers
        if plain and 4 < end <= _KNOWN_BYTES and not self._close_after and data[end:] == request.body:
            if len(heads) >= _KNOWN:
                heads.clear()
            heads[data[:end]] = (request._replace(body=b""), len(request.body))

    # ── what the parser tells ────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._body = b"", {}, []
        self._bytes = self._head_bytes = 0
        self._begun, self._in_head, self._refused = True, True, None
        self._message += 1
        if not self._running:
            self.deadline = self._connections.loop.time() + HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._url += url
        if len(self._url) > URL_BYTES:
            raise _head_too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES or len(self._headers) >= HEADERS:
            raise _head_too_large()
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what cannot be taken before any of it is read."""
        self._in_head = False
        self._head_bytes = 0
        if "content-length" in self._headers or "transfer-encoding" in self._headers:
            self.deadline = self._connections.loop.time() + BODY_SECONDS
            limit = self._runner.app.body_bytes
            announced = announced_bytes(self._headers, limit)
            expects = self._headers.get("expect", "").lower() == "100-continue"
            if announced > DRAIN_BYTES or (expects and announced > limit):
                self._refuse(too_large(limit))
            elif expects and self._transport is not None and not (self._running or self._ahead):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bytes += len(body)
        limit = self._runner.app.body_bytes
        if self._bytes <= limit:
            self._body.append(body)
        elif self._refused is None:
            self._body.clear()
            self._refused = too_large(limit)
        elif self._bytes > DRAIN_BYTES and not self._broken:
            self._refuse(self._refused)

    def on_message_complete(self) -> None:
        """The request is whole: answer it, or put it behind those before it."""
        self._in_head, self._begun = True, False
        if self._broken or self._transport is None:
            return
        if self._refused is not None:
            self._refuse(self._refused)
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        raw, _, query = self._url.partition(b"?")
        if not raw.startswith(b"/"):  # http://host/path, as proxies are asked; or *
            found = httptools.parse_url(self._url)
            raw, query = found.path or b"/", found.query or b""
        path = raw.decode("latin-1")
        if "%" in path:
            path = unquote(path)
        method = self._parser.get_method().decode("latin-1")
        keep = self._parser.should_keep_alive()
        request = Request(method, path, self._headers, body, query.decode("latin-1"))
        self._last = _Ahead(request, keep, keep and self._parser.get_http_version() == "1.0")
        self._ahead.append(self._last)
        self._url, self._body = b"", []
        if self._turn:
            self._turn = False
            self._next()
        elif len(self._ahead) >= _AHEAD and not self._unread:
            self._unread = True
            self._transport.pause_reading()

    # ── answers ──────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> None:
        """Answer the request that waits longest, unless one is being answered."""
        if self._running or self._paused or self._transport is None or not self._ahead:
            return
        self._begin(self._ahead.popleft())

    def _begin(self, asked: _Ahead) -> None:
        """Answer a request, at once or in a task."""
        response = self._runner.run_quick(asked.request)
        if response is not None:
            self._answer(asked, response)
            return
        self._running = True
        self.deadline = float("inf")
        task = self._connections.loop.create_task(self._run(asked))
        self._connections.tasks.add(task)
        task.add_done_callback(self._connections.tasks.discard)

    async def _run(self, asked: _Ahead) -> None:
        response = await self._runner.run(asked.request)
        self._running = False
        self._answer(asked, response)

    def _answer(self, asked: _Ahead, response: Response) -> None:
        transport = self._transport
        if transport is None:
            return
        last = not self._ahead and (self._close_after or self._connections.stopping)
        closing = last or not asked.keep
        if response.status == 200 and not closing and not asked.old and response.headers is JSON_HEADERS:
            size = len(response.body)
            if size < _VECTOR_BYTES:
                transport.write(b"%b%d\r\n\r\n%b" % (_OK_JSON, size, response.body))
            else:
                transport.writelines([b"%b%d\r\n\r\n" % (_OK_JSON, size), response.body])
        else:
            transport.write(_head(response, closing=closing, old=asked.old) + response.body)
        if closing:
            self._ahead.clear()
            transport.close()
            return
        if not self._paused:
            self.deadline = self._connections.loop.time() + self._connections.idle_seconds
        if self._ahead:
            self._connections.loop.call_soon(self._next)
        elif self._broken and self._refused is not None:
            self._refuse(self._refused)
        if self._unread and len(self._ahead) < _AHEAD // 2:
            self._unread = False
            transport.resume_reading()

    def _refuse(self, error: TidewheelError) -> None:
        """Answer with an error, behind what was begun, and close.

        What the client is still writing is read and dropped: it would not see the answer.
        """
        self._refused, self._broken = error, True
        if self._transport is None or self._lingering or self._running or self._ahead:
            return
        response = self._runner.refuse(error, self._url.decode("latin-1"))
        self._lingering = True
        self._bytes = 0
        self._ahead.clear()
        self._transport.write(_head(response, closing=True, old=False) + response.body)
        if self._eof or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self.deadline = self._connections.loop.time() + LINGER_SECONDS

    # ── deadlines and the end ────────────────────────────────────────────────────────────────────

    def overdue(self) -> None:
        """The deadline has passed: say so where a request was begun, else just close."""
        if self._lingering or self._paused or self._running:
            self.abort()
        elif not self._in_head:
            self._refuse(too_slow())
        elif self._begun:
            fix = "send the request in one piece"
            self._refuse(TooSlow(f"the head did not arrive in {HEAD_SECONDS:.0f} s", where="head", fix=fix))
        elif self._transport is not None:
            self._transport.close()

    def stop(self) -> None:
        """Close when what was begun is answered."""
        begun = self._running or self._ahead or self._begun
        if not begun and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(
        f"the head of the request is above {HEAD_BYTES} bytes, {HEADERS} headers, or {URL_BYTES} bytes of address",
        where="head",
        fix="send what is large in the body",
    )


def _head(response: Response, *, closing: bool, old: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append(f"content-length: {len(response.body)}")
    if closing:
        lines.append("connection: close")
    elif old:
        lines.append("connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
