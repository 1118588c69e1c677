"""Backfill: run a step or a pipeline for one partition after the other, or several at a time, each of them once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidewheel.clock import SECOND, Micros
from tidewheel.digest import digest
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration
from tidewheel.pipelines.compose import Pipeline, as_texts
from tidewheel.pipelines.definition import Step
from tidewheel.pipelines.execute import Session
from tidewheel.pipelines.partition import Partition, arguments_for
from tidewheel.pipelines.recipe import name_secrets
from tidewheel.project.open import Workspace
from tidewheel.project.progress import Progress, silent
from tidewheel.project.run_pipeline import run_pipeline
from tidewheel.triggers.task import Order, Outcome, State, Task
from tidewheel.triggers.work import Worker, worker_name

LEASE = Micros(20 * SECOND)
"""Shorter than that of other tasks: who starts a backfill again after it was killed waits for what was at work."""

BACKFILL = "backfill:"
"""Begins the names under which tasks of backfills are kept."""

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What a backfill has come to: of its partitions those that are done, and the tasks of those that failed."""

    name: str
    total: int
    done: int
    ran: int
    failed: tuple[Task, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        failed = [{"partition": task.key, "task": task.id, "error": task.error} for task in self.failed]
        return {"backfill": self.name, "partitions": self.total, "done": self.done, "ran": self.ran, "failed": failed}


def backfill(
    workspace: Workspace,
    declaration: Declaration,
    partitions: Sequence[Partition],
    *,
    environment: str,
    again: bool = False,
    ordered: Callable[[], object] | None = None,
    progress: Progress = silent,
) -> Backfilled:
    """Run a step or a pipeline for each partition that it was not run for, and wait for all of them.

    Each partition is a task. Called again, in another process or after a ``kill -9``, those that are done are not repeated and
    those that failed are tried again; several such calls at the same time share the work. Code that has changed makes another
    backfill: then the cache of steps decides what really runs.

    Parameters
    ----------
    again
        Ask for partitions that are done too; the cache of steps answers where nothing has changed.
    ordered
        Called when all tasks are written, before the first one is run: now others may help. ``None`` writes none, and helps.

    Raises
    ------
    Invalid
        When the node is neither a step nor a pipeline, or takes no partition.
    """
    arguments_for(_parted(declaration).function, partitions[0], where=declaration.where)
    code = workspace.fingerprinter.components(declaration.functions)
    if isinstance(declaration.definition, Step):
        code = name_secrets(code, declaration.definition)
    name = f"{BACKFILL}{declaration.id}@{digest(sorted((key, part.value) for key, part in code.items()))[4:12]}"
    wanted = {partition.name for partition in partitions}
    if ordered is not None:
        _order(workspace, declaration, partitions, name=name, environment=environment, again=again)
        ordered()

    def execute(task: Task) -> Outcome:
        return run_partition(workspace, declaration, task, progress=progress)

    def tell(_: object = None) -> None:
        progress.step(f"backfill {declaration.name}", _finished(workspace, name, environment), len(wanted))

    worker = Worker(workspace.tasks, execute, name=worker_name(), environment=environment, told=tell)
    worker.lease, worker.trigger = LEASE, name
    ran = 0
    while True:
        ran += worker.run_due()
        counts = workspace.tasks.count(name, environment=environment)
        if not counts.get("waiting") and not counts.get("running"):
            break
        tell()
        time.sleep(_POLL_SECONDS)  # others are at the rest
    tasks = [task for task in _all(workspace, name, environment) if task.key in wanted]
    failed = tuple(sorted((task for task in tasks if task.state == "failed"), key=lambda task: task.key))
    return Backfilled(name, len(wanted), sum(task.state == "done" for task in tasks), ran, failed)


def run_partition(workspace: Workspace, declaration: Declaration, task: Task, *, progress: Progress = silent) -> Outcome:
    """Run a step or a pipeline for the partition that a task names."""
    parted, partition = _parted(declaration), Partition.parse(task.key)
    arguments = arguments_for(parted.function, partition, where=declaration.where)
    if isinstance(parted, Pipeline):
        given = as_texts(arguments)
        reason = f"{task.reason}, {partition.name}"
        done = run_pipeline(workspace, declaration, given=given, environment=task.environment, reason=reason, progress=progress)
        return Outcome(done.summary, done.run)
    session = Session(
        workspace.ledger,
        workspace.artifacts,
        fingerprinter=workspace.fingerprinter,
        actor=workspace.actor,
        executor=workspace.executor,
        formats=workspace.formats,
        clock=workspace.clock,
        progress=progress.step,
    )
    workspace.equip(session)
    with session.active():
        parted(**arguments)
    builds = workspace.ledger.list_builds(parted.node, limit=1)
    return Outcome(partition.name, builds[0].id if builds else "")


def _order(
    workspace: Workspace,
    declaration: Declaration,
    partitions: Sequence[Partition],
    *,
    name: str,
    environment: str,
    again: bool,
) -> None:
    known = {task.key: task for task in _all(workspace, name, environment)}
    wake: tuple[State, ...] = ("failed", "done") if again else ("failed",)
    with workspace.database.write():
        for partition in partitions:
            key = partition.name
            if key in known:
                if known[key].state in wake:
                    workspace.tasks.try_again(known[key].id)
                continue
            workspace.tasks.add(
                Order(
                    trigger=name,
                    key=key,
                    target=declaration.id,
                    environment=environment,
                    lane=f"{name} {key}",  # partitions may be at work at the same time
                    due_at=workspace.clock(),
                    reason=f"backfill of {declaration.name}",
                    actor=workspace.actor,
                )
            )


def _all(workspace: Workspace, name: str, environment: str) -> list[Task]:
    return workspace.tasks.list(environment=environment, trigger=name, limit=1_000_000)


def _finished(workspace: Workspace, name: str, environment: str) -> int:
    counts = workspace.tasks.count(name, environment=environment)
    return counts.get("done", 0) + counts.get("failed", 0)


def _parted(declaration: Declaration) -> Step[..., object] | Pipeline[..., object]:
    definition = declaration.definition
    if not isinstance(definition, Step | Pipeline):
        raise Invalid(
            f"{declaration.id} has no partitions",
            where=declaration.where,
            fix="name a step or a pipeline that takes a tw.Partition",
        )
    return definition
