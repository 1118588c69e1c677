"""Deliver alerts to webhooks: from a queue in the database, so that a crash or a deaf receiver loses none."""

from __future__ import annotations

import http.client
import urllib.request

import sqlalchemy as sa

from tidewheel.clock import HOUR, MINUTE, SECOND, Clock, Micros
from tidewheel.database import Database
from tidewheel.monitors.tables import deliveries

TIMEOUT_SECONDS = 5.0
ATTEMPTS = 30
"""About a day; then the delivery is given up, and stays in the table with its last error."""
_LEASE = Micros(MINUTE)


def deliver(database: Database, clock: Clock) -> int:
    """Try each delivery that is due once; answer how many succeeded.

    A receiver that does not answer 2xx is tried again after 1 s, 2 s, 4 s ... at most an hour. Each delivery arrives at least
    once; one that a crash made arrive twice has the same ``Idempotency-Key``. An alert's ``closed`` waits for its ``opened``.
    """
    done = 0
    for name in _due(database, clock()):
        claimed = _claim(database, name, clock())
        if claimed is None:
            continue
        url, body, attempts = claimed
        error = _post(url, body, name)
        now = clock()
        wait = min(HOUR, SECOND * 2 ** min(attempts - 1, 20))
        with database.write() as connection:
            connection.execute(
                deliveries.update()
                .where(deliveries.c.id == name)
                .values(
                    error=error,
                    delivered_at=now if error is None else None,
                    next_at=None if error is None or attempts >= ATTEMPTS else now + wait,
                )
            )
        done += error is None
    return done


def _due(database: Database, now: Micros) -> list[str]:
    query = (
        sa.select(deliveries.c.id)
        .where(deliveries.c.next_at <= now)
        .order_by(deliveries.c.created_at, deliveries.c.event.desc())
    )
    with database.read() as connection:
        return list(connection.scalars(query))


def _claim(database: Database, name: str, now: Micros) -> tuple[str, str, int] | None:
    """Take a delivery for a minute, so that two processes seldom send the same one."""
    with database.write() as connection:
        row = (
            connection.execute(sa.select(deliveries).where(deliveries.c.id == name, deliveries.c.next_at <= now))
            .mappings()
            .first()
        )
        if row is None:
            return None
        if row["event"] == "closed":
            opened = sa.select(deliveries.c.next_at).where(deliveries.c.alert == row["alert"], deliveries.c.event == "opened")
            if connection.scalar(opened) is not None:
                return None
        attempts = int(row["attempts"]) + 1
        connection.execute(deliveries.update().where(deliveries.c.id == name).values(attempts=attempts, next_at=now + _LEASE))
        return row["url"], row["body"], attempts


def _post(url: str, body: str, name: str) -> str | None:
    """Why it failed, or ``None``."""
    request = urllib.request.Request(
        url,
        data=body.encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": name, "User-Agent": "tidewheel"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
