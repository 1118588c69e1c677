"""One warm worker process, as its executor sees it: start, ask, kill."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tidewheel.backends.local.watch import group_memory
from tidewheel.ports.executor import JobSpec
from tidewheel.ports.printed import LIMIT_BYTES, PrintedFile

LENGTH_BYTES = 8
READY, DONE, FAILED = b"R", b"D", b"F"
_LAST_SECONDS = 2.0


class Died(Exception):
    """The process ended, or was ended, before it answered."""


class Worker:
    """A process that runs one job after the other, in a process group of its own so that its children die with it.

    The wire is two pipes: a frame is eight bytes of length and that many bytes. A request is a line of JSON (the environment
    variables, and the file for what the job prints) and the job's specification; an answer is one byte, ``D`` or ``F``, and
    the result or the error. Before all of these the process writes one byte, ``R``, when it is ready: starting Python is
    not a job's time.

    Parameters
    ----------
    command
        What to start; it reads frames from stdin and answers on stdout until stdin closes.
    log
        File that gets what the process prints before its first job.
    folder
        Where the process works; this process's by default.
    """

    def __init__(self, command: Sequence[str], log: Path, *, folder: Path | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, start_new_session=True, cwd=folder
            )
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """The process, which is also its group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def start(self, *, log: Path, stopped: Callable[[], bool]) -> None:
        """Wait until the process takes jobs. What one says that does not come up goes to the log of the job that wanted it.

        Raises
        ------
        Died, TimeoutError
            As :meth:`ask`.
        """
        try:
            if self._read(1, None, stopped) != READY:
                raise Died("it does not speak the executor's language: is it `tidewheel exec --serve`?")
        except Died:
            kept = PrintedFile(log)
            kept.write(self.log.read_bytes()[-LIMIT_BYTES:])
            kept.close()
            raise

    def ask(
        self,
        job: JobSpec,
        *,
        log: Path,
        deadline: float | None,
        stopped: Callable[[], bool],
    ) -> tuple[bytes, bytes]:
        """Run one job; answer ``D`` or ``F`` with the result or the error.

        Parameters
        ----------
        log
            File for what the job prints.
        deadline
            ``time.monotonic()`` after which to give up.
        stopped
            Asked a few times a second whether to give up.

        Raises
        ------
        Died
            When the process ended, or holds more than it may. The worker is of no use any more: kill it.
        TimeoutError
            When the deadline passed or it was stopped. The job still runs: kill the worker.
        """
        assert self._stdin is not None
        told = {"environment": job.environment, "log": str(log), "log_bytes": job.log_bytes}
        body = json.dumps(told).encode() + b"\n" + job.spec
        try:
            self._stdin.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
            self._stdin.flush()
        except OSError as error:
            raise Died(self._how()) from error
        watched = stopped if job.memory_bytes is None else self._watch(job.memory_bytes, stopped)
        size = int.from_bytes(self._read(LENGTH_BYTES, deadline, watched), "big")
        answer = self._read(size, deadline, stopped)
        return answer[:1], answer[1:]

    def _watch(self, memory_bytes: int, stopped: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            held = group_memory(self.pid)
            # What forked processes share is counted once for each of them by this quick look, so a slow one has to agree.
            if held > memory_bytes and (exact := group_memory(self.pid, exact=True)) > memory_bytes:
                raise Died(f"out of memory: it held {exact / 2**20:.0f} MiB, and may hold {memory_bytes / 2**20:.0f} MiB")
            return stopped()

        return look

    def _read(self, size: int, deadline: float | None, stopped: Callable[[], bool]) -> bytes:
        assert self._stdout is not None
        number, parts, missing = self._stdout.fileno(), [], size
        while missing:
            if stopped() or (deadline is not None and time.monotonic() >= deadline):
                raise TimeoutError
            ready, _, _ = select.select([number], [], [], 0.05)
            if not ready:
                continue
            part = os.read(number, min(missing, 1 << 20))
            if not part:
                raise Died(self._how())
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _how(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its pipes"
        return f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"

    def kill(self) -> None:
        """End the process and all of its children, and wait until what they printed is kept; idempotent."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        self._close(self._stdin)
        if self._stdout is not None and not self._stdout.closed:
            deadline = time.monotonic() + _LAST_SECONDS
            while select.select([self._stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
                if not os.read(self._stdout.fileno(), 1 << 16):
                    break
        self._close(self._stdout)

    def _close(self, pipe: IO[bytes] | None) -> None:
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                return  # what was not sent to a dead process is lost with it
