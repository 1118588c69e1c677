"""Verbs of triggers: work, trigger, schedules."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidewheel.cli.options import emit, open_project, project_options

if TYPE_CHECKING:
    from tidewheel.triggers.task import Task

_environment_option = click.option(
    "--environment", "-e", default=None, help="Environment to work for.  [default: as in tidewheel.toml]"
)


@click.command(name="work")
@click.option("--once", is_flag=True, help="Look once, run what is due, and stop.")
@click.option("--poll", default="1s", show_default=True, help="How often to look for news.")
@click.option("--lease", default="1m", show_default=True, help="Without a sign of life for so long, others take the task over.")
@_environment_option
@project_options
def work_(
    once: bool, poll: str, lease: str, environment: str | None, folder: Path, workspace: str | None, as_json: bool
) -> None:
    """Run what triggers ask for, until stopped. Start as many as you like, on any machines that share the workspace.

    What a worker is at when it is stopped, it gives back; what it is at when it is killed, another one takes over.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.clock import parse_duration
    from tidewheel.project.attend import Attendance, attend, task_to_json
    from tidewheel.project.load import find_root

    def told(task: Task) -> None:
        emit_line(task_to_json(task)) if as_json else click.echo(_line(task))

    how = Attendance(environment=environment, once=once, poll_seconds=parse_duration(poll) / 1e6, lease=parse_duration(lease))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the task at work is given back at once
    try:
        with progress() as shown:
            attend(find_root(folder), workspace, how=how, stop=stop, progress=shown, told=told)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


@click.command()
@click.argument("name")
@click.option("--reason", default="by hand", help="Kept with the task.")
@_environment_option
@project_options
def trigger(name: str, reason: str, environment: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Start trigger NAME now, whatever it waits for. A worker runs it: tidewheel work."""
    from tidewheel.project.attend import task_to_json, trigger_by_hand

    project, opened = open_project(folder, workspace)
    target = environment or project.configuration.environment
    task = trigger_by_hand(project, opened, name, environment=target, reason=reason)
    emit(task_to_json(task)) if as_json else click.echo(f"task {task.id} runs {task.target} as soon as a worker takes it")


@click.command()
@click.option("--tasks", "history", is_flag=True, help="Show the newest tasks, and what became of them.")
@click.option("--limit", default=20, show_default=True, help="How many tasks.")
@_environment_option
@project_options
def schedules(history: bool, limit: int, environment: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """List triggers: what each waits for, when it is due next, and how it went last."""
    from tidewheel.project.attend import list_schedules, task_to_json

    project, opened = open_project(folder, workspace)
    target = environment or project.configuration.environment
    if history:
        tasks = opened.tasks.list(environment=target, limit=limit)
        emit([task_to_json(task) for task in tasks]) if as_json else click.echo("\n".join(map(_line, tasks)) or "no tasks")
        return
    listed = list(list_schedules(project, opened, environment=target))
    if as_json:
        emit(listed)
        return
    for one in listed:
        click.echo(f"{one['trigger']}: runs {one['runs']} on {one['on']}")
        last = one["last"]
        click.echo(f"   next {one['next'] or 'when it happens'}, {one['waiting']} waiting, last {_told(last)}")
    if not listed:
        click.echo('no triggers: add tw.trigger(MODEL, on=tw.schedule("0 6 * * *"))')


def emit_line(value: object) -> None:
    """A value as one line of JSON on stdout, at once."""
    import json
    import sys

    click.echo(json.dumps(value, default=str))
    sys.stdout.flush()


def _line(task: Task) -> str:
    from tidewheel.clock import format_instant

    said = task.outcome or task.error
    return f"{format_instant(task.due_at)}  {task.state:8}{task.trigger}: {task.target} ({task.reason})" + (
        f": {said}" if said else ""
    )


def _told(last: object) -> str:
    if not isinstance(last, dict):
        return "never"
    said = last["outcome"] or last["error"]
    return f"{last['state']} at {last['ended'] or last['due']}" + (f": {said}" if said else "")
