"""Keep live runs on record: a thread that writes what they logged, and that they are alive."""

from __future__ import annotations

import atexit
import threading
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from tidewheel.errors import TidewheelError

FLUSH_SECONDS = 0.2
"""How long a logged metric may wait before it is written: what a kill -9 can lose."""

BEAT_SECONDS = 10.0
"""How often a live run says so."""

LISTEN_SECONDS = 1.0
"""How often a live run looks whether it is to stop, when it can be stopped."""

DEAD_SECONDS = 60.0
"""Without a sign of life for so long, a run on a machine that cannot be seen from here counts as dead."""


class Beating(Protocol):
    """What the thread calls."""

    id: str

    def flush(self) -> None:
        """Write what waits."""
        ...

    def beat(self) -> None:
        """Say that the run is alive."""
        ...

    def listen(self) -> None:
        """See whether somebody asked the run to stop."""
        ...


class Pulse:
    """One daemon thread for all live runs of a process; it ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Beating] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, run: Beating) -> None:
        """Care for a run."""
        with self._lock:
            self._live[run.id] = run
            if self._thread is None:
                self._wake = threading.Event()
                self._thread = threading.Thread(target=self._work, args=(self._wake,), name="tidewheel-runs", daemon=True)
                self._thread.start()
                atexit.register(self.stop)

    def remove(self, run: Beating) -> None:
        """Care no more."""
        with self._lock:
            self._live.pop(run.id, None)
            idle = not self._live
        if idle:
            self.stop()

    def stop(self) -> None:
        """End the thread, after a last flush; idempotent."""
        with self._lock:
            thread, self._thread = self._thread, None
            live = list(self._live.values())
        if thread is not None:
            self._wake.set()
            thread.join()
            atexit.unregister(self.stop)
            for run in live:
                _attempt(run, beat=False)

    def _work(self, wake: threading.Event) -> None:
        every = {name: round(seconds / FLUSH_SECONDS) for name, seconds in (("beat", BEAT_SECONDS), ("listen", LISTEN_SECONDS))}
        rounds = 0
        while not wake.wait(FLUSH_SECONDS):
            rounds += 1
            due = {name for name, count in every.items() if rounds % count == 0}
            with self._lock:
                live = list(self._live.values())
            for run in live:
                _attempt(run, beat="beat" in due, listen="listen" in due)


def _attempt(run: Beating, *, beat: bool, listen: bool = False) -> None:
    """A database that is away for a moment must not end the training: what was not written stays, and is written next time."""
    try:
        run.flush()
        if beat:
            run.beat()
        if listen:
            run.listen()
    except (TidewheelError, SQLAlchemyError):
        return
