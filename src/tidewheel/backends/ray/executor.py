"""Executor on a Ray cluster."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError, TaskCancelledError, WorkerCrashedError

from tidewheel.backends.ray.desk import Handle, Printed, Reference, Talk, open_desk
from tidewheel.backends.ray.pack import Packer
from tidewheel.backends.ray.room import Room, measure_room
from tidewheel.backends.ray.supervise import Order, run_order
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotFound, TidewheelError, Unavailable
from tidewheel.ports.executor import Blobs, Cargo, JobId, JobSpec, JobState, JobStatus
from tidewheel.ports.printed import PrintedFile, printed_text

_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
_CANCEL_SECONDS = 10.0
_LISTEN_SECONDS = 5.0
_CARRIERS = 8
_MEASURE_SECONDS = 10.0
_TAKE_SECONDS = 0.25


@dataclass(slots=True)
class _Job:
    id: JobId
    reference: Reference
    status: JobStatus
    spec: JobSpec
    printed: PrintedFile
    cancelled: bool = False


def open_executor(
    *, command: Sequence[str], folder: Path | None = None, url: str = "ray", cargo: Cargo | None = None
) -> RayExecutor:
    """Connect to a cluster, or start one on this machine.

    Parameters
    ----------
    command
        What starts a worker; a first word that is this process's Python stands for each node's own.
    folder
        Where what jobs print is kept while the executor is open; by default a temporary folder, removed on close.
    url
        ``ray`` starts a cluster of this machine's processors that ends with this process; ``ray://auto`` joins the one that
        this machine is a node of, and ``ray://host:port`` the one whose Ray Client server listens there.
    cargo
        What workers need from this process: the project's files and its artifacts.

    Raises
    ------
    Unavailable
        When no cluster answers.
    """
    return RayExecutor(command, folder=folder, url=url, cargo=cargo)


class RayExecutor:
    """Runs a job as a Ray task, which supervises a worker of ours on its node.

    Ray places tasks by the processors and the memory that they ask for, and knows when a node is lost. A process has one
    connection to Ray; one that the user has opened is used and left open.
    """

    apart = True
    """Workers see copies of the project's files, not the files."""

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, url: str = "ray", cargo: Cargo | None = None
    ) -> None:
        self._ours = _connect(url)
        self._owner = uuid.uuid4().hex[:12]
        self._command = ("" if command[0] == sys.executable else command[0], *command[1:], "--serve")
        self._blobs = cargo.blobs if cargo is not None else None
        self._packer = Packer(cargo.root) if cargo is not None else None
        self._pack: tuple[Digest, list[Reference]] = (Digest(""), [])
        self._packed_in_burst = False
        self._run = ray.remote(run_order)
        self._desk = open_desk()
        self._jobs: dict[JobId, _Job] = {}
        self._room: Room | None = None
        self._measured_at = self._looked_at = 0.0
        self._lock = threading.Lock()
        self._closed = False
        self._temporary = None if folder is not None else tempfile.TemporaryDirectory(prefix="tidewheel-jobs-")
        self._folder = folder or Path(cast("tempfile.TemporaryDirectory[str]", self._temporary).name)
        self._taking = threading.Lock()
        self._ended = threading.Event()
        self._taker = threading.Thread(target=self._take_always, name="tidewheel-ray-printed", daemon=True)
        self._taker.start()
        self._carrier: threading.Thread | None = None
        if self._blobs is not None:
            self._carrier = threading.Thread(
                target=_carry, args=(self._desk, self._blobs, lambda: self._closed), name="tidewheel-ray", daemon=True
            )
            self._carrier.start()

    def submit(self, job: JobSpec) -> JobId:
        """Accept a job; Ray starts it where its processors are free."""
        if self._closed:
            raise Invalid("the executor is closed", fix="open another one")
        self._refuse(job)
        made = JobId(uuid.uuid4().hex)
        digest, code = self._code()
        order = Order(
            self._owner,
            made,
            self._command,
            job.spec,
            job.environment,
            job.timeout_seconds,
            job.memory_bytes,
            job.log_bytes,
            digest,
            self._blobs is not None,
        )
        task = self._run.options(num_cpus=job.cpus, memory=job.memory_bytes, max_retries=0, name="tidewheel")
        reference = task.remote(order, code, self._desk)
        with self._lock:
            printed = PrintedFile(job.log or self._folder / f"{made}.log", limit_bytes=job.log_bytes)
            self._jobs[made] = _Job(made, reference, JobStatus(JobState.QUEUED), job, printed)
        return made

    def poll(self, jobs: list[JobId], *, timeout_seconds: float = 0.0) -> dict[JobId, JobStatus]:
        """Status of each job; waits until at least one is final. Ray does not say when a task starts; its node says it here."""
        self._packed_in_burst = False
        found = [self._get(each) for each in jobs]
        open_ = {each.reference: each for each in found if each.status.state not in _FINAL}
        if open_:
            waited = timeout_seconds if len(open_) == len(found) else 0.0
            ready, _ = ray.wait(list(open_), num_returns=1, timeout=waited)
            if ready and len(open_) > 1:
                ready, _ = ray.wait(list(open_), num_returns=len(open_), timeout=0)
            for reference in ready:
                self._end(open_[reference])
            if not ready:
                self._look([each for each in found if each.status.state not in _FINAL])
        return {each.id: each.status for each in found}

    def cancel(self, job: JobId) -> None:
        """Stop a job with all of its child processes."""
        found = self._get(job)
        if found.status.state in _FINAL:
            return
        found.cancelled = True
        ray.cancel(found.reference)
        ready, _ = ray.wait([found.reference], timeout=_CANCEL_SECONDS)
        if not ready:  # it is stuck; when its process is gone, the worker ends itself
            ray.cancel(found.reference, force=True)
        self._end(found)

    def forget(self, job: JobId) -> None:
        """Drop what is kept of a job that is final."""
        with self._lock:
            found = self._jobs.get(job)
            if found is None or found.status.state not in _FINAL:
                return
            del self._jobs[job]

    def logs(self, job: JobId) -> str:
        """What the job has printed so far, at most a quarter of a second ago."""
        return printed_text(self._get(job).printed.path)

    def close(self) -> None:
        """Cancel what runs and leave the cluster; idempotent."""
        if self._closed:
            return
        for job in list(self._jobs.values()):
            if job.status.state not in _FINAL and not job.cancelled:
                job.cancelled = True
                ray.cancel(job.reference)
        for job in list(self._jobs.values()):
            self.cancel(job.id)
        self._closed = True
        self._ended.set()
        self._taker.join()
        if self._carrier is not None:
            self._carrier.join()
        ray.kill(self._desk)
        if self._ours:
            ray.shutdown()
        for job in self._jobs.values():
            job.printed.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _take_always(self) -> None:
        while not self._ended.wait(_TAKE_SECONDS):
            if any(job.status.state not in _FINAL for job in list(self._jobs.values())):
                self._take()

    def _take(self) -> None:
        """Keep here what jobs have printed elsewhere."""
        with self._taking:
            try:
                taken = cast("list[Printed]", ray.get(self._desk.take_printed.remote()))
            except RayError:
                return  # the desk is gone, and what was printed there with it; jobs that need it fail, and say so
            for name, start, data in sorted(taken):
                job = self._jobs.get(JobId(name))
                if job is not None:
                    job.printed.skip(start - job.printed.size_bytes)
                    job.printed.write(data)

    def _refuse(self, job: JobSpec) -> None:
        """Refuse what can never start: Ray would let it wait for ever."""
        room = self._measure()
        if not room.grows and not room.holds(job.cpus, job.memory_bytes):
            raise Invalid(
                f"the job can never start on this cluster: {room.lack(job.cpus, job.memory_bytes)}",
                where="resources",
                fix="ask for less in tw.resources, or start a node that has as much and run again",
            )

    def _measure(self) -> Room:
        now = time.monotonic()
        if self._room is None or now - self._measured_at > _MEASURE_SECONDS:
            self._room, self._measured_at = measure_room(), now
        return self._room

    def _look(self, waiting: Sequence[_Job]) -> None:
        """Tell of jobs at work what is seen of them, and of those that wait why; at most once a second."""
        now = time.monotonic()
        if now - self._looked_at < 1.0:
            return
        self._looked_at = now
        seen = cast("dict[str, tuple[float, str]]", ray.get(self._desk.seen.remote()))
        room = self._measure()
        for job in waiting:
            if job.id in seen:
                silent, note = seen[job.id]
                job.status = JobStatus(JobState.RUNNING, silent_seconds=silent, note=note)
            elif room.holds(job.spec.cpus, job.spec.memory_bytes):
                job.status = JobStatus(JobState.QUEUED, note="waits for room on the cluster")
            else:
                lack = room.lack(job.spec.cpus, job.spec.memory_bytes)
                job.status = JobStatus(JobState.QUEUED, note=f"waits for a node: {lack}")

    def _code(self) -> tuple[Digest, list[Reference]]:
        """The project's pack as its files are now; those that are submitted one right after the other share one look."""
        if self._packer is None or self._packed_in_burst:
            return self._pack
        digest, data = self._packer.pack()
        if digest != self._pack[0]:
            self._pack = (digest, [ray.put(data)])
        self._packed_in_burst = True
        return self._pack

    def _end(self, job: _Job) -> None:
        """Take over the end of a task that is ready."""
        count: int | None = None  # of a job that came to no good end it is not known
        try:
            kind, answer, count = cast("tuple[str, bytes, int]", ray.get(job.reference, timeout=_CANCEL_SECONDS))
            if kind == "D":
                status = JobStatus(JobState.DONE, answer)
            else:
                status = JobStatus(JobState.FAILED, error=answer.decode(errors="replace"))
        except (TaskCancelledError, GetTimeoutError) as error:
            status = JobStatus(JobState.CANCELLED, error=str(error) if not job.cancelled else "")
        except OutOfMemoryError as error:
            status = JobStatus(JobState.FAILED, error=f"out of memory: {_first_line(error)}")
        except WorkerCrashedError:
            status = JobStatus(
                JobState.FAILED, error="the worker died: Ray's process was killed (SIGKILL), or its node is lost"
            )
        except RayError as error:
            status = JobStatus(JobState.FAILED, error=f"{type(error).__name__}: {_first_line(error)}")
        if job.cancelled and status.state is JobState.FAILED:
            status = JobStatus(JobState.CANCELLED)
        if count is None or count > job.printed.size_bytes:
            self._take()
        job.printed.close()
        job.status = status
        self._desk.finish.remote(job.id)

    def _get(self, job: JobId) -> _Job:
        found = self._jobs.get(job)
        if found is None:
            raise NotFound(f"no job {job!r}", fix="ask for a job that this executor accepted")
        return found


