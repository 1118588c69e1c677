"""What a check tells of monitors: windows nobody judged, a breach that lasts, and windows that could not be judged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.clock import DAY, HOUR, Micros, parse_instant
from tidewheel.monitors import Monitor
from tidewheel.predictions import PredictionRow
from tidewheel.project.check_data import check_monitors
from tidewheel.project.initialize import initialize
from tidewheel.project.load import Project, load_project
from tidewheel.project.open import Workspace, open_workspace

FIRST = parse_instant("2026-03-02T00:00:00Z")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return load_project(initialize(tmp_path / "bakery"))


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    with open_workspace(project.root) as opened:
        yield opened


@pytest.fixture(scope="module")
def baseline() -> pa.Table:
    draw = random.Random(1)
    at = [FIRST - 70 * DAY + number * DAY // 60 for number in range(70 * 60)]
    return pa.table({"at": at} | {name: [draw.gauss(30, 4) for _ in at] for name in ("f.amount_1d", "prediction")})


def serve_days(workspace: Workspace, first: int, days: int, *, per_day: int = 60, amount: float) -> None:
    """Predictions as a server logs them: one shop after the other, around an amount."""
    draw = random.Random(first)
    workspace.prediction_log("amount").append(
        [
            PredictionRow(
                prediction_id=f"{day}-{number}",
                deployment="amount",
                model="amount",
                version=1,
                at=Micros(FIRST + day * DAY + number * 24 * HOUR // per_day),
                answered_at=Micros(FIRST + day * DAY),
                inputs={"shop_id": number % 5 + 1, "items": 2},
                features={"amount_1d": draw.gauss(amount, 4)},
                prediction=draw.gauss(30, 4),
            )
            for day in range(first, first + days)
            for number in range(per_day)
        ]
    )


def test_windows_not_judged_then_a_lasting_drift_then_windows_that_cannot_be_judged(
    project: Project, workspace: Workspace, baseline: pa.Table
) -> None:
    watch = project.graph.find("monitor:amount").definition
    assert isinstance(watch, Monitor)
    log = workspace.prediction_log("amount")

    def judge(until_day: int) -> None:
        workspace.monitors.evaluate_new(watch, log, baseline=baseline, until=FIRST + until_day * DAY)

    def found() -> list[tuple[str, str]]:
        return [(one.level, one.message) for one in check_monitors(project, workspace)]

    assert found() == []
    serve_days(workspace, 0, 15, amount=3_000.0)
    due = (
        "warning",
        "monitor:amount: 2 windows of predictions are complete and not judged. Next: tidewheel run monitor:amount",
    )
    assert found() == [due]
    judge(15)
    (level, drift), (other, performance) = found()
    assert level == "error"
    assert drift.startswith(
        "monitor:amount: drift alert of amount (open) since the window 2026-03-02 to 2026-03-09: f.amount_1d psi "
    )
    assert drift.endswith("Next: tidewheel run monitor:amount once it is mended")
    assert other == "warning"
    assert performance.startswith(
        "monitor:amount: performance of the newest 2 windows could not be judged, since 2026-03-02T00:00:00Z: "
        "0 labelled rows, and 200 are needed. Next: give labels"
    )
    workspace.monitors.acknowledge(workspace.monitors.list_alerts("amount")[0].id, actor="ann")
    assert "(acknowledged) " in found()[0][1]
    assert "(seen by ann)" in found()[0][1]
    serve_days(workspace, 15, 14, per_day=5, amount=3_000.0)
    judge(29)
    told = [message for _, message in found()]
    # An alert neither closes nor goes on by a window that says nothing.
    assert told[0].startswith("monitor:amount: drift alert of amount (acknowledged)")
    assert told[1] == (
        "monitor:amount: drift of the newest 2 windows could not be judged, since 2026-03-16T00:00:00Z: 35 rows, and 200 are "
        "needed. Give the monitor a longer window than 7d, or a min_rows of 35 or less"
    )
