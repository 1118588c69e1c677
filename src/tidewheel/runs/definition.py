"""Runs as values: what is known of an execution that was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tidewheel.clock import Micros
from tidewheel.digest import Digest

_NEVER = Micros(0)


class RunStatus(Enum):
    """Where a run is.

    ``INTERRUPTED``: it never finished, and its process is gone (killed, out of memory, machine restarted). Running the
    same thing again resumes it: finished steps are not run twice. ``CANCELLED``: somebody stopped it, by Ctrl-C or
    ``tidewheel cancel``; it is resumed in the same way.
    """

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from every other one that ever ran.

    Parameters
    ----------
    boot
        Kernel boot and process namespace: two processes with the same host and boot can see each other's ids.
    started
        Start of the process in clock ticks after boot, so that a reused id is not mistaken for the process.
    """

    host: str
    boot: str
    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as stored.

    Parameters
    ----------
    metrics
        The latest value of each metric: that with the greatest step, NaN and infinities kept.
    parameters
        As text, the way they are searched.
    ended_at
        For an interrupted run the last sign of life.
    heartbeat_at
        The last sign of life of its process, which gives one every ten seconds.
    environment
        Artifact: JSON of the installed distributions, name to version.
    facts
        Machine and process: ``cpus``, ``memory_bytes``, ``python``, ``platform``, and once finished ``cpu_seconds``,
        ``peak_memory_bytes``.
    """

    id: str
    name: str
    experiment: str
    status: RunStatus
    actor: str
    recipe: Digest | None
    started_at: Micros
    ended_at: Micros | None
    process: Process
    environment: Digest
    error: str = ""
    heartbeat_at: Micros = _NEVER
    facts: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One logged value of a metric."""

    step: int
    at: Micros
    value: float


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of a search; ``token`` asks for the next one and is ``None`` on the last."""

    runs: tuple[RunRecord, ...]
    token: str | None = None
