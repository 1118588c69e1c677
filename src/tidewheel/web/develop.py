"""Everything on one machine: apply, serve, run the monitors. What ``tidewheel dev`` does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tidewheel.clock import parse_duration
from tidewheel.errors import TidewheelError
from tidewheel.project.apply import apply_plan
from tidewheel.project.consume import StreamMetrics, consume, open_consumers
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.progress import Progress
from tidewheel.project.run import run_monitor
from tidewheel.project.survey import make_plan
from tidewheel.web.assemble import assemble
from tidewheel.web.serve import serve


def develop(
    project: Project,
    workspace: Workspace,
    *,
    host: str,
    port: int,
    every: str,
    announce: Callable[[str], None],
    progress: Progress,
) -> None:
    """Apply what differs, then serve all deployments, consume all streams, and run every monitor each ``every`` until stopped.

    The status page is at ``/``. Monitors run in a thread of their own on a workspace of their own; what they raise is told
    and they go on.
    """
    environment = project.configuration.environment
    plan = make_plan(project, workspace, environment)
    if not plan.empty:
        broken = [one.node for one in plan.objections]  # nobody else reads what one develops
        applied = apply_plan(project, workspace, plan, reason="tidewheel dev", accept=broken, progress=progress)
        for report in applied.reports:
            progress.note(report)
    stop = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(project, workspace, parse_duration(every) / 1e6, stop, progress),
        name="tidewheel-monitors",
        daemon=True,
    )
    threads = [watcher]
    try:
        app = assemble(project, workspace, ())
        consumers = open_consumers(project, workspace)
        app.answerer.measurements.watch(StreamMetrics(consumers))
        threads += consume(consumers, stop, progress.note)
        watcher.start()
        serve(app, host=host, port=port, announce=announce)
    finally:
        stop.set()
        for thread in threads:
            if thread.is_alive():
                thread.join(timeout=60)


def _watch(project: Project, workspace: Workspace, seconds: float, stop: threading.Event, progress: Progress) -> None:
    monitors = [d for d in project.graph.nodes.values() if d.kind == "monitor"]
    while not stop.wait(seconds):
        with open_workspace(workspace.root, workspace.configuration.name, clock=workspace.clock, actor="monitor") as own:
            for declaration in monitors:
                try:
                    judged = run_monitor(
                        project, own, declaration, environment=project.configuration.environment, progress=progress
                    )
                except TidewheelError as error:
                    progress.note(f"{declaration.id}: {error}")
                    continue
                for report in judged.reports:
                    progress.note(report)
