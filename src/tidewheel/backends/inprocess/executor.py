"""Executor in this process."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from tidewheel.errors import NotFound, Unavailable
from tidewheel.ports.executor import Cargo, JobId, JobSpec, JobState, JobStatus
from tidewheel.ports.printed import PrintedFile, printed_text


def open_executor(
    *,
    command: Sequence[str] = (),
    folder: Path | None = None,
    url: str = "inprocess",
    cargo: Cargo | None = None,
    run: Callable[[bytes], bytes] | None = None,
) -> InProcessExecutor:
    """An executor in this process.

    Parameters
    ----------
    command, folder, url, cargo
        Not used: there is no worker to start.
    run
        What runs a job's specification.
    """
    del command, folder, url, cargo
    return InProcessExecutor(run)


class InProcessExecutor:
    """Runs a job while it is submitted. It cannot limit a job's time or stop it, and a job that crashes takes all with it."""

    runs_here = True
    """A session calls functions itself instead of sending specifications."""

    def __init__(self, run: Callable[[bytes], bytes] | None = None) -> None:
        self._function = run
        self._finished: dict[JobId, JobStatus] = {}
        self._logs: dict[JobId, Path] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="tidewheel-jobs-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def submit(self, job: JobSpec) -> JobId:
        """Run the job to its end."""
        if self._function is None:
            raise Unavailable("this executor was opened without a function that runs jobs", fix="open_executor(run=...)")
        made = JobId(uuid.uuid4().hex)
        kept = PrintedFile(job.log or self._folder / f"{made}.log", limit_bytes=job.log_bytes)
        printed = _Printed(kept)
        with contextlib.closing(kept), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = JobStatus(JobState.DONE, self._function(job.spec))
            except Exception as error:  # noqa: BLE001 - the edge between a job and its executor: any failure is the job's state
                status = JobStatus(JobState.FAILED, error=f"{type(error).__name__}: {error}")
        self._finished[made], self._logs[made] = status, kept.path
        return made

    def poll(self, jobs: list[JobId], *, timeout_seconds: float = 0.0) -> dict[JobId, JobStatus]:
        """Status of each job, all final."""
        del timeout_seconds
        return {job: self._get(job) for job in jobs}

    def cancel(self, job: JobId) -> None:
        """Nothing to stop: every accepted job is final."""
        self._get(job)

    def forget(self, job: JobId) -> None:
        """Drop what is kept of a job."""
        self._finished.pop(job, None)
        self._logs.pop(job, None)

    def logs(self, job: JobId) -> str:
        """What the job printed."""
        self._get(job)
        return printed_text(self._logs[job])

    def close(self) -> None:
        """Let go of what was printed."""
        self._remove()

    def _get(self, job: JobId) -> JobStatus:
        found = self._finished.get(job)
        if found is None:
            raise NotFound(f"no job {job!r}", fix="ask for a job that this executor accepted")
        return found


class _Printed(io.TextIOBase):
    def __init__(self, kept: PrintedFile) -> None:
        self._kept = kept

    def write(self, text: str, /) -> int:
        self._kept.write(text.encode(errors="replace"))
        return len(text)
