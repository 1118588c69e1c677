"""What an alert starts is a task: once for each time that it asks, never beside another run of the node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tidewheel.clock import HOUR, Micros
from tidewheel.errors import Invalid, Unavailable
from tidewheel.ledger.definition import Declaration, node_id
from tidewheel.monitors.alert import Alert
from tidewheel.project.apply import Applied
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.retrain import retrain
from tidewheel.triggers.task import Order, Outcome

START = Micros(1_767_225_600_000_000)
ALERT = Alert("a1", "watch", "eta", "drift", "open", 1, START, START, START, START, 1, ())
MODEL = Declaration(node_id("model", "eta"), None, "f.py:1")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "tidewheel.toml").write_text('project = "eta"\n')
    with open_workspace(tmp_path, clock=lambda: START) as opened:
        yield opened


def answer(workspace: Workspace, alert: Alert = ALERT) -> Applied | None:
    return retrain(workspace, MODEL, alert, environment="dev", run=lambda: Applied("dev", 7, ()))


def test_an_alert_is_answered_once_and_again_when_it_asks_again(workspace: Workspace) -> None:
    assert answer(workspace) is not None
    assert answer(workspace) is None
    assert answer(workspace, msgspec.structs.replace(ALERT, windows=2)) is not None
    tasks = workspace.tasks.list()
    assert {(task.trigger, task.target, task.state, task.run) for task in tasks} == {
        ("monitor:watch model:eta", "model:eta", "done", "dev version 7")
    }
    assert len(tasks) == 2


def test_what_fails_is_raised_kept_and_tried_again_the_next_time(workspace: Workspace) -> None:
    def fails() -> Applied:
        raise Invalid("no rows to train on")

    with pytest.raises(Invalid, match="no rows to train on"):
        retrain(workspace, MODEL, ALERT, environment="dev", run=fails)
    assert "no rows to train on" in workspace.tasks.list(states=["failed"])[0].error
    assert answer(workspace) is not None


def test_while_a_schedule_trains_the_model_the_alert_waits(workspace: Workspace) -> None:
    scheduled = Order(
        trigger="nightly",
        key="6:00",
        target=MODEL.id,
        environment="dev",
        lane=MODEL.id,
        due_at=Micros(START - HOUR),
        reason="6:00",
        actor="trigger:nightly",
    )
    workspace.tasks.add(scheduled)
    held = workspace.tasks.claim("other", environment="dev")
    assert held is not None
    with pytest.raises(Unavailable, match="at work already"):
        answer(workspace)
    workspace.tasks.finish(held, Outcome("ok"))
    assert answer(workspace) is not None
