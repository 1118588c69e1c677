"""Take events again that are in quarantine: when what refused them has been mended, or they themselves have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidewheel.clock import Clock
from tidewheel.errors import NotFound
from tidewheel.features.consume import Rows, Wrong, error_code, take_events
from tidewheel.ports.event_stream import StreamEvent
from tidewheel.sources.quarantine import Quarantine, Refused

Place = tuple[str, str]
"""Stream and position of an event."""


@dataclass(frozen=True, slots=True)
class TakenAgain:
    """What became of events in quarantine: pushed, dropped as asked, refused again."""

    taken: int
    dropped: int
    refused: tuple[Refused, ...]


def take_again(
    quarantine: Quarantine, *, push: Callable[[Rows], object], clock: Clock, mended: Mapping[Place, bytes | None] | None = None
) -> TakenAgain:
    """Push events that are in quarantine; those that are taken leave it, the others stay, with the reason of today.

    Killed in between, it is run again: an event that was pushed and not yet released counts once by its id.

    Parameters
    ----------
    push
        As of :class:`tidewheel.features.consume.Consumer`.
    mended
        The body to push in place of the one held, by place; ``None`` drops the event. Events that are not named stay. Without
        it, all are pushed as they are.

    Raises
    ------
    NotFound
        When a mended event is not in quarantine.
    TidewheelError
        When the store or the disk cannot be used now; what was not pushed yet stays.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from tidewheel.clock import Micros
    >>> quarantine, kept = Quarantine(Path(tempfile.mkdtemp())), []
    >>> quarantine.keep([Refused("redis://host/0/trips", place, "NotJson", "no JSON", Micros(0), b"{") for place in "123"])
    >>> mended = {("redis://host/0/trips", "1"): b'{"id": 1}', ("redis://host/0/trips", "2"): None}
    >>> take_again(quarantine, push=kept.extend, clock=lambda: Micros(1), mended=mended)
    TakenAgain(taken=1, dropped=1, refused=())
    >>> kept, [event.position for event in quarantine.list()]
    ([{'id': 1}], ['3'])
    >>> quarantine.close()
    """
    held = {(event.stream, event.position): event for event in quarantine.list()}
    asked: Mapping[Place, bytes | None] = {place: event.body for place, event in held.items()} if mended is None else mended
    for place in asked:
        if place not in held:
            stream, position = place
            fix = "tidewheel quarantine shows what there is"
            raise NotFound(f"no event {position} of {stream} is in quarantine", where=position, fix=fix)
    taken, again = 0, list[Refused]()
    for stream in dict.fromkeys(stream for stream, _ in asked):
        bodies = {position: body for (one, position), body in asked.items() if one == stream and body is not None}
        events = [StreamEvent(position, body) for position, body in bodies.items()]
        wrong: list[Wrong] = []
        taken += take_events(events, push=push, refuse=wrong.extend)
        now = clock()
        refused = [
            replace(held[stream, event.position], code=error_code(error), error=str(error), at=now, body=event.body)
            for event, error in wrong
        ]
        quarantine.keep(refused)
        still = {event.position for event in refused}
        quarantine.release([held[stream, position] for position in bodies if position not in still], at=now)
        again += refused
    unwanted: Sequence[Refused] = [held[place] for place, body in asked.items() if body is None]
    quarantine.release(unwanted, at=clock())
    return TakenAgain(taken, len(unwanted), tuple(again))
