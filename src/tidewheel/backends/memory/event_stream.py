"""A stream of events in a list: the reference that other streams are compared with."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from tidewheel.ports.event_stream import GROUP, StreamEvent


class MemoryTopic:
    """Events in order, and how far each group has got.

    Examples
    --------
    >>> topic = MemoryTopic()
    >>> topic.publish([b"one", b"two"])
    >>> stream = topic.open()
    >>> [event.body for event in stream.poll(limit=9, seconds=0)]
    [b'one', b'two']
    >>> stream.commit(["0"])
    >>> stream.lag()
    1
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.events: list[bytes] = []
        self.done: dict[str, set[int]] = {}
        self.held: dict[str, dict[int, MemoryEventStream]] = {}

    def publish(self, bodies: Iterable[bytes]) -> None:
        """Add events."""
        with self.changed:
            self.events += bodies
            self.changed.notify_all()

    def open(self, group: str = GROUP) -> MemoryEventStream:
        """A consumer of the group."""
        return MemoryEventStream(self, group)


class MemoryEventStream:
    """One consumer of a topic. What it has polled is its own until it closes.

    Examples
    --------
    >>> MemoryTopic().open().poll(limit=1, seconds=0)
    []
    """

    def __init__(self, topic: MemoryTopic, group: str) -> None:
        self._topic = topic
        self._done = topic.done.setdefault(group, set())
        self._held = topic.held.setdefault(group, {})

    def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
        """At most ``limit`` events that nobody holds."""
        until = time.monotonic() + seconds
        with self._topic.changed:
            while True:
                free = [n for n in range(len(self._topic.events)) if n not in self._done and n not in self._held][:limit]
                left = until - time.monotonic()
                if free or left <= 0:
                    self._held.update(dict.fromkeys(free, self))
                    return [StreamEvent(str(n), self._topic.events[n]) for n in free]
                self._topic.changed.wait(left)

    def commit(self, positions: Sequence[str]) -> None:
        """These events do not come again."""
        with self._topic.changed:
            self._done.update(map(int, positions))

    def lag(self) -> int:
        """Events that are not committed."""
        with self._topic.changed:
            return len(self._topic.events) - len(self._done)

    def close(self) -> None:
        """Others take over what this one holds."""
        with self._topic.changed:
            for number in [number for number, holder in self._held.items() if holder is self]:
                del self._held[number]
            self._topic.changed.notify_all()
