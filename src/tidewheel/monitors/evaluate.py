"""Evaluate monitors: windows of logged predictions against the baseline, into results, alerts and actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tidewheel.clock import DAY, Clock, Micros, format_instant
from tidewheel.database import Database
from tidewheel.errors import NotFound, near_miss
from tidewheel.monitors.alert import Alert
from tidewheel.monitors.calibrate import Calibration, calibrate
from tidewheel.monitors.definition import Monitor
from tidewheel.monitors.deliver import deliver
from tidewheel.monitors.judge import judge_drift, judge_performance, profile
from tidewheel.monitors.raise_alerts import put, record_window
from tidewheel.monitors.tables import alerts, deliveries, windows
from tidewheel.monitors.window import Check, Kind, WindowResult
from tidewheel.predictions.join import join_labels
from tidewheel.predictions.label_log import LabelLog
from tidewheel.predictions.log import PredictionLog

OnAlert = Callable[[Alert], None]
KINDS: tuple[Kind, ...] = ("drift", "performance")


class Monitors:
    """Runs monitors and keeps what they found.

    Everything is decided by the window, so running twice, or again after a crash, changes nothing: a window has one result, a
    lasting breach one alert, an alert one action and one message per event.

    Examples
    --------
    >>> from tidewheel.clock import system_clock
    >>> monitors = Monitors(Database.open("sqlite://"), system_clock)
    >>> monitors.list_alerts()
    []
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._calibrations: dict[tuple[object, ...], Calibration] = {}

    def evaluate(
        self,
        monitor: Monitor,
        log: PredictionLog,
        *,
        labels: LabelLog | Sequence[pa.Table] = (),
        baseline: pa.Table | None,
        start: int,
        end: int,
        version: int | None = None,
        on_breach: OnAlert | None = None,
    ) -> list[WindowResult]:
        """Judge each whole window in ``[start, end)``, oldest first.

        Parameters
        ----------
        labels
            The log of labels, or tables of labels (:meth:`LabelLog.read`, ``labels_of_source``).
        baseline
            Of the model version: columns ``f.<feature>``, ``prediction``, ``at``, ``label``, ``split``; ``None`` when it has
            none.
        start, end
            In the time of the predictions' ``at``, microseconds UTC. ``end`` is "now" in that time: performance of a
            window is judged only when the monitor's delay has passed by then.
        version
            Judge the rows of this model version only, shadows left out.
        on_breach
            Called for each alert that asks for an action: when it opens, and while it lasts after 2, 4, 8 ... windows. Until it
            returns, the action counts as not done.

        Returns
        -------
        One result per window and kind of check.
        """
        calibration = self._calibration(monitor, baseline, version)
        rows = _rows(log.read(start=start, end=end), version)
        tables = [labels.read()] if isinstance(labels, LabelLog) else list(labels)
        joined = join_labels(rows, tables)
        since = _first(log, version, end)
        results = []
        for first in range(start, end - monitor.window + 1, monitor.window):
            span = (Micros(first), Micros(first + monitor.window))
            table = _between(joined, *span)
            reason = _partial(span, since)
            made = []
            if monitor.drift:
                made.append(_drift(monitor, calibration, table=table, version=version, span=span, reason=reason))
            if monitor.metrics and span[1] + monitor.delay <= end:
                made.append(_performance(monitor, calibration, table=table, version=version, span=span, reason=reason))
            with self._database.write() as connection:
                for result in made:
                    record_window(connection, monitor, result, now=self._clock())
            results += made
        if on_breach is not None:
            self.act(monitor.name, on_breach)
        return results

    def evaluate_new(
        self,
        monitor: Monitor,
        log: PredictionLog,
        *,
        labels: LabelLog | Sequence[pa.Table] = (),
        baseline: pa.Table | None,
        until: int,
        version: int | None = None,
        on_breach: OnAlert | None = None,
    ) -> list[WindowResult]:
        """Judge the windows that became due since the last time; the first one begins with the log.

        The first window begins with the day (UTC) of the first prediction; the grid goes on when versions change.
        """
        start = self._next_start(monitor, log, version)
        if start is None or start >= until:
            if on_breach is not None:
                self.act(monitor.name, on_breach)  # what a crash left undone
            return []
        return self.evaluate(
            monitor, log, labels=labels, baseline=baseline, start=start, end=until, version=version, on_breach=on_breach
        )

    def count_due(self, monitor: Monitor, log: PredictionLog, *, version: int | None = None) -> int:
        """How many windows :meth:`evaluate_new` would judge, asked as of the newest prediction.

        Parameters
        ----------
        version
            Of no window judged so far, the first one begins with the first prediction of this version.
        """
        newest: int | None = pc.max(log.read(columns=["at"])["at"]).as_py()
        start = None if newest is None else self._next_start(monitor, log, version)
        if newest is None or start is None:
            return 0
        ends = self._judged(monitor)
        delays = {"drift": 0, "performance": monitor.delay}
        wanted = [(newest - delays[kind] - ends.get(kind, start)) // monitor.window for kind in _kinds(monitor)]
        return max(0, *wanted, 0)

    def list_windows(self, monitor: str, *, kind: Kind | None = None, limit: int = 1_000) -> list[WindowResult]:
        """Results, newest first."""
        query = sa.select(windows.c.result).where(windows.c.monitor == monitor)
        if kind is not None:
            query = query.where(windows.c.kind == kind)
        query = query.order_by(windows.c.start.desc(), windows.c.kind, windows.c.version.desc()).limit(limit)
        with self._database.read() as connection:
            return [msgspec.json.decode(text, type=WindowResult) for text in connection.scalars(query)]

    def list_alerts(
        self, monitor: str | None = None, *, state: Literal["lasting", "all"] = "all", limit: int = 1_000
    ) -> list[Alert]:
        """Alerts, newest first; ``lasting`` leaves out the closed ones."""
        query = sa.select(alerts.c.alert).order_by(alerts.c.first_window.desc(), alerts.c.kind).limit(limit)
        if monitor is not None:
            query = query.where(alerts.c.monitor == monitor)
        if state == "lasting":
            query = query.where(alerts.c.closed_at.is_(None))
        with self._database.read() as connection:
            return [msgspec.json.decode(text, type=Alert) for text in connection.scalars(query)]

    def get_alert(self, name: str) -> Alert:
        """The alert of an id.

        Raises
        ------
        NotFound
            When there is none.
        """
        with self._database.read() as connection:
            text = connection.scalar(sa.select(alerts.c.alert).where(alerts.c.id == name))
            known = [] if text is not None else list(connection.scalars(sa.select(alerts.c.id)))
        if text is None:
            raise NotFound(f"no alert {name!r}", where=name, fix=near_miss(name, known))
        return msgspec.json.decode(text, type=Alert)

    def acknowledge(self, name: str, *, actor: str, note: str | None = None) -> Alert:
        """Note that somebody has seen an alert; the first one to do so is kept, and it still closes by itself."""
        with self._database.write() as connection:
            alert = self.get_alert(name)
            if alert.acknowledged_at is None:
                alert = msgspec.structs.replace(
                    alert,
                    state="acknowledged" if alert.closed_at is None else "closed",
                    acknowledged_at=self._clock(),
                    acknowledged_by=actor,
                    note=note,
                )
                put(connection, alert)
        return alert

    def pending_actions(self, monitor: str | None = None) -> list[tuple[str, Alert]]:
        """Actions (``retrain``, ``rollback``) that alerts ask for and that are not done, oldest first."""
        query = sa.select(alerts.c.action, alerts.c.alert).where(
            alerts.c.action.is_not(None), alerts.c.action_done_at.is_(None)
        )
        if monitor is not None:
            query = query.where(alerts.c.monitor == monitor)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(alerts.c.first_window)).all()
        return [(action, msgspec.json.decode(text, type=Alert)) for action, text in found]

    def complete_action(self, name: str) -> None:
        """Note that the action of an alert is done; idempotent."""
        with self._database.write() as connection:
            change = alerts.update().where(alerts.c.id == name, alerts.c.action_done_at.is_(None))
            connection.execute(change.values(action_done_at=self._clock()))

    def act(self, monitor: str, on_breach: OnAlert) -> int:
        """Call for each action that is not done; one that raises stays to be done. Answers how many were done."""
        pending = self.pending_actions(monitor)
        for _, alert in pending:
            on_breach(alert)
            self.complete_action(alert.id)
        return len(pending)

    def deliver(self) -> int:
        """Send what webhooks are still to be told and is due; answers how many succeeded."""
        return deliver(self._database, self._clock)

    def undelivered(self) -> list[tuple[str, str | None]]:
        """Messages that no receiver took yet, with the last error."""
        query = sa.select(deliveries.c.id, deliveries.c.error).where(deliveries.c.delivered_at.is_(None))
        with self._database.read() as connection:
            return [(name, error) for name, error in connection.execute(query.order_by(deliveries.c.created_at)).all()]

    def _next_start(self, monitor: Monitor, log: PredictionLog, version: int | None) -> int | None:
        """Where the kind that is furthest behind goes on."""
        known = self._judged(monitor)
        kinds = _kinds(monitor)
        if all(kind in known for kind in kinds):
            return min(known[kind] for kind in kinds)
        first = _first(log, version, None)
        return None if first is None else first - first % min(DAY, monitor.window)

    def _judged(self, monitor: Monitor) -> dict[str, int]:
        """Up to when each kind is judged, where it ever was."""
        query = sa.select(windows.c.kind, sa.func.max(windows.c.end)).where(windows.c.monitor == monitor.name)
        with self._database.read() as connection:
            return {kind: int(end) for kind, end in connection.execute(query.group_by(windows.c.kind)).all()}

    def _calibration(self, monitor: Monitor, baseline: pa.Table | None, version: int | None) -> Calibration | None:
        if baseline is None or baseline.num_rows == 0:
            return None
        key = (monitor, version, baseline.num_rows, tuple(baseline.schema.names))
        if version is None or key not in self._calibrations:
            self._calibrations[key] = calibrate(
                baseline,
                window=monitor.window,
                chance=monitor.false_alarms.per_window(monitor.window),
                metrics=monitor.metrics,
                features=monitor.features,
                drift=monitor.drift,
            )
        return self._calibrations[key]


