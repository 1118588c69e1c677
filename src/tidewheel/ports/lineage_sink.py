"""Port: where events of lineage are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from tidewheel.clock import Micros

EventKind = Literal["START", "COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a job reads or writes.

    Parameters
    ----------
    columns
        Name and type of each; the type is empty where it is not known.
    made_from
        Of a column the columns, each with the name of its dataset, that its values are computed from.
    uri
        Where the data is, without passwords.
    version
        The content, or what decides it.
    """

    name: str
    namespace: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    made_from: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    uri: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class LineageEvent:
    """A change of state of one run of a job.

    Parameters
    ----------
    run, parent_run
        UUIDs.
    """

    kind: EventKind
    at: Micros
    run: str
    job: str
    namespace: str
    job_type: str = ""
    description: str = ""
    parent_run: str = ""
    parent_job: str = ""
    inputs: tuple[DatasetFacts, ...] = ()
    outputs: tuple[DatasetFacts, ...] = ()
    error: str = ""


class LineageSink(Protocol):
    """Takes events, one after the other."""

    def emit(self, event: LineageEvent) -> None:
        """Send an event; whatever is raised says that it was not taken."""
        ...

    def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


class LineageSinkOpener(Protocol):
    """What the entry point of a backend is."""

    def __call__(self, url: str | None, *, api_key: str | None = None) -> LineageSink:
        """Open a sink; without a URL, as the environment tells the technology's own clients."""
        ...
