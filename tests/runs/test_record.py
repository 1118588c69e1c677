"""A run keeps what it was told, whatever happens to its process."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from tests.runs.conftest import Ticks

from tidewheel.clock import MINUTE
from tidewheel.digest import digest
from tidewheel.errors import Conflict, Invalid, NotFound
from tidewheel.runs.definition import RunStatus
from tidewheel.runs.record import Runs
from tidewheel.runs.tables import runs as runs_table


def test_keeps_everything_it_was_told(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "plot.txt").write_text("a plot")
    with runs.start(
        "eta",
        experiment="taxi",
        parameters={"lr": 0.1},
        recipe=digest(1),
        actor="ann",
        environment_lock={"numpy": "2"},
        tags={"a": "b"},
    ) as run:
        run.parameters(depth=3, lr=0.1)
        run.log(mae=4.5)
        run.log(step=7, mae=4.0, rmse=np.float64(6))
        run.artifact("note", b"hello")
        run.artifact("plot", tmp_path / "plot.txt")
        run.tag(a="c", more="x")
    kept = runs.get(run.id)
    assert kept.status is RunStatus.FINISHED
    assert (kept.name, kept.experiment, kept.actor, kept.recipe) == ("eta", "taxi", "ann", digest(1))
    assert kept.parameters == {"depth": "3", "lr": "0.1"}
    assert kept.metrics == {"mae": 4.0, "rmse": 6.0}
    assert kept.tags == {"a": "c", "more": "x"}
    assert {name: runs.artifacts.get(found) for name, found in kept.artifacts.items()} == {"note": b"hello", "plot": b"a plot"}
    assert json.loads(runs.artifacts.get(kept.environment)) == {"numpy": "2"}
    assert {"cpus", "memory_bytes", "python", "platform", "cpu_seconds", "peak_memory_bytes"} <= set(kept.facts)
    assert kept.ended_at is not None
    assert kept.ended_at > kept.started_at


def test_the_installed_distributions_are_recorded_by_default(runs: Runs) -> None:
    with runs.start("eta", experiment="taxi") as run:
        pass
    lock = json.loads(runs.artifacts.get(runs.get(run.id).environment))
    assert lock["numpy"] == np.__version__


def test_metrics_keep_nan_and_infinities_and_count_steps_by_themselves(runs: Runs) -> None:
    values = [1.0, math.nan, math.inf, -math.inf]
    with runs.start("eta", experiment="taxi", environment_lock={}) as run:
        for value in values:
            run.log(loss=value)
        run.log(other=1.0)
    found = runs.history(run.id, "loss")
    assert [point.step for point in found] == [0, 1, 2, 3]
    assert str([point.value for point in found]) == str(values)
    assert runs.get(run.id).metrics["loss"] == -math.inf
    assert [point.step for point in runs.history(run.id, "other")] == [0]
    assert runs.history(run.id, "unknown") == []


def test_the_latest_value_is_that_of_the_greatest_step_however_it_arrives(runs: Runs) -> None:
    with runs.start("eta", experiment="taxi", environment_lock={}) as run:
        run.log(5, loss=0.5)
        run.log(5, loss=0.6)
        run.flush()
        run.log(2, loss=0.2)
        run.flush()
        assert runs.get(run.id).metrics == {"loss": 0.6}
        run.log(5, loss=math.nan)
    assert math.isnan(runs.get(run.id).metrics["loss"])
    assert [(point.step, str(point.value)) for point in runs.history(run.id, "loss")] == [
        (2, "0.2"),
        (5, "0.5"),
        (5, "0.6"),
        (5, "nan"),
    ]


def test_many_points_from_many_threads_are_all_kept(runs: Runs) -> None:
    with runs.start("eta", experiment="taxi", environment_lock={}) as run:

        def work(name: str) -> None:
            for value in range(1_500):
                run.log(None, **{name: float(value)})

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in ("a", "b"):
        assert [point.value for point in runs.history(run.id, name)] == [float(value) for value in range(1_500)]


def test_metrics_are_written_while_the_run_goes_on(runs: Runs) -> None:
    with runs.start("eta", experiment="taxi", environment_lock={}) as run:
        run.log(loss=1.0)
        give_up = time.monotonic() + 60
        while not runs.history(run.id, "loss"):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert runs.get(run.id).status is RunStatus.RUNNING


def test_a_run_that_raises_has_failed_and_says_why(runs: Runs) -> None:
    with pytest.raises(ValueError, match="boom"), runs.start("eta", experiment="taxi", environment_lock={}) as run:
        run.log(loss=1.0)
        raise ValueError("boom")
    kept = runs.get(run.id)
    assert (kept.status, kept.error, kept.metrics) == (RunStatus.FAILED, "ValueError: boom", {"loss": 1.0})


def test_a_block_that_is_stopped_by_ctrl_c_is_cancelled(runs: Runs) -> None:
    with pytest.raises(KeyboardInterrupt), runs.start("eta", experiment="taxi", environment_lock={}) as run:
        raise KeyboardInterrupt
    assert runs.get(run.id).status is RunStatus.CANCELLED


def test_what_a_run_refuses(runs: Runs, tmp_path: Path) -> None:
    with runs.start("eta", experiment="taxi", parameters={"lr": 0.1}, environment_lock={}) as run:
        with pytest.raises(Invalid, match="cannot become"):
            run.parameters(lr=0.2)
        with pytest.raises(Invalid, match="is a text"):
            run.log(loss="low")  # type: ignore[arg-type]  # that is the point
        with pytest.raises(Invalid, match="one number"):
            run.log(loss=None)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(Invalid, match="not a file"):
            run.artifact("x", tmp_path / "absent")
    with pytest.raises(Conflict, match="has finished"):
        run.log(loss=1.0)
    with pytest.raises(NotFound):
        runs.get("0" * 32)
    with pytest.raises(Invalid):
        runs.start("", experiment="taxi")


def test_no_thread_is_left_when_the_last_run_has_finished(runs: Runs) -> None:
    with runs.start("eta", experiment="taxi", environment_lock={}), runs.start("eta", experiment="taxi", environment_lock={}):
        assert any(thread.name == "tidewheel-runs" for thread in threading.enumerate())
    assert not any(thread.name == "tidewheel-runs" for thread in threading.enumerate())


KILLED = """
import sys
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.runs.record import Runs
runs = Runs(Database.open(sys.argv[1]), ArtifactStore.open(sys.argv[2]), system_clock)
run = runs.start("eta", experiment="taxi", parameters={"lr": 0.1}, environment_lock={})
run.log(loss=1.0)
run.flush()
print(run.id, flush=True)
sys.stdin.read()
"""


def test_a_run_whose_process_was_killed_is_interrupted(runs: Runs, database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, database_url, f"file://{tmp_path}/artifacts"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        assert runs.get(run_id).status is RunStatus.RUNNING
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = runs.get(run_id)
    assert kept.status is RunStatus.INTERRUPTED
    assert kept.ended_at is not None
    assert "died" in kept.error
    assert (kept.metrics, kept.parameters) == ({"loss": 1.0}, {"lr": "0.1"})
    assert [found.id for found in runs.search("status = 'interrupted'").runs] == [run_id]


def test_a_run_on_another_machine_is_dead_after_a_minute_of_silence(runs: Runs, clock: Ticks) -> None:
    run = runs.start("eta", experiment="taxi", environment_lock={})
    try:
        with runs.database.write() as connection:
            connection.execute(sa.update(runs_table).values(host="elsewhere"))
        assert runs.get(run.id).status is RunStatus.RUNNING
        clock.now += 2 * MINUTE
        assert runs.get(run.id).status is RunStatus.INTERRUPTED
        run.beat()
        assert runs.get(run.id).status is RunStatus.RUNNING, "it lives: the silence was the network's"
    finally:
        run.finish()


def test_a_process_that_took_the_number_of_a_dead_one_is_not_mistaken_for_it(runs: Runs) -> None:
    run = runs.start("eta", experiment="taxi", environment_lock={})
    try:
        with runs.database.write() as connection:
            connection.execute(sa.update(runs_table).values(process_started=1))
        assert runs.get(run.id).status is RunStatus.INTERRUPTED
    finally:
        run.finish()
    assert runs.get(run.id).status is RunStatus.FINISHED
