"""Backfills by the command, as a user types it: each partition once, through stops, kills, failures and edits."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.journeys.acting import Project

from tidewheel.errors import Invalid
from tidewheel.pipelines.partition import arguments_for, list_partitions

STEP = """
import os, pathlib, time
import tidewheel as tw

HERE = pathlib.Path(__file__).parent

@tw.pipeline
def days(day: tw.Partition) -> int:
    return load_day(day)

def mark(day):
    # Not through open(), which would be recorded as a read of the step.
    number = os.open(HERE / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(number, f"{day.start:%Y-%m-%d} {os.getpid()}\\n".encode())
    os.close(number)

@tw.step(reads=[])
def load_day(day: tw.Partition, factor: int = 2) -> int:
    mark(day)
    if os.path.exists(HERE / "slow"):
        time.sleep(0.3)
    if day.start.day == 3 and os.path.exists(HERE / "broken"):
        raise ValueError("no file of the third")
    return day.start.day * factor
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "tidewheel.toml").write_text('project = "by_day"\n')
    (tmp_path / "by_day.py").write_text(STEP)
    return Project(tmp_path)


def backfill(project: Project, to: str, *options: str, node: str = "load_day") -> list[str]:
    return ["backfill", node, "--from", "2026-01-01", "--to", to, *options]


def marks(project: Project) -> Counter[str]:
    place = project.root / "marks"
    return Counter(line.split()[0] for line in place.read_text().splitlines()) if place.exists() else Counter()


@pytest.mark.slow
def test_finished_partitions_are_not_repeated_and_failed_ones_are_tried_again(project: Project) -> None:
    (project.root / "broken").touch()
    told = project.json(*backfill(project, "2026-01-05"), code=1)
    assert (told["partitions"], told["done"], told["ran"]) == (4, 3, 4)
    (failed,) = told["failed"]
    assert failed["partition"] == "2026-01-03T00:00:00Z/2026-01-04T00:00:00Z"
    assert "no file of the third" in failed["error"]
    (project.root / "broken").unlink()
    told = project.json(*backfill(project, "2026-01-06"))
    assert (told["partitions"], told["done"], told["ran"], told["failed"]) == (5, 5, 2, [])
    assert marks(project) == {f"2026-01-0{day}": 1 + (day == 3) for day in range(1, 6)}
    assert project.json(*backfill(project, "2026-01-06", "--again"))["ran"] == 5
    assert sum(marks(project).values()) == 6, "asked for again, and known"
    project.edit("by_day.py", "factor: int = 2", "factor: int = 3")
    assert project.json(*backfill(project, "2026-01-03"))["ran"] == 2, "other code is another backfill"


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on_where_it_was(project: Project) -> None:
    (project.root / "slow").touch()
    first = project.start(*backfill(project, "2026-01-11", "--workers", "2", node="days"))
    while sum(marks(project).values()) < 3:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    pids = {int(line.split()[1]) for line in (project.root / "marks").read_text().splitlines()} | {first.pid}
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = marks(project)
    (project.root / "slow").unlink()
    told = project.json(*backfill(project, "2026-01-11", "--workers", "2", node="days"))
    assert (told["partitions"], told["done"], told["failed"]) == (10, 10, [])
    after = marks(project)
    assert set(after) == {f"2026-01-{day:02}" for day in range(1, 11)}
    repeated = sum(after.values()) - len(after)
    assert repeated <= 2, f"only what was at work when it was killed is run once more: {before} then {after}"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_partitions_of_days_follow_the_clock_of_the_place() -> None:
    days = list_partitions("2026-03-28", "2026-03-31", every="1d", timezone="Europe/Berlin")
    assert [(day.end - day.start).total_seconds() / 3600 for day in days] == [24, 23, 24]
    hours = list_partitions("2026-03-29", "2026-03-30", every="1h", timezone="Europe/Berlin")
    assert len(hours) == 23
    assert all(one.end == other.start for one, other in itertools.pairwise(hours))


@pytest.mark.parametrize(
    ("start", "end", "every", "message"),
    [
        ("2026-01-01", "2026-01-01", "1d", "no time from"),
        ("2026-01-01", "2026-01-04", "2d", "do not end at 2026-01-04"),
        ("2026-01-01", "2027-01-01", "1s", "more than 100,000"),
        ("2026-01-01", "tomorrow", "1d", "not a time"),
        ("2026-01-01", "2026-01-02", "0s", "no length"),
    ],
)
def test_times_that_cannot_be_cut_are_refused(start: str, end: str, every: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        list_partitions(start, end, every=every)


def test_a_function_that_takes_no_partition_is_refused() -> None:
    def load(table: str) -> str:
        return table

    (day,) = list_partitions("2026-01-01", "2026-01-02", every="1d")
    with pytest.raises(Invalid, match="load takes no partition"):
        arguments_for(load, day, where="f.py:1")
