"""Connections to one Redis: kept between calls, made again when they break, never shared across a fork.

redis-py's pool and its client spend some 150 us of Python on a command. Every call of ours is one packet on one connection,
which is taken from a list and put back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import TimeoutError as Late
from redis.retry import Retry

from tidewheel.backends.redis.wire import Argument, Made, Wire, packed
from tidewheel.errors import Denied, Incompatible, Invalid, TidewheelError, Unavailable
from tidewheel.url import without_password

T = TypeVar("T")

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_TIMEOUT_SECONDS = 5.0


class Connections:
    """Idle connections to one server; thread safe.

    Parameters
    ----------
    url
        ``redis://user:password@host:port/database``, ``rediss://`` with TLS; options are those of redis-py's connection.

    Examples
    --------
    >>> Connections("redis://localhost/taxi")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: 'redis://localhost/taxi' names no Redis. Fix: write redis://host:port/number, or rediss:// for TLS
    """

    def __init__(self, url: str) -> None:
        self._make = _parse(url)
        self.name = without_password(url)
        self._idle: list[Wire] = []
        self._pid = os.getpid()
        self._checked = False
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, action: Callable[[Wire], T], *, again: bool = True) -> T:
        """The answer of ``action``, which sends and reads on the connection that it is handed.

        Parameters
        ----------
        again
            Whether a second try on a new connection does no harm.

        Raises
        ------
        Unavailable
            When the server cannot be reached, is loading, is full or answers too late.
        Denied
            When it refuses the user.
        """
        if self._closed:
            raise Invalid(f"the store on {self.name} is closed", fix="open it again")
        if self._pid != os.getpid():  # a forked child talks on connections of its own
            self._idle, self._pid = [], os.getpid()
        try:
            try:
                known = self._idle.pop()
            except IndexError:
                return self._on(self._connect(), action)
            try:
                return self._on(known, action)
            except Late:
                raise
            except (Broken, OSError):  # the server went away since the last call, and may be back
                for stale in self._emptied():
                    stale.close()
                if not again:
                    raise
                return self._on(self._connect(), action)
        except (RedisError, OSError) as error:
            raise self._told(error) from error

    def _on(self, connection: Wire, action: Callable[[Wire], T]) -> T:
        try:
            answer = action(connection)
        except BaseException:
            connection.close()  # what is left on the wire would answer the next question
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()
        return answer

    def _emptied(self) -> list[Wire]:
        with self._lock:
            idle, self._idle = self._idle, []
        return idle

    def _connect(self) -> Wire:
        connection = Wire(self._make())
        if not self._checked:
            _refuse_unfit(connection, self.name)
            self._checked = True
        return connection

    def _told(self, error: Exception) -> TidewheelError:
        if isinstance(error, AuthenticationError | NoPermissionError):
            return Denied(f"Redis {self.name} refuses: {error}", where=self.name, fix="give user and password in the URL")
        if isinstance(error, ResponseError):
            full = str(error).startswith("OOM")
            fix = "give it more memory (maxmemory), or delete what is not served" if full else "see the server's log"
            return Unavailable(f"Redis {self.name} answered: {error}", where=self.name, fix=fix)
        fix = "start it, or correct the URL in tidewheel.toml; the next call connects again"
        return Unavailable(f"Redis {self.name} cannot be reached: {error}", where=self.name, fix=fix)

    def close(self) -> None:
        """Close every idle connection; idempotent."""
        self._closed = True
        for connection in self._emptied():
            connection.close()


def send(connection: Wire, *commands: tuple[Argument, ...], seconds: float | None = None) -> list[object]:
    """Replies to commands that travel in one packet; the first that is an error is raised after all are read.

    Parameters
    ----------
    seconds
        How long to wait for each, where the connection's own limit is too short.

    Examples
    --------
    >>> send(connection, ("PING",), ("ECHO", b"x"))  # doctest: +SKIP
    [b'PONG', b'x']
    """
    packet, count = b"".join(map(packed, commands)), len(commands)
    return connection.ask(packet, count) if seconds is None else connection.ask_patiently(packet, count, seconds=seconds)


def _parse(url: str) -> Callable[[], Made]:
    parts = urlsplit(url)
    wrong = Invalid(f"{without_password(url)!r} names no Redis", fix="write redis://host:port/number, or rediss:// for TLS")
    database = parts.path.removeprefix("/")
    if parts.scheme not in _SCHEMES or not parts.netloc or (database and not database.isdigit()):
        raise wrong
    options: dict[str, object] = {
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),  # we try again ourselves, once
    }
    try:
        options |= cast("Callable[[str], dict[str, object]]", parse_url)(
            urlunsplit(parts._replace(scheme=_SCHEMES[parts.scheme]))
        )
        make = partial(cast("Callable[..., Made]", options.pop("connection_class", Connection)), **options)
        make()  # connects nothing, but knows its options
    except (TypeError, ValueError, RedisError) as error:
        raise wrong from error
    return make


def _refuse_unfit(connection: Wire, name: str) -> None:
    """Refuse servers that would give wrong answers, or none.

    One that drops keys when it is full answers nulls where there are values, and nobody is told. A node of a cluster has a part
    of the keys, and one request asks for many.
    """
    texts = cast("list[bytes]", send(connection, ("INFO", "memory"), ("INFO", "cluster")))
    told = dict(line.split(":", 1) for text in texts for line in text.decode().split("\r\n") if ":" in line)
    if told.get("cluster_enabled") == "1":
        connection.close()
        raise Incompatible(
            f"Redis {name} is a node of a Redis Cluster, which has no read and no write over keys of several nodes",
            where=name,
            fix="use one Redis with replicas, or postgresql://",
        )
    if told.get("maxmemory", "0") != "0" and told.get("maxmemory_policy", "").startswith("allkeys"):
        connection.close()
        raise Incompatible(
            f"Redis {name} drops keys when its memory is full (maxmemory-policy {told['maxmemory_policy']})",
            where=name,
            fix="CONFIG SET maxmemory-policy noeviction, or use a server of its own for online rows",
        )
