"""Port: where jobs run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NewType, Protocol

from tidewheel.digest import Digest
from tidewheel.ports.printed import LIMIT_BYTES

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
    memory_bytes: int | None = None
    """What the job's processes may hold together; more, and the job is ended as out of memory."""
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    """File of the submitting machine in which what the job prints is kept as it comes: a :class:`PrintedFile`. Without one,
    the executor keeps it for as long as it is open."""
    log_bytes: int = LIMIT_BYTES
    """What is kept of it, about."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """State of a job, with the worker's answer or the reason of the failure.

    Parameters
    ----------
    silent_seconds
        For how long a running job has used no processor and printed nothing, once that is some seconds; as far as the
        executor can see it.
    note
        What is to be known of a job that is not final: what it waits for, or that its process is stopped.
    """

    state: JobState
    result: bytes = b""
    error: str = ""
    silent_seconds: float = 0.0
    note: str = ""


class Blobs(Protocol):
    """Bytes by the digest of their content, in pieces: what an executor carries to and from workers that share no disk."""

    def put(self, data: Iterable[bytes]) -> Digest:
        """Store bytes; answer their digest."""
        ...

    def read(self, digest: Digest) -> Iterator[bytes]:
        """The bytes of that digest, verified before the last piece; ``NotFound`` when there are none."""
        ...

    def exists(self, digest: Digest) -> bool:
        """Whether there are bytes of that digest."""
        ...


@dataclass(frozen=True, slots=True)
class Cargo:
    """What must reach workers that share no disk with this process.

    Parameters
    ----------
    root
        The project's folder. A worker is started with ``--root`` and a copy of it.
    blobs
        Artifacts that only this process can reach. A worker is started with ``--artifacts`` and the URL of a relay to them;
        ``None`` when every worker reaches the store by its own URL.
    """

    root: Path
    blobs: Blobs | None = None


class Executor(Protocol):
    """Runs jobs. A job that was submitted reaches a final state, whatever dies: a dead worker's job is ``FAILED``."""

    def submit(self, job: JobSpec) -> JobId:
        """Accept a job; it starts when there is room."""
        ...

    def poll(self, jobs: list[JobId], *, timeout_seconds: float = 0.0) -> dict[JobId, JobStatus]:
        """Status of each job; waits up to the time-out until at least one of them is final.

        While more answers wait to be told here than an executor keeps, it starts no further job: a slow reader does not fill
        the memory.
        """
        ...

    def cancel(self, job: JobId) -> None:
        """Stop a job with all of its child processes; idempotent."""
        ...

    def forget(self, job: JobId) -> None:
        """Drop what is kept of a job that is final, its answer above all; idempotent."""
        ...

    def logs(self, job: JobId) -> str:
        """What the job has printed so far, as far as it is kept."""
        ...

    def close(self) -> None:
        """Cancel what runs and leave no process behind; idempotent."""
        ...
