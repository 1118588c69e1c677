"""Events that could not be taken: kept with the reason, so that they neither block what follows nor are lost.

Each is a record of a journal, and so is its release; the last record of a place in a stream counts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidewheel.artifacts.journal import Journal, read_journal
from tidewheel.clock import Micros


@dataclass(frozen=True, slots=True)
class Refused:
    """One event that was refused.

    Parameters
    ----------
    stream, position
        Where it came from.
    code, error
        The name of the error, and what it said.
    at
        When it was refused.
    body
        The event as the producer sent it.
    """

    stream: str
    position: str
    code: str
    error: str
    at: Micros
    body: bytes


class _Record(msgspec.Struct):
    """What is kept of an event: that it was refused, or that it was released."""

    stream: str
    position: str
    at: Micros
    code: str = ""
    error: str = ""
    body: bytes = b""
    released: bool = False


class Quarantine:
    """Refused events of one source; thread safe. An event that is delivered and refused again counts once.

    Parameters
    ----------
    folder
        The source's own.

    Examples
    --------
    >>> import tempfile
    >>> quarantine = Quarantine(Path(tempfile.mkdtemp()))
    >>> event = Refused("redis://host/0/trips", "7-0", "NotJson", "the body is not JSON", Micros(0), b"{")
    >>> for _ in range(2):
    ...     quarantine.keep([event])
    >>> quarantine.count()
    1
    >>> quarantine.release([event], at=Micros(1))
    >>> quarantine.list()
    ()
    >>> quarantine.close()
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = Journal(folder, writer=f"refused-{os.getpid()}", sync_seconds=0)

    def keep(self, events: Sequence[Refused]) -> None:
        """Keep events; on disk when it returns."""
        self._journal.append([msgspec.msgpack.encode(event) for event in events])

    def release(self, events: Sequence[Refused], *, at: Micros) -> None:
        """Let events go: they were taken after all, or nobody wants them; on disk when it returns."""
        made = [_Record(event.stream, event.position, at, released=True) for event in events]
        self._journal.append([msgspec.msgpack.encode(record) for record in made])

    def list(self) -> tuple[Refused, ...]:
        """Those that are held, in the order of their first arrival, each with the reason it was refused for last."""
        found: dict[tuple[str, str], Refused] = {}
        if self._folder.exists():
            for _, _, record in read_journal(self._folder):
                one = msgspec.msgpack.decode(record, type=_Record)
                if one.released:
                    found.pop((one.stream, one.position), None)
                else:
                    event = Refused(one.stream, one.position, one.code, one.error, one.at, one.body)
                    found[one.stream, one.position] = event
        return tuple(found.values())

    def count(self) -> int:
        """How many there are."""
        return len(self.list())

    def close(self) -> None:
        """Close the journal; idempotent."""
        self._journal.close()
