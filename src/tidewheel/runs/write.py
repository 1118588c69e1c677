"""Write a run's metrics in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.clock import Micros
from tidewheel.runs.definition import MetricPoint
from tidewheel.runs.tables import points, series


def write_points(connection: Connection, run_id: str, batch: Sequence[tuple[str, MetricPoint]]) -> None:
    """Append points to their series and bring the summaries up to date; one statement for all of the points."""
    names = sorted({name for name, _ in batch})
    held = {
        row.key: row for row in connection.execute(sa.select(series).where(series.c.run_id == run_id, series.c.key.in_(names)))
    }
    rows: list[dict[str, object]] = []
    for name in names:
        added = [point for key, point in batch if key == name]
        known = held.get(name)
        newer = [point for point in added if known is None or point.step >= known.last_step]
        last = max(reversed(newer), key=lambda point: point.step, default=None)  # of several at one step the one logged last
        series_id, count = _write_summary(connection, run_id, name, known, len(added), last)
        rows.extend(
            {
                "series_id": series_id,
                "ordinal": count + place,
                "step": point.step,
                "at": point.at,
                **_stored("value", "nan", point.value),
            }
            for place, point in enumerate(added)
        )
    connection.execute(sa.insert(points), rows)


def read_points(connection: Connection, run_id: str, key: str) -> list[MetricPoint]:
    """All points of a metric, by step, and at one step in the order they were logged."""
    chosen = (
        sa.select(points.c.step, points.c.at, points.c.value, points.c.nan)
        .join(series, series.c.id == points.c.series_id)
        .where(series.c.run_id == run_id, series.c.key == key)
        .order_by(points.c.step, points.c.ordinal)
    )
    return [MetricPoint(row.step, Micros(row.at), math.nan if row.nan else row.value) for row in connection.execute(chosen)]


def _write_summary(
    connection: Connection,
    run_id: str,
    name: str,
    known: sa.Row[tuple[object, ...]] | None,
    added: int,
    last: MetricPoint | None,
) -> tuple[int, int]:
    newest: dict[str, object] = {}
    if last is not None:
        newest = {"last_step": last.step, "last_at": last.at, **_stored("last", "last_nan", last.value)}
    if known is None:
        made = connection.execute(sa.insert(series).values(run_id=run_id, key=name, points=added, **newest))
        key = made.inserted_primary_key
        assert key is not None
        return int(key[0]), 0
    row = known._mapping
    connection.execute(sa.update(series).where(series.c.id == row["id"]).values(points=row["points"] + added, **newest))
    return int(row["id"]), int(row["points"])


def _stored(value_column: str, nan_column: str, value: float) -> dict[str, object]:
    nan = math.isnan(value)
    return {value_column: None if nan else value, nan_column: nan}
