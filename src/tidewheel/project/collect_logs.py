"""Collect what steps have printed, of runs that nobody points at any more."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tidewheel.clock import SECOND, Micros
from tidewheel.models.tables import versions
from tidewheel.project.open import Workspace
from tidewheel.runs.definition import RunStatus
from tidewheel.runs.tables import runs, tags


@dataclass(frozen=True, slots=True)
class OldLogs:
    """The logs of one run or sweep; ``printed_at`` is when something was printed last."""

    run: str
    printed_at: Micros
    size_bytes: int


def collect_logs(workspace: Workspace, *, before: Micros, reached: AbstractSet[str], dry_run: bool) -> tuple[OldLogs, ...]:
    """Remove logs to which nothing was printed since an instant; answers them, those with most bytes first.

    The logs of a run stay while it is at work, while a model version was trained by it, and while its recipe is reached; those
    of a sweep as long as those of one of its trials. The run itself, with its parameters and metrics, stays in any case.

    Parameters
    ----------
    reached
        The recipes that are reached.
    """
    kept = _kept(workspace, reached)
    found = []
    for run, folder in workspace.runs.logs.list_folders():
        files = [(stat.st_mtime, stat.st_size) for path in folder.iterdir() if (stat := _stat(path)) is not None]
        last = Micros(int(max((at for at, _ in files), default=folder.stat().st_mtime) * SECOND))
        if run not in kept and last < before:
            found.append(OldLogs(run, last, sum(size for _, size in files)))
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)  # what is left after a kill is found by the next collection
    return tuple(sorted(found, key=lambda one: (-one.size_bytes, one.run)))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # two collections at once
        return None


def _kept(workspace: Workspace, reached: AbstractSet[str]) -> set[str]:
    with workspace.database.read() as connection:
        trained = {json.loads(text)["run_id"] for text in connection.scalars(sa.select(versions.c.provenance))}
        held = {
            row.id
            for row in connection.execute(sa.select(runs.c.id, runs.c.status, runs.c.recipe))
            if row.status == RunStatus.RUNNING.value or row.id in trained or row.recipe in reached
        }
        swept = sa.select(tags.c.run_id, tags.c.value).where(tags.c.key == "sweep")
        return held | {row.value for row in connection.execute(swept) if row.run_id in held}
