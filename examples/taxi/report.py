"""What the demo shows: alarms, errors of the old and the new model beside naive baselines, one plot, one table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table as Shown

from tidewheel.clock import Micros, format_instant, to_datetime, to_micros
from tidewheel.ledger.definition import NodeId
from tidewheel.monitors.alert import Alert
from tidewheel.predictions.join import join_labels
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.run import Monitoring, run_monitor

Floats = npt.NDArray[np.float64]
MARCH, MAY = to_micros(datetime(2020, 3, 1, tzinfo=UTC)), to_micros(datetime(2020, 5, 1, tzinfo=UTC))
WEEK = 7 * 86_400_000_000


class Watch:
    """The monitor of the example, run week by week as ``tidewheel dev`` would."""

    def __init__(self, root: Path) -> None:
        self._project = load_project(root)
        self._workspace = open_workspace(root, actor="monitor")
        self.judged: list[tuple[Micros, Monitoring]] = []

    def run(self, until: Micros) -> Monitoring:
        """Judge the windows that are complete by then; retrain when the monitor asks for it."""
        declaration = self._project.graph.nodes[NodeId("monitor:eta")]
        done = run_monitor(self._project, self._workspace, declaration, environment="dev", until=until)
        self.judged.append((until, done))
        return done

    def close(self) -> None:
        """Stop the workers that retraining started."""
        self._workspace.close()


@dataclass(frozen=True)
class Errors:
    """Mean absolute error, minutes, of several answers to the same trips."""

    rows: int
    old: float
    served: float
    mean: float
    distance: float
    new: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Everything that the summary is made of."""

    months: dict[str, Errors]
    weeks: dict[Micros, Errors]
    alerts: tuple[Alert, ...]
    retrained: tuple[tuple[Micros, str, bool], ...]
    promoted: tuple[tuple[Micros, int], ...]
    turn: tuple[Micros, int] | None
    after: Errors | None
    psi: dict[Micros, float] = field(default_factory=dict)


def measure(root: Path, watch: Watch) -> Outcome:
    """Compare what was served with the first model, the retrained one, and two naive rules, on the trips that have labels."""
    with open_workspace(root) as workspace:
        joined = join_labels(workspace.prediction_log("eta").read(), workspace.label_log("eta").read())
        rows = joined.filter(pc.and_(pc.is_valid(joined["label"]), pc.not_equal(joined["arm"], "shadow")))
        at, truth, served = (np.asarray(rows[name]) for name in ("at", "label", "prediction"))
        old = _answers(workspace, rows, 1)
        promoted = _promotions(watch)
        mean, distance = _naive(workspace, np.asarray(rows["f.trip_distance"]))
        turn = next((each for each in promoted if each[0] >= MARCH), None)
        new = _answers(workspace, rows, turn[1]) if turn else None
        alerts = tuple(sorted(workspace.monitors.list_alerts("eta"), key=lambda alert: alert.first_window))
        windows = workspace.monitors.list_windows("eta", kind="drift")

    def errors(keep: npt.NDArray[np.bool_]) -> Errors:
        def error(answers: Floats | float) -> float:
            return float(np.abs((answers if isinstance(answers, float) else answers[keep]) - truth[keep]).mean())

        return Errors(
            int(keep.sum()), error(old), error(served), error(mean), error(distance), None if new is None else error(new)
        )

    months = {month: errors(pc.equal(_month(rows), month).to_numpy()) for month in sorted(set(_month(rows).to_pylist()))}
    first = int(at.min())
    numbers = (at - first) // WEEK
    weeks = {Micros(first + int(n) * WEEK): errors(numbers == n) for n in np.unique(numbers) if (numbers == n).sum() > 200}
    after = errors(at >= turn[0]) if turn else None
    psi = {w.start: max(c.value for c in w.checks if c.metric == "psi") for w in windows if w.status != "skipped"}
    retrained = tuple(
        (until, report.splitlines()[0], "PASSED" in report)
        for until, done in watch.judged
        for report in done.reports
        if report.startswith("gate")
    )
    return Outcome(months, weeks, alerts, retrained, promoted, turn, after, psi)


def _answers(workspace: Workspace, rows: pa.Table, version: int) -> Floats:
    """What a version answers to the logged features."""
    loaded = workspace.registry.load(f"eta:{version}")
    columns = {name: rows[f"f.{name}"] for name in loaded.features}
    return np.asarray(loaded.predict_table(pa.table(columns)), dtype=np.float64)


def _promotions(watch: Watch) -> tuple[tuple[Micros, int], ...]:
    """When a retrained version took over, and which."""
    found = []
    for until, done in watch.judged:
        for applied in done.retrained:
            told = json.loads(applied.outputs[NodeId("deployment:eta")])
            if not told["failed"] and any(step.node == "deployment:eta" and step.built for step in applied.steps):
                found.append((until, int(told["version"].partition(":")[2])))
    return tuple(found)


def _naive(workspace: Workspace, miles: Floats) -> tuple[float, Floats]:
    """The mean duration of 2019, and a straight line over the distance fitted on 2019."""
    project = load_project(workspace.root)
    trips = project.graph.nodes[NodeId("source:trips")].definition
    history = workspace.sources.scan(trips, ["minutes", "trip_distance"], end=to_micros(datetime(2020, 1, 1, 5, tzinfo=UTC)))  # type: ignore[arg-type]
    minutes, distances = np.asarray(history["minutes"]), np.asarray(history["trip_distance"])
    slope, offset = np.polyfit(distances, minutes, 1)
    return float(minutes.mean()), offset + slope * miles


