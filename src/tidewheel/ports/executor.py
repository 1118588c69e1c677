"""Port: where jobs run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, Protocol

JobId = NewType("JobId", str)


class JobState(Enum):
    """Where a job is. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job, complete in itself: the worker needs nothing from the process that submitted it."""

    spec: bytes
    """JSON for ``tidewheel exec``."""
    cpus: float = 1.0
    timeout_seconds: float | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """State of a job, with the worker's answer or the reason of the failure."""

    state: JobState
    result: bytes = b""
    error: str = ""


class Executor(Protocol):
    """Runs jobs. A job that was submitted reaches a final state, whatever dies: a dead worker's job is ``FAILED``."""

    def submit(self, job: JobSpec) -> JobId:
        """Accept a job; it starts when there is room."""
        ...

    def poll(self, jobs: list[JobId], *, timeout_seconds: float = 0.0) -> dict[JobId, JobStatus]:
        """Status of each job; waits up to the time-out until at least one of them is final."""
        ...

    def cancel(self, job: JobId) -> None:
        """Stop a job with all of its child processes; idempotent."""
        ...

    def logs(self, job: JobId) -> str:
        """What the job has printed so far."""
        ...

    def close(self) -> None:
        """Cancel what runs and leave no process behind; idempotent."""
        ...