def _kinds(monitor: Monitor) -> list[Kind]:
    return [kind for kind in KINDS if (monitor.drift if kind == "drift" else monitor.metrics)]


def _rows(table: pa.Table, version: int | None) -> pa.Table:
    table = table.filter(pc.not_equal(table["arm"], "shadow"))
    return table if version is None else table.filter(pc.equal(table["version"], version))


def _first(log: PredictionLog, version: int | None, end: int | None) -> int | None:
    found: int | None = pc.min(_rows(log.read(end=end, columns=["at", "version", "arm"]), version)["at"]).as_py()
    return found


def _partial(span: tuple[Micros, Micros], since: int | None) -> str:
    """Why a window cannot be judged: a version that began to answer on a Friday has no Mondays, and would look like drift."""
    begun = since is not None and span[0] + (span[1] - span[0]) // 10 < since < span[1]
    return f"the first prediction is of {format_instant(since)}" if begun and since is not None else ""


def _between(table: pa.Table, start: int, end: int) -> pa.Table:
    return table.filter(pc.and_(pc.greater_equal(table["at"], start), pc.less(table["at"], end)))


def _drift(
    monitor: Monitor,
    calibration: Calibration | None,
    *,
    table: pa.Table,
    version: int | None,
    span: tuple[Micros, Micros],
    reason: str,
) -> WindowResult:
    reason = reason or _too_little(monitor, calibration, table.num_rows, "rows")
    checks: tuple[Check, ...] = ()
    if not reason and calibration is not None:
        checks = judge_drift(calibration, profile(calibration, table))
    return _result(monitor, "drift", version=version, span=span, rows=table.num_rows, checks=checks, reason=reason)


