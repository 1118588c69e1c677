"""Redis Streams: one stream, one consumer group.

An event is an entry of the stream (``XADD trips * data '{"zone": 7}'``): its body is the field ``data``, or its only field, or
else a JSON object of its fields. What a consumer reads stays pending until it is acknowledged, and goes to another consumer
of the group after ``claim_seconds``. The group starts with the oldest entry that the stream still has.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Sequence
from typing import cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from redis.exceptions import ResponseError

from tidewheel.backends.redis.connection import Connections, send
from tidewheel.backends.redis.wire import Argument, Wire
from tidewheel.errors import Invalid
from tidewheel.ports.event_stream import StreamEvent, StreamOptions, take_options

_SLACK_SECONDS = 5.0
_COUNTED = 100_000
_Entry = tuple[bytes, list[bytes] | None]


class RedisEventStream:
    """One consumer of a stream's group.

    Parameters
    ----------
    url
        The server, as of redis-py.
    key
        Name of the stream.

    Examples
    --------
    >>> stream = RedisEventStream("redis://localhost:6379/0", "trips", StreamOptions())  # doctest: +SKIP
    >>> stream.poll(limit=100, seconds=1)  # doctest: +SKIP
    [StreamEvent(position='1718000000000-0', body=b'{"zone": 7}')]
    """

    def __init__(self, url: str, key: str, options: StreamOptions) -> None:
        self._connections = Connections(url)
        self._key, self._group = key.encode(), options.group.encode()
        self._claim_milliseconds = int(options.claim_seconds * 1000)
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}".encode()
        self._claimed_from = b"0-0"
        self._closed = False

    def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
        """Entries of dead consumers first, then new ones."""
        entries = self._claim(limit)
        if not entries:
            wait = max(1, int(seconds * 1000))
            read = (b"XREADGROUP", b"GROUP", self._group, self._consumer, b"COUNT", limit, b"BLOCK", wait)
            entries = _entries_of(self._ask((*read, b"STREAMS", self._key, b">"), seconds))
        return [StreamEvent(name.decode(), _body(fields)) for name, fields in entries if fields is not None]

    def commit(self, positions: Sequence[str]) -> None:
        """Acknowledge the entries."""
        if positions:
            self._ask((b"XACK", self._key, self._group, *positions))

    def lag(self) -> int:
        """Entries that were not delivered yet, and those that were not acknowledged."""
        groups = cast("list[object]", self._ask((b"XINFO", b"GROUPS", self._key)))
        for told in groups:
            group = _table(told)
            if group.get(b"name") == self._group:
                waiting = group.get(b"lag")
                if waiting is None:  # entries were deleted from the middle: the server cannot tell, so we count, up to a bound
                    after = b"(" + cast(bytes, group[b"last-delivered-id"])
                    waiting = len(cast("list[object]", self._ask((b"XRANGE", self._key, after, b"+", b"COUNT", _COUNTED))))
                return cast(int, waiting) + cast(int, group[b"pending"])
        return cast(int, self._ask((b"XLEN", self._key)))  # nobody of the group has read yet

    def close(self) -> None:
        """Leave the group when nothing is pending; what is goes to others after ``claim_seconds``."""
        if self._closed:
            return
        self._closed = True
        try:
            asked = (b"XPENDING", self._key, self._group, b"-", b"+", 1, self._consumer)
            if not self._ask(asked):
                self._ask((b"XGROUP", b"DELCONSUMER", self._key, self._group, self._consumer))
        finally:
            self._connections.close()

    def _claim(self, limit: int) -> list[_Entry]:
        idle = self._claim_milliseconds
        claim = (b"XAUTOCLAIM", self._key, self._group, self._consumer, idle, self._claimed_from, b"COUNT", limit)
        self._claimed_from, entries = cast("tuple[bytes, list[_Entry]]", cast("list[object]", self._ask(claim))[:2])
        return entries

    def _ask(self, command: tuple[Argument, ...], seconds: float = 0.0) -> object:
        def ask(connection: Wire) -> object:
            try:
                return send(connection, command, seconds=seconds + _SLACK_SECONDS if seconds else None)[0]
            except ResponseError as error:
                if not str(error).startswith("NOGROUP") and "no such key" not in str(error):
                    raise
            self._make_group(connection)
            return send(connection, command, seconds=seconds + _SLACK_SECONDS if seconds else None)[0]

        return self._connections.ask(ask)

    def _make_group(self, connection: Wire) -> None:
        try:
            send(connection, (b"XGROUP", b"CREATE", self._key, self._group, b"0", b"MKSTREAM"))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another consumer was first
                raise


def open_event_stream(url: str) -> RedisEventStream:
    """The stream at ``redis://host:port/0/trips?group=taxi``.

    Raises
    ------
    Invalid
        When the URL names no stream.

    Examples
    --------
    >>> open_event_stream("redis://localhost:6379/0")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: 'redis://localhost:6379/0' names no stream. Fix: write redis://host:port/0/stream?group=name
    """
    parts = urlsplit(url)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if len(path) == 1 and not path[0].isdigit():
        path = ["0", *path]
    fix = "write redis://host:port/0/stream?group=name"
    if len(path) != 2 or not path[0].isdigit():
        raise Invalid(f"{url!r} names no stream", fix=fix)
    try:
        options, rest = take_options(dict(parse_qsl(parts.query)))
    except ValueError as error:
        raise Invalid(f"{url!r}: {error}", fix=fix) from error
    server = urlunsplit(parts._replace(path=f"/{path[0]}", query=urlencode(rest)))
    return RedisEventStream(server, path[1], options)


def _entries_of(reply: object) -> list[_Entry]:
    """Entries of the one stream that was read; RESP3 answers a map, RESP2 a list of pairs."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return cast("list[_Entry]", next(iter(reply.values())))
    return cast("list[tuple[bytes, list[_Entry]]]", reply)[0][1]


def _table(reply: object) -> dict[bytes, object]:
    if isinstance(reply, dict):
        return cast("dict[bytes, object]", reply)
    flat = cast("list[object]", reply)
    return dict(zip(cast("list[bytes]", flat[::2]), flat[1::2], strict=True))


def _body(fields: list[bytes]) -> bytes:
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    if b"data" in pairs:
        return pairs[b"data"]
    if len(pairs) == 1:
        return next(iter(pairs.values()))
    return json.dumps({name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs.items()}).encode()
