"""Record runs: start one, log to it, finish it, find it again."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import sqlalchemy as sa

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import SECOND, Clock, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest
from tidewheel.errors import Conflict, Invalid, NotFound
from tidewheel.ports.model_format import ModelFormat
from tidewheel.runs.beat import DEAD_SECONDS, Pulse
from tidewheel.runs.definition import MetricPoint, Process, RunPage, RunRecord, RunStatus
from tidewheel.runs.evaluate import Examples, predict_examples
from tidewheel.runs.logs import RunLogs, StepLog
from tidewheel.runs.observe import is_alive, observe_environment, observe_facts, observe_process, observe_usage
from tidewheel.runs.score import score
from tidewheel.runs.search import load_runs, search_runs
from tidewheel.runs.tables import artifacts as artifacts_table
from tidewheel.runs.tables import parameters as parameters_table
from tidewheel.runs.tables import runs as runs_table
from tidewheel.runs.tables import tags as tags_table
from tidewheel.runs.write import read_points, write_points

_BATCH = 1_000
CANCELLED_BY = "cancelled_by"
"""Tag of a run that somebody asked to stop, with who did."""


class Flushing(Protocol):
    """A log of something else that happens in a run."""

    def flush(self) -> None:
        """Write what waits."""
        ...


Attached = TypeVar("Attached", bound=Flushing)


class Run:
    """A live run. Used in a ``with`` block it finishes itself: ``finished``, or ``failed`` when the block raises.

    Methods may be called from any thread of the process that started the run. Metrics are written in batches, at
    most 0.2 seconds after they were logged: that is what a kill -9 can lose. Everything else is written when the call returns.
    """

    def __init__(self, runs: Runs, run_id: str) -> None:
        self.id = run_id
        self._runs = runs
        self._formats = runs.formats
        self._task: str | None = None
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: list[tuple[str, MetricPoint]] = []
        self._steps: dict[str, int] = {}
        self._attached: list[Flushing] = []
        self._done = False
        self._stop: Callable[[], object] | None = None
        self.cancelled_by = ""
        """Who asked it to stop, once somebody has."""

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Log values of metrics at one step.

        Parameters
        ----------
        step
            Any integer; ``None`` is one more than this metric's step before, or 0.
        metrics
            Numbers, NaN and infinities included. Names that are no Python names go in as ``**{"val/loss": 0.1}``.

        Raises
        ------
        Invalid
            For a value that is no number.
        Conflict
            When the run has finished.
        """
        self._log(step, metrics)

    def parameters(self, **values: object) -> None:
        """Record parameters; the same value again is fine, another one is refused.

        Raises
        ------
        Invalid
            When a parameter was recorded with another value: a run has one configuration.
        """
        self._check_live()
        with self._runs.database.write() as connection:
            held = parameters_table.c
            chosen = sa.select(held.key, held.value).where(held.run_id == self.id)
            known: dict[str, str] = {row.key: row.value for row in connection.execute(chosen)}
            for name, value in values.items():
                if name in known and known[name] != str(value):
                    raise Invalid(
                        f"parameter {name!r} of run {self.id} is {known[name]!r} and cannot become {str(value)!r}",
                        where=name,
                        fix="start another run, or log what changes as a metric",
                    )
            fresh = [_parameter(self.id, name, value) for name, value in values.items() if name not in known]
            if fresh:
                connection.execute(sa.insert(parameters_table), fresh)

    def tag(self, **values: str) -> None:
        """Set tags; a tag that is there is replaced. Also after the run has finished."""
        with self._runs.database.write() as connection:
            held = tags_table.c
            connection.execute(sa.delete(tags_table).where(held.run_id == self.id, held.key.in_(list(values))))
            if values:
                connection.execute(sa.insert(tags_table), _tags(self.id, values))

    def artifact(self, name: str, data: bytes | Path) -> Digest:
        """Keep bytes, or a file's bytes, with the run; the same name again replaces them.

        Raises
        ------
        Invalid
            When the path is no file.
        """
        self._check_live()
        if isinstance(data, Path) and not data.is_file():
            raise Invalid(f"{data} is not a file", where=name, fix="pass bytes, or the path of one existing file")
        stored = self._runs.artifacts.put(data)
        row = {"run_id": self.id, "name": name, "digest": stored, "size_bytes": self._runs.artifacts.size(stored)}
        with self._runs.database.write() as connection:
            held = artifacts_table.c
            connection.execute(sa.delete(artifacts_table).where(held.run_id == self.id, held.name == name))
            connection.execute(sa.insert(artifacts_table).values(**row))
        return stored

    def evaluate(self, model: object, split: Examples, *, prefix: str = "") -> dict[str, float]:
        """Score a fitted model on a split, log the scores as metrics under their names after the prefix, and answer them.

        The model answers through the same code as in serving. What the scores are: :func:`tidewheel.runs.score.score`.
        """
        found = score(split.y, predict_examples(model, split, self._formats), task=self._task)
        self._log(None, {prefix + name: value for name, value in found.items()})
        return found

    def judge(self, formats: Sequence[ModelFormat], *, task: str | None) -> None:
        """Say how :meth:`evaluate` asks and scores models.

        Parameters
        ----------
        formats
            Whose predictors answer, the first that accepts a model; without one, the model's own ``predict``.
        task
            ``"regression"`` or ``"classification"``; ``None`` lets the scores see by themselves.
        """
        self._formats = tuple(formats)
        self._task = task

    def printed(self, step: str | None = None, *, attempt: int | None = None) -> list[StepLog]:
        """What the steps of this run have printed by now: see :meth:`Runs.printed`."""
        return self._runs.printed(self.id, step, attempt=attempt)

    def finish(self, status: RunStatus = RunStatus.FINISHED, *, error: str = "") -> None:
        """End the run; idempotent."""
        if self._done:
            return
        self.flush()
        self._runs._finish(self, status, error)
        self._done = True

    def attach(self, other: Attached) -> Attached:
        """Write what waits in another log of this run as often as the run's own; answers it."""
        self._attached.append(other)
        return other

    def flush(self) -> None:
        """Write what waits: metrics, and what is attached."""
        for each in self._attached:
            each.flush()
        with self._flushing:
            with self._lock:
                batch = list(self._waiting)
            if batch:
                with self._runs.database.write() as connection:
                    write_points(connection, self.id, batch)
                with self._lock:
                    del self._waiting[: len(batch)]

    def beat(self) -> None:
        """Say that this run is alive."""
        with self._runs.database.write() as connection:
            connection.execute(
                sa.update(runs_table)
                .where(runs_table.c.id == self.id, runs_table.c.status.in_(["running", "interrupted"]))
                .values(heartbeat_at=self._runs.clock(), status=RunStatus.RUNNING.value, ended_at=None)
            )

    def stop_by(self, stop: Callable[[], object]) -> None:
        """Let :meth:`Runs.cancel` stop it, also from another process: by calling this from another thread, within a second."""
        self._stop = stop

    def listen(self) -> None:
        """See whether somebody asked it to stop."""
        if self._stop is None or self.cancelled_by or self._done:
            return
        query = sa.select(tags_table.c.value).where(tags_table.c.run_id == self.id, tags_table.c.key == CANCELLED_BY)
        with self._runs.database.read() as connection:
            self.cancelled_by = connection.execute(query).scalar() or ""
        if self.cancelled_by:
            self._stop()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.finish()
        elif self.cancelled_by or isinstance(error, KeyboardInterrupt):
            self.finish(RunStatus.CANCELLED, error=f"cancelled by {self.cancelled_by or 'Ctrl-C'}")
        elif isinstance(error, Exception):
            self.finish(RunStatus.FAILED, error=f"{type(error).__name__}: {error}")
        else:
            self.finish(RunStatus.INTERRUPTED, error=type(error).__name__)

    def _log(self, step: int | None, metrics: Mapping[str, float]) -> None:
        self._check_live()
        now = self._runs.clock()
        read = {name: _number(name, value) for name, value in metrics.items()}
        with self._lock:
            for name, value in read.items():
                at_step = self._steps.get(name, -1) + 1 if step is None else int(step)
                self._steps[name] = at_step
                self._waiting.append((name, MetricPoint(at_step, now, value)))
            full = len(self._waiting) >= _BATCH
        if full:
            self.flush()

    def _check_live(self) -> None:
        if self._done:
            raise Conflict(f"run {self.id} has finished", fix="log before the run's block ends, or start another run")