def _month(rows: pa.Table) -> pa.ChunkedArray:
    instants = rows["at"].cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "America/New_York"))
    return pc.strftime(instants, format="%Y-%m")


def render(outcome: Outcome) -> Shown:
    """Errors by month."""
    shown = Shown(title="mean absolute error, minutes")
    for head in ("month", "trips", "first model", "served", "retrained", "distance only", "mean only"):
        shown.add_column(head, justify="left" if head == "month" else "right")
    for month, found in outcome.months.items():
        seen = outcome.turn is None or month <= format_instant(outcome.turn[0])[:7]  # it was trained on that
        new = "" if found.new is None or seen else f"{found.new:.2f}"
        shown.add_row(
            month,
            f"{found.rows:,}",
            f"{found.old:.2f}",
            f"{found.served:.2f}",
            new,
            f"{found.distance:.2f}",
            f"{found.mean:.2f}",
        )
    return shown


def plot(outcome: Outcome, path: Path) -> Path:
    """Errors by week, with alarms and promotions where they happened."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(11, 8), sharex=True, height_ratios=[3, 2])
    days = [to_datetime(week) for week in outcome.weeks]
    lines = (
        ("mean only", "mean", "#c8c8c8"),
        ("distance only", "distance", "#9a9a9a"),
        ("first model", "old", "#d1495b"),
        ("served", "served", "#00798c"),
    )
    for label, name, colour in lines:
        upper.plot(days, [getattr(found, name) for found in outcome.weeks.values()], label=label, color=colour, lw=2)
    upper.set_ylabel("mean absolute error, minutes")
    upper.set_ylim(0, 1.3 * max(found.mean for found in outcome.weeks.values()))
    lower.plot(
        [to_datetime(start) for start in sorted(outcome.psi)],
        [outcome.psi[s] for s in sorted(outcome.psi)],
        color="#30638e",
        lw=2,
    )
    lower.set_ylabel("largest PSI of a feature")
    for number, alert in enumerate(outcome.alerts):
        for axis in (upper, lower):
            axis.axvline(
                to_datetime(alert.first_window + WEEK),
                color="#edae49",
                ls="--",
                label="alarm goes off" if number == 0 else None,
            )
    for number, (moment, _) in enumerate(outcome.promoted):
        for axis in (upper, lower):
            axis.axvline(
                to_datetime(moment), color="#2a9d4a", ls=":", label="retrained model promoted" if number == 0 else None
            )
    upper.legend(loc="upper right", ncols=2, frameon=False)
    upper.set_title("New York taxi durations, January to June 2020: the city shuts down in March")
    figure.autofmt_xdate()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return path


def summary(outcome: Outcome, parity: dict[str, object], picture: Path, seconds: float) -> str:
    """The end of the demo, in words."""
    january = outcome.months["2020-01"]
    lines = [
        f"January 2020: the model errs by {january.old:.2f} minutes, "
        f"distance only by {january.distance:.2f}, the mean by {january.mean:.2f}",
    ]
    for alert in outcome.alerts:
        over = ", ".join(
            f"{c.column.removeprefix('f.')} {c.metric} {c.value:.2f} over {c.limit:.2f}" for c in alert.checks[:2] if c.breach
        )
        lines.append(
            f"alarm: {alert.kind}, window from {format_instant(alert.first_window)[:10]}, {alert.windows} windows: {over}"
        )
    lines += [f"retrained at {format_instant(until)[:10]}: {report}" for until, report, _ in outcome.retrained]
    if outcome.turn is not None and outcome.after is not None and outcome.after.new is not None:
        since = format_instant(outcome.turn[0])[:10]
        lines.append(
            f"on the {outcome.after.rows:,} trips since {since}: eta:1 {outcome.after.old:.2f}, "
            f"eta:{outcome.turn[1]} as retrained then {outcome.after.new:.2f}, all that served {outcome.after.served:.2f}, "
            f"distance only {outcome.after.distance:.2f}, mean {outcome.after.mean:.2f}"
        )
    lines += [
        f"parity: {parity['mismatches']} mismatches in {parity['predictions']:,} replayed predictions",
        f"took {seconds:.0f} s; the plot is {picture}",
        "look further, in examples/taxi: tidewheel show model:eta | tidewheel show deployment:eta | tidewheel serve eta",
        "then edit hours_since_monday in taxi/features.py and type: tidewheel plan",
    ]
    return "\n".join(lines)


def problems(outcome: Outcome, parity: dict[str, object]) -> list[str]:
    """What the demo should have shown and did not."""
    january = outcome.months["2020-01"]
    early = [alert for alert in outcome.alerts if alert.first_window < MARCH - WEEK]
    in_time = [alert for alert in outcome.alerts if MARCH - WEEK <= alert.first_window < MAY]
    after = outcome.after
    checks = {
        "the model does not beat the baselines in January 2020": january.old < min(january.mean, january.distance),
        "no alarm in March or April 2020": bool(in_time),
        f"{len(early)} alarms before March 2020": len(early) <= 1,
        "no retrained model was promoted": after is not None,
        "the retrained model does not beat the old one": after is not None and after.new is not None and after.new < after.old,
        f"{parity['mismatches']} parity mismatches": parity["mismatches"] == 0,
        "fewer than 10,000 predictions": int(str(parity["predictions"])) >= 10_000,
    }
    return [problem for problem, holds in checks.items() if not holds]
