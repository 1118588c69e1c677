"""Windows into alerts: one per lasting breach, whatever is judged again, killed or late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidewheel.clock import DAY, WEEK, Clock, Micros
from tidewheel.database import Database
from tidewheel.errors import NotFound
from tidewheel.monitors import Alert, Monitor, Monitors, monitor
from tidewheel.predictions import Label, LabelLog, PredictionLog, PredictionRow

ROWS = 70  # a day


def draw(days: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    at = np.repeat(np.arange(days), ROWS) * DAY + np.sort(random.integers(0, DAY, (days, ROWS)), axis=1).ravel()
    return at, random.normal(size=len(at)), random.normal(size=len(at))


@pytest.fixture(scope="module")
def baseline() -> pa.Table:
    at, feature, noise = draw(70, seed=1)
    return pa.table({"f.pace": feature, "prediction": feature + 10, "label": feature + 10 + noise, "at": at - 70 * DAY})


class Site:
    """A deployment whose days can be told what to be like."""

    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        self.log, self.labels = PredictionLog(folder / "predictions"), LabelLog(folder / "labels", clock)
        self.monitors = Monitors(database, clock)

    def live(self, first: int, days: int, *, shift: float = 0.0, error: float = 1.0, version: int = 1, seed: int = 2) -> None:
        at, feature, noise = draw(days, seed=seed + first)
        rows, labels = [], []
        for number, (moment, pace, wrong) in enumerate(zip(at + first * DAY, feature + shift, noise * error, strict=True)):
            name = f"v{version}-{first}-{number}"
            rows.append(
                PredictionRow(
                    prediction_id=name,
                    deployment="eta",
                    model="eta",
                    version=version,
                    at=Micros(int(moment)),
                    answered_at=Micros(int(moment) + 5),
                    inputs={"zone": number},
                    features={"pace": float(pace)},
                    prediction=float(pace) + 10,
                )
            )
            labels.append(Label(value=float(pace + 10 + wrong), prediction_id=name))
        self.log.append(rows)
        self.labels.add(labels)

    def judge(self, watch: Monitor, baseline: pa.Table | None, until_day: int, *, version: int | None = 1) -> list[str]:
        found = self.monitors.evaluate_new(
            watch, self.log, labels=self.labels, baseline=baseline, until=until_day * DAY, version=version
        )
        return [f"{result.start // DAY} {result.kind} {result.status}" for result in found]


@pytest.fixture
def site(tmp_path: Path, database: Database, clock: Clock) -> Site:
    return Site(tmp_path, database, clock)


def test_a_lasting_breach_is_one_alert_and_it_closes_with_the_first_clean_window(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", metrics=())
    site.live(0, 7)
    site.live(7, 21, shift=1.5)
    site.live(28, 7)
    assert site.judge(watch, baseline, 35) == [
        "0 drift ok",
        "7 drift breach",
        "14 drift breach",
        "21 drift breach",
        "28 drift ok",
    ]
    [alert] = site.monitors.list_alerts("eta")
    assert (alert.state, alert.windows, alert.first_window, alert.first_end, alert.last_window) == (
        "closed",
        3,
        7 * DAY,
        14 * DAY,
        21 * DAY,
    )
    assert {check.column for check in alert.checks} == {"f.pace", "prediction"}
    assert site.monitors.list_alerts(state="lasting") == []
    site.live(35, 7, shift=-1.5)
    assert site.judge(watch, baseline, 42) == ["35 drift breach"]
    assert [alert.state for alert in site.monitors.list_alerts()] == ["open", "closed"]


def test_judging_again_changes_nothing(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", metrics=("mae",), on_breach="retrain")
    site.live(0, 7)
    site.live(7, 14, shift=1.5, error=4.0)
    for _ in range(3):
        site.monitors.evaluate(watch, site.log, labels=site.labels, baseline=baseline, start=0, end=21 * DAY, version=1)
    assert [(alert.kind, alert.windows) for alert in site.monitors.list_alerts()] == [("drift", 2), ("performance", 2)]
    assert len(site.monitors.list_windows("eta")) == 6
    site.monitors.evaluate(watch, site.log, labels=site.labels, baseline=baseline, start=0, end=7 * DAY, version=1)
    assert all(alert.state == "open" for alert in site.monitors.list_alerts())  # an old clean window closes nothing


def test_performance_waits_for_the_delay_of_labels(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", drift=False, delay="2d")
    site.live(0, 14)
    assert site.judge(watch, baseline, 8) == []
    assert site.judge(watch, baseline, 9) == ["0 performance ok"]
    assert site.judge(watch, baseline, 16) == ["7 performance ok"]


def test_labels_that_correct_a_window_close_its_alert(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", drift=False, metrics=("mae",))
    site.live(0, 7, error=5.0)
    assert site.judge(watch, baseline, 7) == ["0 performance breach"]
    rows = site.log.read().to_pylist()
    site.labels.add([Label(value=row["prediction"], prediction_id=row["prediction_id"]) for row in rows])
    site.monitors.evaluate(watch, site.log, labels=site.labels, baseline=baseline, start=0, end=WEEK, version=1)
    assert [alert.state for alert in site.monitors.list_alerts()] == ["closed"]


def test_few_rows_no_baseline_and_half_a_window_are_skipped_with_their_reason(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", metrics=(), min_rows=600)
    site.live(0, 7)
    assert site.judge(watch, baseline, 7) == ["0 drift skipped"]
    assert site.monitors.list_windows("eta")[0].reason == "490 rows, and 600 are needed"
    assert site.judge(monitor("eta", name="bare"), None, 7) == ["0 drift skipped", "0 performance skipped"]
    assert site.monitors.list_windows("bare")[0].reason == "the model version has no baseline"
    site.live(10, 18, version=2)
    late = monitor("eta", name="late", metrics=(), min_rows=100)
    found = site.monitors.evaluate(late, site.log, baseline=baseline, start=7 * DAY, end=28 * DAY, version=2)
    assert [result.status for result in found] == ["skipped", "ok", "ok"]
    assert found[0].reason.startswith("the first prediction is of 1970-01-11")
    assert site.monitors.list_alerts() == []


def test_the_windows_of_a_new_version_go_on_where_the_old_one_stopped_and_close_its_alert(
    site: Site, baseline: pa.Table
) -> None:
    watch = monitor("eta", metrics=(), min_rows=100)
    site.live(0, 7, shift=1.5)
    assert site.judge(watch, baseline, 7) == ["0 drift breach"]
    site.live(7, 7, shift=1.5, version=2)
    moved = baseline
    for name, by in (("f.pace", 1.5), ("prediction", 1.5)):
        moved = moved.set_column(moved.schema.get_field_index(name), name, pa.array(moved[name].to_numpy() + by))
    assert site.judge(watch, moved, 14, version=2) == ["7 drift ok"]
    assert [alert.state for alert in site.monitors.list_alerts()] == ["closed"]


def test_an_action_is_called_once_per_alert_again_while_it_lasts_and_again_after_it_failed(
    site: Site, baseline: pa.Table
) -> None:
    watch = monitor("eta", metrics=(), on_breach="retrain")
    site.live(0, 35, shift=1.5)
    called: list[int] = []

    def retrain(alert: Alert) -> None:
        called.append(alert.windows)
        if len(called) == 1:
            raise RuntimeError("killed")

    def judge(until: int) -> None:
        site.monitors.evaluate_new(watch, site.log, baseline=baseline, until=until * DAY, version=1, on_breach=retrain)

    with pytest.raises(RuntimeError):
        judge(7)
    assert [action for action, _ in site.monitors.pending_actions("eta")] == ["retrain"]
    judge(7)
    judge(7)
    assert called == [1, 1]  # tried again though no window was due, and not once more after it was done
    judge(14)
    judge(21)
    judge(28)
    assert called == [1, 1, 2, 4]
    assert site.monitors.pending_actions() == []


def test_an_alert_is_acknowledged_by_the_first_who_does_and_still_closes(site: Site, baseline: pa.Table) -> None:
    watch = monitor("eta", metrics=())
    site.live(0, 7, shift=1.5)
    site.judge(watch, baseline, 7)
    [alert] = site.monitors.list_alerts()
    site.monitors.acknowledge(alert.id, actor="ada", note="looking")
    found = site.monitors.acknowledge(alert.id, actor="bob")
    assert (found.state, found.acknowledged_by, found.note) == ("acknowledged", "ada", "looking")
    site.live(7, 7)
    site.judge(watch, baseline, 14)
    [closed] = site.monitors.list_alerts()
    assert (closed.state, closed.acknowledged_by) == ("closed", "ada")
    with pytest.raises(NotFound, match="no alert 'nope'"):
        site.monitors.get_alert("nope")
