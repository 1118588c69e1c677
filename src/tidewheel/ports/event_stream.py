"""Port: events as they come, from a log that remembers how far each group of consumers has got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

GROUP = "tidewheel"
"""Consumers that share the events of a stream among them, unless something else is said."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event.

    Parameters
    ----------
    position
        Where it stands in the stream; the same each time that it is delivered.
    body
        What the producer sent.

    Examples
    --------
    >>> StreamEvent("0:17", b'{"zone": 7}').position
    '0:17'
    """

    position: str
    body: bytes


class EventStream(Protocol):
    """One consumer of a group; not thread safe.

    Each event is delivered **at least once** to the group: it comes again, to this consumer or to another, until it has been
    committed, whoever was killed in between. A consumer that opens a group for the first time starts with the oldest event.

    Raises
    ------
    Unavailable
        From every method, when the server cannot be reached now; the next call connects again.
    """

    def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
        """At most ``limit`` events that are this consumer's to handle now; empty when none came within ``seconds``.

        Events that a dead consumer of the group left behind are among them, once the stream takes it for dead.
        """
        ...

    def commit(self, positions: Sequence[str]) -> None:
        """These events, which this consumer has polled, are handled: they do not come again. All of a poll, or a beginning."""
        ...

    def lag(self) -> int:
        """Events of the stream that the group has not committed yet."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once; commits nothing; idempotent."""
        ...


class EventStreamOpener(Protocol):
    """What the entry point of a stream names: opens it by URL.

    ``?group=`` names the group, ``?claim_seconds=`` says after how long a silent consumer's events go to another.
    """

    def __call__(self, url: str, /) -> EventStream:
        """The stream at the URL; it connects on first use.

        Raises
        ------
        Invalid
            When the URL names no such stream.
        """
        ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of a stream's URL that mean the same for every technology.

    Examples
    --------
    >>> take_options({"group": "taxi", "socket_timeout": "1"})
    (StreamOptions(group='taxi', claim_seconds=30.0), {'socket_timeout': '1'})
    """

    group: str = GROUP
    claim_seconds: float = 30.0


def take_options(options: dict[str, str]) -> tuple[StreamOptions, dict[str, str]]:
    """The common options, and those that are left for the technology.

    Raises
    ------
    ValueError
        When one cannot be read.

    Examples
    --------
    >>> take_options({"claim_seconds": "soon"})
    Traceback (most recent call last):
        ...
    ValueError: claim_seconds is 'soon', not a number of seconds above 0
    """
    rest = dict(options)
    group, claim = rest.pop("group", GROUP), rest.pop("claim_seconds", "30")
    try:
        seconds = float(claim)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ValueError(f"claim_seconds is {claim!r}, not a number of seconds above 0")
    if not group:
        raise ValueError("group is empty")
    return StreamOptions(group, seconds), rest
