"""Pipelines by the command, as a user types it: typed arguments, nesting, and going on after a failure or a stop."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.journeys.acting import Project

from tidewheel.errors import Invalid
from tidewheel.pipelines.compose import Pipeline, pipeline, read_arguments
from tidewheel.testing.executor import wait_gone

PIPELINES = '''from __future__ import annotations
import os, pathlib, time
import tidewheel as tw

HERE = pathlib.Path(__file__).parent

def mark(text):
    # Not through open(), which would be recorded as a read of the step.
    number = os.open(HERE / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(number, f"{text}\\n".encode())
    os.close(number)

@tw.step(reads=[])
def square(x: int) -> int:
    mark(f"square-{x}")
    if x == 2 and os.path.exists(HERE / "broken"):
        raise ValueError("no square of two")
    if x == 3 and os.path.exists(HERE / "slow"):
        mark(f"pid {os.getpid()}")
        time.sleep(60)
    return x * x

@tw.step(reads=[])
def total(xs: list[int]) -> int:
    mark("total")
    return sum(square(x) for x in xs)  # a step that calls steps

@tw.pipeline
def squares(upto: int) -> list[int]:
    """Squares below a number."""
    return tw.map(square, x=list(range(upto)))

@tw.pipeline(owner="ann")
def weekly(upto: int, rates: list[float], double: bool = False) -> dict[str, object]:
    found = squares(upto)
    if double:
        found += squares(upto + 1)
    return {"sum": total([x for x in found if x < 10]), "rates": rates}
'''


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "tidewheel.toml").write_text('project = "weeks"\n')
    (tmp_path / "weeks.py").write_text(PIPELINES)
    return Project(tmp_path)


def marks(project: Project) -> list[str]:
    place = project.root / "marks"
    return place.read_text().splitlines() if place.exists() else []


@pytest.mark.slow
def test_a_failed_pipeline_goes_on_where_it_was_and_nested_ones_share_steps(project: Project) -> None:
    arguments = ["run", "weekly", "--param", "upto=3", "--param", "rates=[0.5]", "--param", "double=true"]
    (project.root / "broken").touch()
    told = project.json(*arguments, code=1)
    assert "no square of two" in str(told)
    shown = project.json("show", "last")
    assert project.json("show", shown["run"][:8]) == shown
    assert (shown["status"], shown["name"]) == ("failed", "pipeline:weekly")
    (step,) = shown["steps"]
    assert (step["step"], step["states"]) == ("square", {"done": 2, "failed": 1})
    assert step["error"] == "ValueError: no square of two"
    assert marks(project) == ["square-0", "square-1", "square-2"]
    (project.root / "broken").unlink()
    done = project.json(*arguments)
    # squares of 0..3, and of 4 and 9 within total: all others were known
    assert sorted(set(marks(project))) == ["square-0", "square-1", "square-2", "square-3", "square-4", "square-9", "total"]
    assert done["result"] == f"{{'sum': {2 * (0 + 1 + 16) + 81}, 'rates': [0.5]}}"
    assert project.json(*arguments)["ran"] == 0
    assert len(marks(project)) == 3 + 5
    shown = project.json("show", done["run"])
    squares, total = shown["steps"]
    assert (squares["states"], squares["inputs"]) == ({"known": 5, "done": 2}, [])
    assert (total["states"], total["inputs"]) == ({"done": 1}, ["square"])
    (inner,) = total["inner"]
    assert inner["states"] == {"known": 5, "done": 2}
    assert "└─ ✔ total  done" in project.run("show", done["run"])
    error = project.json("run", "weekly", "--param", "upto=many", "--param", "rates=[]", code=1)
    assert "upto" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["Ctrl-C", "tidewheel cancel"])
def test_stopped_by_a_user_it_is_cancelled_leaves_no_process_and_goes_on(project: Project, by: str) -> None:
    (project.root / "slow").touch()
    started = project.start("run", "squares", "--param", "upto=5")
    while not any(line.startswith("pid") for line in marks(project)):
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    if by == "Ctrl-C":
        started.send_signal(signal.SIGINT)
    else:
        project.run("cancel", "last")
    started.communicate(timeout=20)
    assert started.returncode == 1
    for line in marks(project):
        if line.startswith("pid"):  # in process, or of a worker
            with pytest.raises(ProcessLookupError):
                os.kill(int(line.split()[1]), 0)
    shown = project.json("show", "last")
    assert shown["status"] == "cancelled"
    assert shown["error"].startswith("cancelled by")
    assert shown["steps"][0]["states"] == {"done": 3, "cancelled": 2}
    assert "cancelled, so there is nothing to cancel" in str(project.json("cancel", shown["run"], code=1))
    (project.root / "slow").unlink()
    done = project.json("run", "squares", "--param", "upto=5")
    assert (done["ran"], done["known"], done["result"]) == (2, 3, "[0, 1, 4, 9, 16]")


@pytest.mark.slow
def test_ended_from_outside_it_leaves_no_worker_and_shows_what_was_at_work(project: Project) -> None:
    (project.root / "slow").touch()
    with (project.root / "tidewheel.toml").open("a") as file:
        file.write('[workspace.local]\nexecutor = "local"\n')
    started = project.start("run", "squares", "--param", "upto=4")
    while not (at_work := [int(line.split()[1]) for line in marks(project) if line.startswith("pid")]):
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    while project.json("show", "last")["steps"][0]["states"] != {"done": 3, "running": 1}:
        assert started.poll() is None, started.communicate()
    os.kill(at_work[0], signal.SIGSTOP)
    while "stopped" not in (step := project.json("show", "last")["steps"][0])["note"]:
        assert started.poll() is None, started.communicate()
    assert step["silent_seconds"] > 0
    os.kill(started.pid, signal.SIGSTOP)
    assert "its process is stopped" in project.json("show", "last")["note"]
    os.kill(started.pid, signal.SIGCONT)
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=20)
    wait_gone(at_work[0])
    shown = project.json("show", "last")
    assert (shown["status"], shown["steps"][0]["states"]) == ("interrupted", {"done": 3, "stopped": 1})
    assert shown["seconds"] >= shown["steps"][0]["seconds"] > 0


def typed(a: int, b: float | None = None, c: bool = False, *, d: str = "") -> None: ...


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": "3"}, {"a": 3}),
        ({"a": "3", "b": "null", "c": "true", "d": "12"}, {"a": 3, "b": None, "c": True, "d": "12"}),
        ({"a": "3", "b": "2.5"}, {"a": 3, "b": 2.5}),
    ],
)
def test_texts_become_what_the_annotations_say(given: dict[str, str], expected: dict[str, object]) -> None:
    assert read_arguments(Pipeline(typed, name="typed", where="f.py:1"), given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, "needs a"), ({"a": "x"}, "a='x' of pipeline typed"), ({"a": "1", "e": "2"}, "has no parameter 'e'")],
)
def test_wrong_arguments_are_told(given: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read_arguments(pipeline(typed), given)
