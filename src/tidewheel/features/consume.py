"""Consume a stream: every event goes the way of a push, and is committed when it is safe.

**Exactly once.** A stream delivers an event again when a consumer died between keeping it and committing its position. A source
with a stream therefore has an ``event_id``: rows with one id count once, however often they arrive, so the copy changes
nothing, neither in training sets nor online. (Positions kept beside the rows would catch the stream's repetitions, but not
those of a producer that sends again; the id catches both, and needs no transaction over two systems.)

**Nothing blocks.** An event that cannot be taken is put into quarantine, with the reason, and committed. Trouble of the store
or of the stream is no fault of the event: the batch is kept and tried again, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tidewheel.clock import Clock
from tidewheel.errors import Invalid, NotJson, TidewheelError
from tidewheel.ports.event_stream import EventStream, StreamEvent
from tidewheel.sources.quarantine import Quarantine, Refused

Rows = Sequence[Mapping[str, object]]
Wrong = tuple[StreamEvent, BaseException]
"""An event that cannot be taken, and why."""
BATCH = 1_000

_OF_THE_EVENT = (Invalid, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What taking an event raises when the event is wrong; everything else is trouble that passes."""


@dataclass(slots=True)
class Consumed:
    """What a consumer has done since it started, and how far behind it is.

    Parameters
    ----------
    taken, refused
        Events that were pushed, and that went into quarantine.
    lag
        Events that the group has not committed; ``None`` until it was asked.
    trouble
        Why it cannot go on right now.
    """

    taken: int = 0
    refused: int = 0
    lag: int | None = None
    trouble: str | None = None


@dataclass(slots=True)
class Consumer:
    """Takes the events of one source's stream; not thread safe.

    Parameters
    ----------
    name
        What the stream is called in quarantine: its place, without options and passwords.
    push
        Takes rows, all or none of them; ``Invalid`` when a row is wrong. The rows are on disk when it returns.
    probe
        Raises while the online store cannot be reached. Asked before a batch is tried again, since each try is kept.
    finish
        Called when the consumer closes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from tidewheel.backends.memory import MemoryTopic
    >>> topic, kept = MemoryTopic(), []
    >>> topic.publish([b'{"id": 1}', b"no JSON"])
    >>> quarantine = Quarantine(Path(tempfile.mkdtemp()))
    >>> consumer = Consumer("memory", topic.open(), push=kept.extend, quarantine=quarantine, clock=lambda: 0)
    >>> consumer.step(seconds=0)
    2
    >>> kept, consumer.state.refused, topic.open().lag()
    ([{'id': 1}], 1, 0)
    >>> quarantine.close()
    """

    name: str
    stream: EventStream
    push: Callable[[Rows], object]
    quarantine: Quarantine
    clock: Clock
    probe: Callable[[], object] = bool
    finish: Callable[[], object] = bool
    state: Consumed = field(default_factory=Consumed)
    _held: list[StreamEvent] = field(init=False, default_factory=list)
    _handled: bool = field(init=False, default=False)
    _again: bool = field(init=False, default=False)

    def step(self, *, limit: int = BATCH, seconds: float = 1.0) -> int:
        """Handle one batch, new or left from a step that failed; answer how many events it had.

        Raises
        ------
        TidewheelError
            When stream, store or disk cannot be used now; call again later.
        """
        if not self._held:
            self._held, self._handled = self.stream.poll(limit=limit, seconds=seconds), False
        if not self._held:
            return 0
        if not self._handled:
            if self._again:
                self.probe()
            self._again = True
            self.state.taken += take_events(self._held, push=self.push, refuse=self._refuse)
            self._handled, self._again = True, False
        self.stream.commit([event.position for event in self._held])
        count, self._held = len(self._held), []
        return count

    def measure(self) -> int:
        """Ask the stream for the lag, and note it."""
        self.state.lag = self.stream.lag()
        return self.state.lag

    def close(self) -> None:
        """Leave the stream."""
        self.stream.close()
        self.quarantine.close()
        self.finish()

    def _refuse(self, wrong: Sequence[Wrong]) -> None:
        now = self.clock()
        kept = [Refused(self.name, event.position, error_code(error), str(error), now, event.body) for event, error in wrong]
        self.quarantine.keep(kept)
        self.state.refused += len(kept)


def take_events(
    events: Sequence[StreamEvent], *, push: Callable[[Rows], object], refuse: Callable[[Sequence[Wrong]], object]
) -> int:
    """Push events together; when that fails, halves, down to those that are wrong; answer how many were taken.

    Examples
    --------
    >>> kept, wrong = [], []
    >>> take_events([StreamEvent("0", b"{"), StreamEvent("1", b"{}")], push=kept.extend, refuse=wrong.extend)
    1
    >>> kept, [event.position for event, _ in wrong]
    ([{}], ['0'])
    """
    read = [(event, _row(event)) for event in events]
    wrong = [(event, row) for event, row in read if isinstance(row, NotJson)]
    if wrong:
        refuse(wrong)
    return _push_halves([(event, row) for event, row in read if not isinstance(row, NotJson)], push, refuse)


def _push_halves(
    events: Sequence[tuple[StreamEvent, dict[str, object]]],
    push: Callable[[Rows], object],
    refuse: Callable[[Sequence[Wrong]], object],
) -> int:
    if not events:
        return 0
    try:
        push([row for _, row in events])
    except _OF_THE_EVENT as error:
        if len(events) == 1:
            refuse([(events[0][0], error)])
            return 0
        middle = len(events) // 2
        return _push_halves(events[:middle], push, refuse) + _push_halves(events[middle:], push, refuse)
    return len(events)


def error_code(error: BaseException) -> str:
    """The name under which an error is known.

    Examples
    --------
    >>> error_code(NotJson("no JSON")), error_code(KeyError("x"))
    ('NotJson', 'KeyError')
    """
    return error.code if isinstance(error, TidewheelError) else type(error).__name__


def _row(event: StreamEvent) -> dict[str, object] | NotJson:
    try:
        row = msgspec.json.decode(event.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return NotJson(f"the event is not JSON: {error}", where="body", fix='send {"column": value, ...}')
    if not isinstance(row, dict):
        return NotJson("the event is not a JSON object", where="body", fix='send {"column": value, ...}')
    return row
