"""From a prediction that drifts to the pipeline that an alert starts: once for an alert, by whoever looks, with its reason."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
from tests.project.test_check_monitors import FIRST, baseline, serve_days

from tidewheel.clock import DAY
from tidewheel.monitors import Monitor
from tidewheel.project.attend import Attendance, attend
from tidewheel.project.initialize import initialize
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace

__all__ = ["baseline"]

ANSWERS = """

@tw.step(reads=[])
def look(again: int) -> str:
    print("looked")
    return "looked"


@tw.pipeline
def answer() -> str:
    return look(1)


tw.trigger(answer, on=tw.alert(watch), name="answers")
"""


def look(root: Path) -> list[str]:
    ran: list[str] = []
    stop = threading.Event()
    attend(root, how=Attendance(once=True), stop=stop, told=lambda task: ran.append(f"{task.trigger} {task.state}"))
    return ran


def test_an_alert_of_drift_starts_a_pipeline_once(tmp_path: Path, baseline: pa.Table) -> None:
    root = initialize(tmp_path / "bakery")
    with (root / "bakery" / "definitions.py").open("a") as file:
        file.write(ANSWERS)
    project = load_project(root)
    watch = project.graph.find("monitor:amount").definition
    assert isinstance(watch, Monitor)
    assert look(root) == []
    with open_workspace(root) as workspace:
        log = workspace.prediction_log("amount")
        serve_days(workspace, 0, 8, amount=30.0)
        workspace.monitors.evaluate_new(watch, log, baseline=baseline, until=FIRST + 8 * DAY)
        assert look(root) == [], "nothing has drifted"
        serve_days(workspace, 8, 14, amount=3_000.0)
        workspace.monitors.evaluate_new(watch, log, baseline=baseline, until=FIRST + 22 * DAY)
        (alert,) = workspace.monitors.list_alerts("amount")
        assert look(root) == ["answers done"]
        assert look(root) == [], "an alert that lasts is answered once"
        (task,) = workspace.tasks.list()
        assert task.reason.startswith(f"alert {alert.id}: drift alert of amount (open)")
        (run,) = [one for one in workspace.runs.search().runs if one.name == "answer"]
        assert run.id in task.run
        assert [line.text() for line in workspace.runs.printed(run.id, "look")] == ["looked\n"]
