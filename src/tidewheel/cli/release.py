"""Verbs that move pointers: promote and rollback. Nothing is built."""

from __future__ import annotations

from pathlib import Path

import click

from tidewheel.cli.options import emit, open_only, open_project, project_options


@click.command()
@click.argument("source")
@click.argument("target", required=False)
@click.option("--version", type=int, default=None, help="Promote this version.  [default: the challenger]")
@click.option("--force", is_flag=True, help="Promote although the gate was not passed; recorded.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would move and stop.")
@click.option("--reason", default="by hand", help="Kept in the history.")
@project_options
def promote(
    source: str, target: str | None, version: int | None, force: bool, yes: bool, dry_run: bool, reason: str,
    folder: Path, workspace: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Give a deployment's challenger all of its traffic, or point environment TARGET at what SOURCE points at.

    \b
    tidewheel promote eta          the challenger of deployment eta becomes its champion
    tidewheel promote dev prod     prod points at the recipes of dev
    """
    from tidewheel.cli.render import render_moves
    from tidewheel.project.move_environment import move_planned, plan_environment_promotion
    from tidewheel.project.release import plan_promotion, promote_planned

    if target is not None:
        opened = open_only(folder, workspace)
        planned = plan_environment_promotion(opened, source, target)
    else:
        project, opened = open_project(folder, workspace)
        planned = plan_promotion(project, opened, source, version=version, force=force)
    if not as_json:
        click.echo(render_moves(planned), err=True)
    if dry_run or planned.empty:
        if as_json:
            emit(planned.to_json())
        return 0
    if not yes:
        click.confirm("move?", abort=True, err=True)
    if target is not None:
        move_planned(opened, planned, reason=reason)
    else:
        promote_planned(opened, planned, reason=reason)
    emit(planned.to_json()) if as_json else click.echo("moved")
    return 0


@click.command()
@click.argument("name")
@click.option("--to", type=int, default=None, help="Go back to this revision (deployment) or version (environment).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would move and stop.")
@click.option("--reason", default="by hand", help="Kept in the history.")
@project_options
def rollback(
    name: str, to: int | None, yes: bool, dry_run: bool, reason: str, folder: Path, workspace: str | None, as_json: bool
) -> int:
    """Go back: a deployment to its route before, or an environment to its pointers before. One more entry in the history.

    Nothing is built, and the project's code is not loaded: it may be in the middle of an edit. Servers follow within a second.
    """
    from tidewheel.cli.render import render_moves
    from tidewheel.project.move_environment import move_planned, plan_environment_rollback
    from tidewheel.project.release import plan_rollback, roll_back_planned

    opened = open_only(folder, workspace)
    deployments = opened.routes.list_deployments()
    if name in deployments:
        planned = plan_rollback(opened, name, to=to)
    else:
        planned = plan_environment_rollback(opened, name, to=to, others=deployments)
    if not as_json:
        click.echo(render_moves(planned), err=True)
    if dry_run or planned.empty:
        if as_json:
            emit(planned.to_json())
        return 0
    if not yes:
        click.confirm("move?", abort=True, err=True)
    if name in deployments:
        roll_back_planned(opened, planned, reason=reason)
    else:
        move_planned(opened, planned, reason=reason)
    emit(planned.to_json()) if as_json else click.echo("moved")
    return 0
