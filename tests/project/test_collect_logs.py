"""Logs go with garbage: of old runs that nothing points at, and of no other."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa
from click.testing import CliRunner

from tidewheel.cli import cli
from tidewheel.clock import DAY, SECOND, system_clock
from tidewheel.models.tables import versions
from tidewheel.project.collect import collect_garbage
from tidewheel.project.open import Workspace, open_workspace

OLD = system_clock() / SECOND - 40 * DAY / SECOND


def printed(workspace: Workspace, run: str, *, at: float = OLD) -> Path:
    path = workspace.runs.logs.path(run, "fit", 0, attempt=1)
    path.parent.mkdir(parents=True)
    path.write_text("trained\n")
    os.utime(path, (at, at))
    return path


def ended(workspace: Workspace, **tags: str) -> str:
    with workspace.runs.start("fit", experiment="e", actor="ann", tags=tags) as run:
        return run.id


def test_logs_of_old_runs_go_and_of_those_that_something_points_at_stay(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "logs"\n')
    with open_workspace(tmp_path, actor="ann") as workspace:
        old, trained, young = ended(workspace), ended(workspace), ended(workspace)
        lost_trial, kept_trial = ended(workspace, sweep="s/1", trial="0"), ended(workspace, sweep="s/2", trial="0")
        values = {"model": "eta", "recipe": "r", "content": "c", "format": "f", "files": "{}", "created_at": 0}
        with workspace.database.write() as connection:
            for number, run in enumerate((trained, kept_trial)):
                made = values | {"version": number, "recipe": str(number), "provenance": f'{{"run_id": "{run}"}}'}
                connection.execute(sa.insert(versions).values(made))
        working = workspace.runs.start("fit", experiment="e", actor="ann")
        goes = {name: printed(workspace, name) for name in (old, "s/1", "nobody-knows")}
        stays = [printed(workspace, name) for name in (trained, "s/2", working.id)]
        stays.append(printed(workspace, young, at=OLD + 20 * DAY / SECOND))
        assert lost_trial != kept_trial
        looked = collect_garbage(workspace, dry_run=True)
        assert {one.run for one in looked.logs} == goes.keys()
        assert {one.size_bytes for one in looked.logs} == {8}
        assert all(path.exists() for path in goes.values())
        shown = CliRunner().invoke(cli, ["admin", "gc", "--dry-run", "--project", str(tmp_path)])
        assert "logs of 3 runs that nothing points at would be removed, 24 bytes" in shown.output
        assert collect_garbage(workspace).logs == looked.logs
        assert not any(path.parent.exists() for path in goes.values())
        assert all(path.exists() for path in stays)
        assert collect_garbage(workspace).logs == ()
        assert workspace.runs.get(old).id == old
        working.finish()
