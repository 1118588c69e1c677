"""Verbs that make things: init, plan, apply, run, and the quiet ones under admin."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from tidewheel.cli.options import (
    accept_option,
    accepted,
    emit,
    environment_argument,
    given,
    open_only,
    open_project,
    param_option,
    project_options,
    strict_option,
)
from tidewheel.clock import format_instant


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON on stdout.")
def init(name: str, as_json: bool) -> None:
    """Make a new project NAME, small and running."""
    from tidewheel.project.initialize import initialize

    root = initialize(Path(name))
    if as_json:
        emit({"project": root.name, "folder": str(root)})
        return
    click.echo(f"made {root}\nnext: cd {name} && tidewheel plan && tidewheel apply --yes")


@click.command()
@environment_argument
@click.option(
    "--out", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan, to be applied exactly or not at all."
)
@click.option("--measure", is_flag=True, help="Compute features anew in a sample of training rows too; it reads the sources.")
@strict_option
@project_options
def plan(environment: str | None, out: Path | None, measure: bool, folder: Path, workspace: str | None, as_json: bool) -> int:
    """Show what differs between the files and ENVIRONMENT, and why. Exit code 2 when something does.

    Of what Python computes, the new values are held to those of a sample of training rows: how many differ, PSI, nulls.
    """
    from tidewheel.cli.render import render_plan
    from tidewheel.project.plan_file import plan_to_json, save_plan
    from tidewheel.project.survey import make_plan

    project, opened = open_project(folder, workspace)
    made = make_plan(project, opened, environment or project.configuration.environment, thorough=measure)
    if out is not None:
        save_plan(made, out)
    if as_json:
        emit(plan_to_json(made))
    else:
        click.echo(render_plan(made))
    return 0 if made.empty else 2


@click.command()
@environment_argument
@click.option(
    "--plan", "saved", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Apply this saved plan exactly."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--reason", default="", help="Kept in the environment's history.")
@accept_option
@strict_option
@project_options
def apply(
    environment: str | None,
    saved: Path | None,
    yes: bool,
    dry_run: bool,
    reason: str,
    folder: Path,
    workspace: str | None,
    as_json: bool,
) -> int:
    """Bring ENVIRONMENT to what the files say: build what is missing, then move the pointers."""
    from tidewheel.cli.progress import progress
    from tidewheel.cli.render import render_applied, render_plan
    from tidewheel.project.apply import applied_to_json, apply_plan
    from tidewheel.project.plan_file import load_plan, plan_to_json
    from tidewheel.project.survey import make_plan

    project, opened = open_project(folder, workspace)
    name = environment or project.configuration.environment
    made = load_plan(saved, environment) if saved is not None else make_plan(project, opened, name)
    if not as_json:
        click.echo(render_plan(made), err=True)
    if made.empty or dry_run:
        if as_json:
            emit(plan_to_json(made))
        return 2 if dry_run and not made.empty else 0
    if not yes:
        click.confirm("apply this plan?", abort=True, err=True)
    with progress() as shown:
        applied = apply_plan(project, opened, made, reason=reason, accept=accepted(), progress=shown)
    if as_json:
        emit(applied_to_json(applied))
    else:  # the plan has told its warnings
        reports = tuple(one for one in applied.reports if one not in made.warnings)
        click.echo(render_applied(replace(applied, reports=reports)))
    return 3 if applied.gate_failed else 0


@click.command()
@click.argument("node")
@click.option("--environment", "-e", default=None, help="Environment to run for.  [default: as in tidewheel.toml]")
@click.option("--reason", default="by hand", help="Kept with what is built.")
@click.option("--dry-run", is_flag=True, help="Show what would be built and stop.")
@param_option
@strict_option
@project_options
def run(
    node: str, environment: str | None, reason: str, dry_run: bool, folder: Path, workspace: str | None, as_json: bool
) -> int:
    """Build NODE and what it needs from the data as it is now; a model goes on to its gate and deployment.

    Running a monitor judges every window that is complete and not judged yet. A pipeline takes --param, and what its steps gave
    before is not computed again.
    """
    from tidewheel.cli.progress import progress
    from tidewheel.cli.render import render_applied, render_monitoring, render_pipeline, render_plan
    from tidewheel.project.apply import applied_to_json
    from tidewheel.project.plan import BUILT_KINDS
    from tidewheel.project.run import plan_node, run_monitor, run_node
    from tidewheel.project.run_pipeline import run_pipeline

    project, opened = open_project(folder, workspace)
    declaration = project.graph.find(node, kinds={*BUILT_KINDS, "pipeline"})
    name = environment or project.configuration.environment
    if declaration.kind == "pipeline":
        if dry_run:
            raise click.UsageError("what a pipeline would run is known only by running its body: --dry-run is for other nodes")
        with progress() as shown:
            done = run_pipeline(opened, declaration, given=given(), environment=name, reason=reason, progress=shown)
        emit(done.to_json()) if as_json else click.echo(render_pipeline(done))
        return 0
    if given():
        raise click.UsageError(f"--param is for pipelines, and {declaration.id} is none")
    if declaration.kind == "monitor":
        with progress() as shown:
            judged = run_monitor(project, opened, declaration, environment=name, progress=shown)
        emit(judged.to_json()) if as_json else click.echo(render_monitoring(judged))
        return 2 if judged.opened else 0
    if dry_run:
        click.echo(render_plan(plan_node(project, opened, declaration, environment=name)))
        return 0
    with progress() as shown:
        applied = run_node(project, opened, declaration, environment=name, reason=reason, progress=shown)
    emit(applied_to_json(applied)) if as_json else click.echo(render_applied(applied))
    return 3 if applied.gate_failed else 0


@click.command()
@click.argument("run")
@project_options
def cancel(run: str, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Stop RUN, which is at work here or elsewhere: its id, the first characters of it, or "last".

    Its process stops it within a second, with the steps that are at work on workers, and it shows as cancelled. What is
    finished is kept: run again it goes on.
    """
    from tidewheel.errors import NotFound
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace
    from tidewheel.project.show_run import find_run

    with open_workspace(find_root(folder), workspace) as opened:  # the code need not load
        found = find_run(opened, run)
        if found is None:
            raise NotFound(f"no run {run!r}", where=run, fix="see runs with: tidewheel show last")
        opened.runs.cancel(found.id, actor=opened.actor)
    emit({"run": found.id}) if as_json else click.echo(f"run {found.id} is asked to stop")


