"""Environment variables of a step: seen by it and by what it calls, and by nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pipelines.workspace import COMMAND, workspace

from tidewheel.backends.local.executor import LocalExecutor
from tidewheel.ports.executor import Executor

NAME = "TIDEWHEEL_TEST_THREADS"

STEPS = f"""
@tw.step(env={{"{NAME}": "3"}})
def inside(x):
    mark(f"inside-{{x}}")
    return os.environ["{NAME}"], outside_of(x)

def outside_of(x):
    return os.environ.get("{NAME}")

@tw.step
def other(x):
    mark(f"other-{{x}}")
    return os.environ.get("{NAME}")

@tw.step(env={{"{NAME}": "9"}})
def unread(x):
    mark(f"unread-{{x}}")
    return x
"""


@pytest.fixture(params=["here", "workers"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor | None]:
    if request.param == "here":
        yield None
        return
    opened = LocalExecutor(COMMAND, folder=tmp_path / "jobs", workers=1)
    yield opened
    opened.close()


def test_a_step_has_its_own_variables_and_leaves_none_behind(tmp_path: Path, executor: Executor | None) -> None:
    assert NAME not in os.environ
    with workspace(tmp_path, STEPS, executor=executor) as ws:
        for _ in range(2):
            steps = ws.steps()
            with ws.session.active():
                assert steps.inside(1) == ("3", "3")
                assert steps.other(1) is None
                assert steps.unread(1) == 1
        assert ws.marks == ["inside-1", "other-1", "unread-1"], "all are known the second time"
        ws.write(STEPS.replace('"3"', '"4"').replace('"9"', '"8"'))
        steps = ws.steps()
        with ws.session.active():
            assert steps.inside(1) == ("4", "4"), "it reads the variable, so another value is another result"
            assert steps.unread(1) == 1
        assert ws.marks == ["inside-1", "other-1", "unread-1", "inside-1"]
    assert NAME not in os.environ
