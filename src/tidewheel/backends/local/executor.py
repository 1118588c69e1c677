"""Executor on warm worker processes of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidewheel.backends.local.watch import Watch
from tidewheel.backends.local.worker import DONE, Died, Worker
from tidewheel.errors import Invalid, NotFound
from tidewheel.ports.executor import Cargo, JobId, JobSpec, JobState, JobStatus
from tidewheel.ports.printed import printed_text, remove_printed

_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
KEPT_BYTES = 64 << 20
"""Answers that nobody has asked for yet, beyond which no further job is started."""


@dataclass(slots=True)
class _Job:
    id: JobId
    spec: JobSpec
    cpus: float
    status: JobStatus = field(default_factory=lambda: JobStatus(JobState.QUEUED))
    cancelled: bool = False
    told: bool = False
    log: Path = field(default_factory=Path)


def open_executor(
    *,
    command: Sequence[str],
    folder: Path | None = None,
    url: str = "local",
    cargo: Cargo | None = None,
    workers: int | None = None,
) -> LocalExecutor:
    """Start an executor; worker processes start with the first jobs.

    Parameters
    ----------
    command
        What starts a worker; ``--serve`` is added, and it then reads jobs from stdin until that closes.
    folder
        Where logs are kept while the executor is open; by default a temporary folder, removed on close.
    url, cargo
        Not used: workers are on this machine and see its disk.
    workers
        Processors to share out: at most that many jobs run at once. By default, this machine's.
    """
    del url, cargo
    return LocalExecutor([*command, "--serve"], folder=folder, workers=workers)


class LocalExecutor:
    """Runs jobs in processes that are kept warm between jobs.

    One thread per worker waits for it, so a job ends with its worker: killed, it is ``FAILED`` and the next job gets a fresh
    process. Workers end themselves when this process goes away, however it goes.
    """

    def __init__(self, command: Sequence[str], *, folder: Path | None = None, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise Invalid(f"{workers} workers", where="workers", fix="give 1 or more")
        self._command = list(command)
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="tidewheel-jobs-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._total = float(workers or os.cpu_count() or 1)
        self._free = self._total
        self._changed = threading.Condition()
        self._jobs: dict[JobId, _Job] = {}
        self._queue: list[_Job] = []
        self._workers: dict[int, Worker] = {}
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._kept_bytes = 0
        self._closed = False

    def submit(self, job: JobSpec) -> JobId:
        """Accept a job; it starts when enough processors are free."""
        made = _Job(JobId(uuid.uuid4().hex), job, min(max(job.cpus, 0.01), self._total))
        made.log = job.log or self._folder / f"{made.id}.log"
        with self._changed:
            if self._closed:
                raise Invalid("the executor is closed", fix="open another one")
            self._jobs[made.id] = made
            self._queue.append(made)
            if self._idle < len(self._queue) and len(self._threads) < self._total:
                thread = threading.Thread(target=self._serve, name=f"tidewheel-worker-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify_all()
        return made.id

    def poll(self, jobs: list[JobId], *, timeout_seconds: float = 0.0) -> dict[JobId, JobStatus]:
        """Status of each job; waits until at least one is final."""
        with self._changed:
            found = [self._get(each) for each in jobs]
            if found:
                self._changed.wait_for(lambda: any(each.status.state in _FINAL for each in found), timeout_seconds)
            for each in found:
                self._tell(each)
            return {each.id: each.status for each in found}

    def cancel(self, job: JobId) -> None:
        """Stop a job with all of its child processes."""
        with self._changed:
            found = self._get(job)
            if found.status.state in _FINAL:
                return
            found.cancelled = True
            if found in self._queue:
                self._queue.remove(found)
                self._finish(found, JobStatus(JobState.CANCELLED))
            self._changed.wait_for(lambda: found.status.state in _FINAL)

    def forget(self, job: JobId) -> None:
        """Drop what is kept of a job that is final."""
        with self._changed:
            found = self._jobs.get(job)
            if found is not None and found.status.state in _FINAL:
                self._tell(found)
                del self._jobs[job]
                if found.spec.log is None:
                    remove_printed(found.log)

    def logs(self, job: JobId) -> str:
        """What the job has printed so far."""
        with self._changed:
            found = self._get(job)
        return printed_text(found.log)

    def close(self) -> None:
        """Cancel what runs and end all workers; idempotent."""
        with self._changed:
            self._closed = True
            for job in self._queue:
                self._finish(job, JobStatus(JobState.CANCELLED))
            self._queue.clear()
            for job in self._jobs.values():
                job.cancelled = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    # ── one thread per worker ────────────────────────────────────────────────────────────────────

    def _serve(self) -> None:
        worker: Worker | None = None
        try:
            while True:
                job = self._next()
                if job is None:
                    return
                worker = self._run(job, worker)
        finally:
            if worker is not None:
                worker.kill()

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            # First come, first served: a job that needs many processors is not overtaken for ever by small ones.
            # Nor does one start while its reader is far behind.
            self._changed.wait_for(lambda: self._closed or (bool(self._queue) and self._has_room(self._queue[0])))
            self._idle -= 1
            if self._closed:
                return None
            job = self._queue.pop(0)
            self._free -= job.cpus
            job.status = JobStatus(JobState.RUNNING)
            self._changed.notify_all()
            return job

    def _has_room(self, job: _Job) -> bool:
        return job.cpus <= self._free and self._kept_bytes < KEPT_BYTES

    def _run(self, job: _Job, worker: Worker | None) -> Worker | None:
        """Run a job; answer the worker when it can be used again."""
        usable = False
        status = JobStatus(JobState.FAILED, error="the worker could not be started")
        try:
            if worker is not None and not worker.alive:
                worker.kill()
                worker = None
            fresh = worker is None
            if worker is None:
                worker = Worker(self._command, self._folder / f"worker-{uuid.uuid4().hex[:8]}.log")
            status, usable = self._ask(job, worker, fresh=fresh)
        except OSError as error:
            status = JobStatus(JobState.FAILED, error=f"the worker could not be started: {error}")
        finally:
            if worker is not None and not usable:
                worker.kill()
            with self._changed:
                self._free += job.cpus
                self._finish(job, status)
        return worker if usable else None

    def _ask(self, job: _Job, worker: Worker, *, fresh: bool) -> tuple[JobStatus, bool]:
        seconds = job.spec.timeout_seconds
        watch = Watch(worker.pid, job.log)

        def stopped() -> bool:
            sight = watch.look()
            if sight.silent_seconds != job.status.silent_seconds:
                with self._changed:
                    job.status = JobStatus(JobState.RUNNING, silent_seconds=sight.silent_seconds, note=sight.note)
            return job.cancelled

        try:
            if fresh:
                worker.start(log=job.log, stopped=stopped)
            deadline = None if seconds is None else time.monotonic() + seconds
            kind, answer = worker.ask(
                job.spec,
                log=job.log,
                deadline=deadline,
                stopped=stopped,
            )
        except Died as error:
            return JobStatus(JobState.FAILED, error=f"the worker died: {error}"), False
        except TimeoutError:
            if job.cancelled:
                return JobStatus(JobState.CANCELLED), False
            return JobStatus(JobState.FAILED, error=f"the job ran longer than its limit of {seconds:g} s and was killed"), False
        if kind == DONE:
            return JobStatus(JobState.DONE, answer), True
        return JobStatus(JobState.FAILED, error=answer.decode(errors="replace")), True

    def _finish(self, job: _Job, status: JobStatus) -> None:
        job.status = status
        self._kept_bytes += len(status.result)
        self._changed.notify_all()

    def _tell(self, job: _Job) -> None:
        """A job's answer reaches its reader."""
        if job.status.state in _FINAL and not job.told:
            job.told = True
            self._kept_bytes -= len(job.status.result)
            self._changed.notify_all()

    def _get(self, job: JobId) -> _Job:
        found = self._jobs.get(job)
        if found is None:
            raise NotFound(f"no job {job!r}", fix="ask for a job that this executor accepted")
        return found
