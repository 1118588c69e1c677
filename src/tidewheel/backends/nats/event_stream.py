"""NATS JetStream: one stream, one durable pull consumer.

The consumer of JetStream is the group here; many processes pull from it. What is pulled comes again after ``claim_seconds``
unless it was acknowledged, and an acknowledgement is acknowledged. The library is asynchronous, so each stream runs an event
loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from tidewheel.errors import Invalid, NotFound, Unavailable
from tidewheel.ports.event_stream import StreamEvent, StreamOptions, take_options
from tidewheel.url import without_password

T = TypeVar("T")

_TIMEOUT_SECONDS = 5.0
_MAX_UNCOMMITTED = 100_000


class NatsEventStream:
    """One puller of a durable consumer.

    Parameters
    ----------
    server
        ``nats://user:password@host:port``, or ``tls://``.
    name
        The JetStream stream.
    subject
        Takes only events of this subject; empty takes all.

    Examples
    --------
    >>> stream = NatsEventStream("nats://localhost:4222", "TRIPS", StreamOptions())  # doctest: +SKIP
    >>> stream.poll(limit=100, seconds=1)  # doctest: +SKIP
    [StreamEvent(position='1', body=b'{"zone": 7}')]
    """

    def __init__(self, server: str, name: str, options: StreamOptions, *, subject: str = "") -> None:
        self._server, self._name, self._subject, self._options = server, name, subject, options
        self._place = urlsplit(server).hostname or server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nats-{name}", daemon=True)
        self._thread.start()
        self._client: Client | None = None
        self._pull: JetStreamContext.PullSubscription | None = None
        self._held: dict[str, Msg] = {}
        self._closed = False

    def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
        """What the consumer has for us."""
        return self._run(self._fetch(limit, max(seconds, 0.05)))

    def commit(self, positions: Sequence[str]) -> None:
        """Acknowledge, and wait until the server has noted it."""
        self._run(self._acknowledge(positions))

    def lag(self) -> int:
        """Events that were not delivered yet, and those that were not acknowledged."""
        return self._run(self._waiting())

    def close(self) -> None:
        """Give back what was not committed, and end the event loop; idempotent."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Unavailable):
            self._run(self._leave(), closing=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _fetch(self, limit: int, seconds: float) -> list[StreamEvent]:
        pull = await self._connected()
        try:
            messages = await pull.fetch(limit, timeout=seconds)
        except TimeoutError:
            return []
        events = []
        for message in messages:
            position = str(message.metadata.sequence.stream)
            self._held[position] = message
            events.append(StreamEvent(position, message.data))
        return events

    async def _acknowledge(self, positions: Sequence[str]) -> None:
        messages = [self._held[position] for position in positions if position in self._held]
        await asyncio.gather(*(message.ack_sync(_TIMEOUT_SECONDS) for message in messages if not message.is_acked))
        for position in positions:
            self._held.pop(position, None)

    async def _waiting(self) -> int:
        told = await (await self._connected()).consumer_info()
        return (told.num_pending or 0) + (told.num_ack_pending or 0)

    async def _leave(self) -> None:
        if self._client is not None:
            for message in self._held.values():
                await message.nak()
            await self._client.flush(1)
            await self._client.close()

    async def _connected(self) -> JetStreamContext.PullSubscription:
        if self._pull is not None and self._client is not None and self._client.is_connected:
            return self._pull
        if self._client is not None:
            await self._client.close()
        self._held.clear()  # they come again
        self._client = await nats.connect(
            self._server,
            name="tidewheel",
            connect_timeout=int(_TIMEOUT_SECONDS),
            allow_reconnect=False,  # the next call connects again
            max_reconnect_attempts=1,  # this many at the first connection, too
            reconnect_time_wait=0,
            error_cb=_ignore,
        )
        jetstream = self._client.jetstream(timeout=_TIMEOUT_SECONDS)
        wanted = ConsumerConfig(
            durable_name=self._options.group,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=self._options.claim_seconds,
            max_ack_pending=_MAX_UNCOMMITTED,
            filter_subject=self._subject or None,
        )
        try:
            await jetstream.consumer_info(self._name, self._options.group)
        except NotFoundError:
            await jetstream.add_consumer(self._name, wanted)
        self._pull = await jetstream.pull_subscribe_bind(self._options.group, stream=self._name)
        return self._pull

    def _run(self, work: Coroutine[object, object, T], *, closing: bool = False) -> T:
        if self._closed and not closing:
            work.close()
            raise Invalid(f"the stream {self._name} is closed", fix="open it again")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except NotFoundError as error:
            fix = f"make it: nats stream add {self._name}"
            raise NotFound(f"NATS {self._place} has no stream {self._name}", where=self._name, fix=fix) from error
        except (NatsError, OSError, TimeoutError) as error:
            fix = "start it, or correct the stream's URL; the next call connects again"
            told = str(error) or type(error).__name__
            raise Unavailable(f"NATS {self._place} cannot be reached: {told}", where=self._name, fix=fix) from error


def open_event_stream(url: str) -> NatsEventStream:
    """The stream at ``nats://host:port/STREAM?group=taxi&subject=trips.>``.

    Raises
    ------
    Invalid
        When the URL names no stream.

    Examples
    --------
    >>> open_event_stream("nats://localhost:4222")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: 'nats://localhost:4222' names no stream. Fix: write nats://host:port/STREAM?group=name
    """
    parts = urlsplit(url)
    name = parts.path.strip("/")
    fix = "write nats://host:port/STREAM?group=name"
    try:
        options, rest = take_options(dict(parse_qsl(parts.query)))
    except ValueError as error:
        raise Invalid(f"{without_password(url)!r}: {error}", fix=fix) from error
    subject = rest.pop("subject", "")
    bad = [mark for mark in ". */>" if mark in name + options.group]
    if parts.scheme != "nats" or not parts.netloc or not name or bad or rest:
        raise Invalid(f"{without_password(url)!r} names no stream", fix=fix)
    return NatsEventStream(urlunsplit(parts._replace(path="", query="")), name, options, subject=subject)


async def _ignore(_: Exception) -> None:
    """Errors reach the caller of the method that met them; the library would log them as well."""
