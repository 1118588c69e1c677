"""Retrain because of an alert: a task like any other, run at once by whoever found the alert."""

from __future__ import annotations

from collections.abc import Callable

from tidewheel.errors import Unavailable
from tidewheel.ledger.definition import Declaration
from tidewheel.monitors.alert import Alert
from tidewheel.project.apply import Applied
from tidewheel.project.open import Workspace
from tidewheel.triggers.task import Order, Outcome, Task
from tidewheel.triggers.work import Worker, worker_name


def retrain(
    workspace: Workspace, declaration: Declaration, alert: Alert, *, environment: str, run: Callable[[], Applied]
) -> Applied | None:
    """Run a node because of an alert, once for each time that the alert asks; ``None`` when that was done before.

    As a task it has its line in the history, is never at work beside a scheduled run of the same node, and is taken over by a
    worker when this process dies.

    Parameters
    ----------
    run
        Runs the node.

    Raises
    ------
    Unavailable
        When the node is at work for somebody else; the task waits, and so does the alert's action.
    """
    tasks, who = workspace.tasks, f"monitor:{alert.monitor}"
    name = f"{who} {declaration.id}"
    order = Order(
        trigger=name,
        key=f"{alert.id} {alert.windows}",
        target=declaration.id,
        environment=environment,
        lane=declaration.id,
        due_at=workspace.clock(),
        reason=f"alert {alert.id}",
        actor=who,
    )
    with workspace.database.write():
        task = tasks.add(order) or next(t for t in tasks.list(environment=environment, trigger=name) if t.key == order.key)
        if task.state == "failed":
            task = tasks.try_again(task.id)
    applied: list[Applied] = []
    failures: list[Exception] = []

    def execute(_: Task) -> Outcome:
        try:
            applied.append(run())
        except Exception as error:
            failures[:] = [error]
            raise
        return outcome_of(applied[-1])

    worker = Worker(tasks, execute, name=worker_name(), environment=environment)
    worker.trigger = name
    worker.run_due()
    if failures:
        raise failures[0]
    if not tasks.get(task.id).over:
        raise Unavailable(f"{declaration.id} is at work already", where=who, fix="the alert's action is done at the next run")
    return applied[-1] if applied else None


def outcome_of(applied: Applied) -> Outcome:
    """What an apply came to, as a task's outcome."""
    built = sum(step.built for step in applied.steps)
    text = f"{built} built, {len(applied.steps) - built} known" + (", gate failed" if applied.gate_failed else "")
    return Outcome(text, f"{applied.environment} version {applied.version}")