@click.group()
def admin() -> None:
    """The rest: what the platform does by itself, by hand."""


@admin.command()
@project_options
def compact(folder: Path, workspace: str | None, as_json: bool) -> None:
    """Turn closed segments of the prediction and push logs into Parquet."""
    from tidewheel.project.maintain import compact_logs

    project, opened = open_project(folder, workspace)
    done = compact_logs(project, opened)
    emit(done) if as_json else click.echo("\n".join(f"{name}: {count} rows" for name, count in done.items()) or "nothing to do")


@admin.command()
@project_options
def collect(folder: Path, workspace: str | None, as_json: bool) -> None:
    """Drop versions of views from the online store that no file, no environment and no answering model points at.

    What lies in the ledger and among the artifacts is the matter of tidewheel admin gc.
    """
    from tidewheel.project.keep_views import collect_views

    project, opened = open_project(folder, workspace)
    gone = collect_views(project, opened)
    emit(gone) if as_json else click.echo("\n".join(f"{name}: {count} keys" for name, count in gone.items()) or "nothing to do")


@admin.command()
@click.argument("view")
@project_options
def rebuild(view: str, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Write all online rows of VIEW anew, from its source: what was damaged in the store is right again.

    They are written beside those that stand, which answer in running servers until the new ones are complete.
    """
    from tidewheel.features.definition import view_of
    from tidewheel.project.keep_views import rebuild_view

    project, opened = open_project(folder, workspace)
    found = view_of(project.graph.find(view, kinds={"view"}).definition)  # type: ignore[arg-type]  # of this kind
    done = rebuild_view(opened, found)
    told = {"view": found.name, "keys": done.keys, "until": format_instant(done.until)}
    emit(told) if as_json else click.echo(f"{found.name}: {done.keys} keys online, as of {told['until']}")


@admin.command()
@click.option("--dry-run", is_flag=True, help="List what would go, with sizes, and stop.")
@click.option("--keep-history", default=20, show_default=True, help="Moves of each environment that can be gone back to.")
@click.option("--keep", default="30d", show_default=True, help="Moves, builds and logs that are younger stay.")
@click.option(
    "--grace", default="1d", show_default=True, help="How long an artifact stays that nothing points at; at least 2h."
)
@project_options
def gc(dry_run: bool, keep_history: int, keep: str, grace: str, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Retire builds that no pointer reaches, and remove their artifacts: once now, and again when the grace period is over.

    Pointers of environments and their kept history, model versions, routes and runs are what reaches. Rows of the online
    store are the matter of tidewheel admin collect.
    """
    from tidewheel.cli.render import render_garbage
    from tidewheel.clock import parse_duration
    from tidewheel.ledger.collect import Retention
    from tidewheel.project.collect import collect_garbage
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace

    kept = Retention(keep_history, parse_duration(keep))
    with open_workspace(find_root(folder), workspace) as opened:  # the code need not load: it keeps nothing
        found = collect_garbage(opened, kept, grace=parse_duration(grace), dry_run=dry_run)
    emit(found.to_json()) if as_json else click.echo(render_garbage(found, dry_run=dry_run))


@admin.command()
@click.argument("environment", required=False)
@project_options
def history(environment: str | None, folder: Path, workspace: str | None, as_json: bool) -> None:
    """Who changed what, when: the audit trail, newest first; or the moves of ENVIRONMENT, with the reasons."""
    from tidewheel.cli.render import moves_to_json, render_audit, render_history
    from tidewheel.project.pointed import check_environment

    opened = open_only(folder, workspace)
    if environment is not None:
        moves = opened.ledger.history(check_environment(opened, environment).name)
        emit(moves_to_json(moves)) if as_json else click.echo(render_history(moves))
        return
    entries = opened.audit.list()
    emit([asdict(entry) for entry in entries]) if as_json else click.echo(render_audit(entries))
