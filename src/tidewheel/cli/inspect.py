"""Verbs that only look: check, show, search, diff, why, repro."""

from __future__ import annotations

from pathlib import Path

import click

from tidewheel.cli.options import emit, open_project, project_options


@click.command()
@click.argument("node", required=False)
@click.option("--limit", type=int, default=None, help="Replay at most this many of the newest predictions of each deployment.")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Keys of each view to compare online and offline.",
)
@project_options
def check(node: str | None, limit: int | None, sample: int, folder: Path, workspace: str | None, as_json: bool) -> int:
    """Tell what is wrong: with definitions, rows, what is online, what drifts, and what was served.

    Definitions are linted, sources judged by their expectations, views compared with their sources (are they up to date, and
    does a sample of keys answer online what is computed offline), lasting alerts of monitors told, and logged predictions
    replayed: every served feature is computed again offline and compared.

    With NODE, only that deployment is replayed. Exit code 2 when something differs or a finding is an error.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.cli.render import render_check
    from tidewheel.project.check import check_project

    project, opened = open_project(folder, workspace)
    with progress() as shown:
        report = check_project(project, opened, node=node, limit=limit, sample=sample, progress=shown)
    emit(report.to_json()) if as_json else click.echo(render_check(report))
    return 0 if report.clean else 2


@click.command()
@click.argument("node", required=False)
@project_options
def show(node: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Show the project, or one NODE: definition, recipe, builds, versions, routes, who needs it.

    NODE can be a run, by its id, the beginning of it, or as "last": then the steps that it has called are drawn, with states
    and times, while it is at work too. NODE can be a sweep, by its name, as sweep:NAME, or by its id: then its trials are
    listed, best first, with a plot of the objective by trial.
    """
    from tidewheel.cli.render import render_node, render_project
    from tidewheel.cli.render_run import render_run
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace
    from tidewheel.project.show import describe_node, describe_project
    from tidewheel.project.show_run import describe_run, find_run

    if node is not None:
        with open_workspace(
            find_root(folder), workspace
        ) as held:  # the code of the project may have changed, and need not load
            run = find_run(held, node)
            if run is not None:
                told = describe_run(held, run)
                emit(told.to_json()) if as_json else click.echo(render_run(told))
                return
    project, opened = open_project(folder, workspace)
    if node is None:
        described = describe_project(project, opened)
        emit(described.to_json()) if as_json else click.echo(render_project(described))
        return
    found = describe_node(project, opened, node)
    emit(found.to_json()) if as_json else click.echo(render_node(found))


@click.command()
@click.argument("text", default="")
@click.option("--owner", default=None, help="Part of the owner's name.")
@click.option("--tag", default=None, help="One of the tags.")
@click.option("--column", default=None, help="Part of the name of a column, feature or key.")
@click.option("--kind", default=None, help="source, view, service, training_set, model, ...")
@click.option("--environment", "-e", default=None, help="Environment to look in.  [default: as in tidewheel.toml]")
@project_options
def search(
    text: str,
    owner: str | None,
    tag: str | None,
    column: str | None,
    kind: str | None,
    environment: str | None,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Search what was applied, by name, owner, tag, column or words; every hit says what it uses and who uses it.

    It reads the ledger: the project's code is loaded only when the environment was never applied.
    """
    from tidewheel.cli.render import render_hits
    from tidewheel.ledger.catalog import Wanted
    from tidewheel.project.load import find_root, read_configuration
    from tidewheel.project.open import open_workspace
    from tidewheel.project.search import search_catalog

    root = find_root(folder)
    with open_workspace(root, workspace) as opened:
        chosen = environment or read_configuration(root).environment
        found = search_catalog(opened, chosen, Wanted(text, owner, tag, column, kind))
    emit([hit.to_json() for hit in found]) if as_json else click.echo(render_hits(found))


@click.command()
@click.argument("left")
@click.argument("right")
@project_options
def diff(left: str, right: str, folder: Path, workspace: str | None, as_json: bool) -> int:
    """Show which nodes differ between two environments, LEFT and RIGHT. Exit code 2 when any does."""
    from tidewheel.cli.render import render_differences
    from tidewheel.project.show import diff_environments

    _, opened = open_project(folder, workspace)
    found = diff_environments(opened, left, right)
    emit([entry.to_json() for entry in found]) if as_json else click.echo(render_differences(left, right, found))
    return 2 if found else 0


@click.command()
@click.argument("node")
@click.argument("other", required=False)
@click.option("--environment", "-e", default=None, help="Compare with this environment.  [default: as in tidewheel.toml]")
@project_options
def why(node: str, other: str | None, environment: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Say which part of NODE's recipe changed, old and new, with file and line; or why nothing would be built.

    With OTHER, NODE and OTHER are builds (ids, recipes, the first characters of them, or model versions such as eta:3 or
    eta@champion), and what differs between the two is shown. Of a step that is as it was applied, its newest build is compared
    with the last one before that had the same plain arguments.
    """
    from tidewheel.cli.render import render_comparison, render_why
    from tidewheel.project.show import explain_node
    from tidewheel.project.why import compare_builds, compare_newest

    project, opened = open_project(folder, workspace)
    if other is not None:
        compared = compare_builds(opened, node, other)
        emit(compared.to_json()) if as_json else click.echo(render_comparison(compared))
        return
    found = explain_node(project, opened, node, environment=environment or project.configuration.environment)
    if not found.reasons and found.node.startswith("step:"):
        newest = compare_newest(opened, found.node)
        if newest is not None:
            emit(newest.to_json()) if as_json else click.echo(render_comparison(newest))
            return
    emit(found.to_json()) if as_json else click.echo(render_why(found))


@click.command()
@click.argument("build")
@click.option("--tolerance", default=0.0, help="Difference of numbers that counts as equal, relative above 1.  [default: 0]")
@click.option("--here", is_flag=True, help="In this environment, with the code and the data as they are now.")
@click.option("--timeout", default=None, help="End the build in the clean environment after so long, such as 30m.")
@project_options
def repro(
    build: str, tolerance: float, here: bool, timeout: str | None, folder: Path, workspace: str | None, as_json: bool
) -> int:
    """Build BUILD (a build, MODEL@ALIAS, a training set or a model) again from nothing, and compare the content.

    It is built in a clean environment of the locked versions, from the recorded code and the inputs as they were. Exit code 2
    when the content differs by more than the tolerance.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.cli.render import render_repetition, render_reproduction
    from tidewheel.clock import parse_duration
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace
    from tidewheel.project.repeat import repeat
    from tidewheel.project.reproduce import reproduce

    if here:
        project, opened = open_project(folder, workspace)
        with progress() as shown:
            found = reproduce(project, opened, build, progress=shown)
        emit(found.to_json()) if as_json else click.echo(render_reproduction(found))
        return 0 if found.equal else 2
    with open_workspace(find_root(folder), workspace) as room, progress() as shown:
        limit = None if timeout is None else parse_duration(timeout)
        repeated = repeat(room, build, tolerance=tolerance, timeout=limit, progress=shown)
    emit(repeated.to_json()) if as_json else click.echo(render_repetition(repeated))
    return 2 if repeated.verdict == "different" else 0
