"""Attend to the triggers of a project: what ``tidewheel work`` and ``tidewheel trigger`` do."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sqlalchemy.exc import SQLAlchemyError

from tidewheel.clock import Clock, Micros, format_instant, system_clock
from tidewheel.errors import Denied, TidewheelError, Unavailable
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.project.armed import arm, find_armed, with_parameters
from tidewheel.project.backfill import BACKFILL, run_partition
from tidewheel.project.load import Project, load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.progress import Progress, silent
from tidewheel.project.retrain import outcome_of
from tidewheel.project.run import run_monitor, run_node
from tidewheel.project.run_pipeline import run_pipeline
from tidewheel.sources.definition import Source
from tidewheel.triggers.calendar import next_due
from tidewheel.triggers.definition import Schedule
from tidewheel.triggers.fire import Eyes, Watch, order_of
from tidewheel.triggers.record import LEASE
from tidewheel.triggers.task import Outcome, Task
from tidewheel.triggers.work import Worker, worker_name

_TOKEN = "TIDEWHEEL_TRIGGER_TOKEN"
_NOT_OURS = frozenset({"venv", "node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """How a worker attends to a project.

    Parameters
    ----------
    environment
        Default: the project's own.
    once
        Stop when nothing is due.
    """

    environment: str | None = None
    once: bool = False
    poll_seconds: float = 1.0
    lease: Micros = LEASE
    clock: Clock = system_clock


def attend(
    root: Path,
    workspace: str | None = None,
    *,
    how: Attendance,
    stop: threading.Event,
    progress: Progress = silent,
    told: Callable[[Task], object] = lambda task: None,
) -> int:
    """Work for a project until told to stop; answer how many tasks were run.

    The project is loaded anew when its files change. Files that cannot be loaded, a source that cannot be read and a database
    that is away are told, and the worker goes on; at the start they are raised.
    """
    count, begun, last = 0, False, ""
    while not stop.is_set():
        files = _signature(root)
        try:
            project = load_project(root)
            with open_workspace(root, workspace, clock=how.clock) as opened:
                environment = how.environment or project.configuration.environment
                watch = Watch(opened.tasks, arm(project.graph), environment=environment, eyes=_eyes(project, opened))
                worker = _worker(project, opened, watch, progress=progress, told=told)
                worker.lease = how.lease
                while not stop.is_set() and files == _signature(root):
                    count += worker.run_due(stop)
                    begun = True
                    last = _tell_news(
                        last, "; ".join(f"trigger {name}: {why}" for name, why in watch.troubles.items()), progress
                    )
                    if how.once:
                        return count
                    stop.wait(how.poll_seconds)
        except (TidewheelError, SQLAlchemyError) as error:  # the latter when a connection breaks in the middle of something
            if how.once or not begun:
                raise
            last = _tell_news(last, str(error).partition("\n")[0], progress)
            stop.wait(how.poll_seconds)
    return count


def _tell_news(before: str, now: str, progress: Progress) -> str:
    if now and now != before:
        progress.note(now)
    return now


def _signature(root: Path) -> list[tuple[str, int, int]]:
    """What differs when the project's own files do."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NOT_OURS]
        for name in names:
            if name.endswith((".py", ".toml")):
                facts = Path(folder, name).stat()
                found.append((str(Path(folder, name)), facts.st_mtime_ns, facts.st_size))
    return sorted(found)


def _worker(
    project: Project, workspace: Workspace, watch: Watch, *, progress: Progress, told: Callable[[Task], object]
) -> Worker:
    def execute(task: Task) -> Outcome:
        return run_task(project, workspace, task, progress=progress)

    return Worker(
        workspace.tasks,
        execute,
        name=worker_name(),
        environment=watch.environment,
        fire=watch.fire,
        beat=watch.fire_schedules,
        told=told,
    )


def run_task(project: Project, workspace: Workspace, task: Task, *, progress: Progress = silent) -> Outcome:
    """Run what a task asks for, in the environment that it names.

    Raises
    ------
    Unavailable
        When the files no longer declare the node.
    """
    declaration = project.graph.nodes.get(NodeId(task.target))
    if declaration is None:
        raise Unavailable(
            f"{task.target} is no longer declared", where=task.target, fix="drop the trigger, or bring the node back"
        )
    if task.trigger.startswith(BACKFILL):  # any worker helps
        return run_partition(workspace, declaration, task, progress=progress)
    if declaration.kind == "monitor":
        judged = run_monitor(project, workspace, declaration, environment=task.environment, progress=progress)
        return Outcome(f"{len(judged.windows)} windows judged, {len(judged.opened)} alerts opened")
    reason = f"trigger {task.trigger}: {task.reason}"
    if declaration.kind == "pipeline":
        done = run_pipeline(
            workspace,
            declaration,
            given=task.parameters,
            environment=task.environment,
            reason=reason,
            progress=progress,
        )
        return Outcome(done.summary, done.run)
    applied = run_node(project, workspace, declaration, environment=task.environment, reason=reason, progress=progress)
    return outcome_of(applied)


