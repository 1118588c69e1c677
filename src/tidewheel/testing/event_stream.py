"""Contract suite of the event stream port: a backend's test module subclasses it with two fixtures.

class TestMine(EventStreamContract):
    @pytest.fixture
    def publish(self):                  # adds events to a new, empty stream
        return topic.publish

    @pytest.fixture
    def open_stream(self, publish):     # opens consumers of it, by group; closed afterwards
        ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tidewheel.ports.event_stream import EventStream, StreamEvent

Publish = Callable[[Sequence[bytes]], None]

PATIENCE_SECONDS = 20.0
CLAIM_SECONDS = 1.0
"""After which the streams under test take a silent consumer for dead."""


class OpenStream(Protocol):
    """Another consumer of the stream under test."""

    def __call__(self, group: str = "one") -> EventStream:
        """A consumer of that group."""
        ...


def drain(stream: EventStream, count: int, *, limit: int = 1000) -> list[StreamEvent]:
    """Poll until ``count`` events came, or patience ends.

    Examples
    --------
    >>> from tidewheel.ports.event_stream import StreamEvent
    >>> class Ready:
    ...     def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
    ...         return [StreamEvent("0", b"x")] * limit
    >>> len(drain(Ready(), 5, limit=2))
    6
    """
    found: list[StreamEvent] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count and time.monotonic() < until:
        found += stream.poll(limit=limit, seconds=0.3)
    return found


class EventStreamContract:
    """What every stream does. Expects fixtures ``publish`` and ``open_stream``.

    Examples
    --------
    >>> sorted(name for name in vars(EventStreamContract) if name.startswith("test_"))[0]
    'test_a_commit_holds_for_the_next_consumer'
    """

    def test_events_come_once_and_in_order(self, publish: Publish, open_stream: OpenStream) -> None:
        bodies = [b"%d" % n for n in range(250)]
        publish(bodies)
        stream = open_stream()
        found = drain(stream, 250, limit=100)
        assert [event.body for event in found] == bodies
        assert len({event.position for event in found}) == 250
        stream.commit([event.position for event in found])
        assert stream.poll(limit=10, seconds=0.3) == []
        publish([b"later"])
        assert [event.body for event in drain(stream, 1)] == [b"later"]

    def test_a_poll_gives_no_more_than_asked(self, publish: Publish, open_stream: OpenStream) -> None:
        publish([b"x"] * 7)
        stream = open_stream()
        first = drain(stream, 1, limit=3)
        assert 1 <= len(first) <= 3

    def test_bytes_come_as_they_were_sent(self, publish: Publish, open_stream: OpenStream) -> None:
        bodies = [b"\0\xff{", b"\r\n", "é".encode(), b"x" * 200_000]
        publish(bodies)
        assert [event.body for event in drain(open_stream(), 4)] == bodies

    def test_what_was_not_committed_comes_again(self, publish: Publish, open_stream: OpenStream) -> None:
        publish([b"%d" % n for n in range(10)])
        dead = open_stream()
        found = drain(dead, 10)
        dead.commit([event.position for event in found[:4]])
        dead.close()
        again = drain(open_stream(), 6)
        assert [(event.position, event.body) for event in again] == [(event.position, event.body) for event in found[4:]]

    def test_a_commit_holds_for_the_next_consumer(self, publish: Publish, open_stream: OpenStream) -> None:
        publish([b"1", b"2"])
        stream = open_stream()
        found = drain(stream, 2)
        for _ in range(2):
            stream.commit([event.position for event in found])
        stream.commit([])
        stream.close()
        other = open_stream()
        publish([b"3"])
        assert [event.body for event in drain(other, 1)] == [b"3"]

    def test_groups_do_not_know_each_other(self, publish: Publish, open_stream: OpenStream) -> None:
        publish([b"1"])
        for group in ("one", "two"):
            stream = open_stream(group)
            found = drain(stream, 1)
            assert [event.body for event in found] == [b"1"]
            stream.commit([event.position for event in found])

    def test_lag_counts_what_is_not_committed(self, publish: Publish, open_stream: OpenStream) -> None:
        stream = open_stream()
        assert stream.lag() == 0
        publish([b"%d" % n for n in range(5)])
        assert stream.lag() == 5
        found = drain(stream, 5)
        assert stream.lag() == 5
        stream.commit([event.position for event in found[:3]])
        assert stream.lag() == 2

    def test_close_twice_is_close(self, publish: Publish, open_stream: OpenStream) -> None:
        publish([b"1"])
        stream = open_stream()
        stream.poll(limit=1, seconds=0)
        stream.close()
        stream.close()
