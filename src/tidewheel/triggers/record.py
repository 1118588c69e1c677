"""Record tasks: write one per event, lend each to one worker at a time, keep how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import DAY, MINUTE, SECOND, Clock, Micros
from tidewheel.database.open import Database
from tidewheel.errors import Conflict, NotFound
from tidewheel.triggers.tables import attempts, cursors, tasks
from tidewheel.triggers.task import Attempt, Ending, Order, Outcome, State, Task

LEASE = MINUTE
"""For how long a worker holds a task without a sign of life."""

DEATHS = 3
"""A task whose workers died so often is given up: it is likely what kills them."""

_LONGEST = DAY
_FIRST_WAIT = Micros(30 * SECOND)


class Tasks:
    """Tasks of a workspace, on its database.

    Every method is one transaction, and writers take turns on SQLite as on PostgreSQL. So a task is lent to one worker at a
    time, for a lease that the worker prolongs while it lives. Who takes over a task whose lease has ended gets a greater token;
    the earlier holder, should it be alive after all, is refused from then on.

    Examples
    --------
    >>> from tidewheel.clock import Micros, system_clock
    >>> tasks = Tasks(Database.open("sqlite://"), system_clock)
    >>> order = Order(trigger="nightly", key="6:00", target="model:eta", environment="dev", lane="model:eta",
    ...               due_at=Micros(0), reason="6:00", actor="schedule")
    >>> tasks.add(order) is not None, tasks.add(order) is not None  # the same event again is no second task
    (True, False)
    >>> held = tasks.claim("worker-1", environment="dev")
    >>> tasks.claim("worker-2", environment="dev") is None
    True
    >>> tasks.finish(held, Outcome("version 3")).state
    'done'
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    def add(self, order: Order) -> Task | None:
        """Write a task; ``None`` when the event has its task already."""
        with self.database.write() as connection:
            same = sa.and_(tasks.c.environment == order.environment, tasks.c.trigger == order.trigger)
            if connection.scalar(sa.select(tasks.c.id).where(same, tasks.c.key == order.key)) is not None:
                return None
            now, name = self.clock(), uuid.uuid4().hex
            if order.replaces:
                begun = sa.or_(tasks.c.state != "waiting", tasks.c.token > 0)
                connection.execute(
                    tasks.update()
                    .where(same, sa.not_(begun))
                    .values(state="skipped", ended_at=now, outcome="a newer task took its place")
                )
            given = msgspec.structs.asdict(order)
            del given["replaces"]
            given["parameters"] = msgspec.json.encode(order.parameters).decode()
            counts = {"failures": 0, "deaths": 0, "token": 0, "lease_until": 0}
            texts = {"owner": "", "outcome": "", "run": "", "error": ""}
            connection.execute(tasks.insert().values(id=name, state="waiting", created_at=now, **given, **counts, **texts))
            return self._get(connection, name)

    def claim(self, worker: str, *, environment: str, lease: Micros = LEASE, trigger: str | None = None) -> Task | None:
        """Take the task that is due longest and that nobody holds, or whose holder's lease has ended; ``None`` without one.

        Parameters
        ----------
        worker
            Name of who takes it, for the history.
        trigger
            Only tasks of this one.
        """
        with self.database.write() as connection:
            now = self.clock()
            # A lease of days was lent before the clock was put back; a holder that lives prolongs it by the clock of now.
            held = sa.and_(tasks.c.lease_until > now, tasks.c.lease_until <= now + _LONGEST)
            live = sa.and_(tasks.c.state == "running", held)
            busy = sa.select(tasks.c.lane).where(live, tasks.c.environment == environment)
            dead = sa.and_(tasks.c.state == "running", sa.not_(held))
            free = sa.or_(sa.and_(tasks.c.state == "waiting", tasks.c.due_at <= now), dead)
            query = sa.select(tasks).where(free, tasks.c.environment == environment, tasks.c.lane.not_in(busy))
            if trigger is not None:
                query = query.where(tasks.c.trigger == trigger)
            # Of one lane the one that has begun goes first, so that what was cut off is finished before the next begins.
            for row in connection.execute(query.order_by(tasks.c.state, tasks.c.due_at, tasks.c.created_at).limit(100)).all():
                found = _load(row)
                if found.state == "running":
                    self._end(connection, found, "lost", f"{found.owner} gave no sign of life")
                    if found.deaths + 1 >= DEATHS:
                        error = f"its workers died {DEATHS} times, the last of them {found.owner}"
                        self._set(connection, found, state="failed", deaths=found.deaths + 1, ended_at=now, error=error)
                        continue
                return self._lend(connection, found, worker, now=now, lease=lease)
        return None

    def _lend(self, connection: Connection, found: Task, worker: str, *, now: Micros, lease: Micros) -> Task:
        token = found.token + 1
        self._set(
            connection,
            found,
            state="running",
            owner=worker,
            token=token,
            lease_until=now + lease,
            started_at=now,
            deaths=found.deaths + (found.state == "running"),
        )
        connection.execute(
            attempts.insert().values(task=found.id, token=token, owner=worker, started_at=now, error="", ending=None)
        )
        return self._get(connection, found.id)

    def renew(self, held: Task, *, lease: Micros = LEASE) -> Task:
        """Prolong the lease from now on.

        Raises
        ------
        Conflict
            When the task was taken over.
        """
        with self.database.write() as connection:
            self._check(connection, held)
            self._set(connection, held, lease_until=self.clock() + lease)
            return self._get(connection, held.id)

    def finish(self, held: Task, outcome: Outcome) -> Task:
        """Say that a task is done.

        Raises
        ------
        Conflict
            When the task was taken over: what its new holder says counts.
        """
        with self.database.write() as connection:
            self._check(connection, held)
            self._end(connection, held, "done", "")
            self._set(connection, held, state="done", ended_at=self.clock(), outcome=outcome.text, run=outcome.run, error="")
            return self._get(connection, held.id)

    def fail(self, held: Task, error: str) -> Task:
        """Say that a task failed; it waits for another try when there is one left.

        Raises
        ------
        Conflict
            When the task was taken over.
        """
        with self.database.write() as connection:
            self._check(connection, held)
            self._end(connection, held, "failed", error)
            now, failures = self.clock(), held.failures + 1
            if failures <= held.retries:
                later = now + (_FIRST_WAIT << min(failures - 1, 10))
                self._set(connection, held, state="waiting", failures=failures, due_at=later, error=error)
            else:
                self._set(connection, held, state="failed", failures=failures, ended_at=now, error=error)
            return self._get(connection, held.id)

    def give_back(self, held: Task) -> Task:
        """Let another worker have it at once: this one was told to stop.

        Raises
        ------
        Conflict
            When the task was taken over.
        """
        with self.database.write() as connection:
            self._check(connection, held)
            self._end(connection, held, "returned", "")
            self._set(connection, held, state="waiting", lease_until=0)
            return self._get(connection, held.id)

    def try_again(self, task: str) -> Task:
        """Let a task that is over wait for a worker once more.

        Raises
        ------
        NotFound
            When there is no such task.
        Conflict
            When it is not over.
        """
        with self.database.write() as connection:
            found = self._get(connection, task)
            if not found.over:
                raise Conflict(f"task {task} is {found.state}", where=task, fix="wait until it is over")
            fresh = {"state": "waiting", "failures": 0, "deaths": 0, "due_at": self.clock(), "ended_at": None}
            self._set(connection, found, **fresh)
            return self._get(connection, task)

    def get(self, task: str) -> Task:
        """The task of an id.

        Raises
        ------
        NotFound
            When there is none.
        """
        with self.database.read() as connection:
            return self._get(connection, task)

    def count(self, trigger: str, *, environment: str) -> dict[State, int]:
        """How many tasks of a trigger are in each state."""
        query = sa.select(tasks.c.state, sa.func.count()).where(tasks.c.trigger == trigger, tasks.c.environment == environment)
        with self.database.read() as connection:
            return {state: int(number) for state, number in connection.execute(query.group_by(tasks.c.state)).all()}

    def attempts(self, task: str) -> list[Attempt]:
        """The tries at a task, in their order."""
        query = sa.select(attempts).where(attempts.c.task == task).order_by(attempts.c.token)
        with self.database.read() as connection:
            return [
                Attempt(row.token, row.owner, row.started_at, row.ended_at, row.ending, row.error)
                for row in connection.execute(query).all()
            ]

    def list(
        self,
        *,
        environment: str | None = None,
        trigger: str | None = None,
        states: Sequence[State] = (),
        limit: int = 50,
    ) -> list[Task]:
        """Tasks, the newest event first."""
        query = sa.select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.due_at.desc(), tasks.c.id).limit(limit)
        for column, wanted in ((tasks.c.environment, environment), (tasks.c.trigger, trigger)):
            if wanted is not None:
                query = query.where(column == wanted)
        if states:
            query = query.where(tasks.c.state.in_(states))
        with self.database.read() as connection:
            return [_load(row) for row in connection.execute(query).all()]

    def seen(self, trigger: str, *, environment: str) -> str | None:
        """How far a trigger has looked; ``None`` when it never has."""
        query = sa.select(cursors.c.seen).where(cursors.c.trigger == trigger, cursors.c.environment == environment)
        with self.database.read() as connection:
            found: str | None = connection.scalar(query)
            return found

    def look(self, trigger: str, *, environment: str, seen: str, orders: Sequence[Order] = ()) -> int:
        """Note how far a trigger has looked, and write the tasks of what it saw, in one transaction; answer how many are new.

        Call it inside of the ``database.write()`` block in which :meth:`seen` was asked, or two workers may both see the news:
        the key of the order is what then keeps the task single.
        """
        with self.database.write() as connection:
            added = sum(self.add(order) is not None for order in orders)
            same = sa.and_(cursors.c.trigger == trigger, cursors.c.environment == environment)
            moved = connection.execute(cursors.update().where(same).values(seen=seen, moved_at=self.clock()))
            if moved.rowcount == 0:
                connection.execute(
                    cursors.insert().values(environment=environment, trigger=trigger, seen=seen, moved_at=self.clock())
                )
        return added

    def _get(self, connection: Connection, task: str) -> Task:
        row = connection.execute(sa.select(tasks).where(tasks.c.id == task)).one_or_none()
        if row is None:
            raise NotFound(f"no task {task!r}", where=task, fix="tidewheel schedules --tasks lists them")
        return _load(row)

    def _check(self, connection: Connection, held: Task) -> None:
        now = self._get(connection, held.id)
        if now.token != held.token or now.state != "running":
            raise Conflict(
                f"task {held.id} is {now.state}, held by {now.owner} since: the lease of {held.owner} had ended",
                where=held.id,
                fix="stop: what the new holder says counts",
            )

    def _set(self, connection: Connection, held: Task, **values: object) -> None:
        connection.execute(tasks.update().where(tasks.c.id == held.id).values(**values))

    def _end(self, connection: Connection, held: Task, ending: Ending, error: str) -> None:
        this = sa.and_(attempts.c.task == held.id, attempts.c.token == held.token)
        connection.execute(attempts.update().where(this).values(ended_at=self.clock(), ending=ending, error=error))


def _load(row: sa.Row[*tuple[object, ...]]) -> Task:
    found = dict(row._mapping)
    found["parameters"] = msgspec.json.decode(found["parameters"], type=dict[str, str])
    return Task(**found)
