"""What ``kill -9`` leaves of a log; real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tidewheel.predictions import PredictionLog, PredictionRow

pytestmark = pytest.mark.slow

Row = Callable[..., PredictionRow]
HERE = Path(__file__).parent


def fill(folder: Path, row: Row) -> set[str]:
    log = PredictionLog(folder)
    for start in (0, 10, 20):
        log.append([row(number) for number in range(start, start + 10)])
        log._records._journal.seal()  # type: ignore[union-attr]  # three segments, as three busy hours would leave
    log.append([row(30), row(3)])
    log.close()
    return {f"p{number}" for number in range(31)}


def check(folder: Path, expected: set[str]) -> None:
    log = PredictionLog(folder)
    found = log._records.read(["prediction_id"])
    every = [name for table in found for name in table["prediction_id"].to_pylist()]
    log.close()
    assert set(every) == expected
    assert len(every) == len(expected) + 1  # p3 was answered twice; below the removal of doubles each record counts once


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_compaction_killed_at_any_file_operation_loses_and_doubles_nothing(tmp_path: Path, row: Row, step: int) -> None:
    point, complete = 1, False
    while not complete:
        folder = tmp_path / str(point)
        expected = fill(folder, row)
        child = subprocess.run(
            [sys.executable, str(HERE / "killed_compaction.py"), str(folder), str(point)],
            capture_output=True,
            text=True,
            check=False,
        )
        complete = child.stdout.strip() == "complete"
        assert complete or child.returncode == -9, child.stderr
        check(folder, expected)
        log = PredictionLog(folder)
        log.compact()
        check(folder, expected)
        log.close()
        assert not list(folder.glob("*.tmp")) and not list(folder.glob("*.sealed"))
        point += step
    assert point > 12


@pytest.mark.parametrize("answers", [1, 40, 400])
def test_every_answered_prediction_is_in_the_log_after_kill_nine(tmp_path: Path, answers: int) -> None:
    command = [sys.executable, "-m", "tests.predictions.killed_writer", str(tmp_path)]
    child = subprocess.Popen(command, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = [child.stdout.readline().strip() for _ in range(answers)]
    child.kill()
    answered += child.stdout.read().split("\n")[:-1]
    child.wait()
    child.stdout.close()
    log = PredictionLog(tmp_path)
    found = log.read(columns=["prediction_id"])["prediction_id"].to_pylist()
    assert len(set(found)) == len(found)
    assert {f"p{number}" for number in answered} <= set(found)
    assert len(found) - len(answered) <= 1  # at most the one that was written and whose answer had not left
    log.compact()
    assert log.read(columns=["prediction_id"])["prediction_id"].to_pylist() == found
    assert not list(tmp_path.glob("*.log"))
    log.close()
