"""Ctrl-C of a backfill with helpers: it reaches the whole group of the terminal, and leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEFINITIONS = """
import os, pathlib, time
import tidewheel as tw


@tw.step(reads=[])
def part(day: str) -> str:
    pathlib.Path(f"at_work.{os.getpid()}").touch()
    time.sleep(60)
    return day


@tw.pipeline
def days(each: tw.Partition) -> str:
    return part(str(each.start))
"""


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_all_processes_of_a_backfill_at_once(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "days"\n')
    (tmp_path / "days.py").write_text(DEFINITIONS)
    asked = ["backfill", "days", "--from", "2026-01-01", "--to", "2026-01-05", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tidewheel", *asked], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while len(at_work := list(tmp_path.glob("at_work.*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=25)  # a helper that hangs is waited for longer
    assert process.returncode == 1
    assert "run it again to go on: finished steps are not run twice" in told
    assert not [path for path in at_work if Path("/proc", path.suffix[1:]).exists()]
