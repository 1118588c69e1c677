"""Keep several servers of one port alive: each a process of its own, started again when it dies, told to drain at the end.

Every worker binds the port for itself (``SO_REUSEPORT``), so the kernel deals connections out, and a worker that is killed
takes only its own with it. The supervisor holds the port without listening on it, answers nothing, and opens neither project
nor stores. What the workers count is kept in files that all of them add up (:mod:`prometheus_client.multiprocess`), those of
dead ones too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tidewheel.errors import Unavailable

POLL_SECONDS = 0.1
FAST_SECONDS = 5.0
"""A worker that lives shorter than this is started again more and more slowly."""
SLOWEST_SECONDS = 10.0


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[str]
    started: float
    told: dict[str, object] = field(default_factory=dict)


class Supervisor:
    """Runs a command several times.

    Parameters
    ----------
    command
        Starts one worker, which announces itself by a line of JSON on stdout when it listens.
    workers
        How many.

    Examples
    --------
    >>> import sys
    >>> says = "import time; print('{}', flush=True); time.sleep(60)"
    >>> heard = []
    >>> supervisor = Supervisor([sys.executable, "-c", says], workers=2)
    >>> supervisor.run(lambda told: (heard.append(len(told["workers"])), supervisor.stop()), drain_seconds=5)
    >>> heard
    [2]
    """

    def __init__(self, command: Sequence[str], *, workers: int) -> None:
        self._command = list(command)
        self._count = workers
        self._workers: list[_Worker] = []
        self._stopping = threading.Event()
        self._quick_deaths = 0

    def stop(self) -> None:
        """Let :meth:`run` come to its end; a signal handler may call it."""
        self._stopping.set()

    def run(self, announce: Callable[[Mapping[str, object]], object], *, drain_seconds: float) -> None:
        """Start the workers, announce them once when all listen, and keep them until :meth:`stop`.

        Raises
        ------
        Unavailable
            When a worker ends before it listens, at the start.
        """
        with tempfile.TemporaryDirectory(prefix="tidewheel-metrics-") as folder:
            environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": folder}
            try:
                self._workers = [self._start(environment) for _ in range(self._count)]
                for worker in self._workers:
                    self._listen(worker)
                if not self._stopping.is_set():
                    announce(self._told())
                while not self._stopping.wait(POLL_SECONDS):
                    self._workers = [self._kept(worker, environment) for worker in self._workers]
            finally:
                self._end(drain_seconds)

    def _start(self, environment: Mapping[str, str]) -> _Worker:
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=dict(environment))
        return _Worker(process, time.monotonic())

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        line = worker.process.stdout.readline()
        if not line and not self._stopping.is_set():
            code = worker.process.wait()
            raise Unavailable(f"a worker ended with {code} before it listened", where="serve", fix="see its message on stderr")
        worker.told = json.loads(line or "{}")

    def _told(self) -> dict[str, object]:
        pids = [worker.process.pid for worker in self._workers]
        return self._workers[0].told | {"pid": os.getpid(), "workers": pids}

    def _kept(self, worker: _Worker, environment: Mapping[str, str]) -> _Worker:
        """The worker, or one in its place when it is dead."""
        if worker.process.poll() is None:
            return worker
        assert worker.process.stdout is not None
        worker.process.stdout.close()
        self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - worker.started < FAST_SECONDS else 0
        if self._quick_deaths:
            self._stopping.wait(min(SLOWEST_SECONDS, 0.25 * 2**self._quick_deaths))
        return self._start(environment)

    def _end(self, drain_seconds: float) -> None:
        for worker in self._workers:
            worker.process.terminate()
        give_up = time.monotonic() + drain_seconds
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, give_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            assert worker.process.stdout is not None
            worker.process.stdout.close()


def serve_workers(
    command: Sequence[str],
    *,
    workers: int,
    host: str,
    port: int,
    announce: Callable[[Mapping[str, object]], object],
    drain_seconds: float = 35.0,
) -> None:
    """Serve with several workers until SIGTERM or SIGINT.

    Parameters
    ----------
    command
        Starts one worker on the port that is put behind it.
    port
        0 for any free port.

    Raises
    ------
    Unavailable
        When the address cannot be bound, or a worker cannot start.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((host, port))
        except (OSError, OverflowError) as error:
            fix = "stop what listens there, or use --port 0"
            raise Unavailable(f"cannot listen on {host}:{port}: {error}", where=f"{host}:{port}", fix=fix) from error
        supervisor = Supervisor([*command, str(held.getsockname()[1])], workers=workers)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        supervisor.run(announce, drain_seconds=drain_seconds)


def worker_command(folder: Path, *arguments: str) -> list[str]:
    """What starts a worker of the same Python and project.

    Examples
    --------
    >>> worker_command(Path("/taxi"), "--features")[1:]
    ['-m', 'tidewheel', 'serve', '--features', '--project', '/taxi', '--json', '--worker', '--port']
    """
    return [sys.executable, "-m", "tidewheel", "serve", *arguments, "--project", str(folder), "--json", "--worker", "--port"]
