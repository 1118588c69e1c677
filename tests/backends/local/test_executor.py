"""Executor on local worker processes: the port's contract, and what happens when the driver is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.backends.local.executor import KEPT_BYTES, LocalExecutor, open_executor
from tidewheel.testing.executor import ExecutorContract, job, wait, wait_for, wait_gone

COMMAND = [sys.executable, str(Path(__file__).with_name("probe_worker.py"))]


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[LocalExecutor]:
        opened = open_executor(command=COMMAND, folder=tmp_path / "jobs", workers=2)
        yield opened
        opened.close()

    def test_workers_are_kept_warm(self, executor: LocalExecutor) -> None:
        pids = set()
        for _ in range(5):
            made = executor.submit(job("pid"))
            pids.add(wait(executor, [made])[made].result)
        assert len(pids) <= 2

    @pytest.mark.slow
    def test_answers_that_nobody_asks_for_are_bounded(self, executor: LocalExecutor, tmp_path: Path) -> None:
        size, count = 8 << 20, 24
        jobs = [executor.submit(job("large", bytes=size, file=str(tmp_path / f"{n}.ran"))) for n in range(count)]
        most = KEPT_BYTES // size + 2  # one more on each worker when the bound is met
        before = -1
        while (ran := len(list(tmp_path.glob("*.ran")))) != before or ran < KEPT_BYTES // size:
            before = ran
            time.sleep(0.3)
        assert ran <= most < count
        for each in jobs:
            assert len(wait(executor, [each])[each].result) == size
            executor.forget(each)

    def test_a_worker_that_cannot_start_fails_the_job(self, tmp_path: Path) -> None:
        opened = open_executor(command=["/no/such/program"], folder=tmp_path, workers=1)
        made = opened.submit(job("pid"))
        assert "could not be started" in wait(opened, [made])[made].error
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_and_their_children_end_with_the_driver(tmp_path: Path, end: signal.Signals) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(
        textwrap.dedent(
            f"""
            import time
            from tidewheel.backends.local.executor import open_executor
            from tidewheel.testing.executor import job
            executor = open_executor(command={COMMAND!r}, workers=2)
            executor.submit(job("child", file={str(tmp_path / "child")!r}))
            executor.submit(job("sleep", seconds=600, file={str(tmp_path / "worker")!r}))
            time.sleep(600)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(driver)], stderr=subprocess.DEVNULL)
    pids = [int(wait_for(tmp_path / name)) for name in ("child", "worker")]
    os.kill(process.pid, end)
    process.wait()
    for pid in pids:
        wait_gone(pid)
