"""Raise alerts: fold windows, in the order of time, into alerts. Called inside of a write transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from tidewheel.clock import Micros
from tidewheel.digest import digest
from tidewheel.monitors.alert import Alert
from tidewheel.monitors.definition import Monitor
from tidewheel.monitors.tables import alerts, deliveries, windows
from tidewheel.monitors.window import WindowResult

if TYPE_CHECKING:
    from sqlalchemy import Connection

NO_VERSION = 0


def record_window(connection: Connection, monitor: Monitor, result: WindowResult, *, now: Micros) -> None:
    """Store a window's result in place of an earlier one of the same window, and open, prolong or close an alert.

    A window that is older than the newest one that was judged changes no alert: it is history, judged again.
    """
    newest = connection.scalar(
        sa.select(sa.func.max(windows.c.start)).where(
            windows.c.monitor == monitor.name, windows.c.kind == result.kind, windows.c.status != "skipped"
        )
    )
    _store(connection, result, now)
    if result.status == "skipped" or (newest is not None and result.start < newest):
        return
    lasting = _find_open(connection, monitor.name, result.kind)
    if result.status == "breach":
        if lasting is None:
            _open(connection, monitor, result, now)
        else:
            _prolong(connection, lasting, result)
    elif lasting is not None:
        closed = msgspec.structs.replace(lasting, state="closed", closed_at=now)
        put(connection, closed)
        _tell(connection, monitor, closed, "closed", now)


def put(connection: Connection, alert: Alert) -> None:
    """Store an alert in place of what was stored for it."""
    connection.execute(
        alerts.update()
        .where(alerts.c.id == alert.id)
        .values(closed_at=alert.closed_at, alert=msgspec.json.encode(alert).decode())
    )


def _store(connection: Connection, result: WindowResult, now: Micros) -> None:
    version = NO_VERSION if result.version is None else result.version
    key = sa.and_(
        windows.c.monitor == result.monitor,
        windows.c.kind == result.kind,
        windows.c.start == result.start,
        windows.c.version == version,
    )
    connection.execute(windows.delete().where(key))
    connection.execute(
        windows.insert().values(
            monitor=result.monitor,
            kind=result.kind,
            start=result.start,
            version=version,
            end=result.end,
            status=result.status,
            result=msgspec.json.encode(result).decode(),
            evaluated_at=now,
        )
    )


def _find_open(connection: Connection, monitor: str, kind: str) -> Alert | None:
    query = sa.select(alerts.c.alert).where(alerts.c.monitor == monitor, alerts.c.kind == kind, alerts.c.closed_at.is_(None))
    text = connection.scalar(query)
    return None if text is None else msgspec.json.decode(text, type=Alert)


def _open(connection: Connection, monitor: Monitor, result: WindowResult, now: Micros) -> None:
    made = Alert(
        id=digest(["alert", monitor.name, result.kind, result.start])[4:20],
        monitor=monitor.name,
        deployment=monitor.deployment,
        kind=result.kind,
        state="open",
        version=result.version,
        opened_at=now,
        first_window=result.start,
        first_end=result.end,
        last_window=result.start,
        windows=1,
        checks=result.breached,
    )
    if connection.scalar(sa.select(alerts.c.id).where(alerts.c.id == made.id)) is not None:
        put(connection, made)  # the same window, judged again after a correction: the same alert, and nobody is told twice
        return
    connection.execute(
        alerts.insert().values(
            id=made.id,
            monitor=monitor.name,
            kind=made.kind,
            closed_at=None,
            first_window=made.first_window,
            alert=msgspec.json.encode(made).decode(),
            action=monitor.on_breach,
        )
    )
    _tell(connection, monitor, made, "opened", now)


def _prolong(connection: Connection, lasting: Alert, result: WindowResult) -> None:
    count = lasting.windows + (result.start > lasting.last_window)
    put(
        connection,
        msgspec.structs.replace(
            lasting,
            last_window=max(lasting.last_window, result.start),
            windows=count,
            version=result.version,
            checks=result.breached,
        ),
    )
    if count > lasting.windows and count & (count - 1) == 0:
        # The first retraining has seen little of the new world. While the breach lasts, ask again after 2, 4, 8 ... windows.
        connection.execute(alerts.update().where(alerts.c.id == lasting.id).values(action_done_at=None))


def _tell(connection: Connection, monitor: Monitor, alert: Alert, event: str, now: Micros) -> None:
    if monitor.webhook is None:
        return
    name = f"{alert.id}-{event}"
    if connection.scalar(sa.select(deliveries.c.id).where(deliveries.c.id == name)) is not None:
        return
    body = {"event": event, "text": alert.render(), "alert": msgspec.to_builtins(alert)}
    connection.execute(
        deliveries.insert().values(
            id=name,
            alert=alert.id,
            event=event,
            url=monitor.webhook,
            body=msgspec.json.encode(body).decode(),
            created_at=now,
            attempts=0,
            next_at=now,
        )
    )