def trigger_by_hand(
    project: Project,
    workspace: Workspace,
    name: str,
    *,
    environment: str,
    reason: str = "by hand",
    actor: str | None = None,
    given: Mapping[str, str] = MappingProxyType({}),
) -> Task:
    """Write the task of a trigger, whatever its event; a worker takes it.

    Parameters
    ----------
    given
        Arguments of a pipeline, as texts, in place of and beside the trigger's own.

    Raises
    ------
    NotFound
        When the project declares no such trigger.
    """
    one = find_armed(project.graph, name)
    who = actor or workspace.actor
    due = workspace.clock()
    if given or one.spans is not None:
        one = with_parameters(project.graph, one, given, now=due)
    order = order_of(
        one, f"hand-{secrets.token_hex(8)}", environment=environment, due_at=due, reason=reason or "by hand", actor=who
    )
    with workspace.database.write():
        task = workspace.tasks.add(order)
        assert task is not None  # its key is drawn at random
        workspace.audit.record(who, "trigger", f"trigger:{one.trigger.name}", after=task.id)
    return task


def trigger_by_secret(project: Project, workspace: Workspace, name: str, *, secret: str, reason: str) -> Mapping[str, object]:
    """Write the task of a trigger for somebody who knows the secret of ``TIDEWHEEL_TRIGGER_TOKEN``; answer it as plain values.

    Raises
    ------
    Denied
        When the secret is another one, or the server was given none: then nobody may.
    NotFound
        When the project declares no such trigger.
    """
    expected = os.environ.get(_TOKEN, "")
    if not expected:
        raise Denied(
            "triggers are not started over HTTP here",
            where="authorization",
            fix=f"start the server with {_TOKEN} set to a secret",
        )
    if not secrets.compare_digest(secret.encode(), expected.encode()):
        raise Denied(
            "the secret is missing or wrong", where="authorization", fix="send the header Authorization: Bearer SECRET"
        )
    environment = project.configuration.environment
    return task_to_json(trigger_by_hand(project, workspace, name, environment=environment, reason=reason, actor="http"))


def list_schedules(project: Project, workspace: Workspace, *, environment: str) -> Iterator[Mapping[str, object]]:
    """Each trigger with its event, when it is due next, and its last task, as plain values."""
    now = workspace.clock()
    for one in arm(project.graph):
        event = one.trigger.on
        due = next_due(event, now) if isinstance(event, Schedule) else None
        last = workspace.tasks.list(environment=environment, trigger=one.trigger.name, limit=1)
        yield {
            "trigger": one.trigger.name,
            "runs": one.target,
            "on": one.trigger.event,
            "next": None if due is None else format_instant(due),
            "waiting": workspace.tasks.count(one.trigger.name, environment=environment).get("waiting", 0),
            "last": task_to_json(last[0]) if last else None,
        }


def task_to_json(task: Task) -> dict[str, object]:
    """A task as plain values, times in UTC."""
    return {
        "id": task.id,
        "trigger": task.trigger,
        "target": task.target,
        "environment": task.environment,
        "state": task.state,
        "reason": task.reason,
        "actor": task.actor,
        "due": format_instant(task.due_at),
        "started": None if task.started_at is None else format_instant(task.started_at),
        "ended": None if task.ended_at is None else format_instant(task.ended_at),
        "worker": task.owner,
        "attempts": task.token,
        "outcome": task.outcome,
        "run": task.run,
        "error": task.error,
    }


def _eyes(project: Project, workspace: Workspace) -> Eyes:
    def content(source: str) -> str:
        definition = project.graph.nodes[node_id("source", source)].definition
        assert isinstance(definition, Source)
        return workspace.sources.snapshot(definition).content

    def build(node: str) -> str | None:
        builds = workspace.ledger.list_builds(NodeId(node), limit=1)
        return builds[0].id if builds else None

    return Eyes(content, workspace.monitors.list_alerts, build)