# ── the connection ───────────────────────────────────────────────────────────────────────────────


def _connect(url: str) -> bool:
    """Connect to Ray unless this process is; whether it was done here."""
    if ray.is_initialized():
        return False
    place = url.partition("://")[2]
    address = "local" if not place else "auto" if place == "auto" else f"ray://{urlsplit(url).netloc}"
    alone = {"include_dashboard": False} if address == "local" else {}
    try:
        cast("Callable[..., object]", ray.init)(
            address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="tidewheel", **alone
        )
    except (ConnectionError, RuntimeError, ValueError, ImportError, TimeoutError) as error:
        raise Unavailable(
            f"no Ray cluster answers: {_first_line(error)}",
            where=url,
            fix="ray://auto needs `ray start` on this machine; ray://host:10001 needs the port of the Ray Client server",
        ) from error
    return True


# ── artifacts ────────────────────────────────────────────────────────────────────────────────────


def _carry(desk: Handle, blobs: Blobs, stopped: Callable[[], bool]) -> None:
    """Answer what jobs ask about artifacts, until the executor is closed."""
    with ThreadPoolExecutor(_CARRIERS, thread_name_prefix="tidewheel-ray") as pool:
        while not stopped():
            try:
                talks = cast("list[Talk]", ray.get(desk.next.remote(_LISTEN_SECONDS)))
            except RayError:
                if stopped():
                    return
                time.sleep(0.5)  # the desk is gone: every job that needs it fails, and says so
                continue
            for talk in talks:
                pool.submit(_answer, desk, blobs, talk)


def _answer(desk: Handle, blobs: Blobs, talk: Talk) -> None:
    name, _, do, wanted = talk
    digest = Digest(wanted)

    def say(message: object) -> bool:
        return bool(ray.get(desk.say.remote(name, "down", message)))

    try:
        known = blobs.exists(digest)
        if do == "put":
            if say("no" if known else "yes") and not known:
                blobs.put(_hear(desk, name))
                say("stored")
            return
        if not say("yes" if known else "no") or do == "has" or not known:
            return
        for piece in blobs.read(digest):
            if not say([ray.put(piece)]):
                return
        say("end")
    except (TidewheelError, RayError, OSError) as error:
        logging.getLogger(__name__).warning("artifact %s was not carried: %s", digest, error)
        desk.close.remote(name)


def _hear(desk: Handle, name: str) -> Iterator[bytes]:
    while (message := ray.get(desk.hear.remote(name, "up"))) != "end":
        if message is None:
            raise Unavailable("the job ended before its artifact was whole", fix="run it again")
        yield cast(bytes, ray.get(cast("list[Reference]", message)[0]))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
