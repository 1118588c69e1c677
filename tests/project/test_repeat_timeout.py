"""A build in the clean environment that takes too long: ended, with all that it has started."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tidewheel.clock import SECOND, Micros
from tidewheel.errors import StepFailed
from tidewheel.ledger.definition import node_id
from tidewheel.project.repeat import run_apart

STARTS_ANOTHER = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child").write_text(str(child.pid))
time.sleep(60)
"""


def test_a_build_that_takes_too_long_is_ended_with_its_children_and_the_fix_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_ANOTHER]
    node = node_id("model", "eta")
    with pytest.raises(StepFailed, match="model:eta was not built again within 2s") as told:
        run_apart(command, tmp_path, node=node, engine="duckdb", timeout=Micros(2 * SECOND))
    assert told.value.fix == "give it more time: --timeout"
    child = Path("/proc", (tmp_path / "child").read_text())
    for _ in range(100):
        if not child.exists() or " Z " in (child / "stat").read_text():
            return
        time.sleep(0.02)
    raise AssertionError("the child of the build is still at work")


def test_a_build_that_fails_in_time_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such column: ' + sys.stdin.read())"]
    with pytest.raises(StepFailed, match="cannot be built again: no such column: duckdb"):
        run_apart(command, tmp_path, node=node_id("model", "eta"), engine="duckdb", timeout=Micros(60 * SECOND))
