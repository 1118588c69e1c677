"""The verb that shows what steps have printed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tidewheel.cli.options import project_options


@click.command()
@click.argument("run")
@click.argument("step", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option("--attempt", type=click.IntRange(1), default=None, help="Only this try of each call, from 1.")
@click.option("--tail", type=click.IntRange(0), default=None, help="Only the last lines of each try.")
@project_options
def logs(
    run: str,
    step: str | None,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Show what the steps of RUN have printed, or one STEP: stdout, stderr and logging, of each call and try.

    RUN is an id, the beginning of it, or "last". With --json, one object a line.
    """
    from tidewheel.errors import NotFound
    from tidewheel.project.follow_logs import WantedLogs, read_logs
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace
    from tidewheel.project.show_run import find_run

    with open_workspace(find_root(folder), workspace) as opened:
        found = find_run(opened, run)
        if found is None:
            raise NotFound(f"no run {run!r}", where=run, fix="give the beginning of its id, or last: tidewheel show last")
        try:
            for line in read_logs(opened, found, WantedLogs(step, attempt, tail), follow=follow):
                click.echo(json.dumps(asdict(line)) if as_json else f"{line.label} | {line.line}")
        except KeyboardInterrupt:
            return