class Runs:
    """All runs of a workspace.

    Examples
    --------
    >>> from tidewheel.artifacts.store import ArtifactStore
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.database.open import Database
    >>> runs = Runs(Database.open("sqlite://"), ArtifactStore.open("memory:///"), system_clock)
    >>> with runs.start("eta", experiment="taxi", parameters={"lr": 0.1}, environment_lock={}) as run:
    ...     run.log(mae=4.5)
    ...     run.log(mae=4.25)
    >>> found = runs.search("metrics.mae < 5 and params.lr = '0.1' and status = 'finished'").runs
    >>> [(one.name, one.metrics) for one in found]
    [('eta', {'mae': 4.25})]
    >>> [(point.step, point.value) for point in runs.history(run.id, "mae")]
    [(0, 4.5), (1, 4.25)]
    >>> runs.database.close()
    """

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        clock: Clock,
        *,
        formats: Sequence[ModelFormat] = (),
        logs: Path | None = None,
    ) -> None:
        self.database = database
        self.artifacts = artifacts
        self.clock = clock
        self.formats = tuple(formats)
        self.logs = RunLogs(logs or Path(".tidewheel", "logs"))
        self._pulse = Pulse()

    def start(
        self,
        name: str,
        *,
        experiment: str,
        parameters: Mapping[str, object] | None = None,
        recipe: Digest | None = None,
        actor: str = "",
        environment_lock: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run in this process.

        Parameters
        ----------
        environment_lock
            Distribution to version; ``None`` records what is installed.
        """
        if not name or not experiment:
            raise Invalid("a run needs a name and an experiment", where="experiment" if name else "name", fix="give it a text")
        lock = observe_environment() if environment_lock is None else dict(environment_lock)
        environment = self.artifacts.put(json.dumps(lock, sort_keys=True).encode())
        process = observe_process()
        assert process is not None
        now = self.clock()
        run = Run(self, secrets.token_hex(16))
        with self.database.write() as connection:
            connection.execute(
                sa.insert(runs_table).values(
                    id=run.id,
                    name=name,
                    experiment=experiment,
                    status=RunStatus.RUNNING.value,
                    actor=actor,
                    recipe=recipe,
                    started_at=now,
                    heartbeat_at=now,
                    environment=environment,
                    facts=json.dumps(observe_facts()),
                    error="",
                    **_process_columns(process),
                )
            )
            rows = [_parameter(run.id, key, value) for key, value in (parameters or {}).items()]
            if rows:
                connection.execute(sa.insert(parameters_table), rows)
            if tags:
                connection.execute(sa.insert(tags_table), _tags(run.id, tags))
        self._pulse.add(run)
        return run

    def get(self, run_id: str) -> RunRecord:
        """A run by id, or ``NotFound``."""
        self.settle()
        with self.database.read() as connection:
            found = load_runs(connection, [run_id])
        if not found:
            raise NotFound(f"no run {run_id!r}", where=run_id, fix="list runs with: open_workspace().runs.search()")
        return found[0]

    def find(self, beginning: str) -> RunRecord | None:
        """The run whose id begins so; ``None`` when there is none.

        Raises
        ------
        Invalid
            When several runs begin so.
        """
        query = sa.select(runs_table.c.id).where(runs_table.c.id.startswith(beginning, autoescape=True)).limit(2)
        with self.database.read() as connection:
            found = connection.execute(query).scalars().all()
        if len(found) > 1:
            raise Invalid(f"several runs begin with {beginning}", where=beginning, fix="give more characters of the id")
        return self.get(found[0]) if found else None

    def search(self, filter: str = "", *, order_by: Sequence[str] = (), limit: int = 100, token: str | None = None) -> RunPage:
        """One page of the runs that a filter leaves.

        Parameters
        ----------
        filter
            Such as ``"metrics.mae < 5 AND params.lr = '0.1' AND status = 'finished'"``; :mod:`tidewheel.runs.grammar`
            has the language.
        order_by
            Such as ``["metrics.mae", "started_at DESC"]``; runs without a value come last. Newest first when empty.
        limit
            At most 1,000.
        token
            Of the page before.

        Raises
        ------
        Invalid
            For a filter, order or token that cannot be read, naming the place and the fix.
        """
        self.settle()
        with self.database.read() as connection:
            return search_runs(connection, filter, order_by=order_by, limit=limit, token=token)

    def history(self, run_id: str, metric: str) -> list[MetricPoint]:
        """All points of a metric, by step; empty when the run never logged it."""
        with self.database.read() as connection:
            return read_points(connection, run_id, metric)

    def cancel(self, run_id: str, *, actor: str) -> None:
        """Ask a run that is at work, on whatever machine, to stop; its own process does so within a second.

        Raises
        ------
        NotFound
            When there is no such run.
        Conflict
            When it has ended already.
        """
        found = self.get(run_id)
        if found.status is not RunStatus.RUNNING:
            raise Conflict(f"run {run_id} is {found.status.value}, so there is nothing to cancel", where=run_id)
        Run(self, run_id).tag(**{CANCELLED_BY: actor or "somebody"})

    def printed(self, run_id: str, step: str | None = None, *, attempt: int | None = None) -> list[StepLog]:
        """What the steps of a run have printed by now, a try that printed something each, by call and try.

        Parameters
        ----------
        step
            Only that step.
        attempt
            Only that try of each call, from 1.

        Raises
        ------
        NotFound
            When something was printed, and nothing by that step.
        """
        mine = sa.and_(tags_table.c.run_id == run_id, tags_table.c.key.in_(("sweep", "trial")))
        with self.database.read() as connection:
            found = {row.key: row.value for row in connection.execute(sa.select(tags_table).where(mine))}
        if found.keys() == {"sweep", "trial"}:  # trials begin before they are runs
            return self.logs.list(found["sweep"], step, attempt=attempt, call=int(found["trial"]))
        return self.logs.list(run_id, step, attempt=attempt)

    def find_oldest_running(self) -> Micros | None:
        """When the oldest of the runs that are at work began; :meth:`settle` first counts out the dead."""
        running = runs_table.c.status == RunStatus.RUNNING.value
        with self.database.read() as connection:
            found = connection.execute(sa.select(sa.func.min(runs_table.c.started_at)).where(running)).scalar()
        return None if found is None else Micros(found)

    def settle(self) -> list[str]:
        """Mark the runs whose process is gone as interrupted; answer their ids.

        A process on this machine is looked at directly; one elsewhere is dead when it gave no sign of life for a minute.
        """
        now = self.clock()
        with self.database.read() as connection:
            running = connection.execute(sa.select(runs_table).where(runs_table.c.status == RunStatus.RUNNING.value)).all()
        dead: list[str] = []
        for row in running:
            alive = is_alive(Process(row.host, row.boot, row.pid, row.process_started))
            if alive is False or (alive is None and now - row.heartbeat_at > DEAD_SECONDS * SECOND):
                dead.append(row.id)
        if dead:
            error = "the process died before the run finished"
            with self.database.write() as connection:
                connection.execute(
                    sa.update(runs_table)
                    .where(runs_table.c.id.in_(dead), runs_table.c.status == RunStatus.RUNNING.value)
                    .values(status=RunStatus.INTERRUPTED.value, ended_at=runs_table.c.heartbeat_at, error=error)
                )
        return dead

    def _finish(self, run: Run, status: RunStatus, error: str) -> None:
        if status is RunStatus.RUNNING:
            raise Invalid("a run cannot finish as running", where="status", fix="finish it as finished or failed")
        now: Micros = self.clock()
        with self.database.write() as connection:
            facts = connection.execute(sa.select(runs_table.c.facts).where(runs_table.c.id == run.id)).scalar_one()
            connection.execute(
                sa.update(runs_table)
                .where(runs_table.c.id == run.id)
                .values(
                    status=status.value,
                    ended_at=now,
                    heartbeat_at=now,
                    error=error,
                    facts=json.dumps({**json.loads(facts), **observe_usage()}),
                )
            )
        self._pulse.remove(run)


def _process_columns(process: Process) -> dict[str, object]:
    return {"host": process.host, "boot": process.boot, "pid": process.pid, "process_started": process.started}


def _tags(run_id: str, values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"run_id": run_id, "key": key, "value": str(value)} for key, value in values.items()]


def _parameter(run_id: str, name: str, value: object) -> dict[str, object]:
    text = str(value)
    try:
        number = None if isinstance(value, bool) else float(text)
    except ValueError:
        number = None
    if number is not None and number != number:
        number = None
    return {"run_id": run_id, "key": name, "value": text, "number": number}


def _number(name: str, value: object) -> float:
    if isinstance(value, str | bytes):
        raise Invalid(
            f"metric {name!r} is a text: {value!r}", where=name, fix="log a number, or record a text with run.tag(...)"
        )
    try:
        return float(value)  # type: ignore[arg-type]  # whatever has __float__, NumPy's scalars included; the rest is caught
    except (TypeError, ValueError) as error:
        raise Invalid(f"metric {name!r} is a {type(value).__name__}", where=name, fix="log one number a step") from error
