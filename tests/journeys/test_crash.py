"""kill -9 in the middle of an apply: run again, and nothing is lost or doubled."""

from __future__ import annotations

import time

import pytest
from tests.journeys.acting import Project

from tidewheel.project.open import open_workspace

pytestmark = pytest.mark.slow

STAGES = ("source:orders ...", "view:ShopLately ...", "training_set:basket ...", "model:amount ...", "deployment:amount done")


def kill_at(project: Project, stage: str) -> None:
    """Start an apply and kill it as soon as it tells that a stage was reached."""
    process = project.start("apply", "--yes")
    assert process.stderr is not None
    assert process.stdout is not None
    for line in process.stderr:
        if line.startswith(stage):
            break
    time.sleep(0.05)  # into the stage
    process.kill()
    process.wait()
    process.stderr.close()
    process.stdout.close()


def test_apply_killed_at_every_stage_and_run_again_loses_and_doubles_nothing(fresh: Project) -> None:
    for stage in STAGES:
        kill_at(fresh, stage)
    fresh.run("apply", "--yes")
    assert fresh.json("plan")["changes"] == []
    with open_workspace(fresh.root) as workspace:
        assert [version.version for version in workspace.registry.list("amount")] == [1]
        assert workspace.routes.current("amount").revision == 1
        assert workspace.ledger.environment("dev").version == 1
        assert workspace.registry.aliases("amount") == {"champion": 1}
        runs = workspace.runs.search("", limit=50).runs
        # The version's, and one that was killed after it finished.
        assert sum(run.status.value == "finished" for run in runs) <= 2
        assert not any(run.status.value == "running" for run in runs), "a run whose process was killed is not running"
    assert fresh.json("repro", "--here", "basket")["equal"] is True


@pytest.mark.nightly
def test_two_applies_at_once_leave_one_environment_and_no_half(fresh: Project) -> None:
    both = [fresh.start("apply", "--yes") for _ in range(2)]
    codes = []
    for process in both:
        _, told = process.communicate(timeout=200)
        codes.append(process.returncode)
        assert process.returncode == 0 or "Fix" in told or "fix:" in told, told
    assert 0 in codes
    assert fresh.json("plan")["changes"] == []
    with open_workspace(fresh.root) as workspace:
        assert workspace.ledger.environment("dev").version == 1
        assert [version.version for version in workspace.registry.list("amount")] == [1]
        assert workspace.routes.current("amount").revision == 1
