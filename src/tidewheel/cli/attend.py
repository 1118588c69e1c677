"""Verbs of triggers: work, trigger, schedules."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidewheel.cli.options import emit, given, open_project, param_option, project_options

if TYPE_CHECKING:
    from tidewheel.triggers.task import Task

_environment_option = click.option(
    "--environment", "-e", default=None, help="Environment to work for.  [default: as in tidewheel.toml]"
)


@click.command(name="work")
@click.option("--once", is_flag=True, help="Look once, run what is due, and stop.")
@click.option("--poll", default="1s", show_default=True, help="How often to look for news.")
@click.option("--lease", default="1m", show_default=True, help="Without a sign of life for so long, others take the task over.")
@click.option("--tethered", is_flag=True, hidden=True)
@_environment_option
@project_options
def work_(
    once: bool,
    poll: str,
    lease: str,
    tethered: bool,
    environment: str | None,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Run what triggers ask for, until stopped. Start as many as you like, on any machines that share the workspace.

    What a worker is at when it is stopped, it gives back; what it is at when it is killed, another one takes over.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.clock import parse_duration
    from tidewheel.project.attend import Attendance, attend, task_to_json
    from tidewheel.project.load import find_root
    from tidewheel.project.tether import watch_tether

    def told(task: Task) -> None:
        emit_line(task_to_json(task)) if as_json else click.echo(_line(task))

    how = Attendance(environment=environment, once=once, poll_seconds=parse_duration(poll) / 1e6, lease=parse_duration(lease))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the task at work is given back at once
    if tethered:
        watch_tether()
    try:
        with progress() as shown:
            attend(find_root(folder), workspace, how=how, stop=stop, progress=shown, told=told)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


@click.command()
@click.argument("name")
@click.option("--reason", default="by hand", help="Kept with the task.")
@param_option
@_environment_option
@project_options
def trigger(name: str, reason: str, environment: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Start trigger NAME now, whatever it waits for. A worker runs it: tidewheel work."""
    from tidewheel.project.attend import task_to_json, trigger_by_hand

    project, opened = open_project(folder, workspace)
    target = environment or project.configuration.environment
    task = trigger_by_hand(project, opened, name, environment=target, reason=reason, given=given())
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


@click.command()
@click.argument("node")
@click.option("--from", "start", required=True, help="Begin of the first partition, such as 2026-01-01.")
@click.option("--to", "end", required=True, help="End of the last partition; not part of it.")
@click.option("--every", default="1d", show_default=True, help="Length of a partition.")
@click.option("--timezone", default="UTC", show_default=True, help="Where days begin.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Partitions at a time.")
@click.option("--again", is_flag=True, help="Ask for those that are done too; the cache answers where nothing has changed.")
@click.option("--tethered", is_flag=True, hidden=True)
@_environment_option
@project_options
def backfill(node: str, environment: str | None, folder: Path, workspace: str | None, as_json: bool, **asked: object) -> int:
    """Run NODE for each partition of a time, each once. Run it again to go on after a stop and to try again what failed.

    NODE is a pipeline or a step. It takes the partition as a parameter of type tw.Partition, or as start and end.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.pipelines.partition import list_partitions
    from tidewheel.project.backfill import backfill as run
    from tidewheel.project.tether import helpers, watch_tether

    project, opened = open_project(folder, workspace)
    partitions = list_partitions(
        str(asked["start"]), str(asked["end"]), every=str(asked["every"]), timezone=str(asked["timezone"])
    )
    if asked["tethered"]:
        watch_tether()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = ["backfill", node, *(part for key in ("start", "end", "every", "timezone") for part in _option(key, asked))]
    arguments += [*(["-e", environment] if environment else []), *(["-w", workspace] if workspace else [])]
    name = environment or project.configuration.environment
    command = [*arguments, "--project", str(folder.absolute())]
    # Those that help begin when the tasks are written, so they never wake what this process wakes.
    with progress() as shown, helpers(command, count=int(str(asked["workers"])) - 1) as start:
        done = run(
            opened,
            project.graph.find(node, kinds={"pipeline", "step"}),
            partitions,
            environment=name,
            again=bool(asked["again"]),
            ordered=None if asked["tethered"] else start,
            progress=shown,
        )
    if as_json:
        emit(done.to_json())
    else:
        click.echo(f"{done.done} of {done.total} partitions are done")
        for task in done.failed:
            click.echo(f"failed {task.key}: {task.error}")
    return 1 if done.failed else 0


def _option(key: str, asked: dict[str, object]) -> list[str]:
    return [{"start": "--from", "end": "--to"}.get(key, f"--{key}"), str(asked[key])]


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
