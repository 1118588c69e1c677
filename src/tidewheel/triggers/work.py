"""Work: take tasks, one after the other, run them, and prolong the lease of the one at work."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from tidewheel.clock import Micros
from tidewheel.errors import Conflict, TidewheelError, Unavailable
from tidewheel.triggers.record import LEASE, Tasks
from tidewheel.triggers.task import Outcome, Task

Execute = Callable[[Task], Outcome]
"""Runs a task; what it raises is how the task failed."""

BEATS = 4
"""Signs of life during one lease: three may be late or lost."""

_CONFLICTS = 3
_AWAY_SECONDS = 0.5


def worker_name() -> str:
    """A name that no other worker has, and that says where to look for it: host and process.

    Examples
    --------
    >>> worker_name() == worker_name()
    False
    """
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class Worker:
    """One worker: look for news, take what is due, run it, begin again.

    Parameters
    ----------
    execute
        Runs a task, in the thread that calls :meth:`run` or :meth:`run_due`.
    fire
        Looks at all events; called between tasks.
    beat
        Looks at those that can be seen quickly; called with every sign of life while a task is at work.
    told
        Hears of every task that ended, or that another worker has taken over meanwhile.

    Examples
    --------
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.database.open import Database
    >>> from tidewheel.triggers.task import Order
    >>> tasks = Tasks(Database.open("sqlite://"), system_clock)
    >>> _ = tasks.add(Order(trigger="t", key="1", target="model:eta", environment="dev", lane="eta", due_at=Micros(0),
    ...                     reason="by hand", actor="ann"))
    >>> worker = Worker(tasks, lambda task: Outcome(f"ran {task.target}"), name="w1", environment="dev")
    >>> worker.run_due(), tasks.list()[0].outcome
    (1, 'ran model:eta')
    """

    def __init__(
        self,
        tasks: Tasks,
        execute: Execute,
        *,
        name: str,
        environment: str,
        fire: Callable[[], object] = lambda: None,
        beat: Callable[[], object] = lambda: None,
        told: Callable[[Task], object] = lambda task: None,
    ) -> None:
        self.lease: Micros = LEASE
        self.trigger: str | None = None
        """Only tasks of this trigger, when it is set."""
        self._tasks = tasks
        self._execute = execute
        self._name = name
        self._environment = environment
        self._fire = fire
        self._beat = beat
        self._told = told

    def run(self, stop: threading.Event, *, poll_seconds: float = 1.0) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            self.run_due(stop)
            stop.wait(poll_seconds)

    def run_due(self, stop: threading.Event | None = None) -> int:
        """Look for news once, and run everything that is due; answer how many tasks this worker ran.

        A worker that is interrupted gives back what it was at, and raises what interrupted it.
        """
        self._fire()
        count = 0
        while stop is None or not stop.is_set():
            held = self._tasks.claim(self._name, environment=self._environment, lease=self.lease, trigger=self.trigger)
            if held is None:
                break
            self._told(self._run(held))
            self._fire()
            count += 1
        return count

    def _run(self, held: Task) -> Task:
        close: Callable[[], Task]
        with self._alive(held):
            try:
                close = partial(self._tasks.finish, held, self._attempt(held))
            except TidewheelError as error:
                close = partial(self._tasks.fail, held, str(error))
            except Exception as error:  # noqa: BLE001 - a process edge: the task is the user's code, and may raise anything
                close = partial(self._tasks.fail, held, f"{type(error).__name__}: {error}")
            except BaseException:
                with contextlib.suppress(Conflict):
                    self._tasks.give_back(held)
                raise
            try:
                return self._close(close)
            except Conflict:
                return self._tasks.get(held.id)

    def _close(self, close: Callable[[], Task]) -> Task:
        """Say how a task ended, also when the database is away for a moment: the work is done, and need not be done again."""
        give_up = time.monotonic() + self.lease / 1e6
        while True:
            try:
                return close()
            except (Unavailable, SQLAlchemyError):
                if time.monotonic() > give_up:
                    raise
                time.sleep(_AWAY_SECONDS)

    def _attempt(self, held: Task) -> Outcome:
        """Run; once more when somebody else moved the environment meanwhile: what was built is found again."""
        for _ in range(_CONFLICTS - 1):
            with contextlib.suppress(Conflict):
                return self._execute(held)
        return self._execute(held)

    @contextlib.contextmanager
    def _alive(self, held: Task) -> Iterator[None]:
        over = threading.Event()
        seconds = self.lease / 1e6 / BEATS

        def beat() -> None:
            while not over.wait(seconds):
                try:
                    self._tasks.renew(held, lease=self.lease)
                    self._beat()
                except Conflict:
                    return  # somebody else has it; how this attempt ends no longer counts
                except (TidewheelError, SQLAlchemyError):
                    continue  # a database that is away for a moment must not end the run; the lease outlasts some beats

        thread = threading.Thread(target=beat, name="tidewheel-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
