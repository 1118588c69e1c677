"""Workers that are killed: another process finishes what they were at, once, on both databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tidewheel.clock import HOUR, SECOND, Micros
from tidewheel.database.open import Database
from tidewheel.triggers.record import LEASE, Tasks
from tidewheel.triggers.task import Order

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow  # processes that import the package: seconds each

START = 1_767_225_600_000_000


@pytest.fixture
def tasks(database: Database, tmp_path: Path) -> Tasks:
    (tmp_path / "clock").write_text(str(START))
    made = Tasks(database, lambda: Micros(int((tmp_path / "clock").read_text())))
    for key in ("1", "2"):
        assert made.add(
            Order(
                trigger="nightly",
                key=key,
                target="model:eta",
                environment="dev",
                lane=key,
                due_at=Micros(int(key)),
                reason="because",
                actor="ann",
            )
        )
    return made


def start(url: str, name: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.triggers.one_worker", url, name, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_work_of_a_killed_worker_is_taken_over_when_its_lease_ends(tasks: Tasks, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "stay").touch()
    first = start(database_url, "first", tmp_path)
    begun(first)
    (tmp_path / "stay").unlink()
    first.kill()
    first.communicate()

    (tmp_path / "clock").write_text(str(START + LEASE - SECOND))
    finish(start(database_url, "second", tmp_path))  # the lease of the first one still holds: only the other task is done
    assert {task.key: (task.state, task.owner) for task in tasks.list()} == {"1": ("running", "first"), "2": ("done", "second")}

    (tmp_path / "clock").write_text(str(START + HOUR))
    finish(start(database_url, "third", tmp_path))
    assert {task.key: task.outcome for task in tasks.list()} == {"1": "by third", "2": "by second"}
    assert (tmp_path / "begun").read_text().splitlines() == ["first 1", "second 2", "third 1"]
    taken = next(task for task in tasks.list() if task.key == "1")
    assert [(one.owner, one.ending) for one in tasks.attempts(taken.id)] == [("first", "lost"), ("third", "done")]


def test_workers_that_start_together_share_the_work(tasks: Tasks, database_url: str, tmp_path: Path) -> None:
    workers = [start(database_url, f"w{number}", tmp_path) for number in range(3)]
    for worker in workers:
        finish(worker)
    assert sorted(line.split()[1] for line in (tmp_path / "begun").read_text().splitlines()) == ["1", "2"]
    assert [task.state for task in tasks.list()] == ["done", "done"]