def _performance(
    monitor: Monitor,
    calibration: Calibration | None,
    *,
    table: pa.Table,
    version: int | None,
    span: tuple[Micros, Micros],
    reason: str,
) -> WindowResult:
    labelled = table.num_rows - table["label"].null_count
    reason = reason or _too_little(monitor, calibration, labelled, "labelled rows")
    checks: tuple[Check, ...] = ()
    if not reason and calibration is not None:
        reason = calibration.reason
        checks = judge_performance(calibration, table)
    return _result(monitor, "performance", version=version, span=span, rows=labelled, checks=checks, reason=reason)


def _too_little(monitor: Monitor, calibration: Calibration | None, rows: int, noun: str) -> str:
    if calibration is None:
        return "the model version has no baseline"
    return f"{rows} {noun}, and {monitor.min_rows} are needed" if rows < monitor.min_rows else ""


def _result(
    monitor: Monitor,
    kind: Kind,
    *,
    version: int | None,
    span: tuple[Micros, Micros],
    rows: int,
    checks: tuple[Check, ...],
    reason: str,
) -> WindowResult:
    breach = any(check.breach for check in checks)
    status: Literal["ok", "breach", "skipped"] = "skipped" if reason or not checks else "breach" if breach else "ok"
    return WindowResult(
        monitor.name, kind, version, span[0], span[1], rows, status, checks, reason or ("" if checks else "nothing to check")
    )
