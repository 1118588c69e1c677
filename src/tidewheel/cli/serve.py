"""Verbs that stay: serve, dev, consume and what it refused, and the worker's exec."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from tidewheel.cli.options import open_project, project_options, working


@click.command()
@click.argument("name", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, help="0 picks a free one; it is announced on stdout.")
@click.option("--features", "features_only", is_flag=True, help="Answer features only: no model is loaded.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port; the dead are replaced.",
)
@click.option("--environment", "-e", "--env", default=None, help="Environment to serve.  [default: as in tidewheel.toml]")
@click.option("--worker", is_flag=True, hidden=True)
@click.option("--work", is_flag=True, help="Run what triggers ask for beside it, in a process of its own.")
@project_options
def serve(
    name: tuple[str, ...],
    host: str,
    port: int,
    features_only: bool,
    workers: int,
    environment: str | None,
    worker: bool,
    work: bool,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Answer features and predictions over HTTP until stopped.

    Every feature service is served. NAME is a deployment, or several; all when none is named. Naming a feature service instead
    loads no model. What answers is what the environment points at: after apply, promote or rollback a running server follows
    within a second, and no request fails.
    """
    tell = _announcer(as_json)
    if workers > 1:
        from tidewheel.project.supervise import serve_workers, worker_command

        given = [*name, "--host", host, *(["--features"] if features_only else []), *(["-w", workspace] if workspace else [])]
        given += ["-e", environment] if environment else []
        command = worker_command(folder.absolute(), *given)
        with working(folder, workspace, wanted=work) as begin:

            def announce(told: Mapping[str, object]) -> None:
                tell(json.dumps(told))
                begin()

            serve_workers(command, workers=workers, host=host, port=port, announce=announce)
        return
    from tidewheel.web.assemble import assemble
    from tidewheel.web.serve import serve as start

    project, opened = open_project(folder, workspace)
    app = assemble(project, opened, name, features_only=features_only, environment=environment)
    with working(folder, workspace, wanted=work) as begin:

        def announce_one(line: str) -> None:
            tell(line)
            begin()

        start(app, host=host, port=port, announce=announce_one, worker=worker)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, help="0 picks a free one; it is announced on stdout.")
@click.option("--every", default="60s", show_default=True, help="How often monitors run.")
@project_options
def dev(host: str, port: int, every: str, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Everything on one machine: apply, serve all deployments, run the monitors and the triggers, show the status page."""
    from tidewheel.cli.progress import progress
    from tidewheel.project.armed import arm
    from tidewheel.web.develop import develop

    project, opened = open_project(folder, workspace)
    tell = _announcer(as_json)
    with progress() as shown, working(folder, workspace, wanted=bool(arm(project.graph))) as begin:

        def announce(line: str) -> None:
            tell(line)
            begin()

        develop(project, opened, host=host, port=port, every=every, announce=announce, progress=shown)


@click.command()
@click.argument("source", nargs=-1)
@click.option("--once", is_flag=True, help="Stop when nothing more comes.")
@click.option("--lag", "only_lag", is_flag=True, help="Tell how far behind each source is, and consume nothing.")
@click.option("--metrics-port", type=int, default=None, help="Serve Prometheus metrics on this port of 127.0.0.1.")
@project_options
def consume(
    source: tuple[str, ...],
    once: bool,
    only_lag: bool,
    metrics_port: int | None,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Take the events of SOURCE's stream (of several, or of all that have one) until stopped.

    An event goes the way of a push; its position is committed when it is on the disk and in the online store. Events that are
    wrong go into quarantine.
    """
    from tidewheel.cli.follow import follow, show_lag
    from tidewheel.project.consume import open_consumers

    project, opened = open_project(folder, workspace)
    consumers = open_consumers(project, opened, source)
    if only_lag:
        show_lag(consumers, as_json=as_json)
    else:
        follow(consumers, once=once, metrics_port=metrics_port, as_json=as_json)


@click.command()
@click.argument("source", nargs=-1)
@click.option("--push", is_flag=True, help="Push them again; those that are taken leave quarantine.")
@click.option(
    "--mended", type=click.Path(path_type=Path), help="Push these: what --json printed, bodies put right; null drops."
)
@click.option("--rows", is_flag=True, help="Show the rows, of files and pushes, that rules put aside, and the rules.")
@project_options
def quarantine(
    source: tuple[str, ...], push: bool, mended: Path | None, rows: bool, folder: Path, workspace: str | None, as_json: bool
) -> None:
    """Show the events of SOURCE's stream that were refused (of all streams when none is named), or push them again."""
    from tidewheel.cli.follow import push_quarantine, show_quarantine, show_rows

    project, opened = open_project(folder, workspace)
    if rows:
        show_rows(project, opened, source, as_json=as_json)
    elif push or mended is not None:
        push_quarantine(project, opened, source, mended=mended, as_json=as_json)
    else:
        show_quarantine(project, opened, source, as_json=as_json)


def _announcer(as_json: bool) -> Callable[[str], None]:
    """Tells where the server listens: one line of JSON for programs, a sentence for people."""

    def tell(line: str) -> None:
        told = json.loads(line)
        served = ", ".join([*told["deployments"], *(f"features of {name}" for name in told["services"])])
        click.echo(line if as_json else f"serving {served} at {told['url']}  (Ctrl-C stops)")
        sys.stdout.flush()

    return tell


@click.command(name="exec", hidden=True)
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option("--serve", "stay", is_flag=True, help="Run jobs from stdin until it closes.")
@click.option("--root", type=click.Path(path_type=Path), help="The project's folder on this machine.")
@click.option("--artifacts", help="URL of the artifact store as seen from this machine.")
def exec_(spec: Path | None, stay: bool, root: Path | None, artifacts: str | None) -> int:
    """Run one job of a pipeline: what executors start on a worker."""
    from tidewheel.project.work import work

    return work(spec, stay=stay, root=root, artifacts=artifacts)
