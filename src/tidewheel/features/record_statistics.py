"""Record statistics of the rows that a view reads, by day of their time; what arrived says which days are computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from tidewheel.clock import DAY, Clock, Micros
from tidewheel.database.open import Database
from tidewheel.features.columns import view_columns
from tidewheel.features.definition import FeatureView
from tidewheel.features.materialize import find_arrivals
from tidewheel.features.statistics import ColumnStatistics, describe_column, merge
from tidewheel.features.tables import view_statistics
from tidewheel.sources.query import TS
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

_FEW_DAYS = 31
Days = dict[int, dict[str, ColumnStatistics]]


@dataclass(slots=True)
class Statistics:
    """Statistics of views; days are of the rows' own time, in UTC."""

    database: Database
    sources: Sources
    clock: Clock

    def record(self, view: FeatureView, snapshot: Snapshot | None = None) -> int:
        """Bring the statistics of a view up to a snapshot; answers how many days were computed.

        What arrived since the last time says which days change; these are computed again from all of their rows, so nothing is
        counted twice, whatever is killed and done again.
        """
        taken = snapshot or self.sources.snapshot(view.source)
        key = f"statistics:{view.version}"
        remembered = self.sources.recall(key)
        days = None if remembered is None else self._touched(view, Snapshot.from_json(remembered), taken)
        computed = self._compute(view, taken, days)
        with self.database.write() as connection:
            of = view_statistics.c.view == view.version
            connection.execute(
                view_statistics.delete().where(of if days is None else sa.and_(of, view_statistics.c.start.in_(sorted(days))))
            )
            rows = [
                {
                    "view": view.version,
                    "name": view.name,
                    "start": start,
                    "column": column,
                    "statistics": msgspec.json.encode(one),
                    "at": self.clock(),
                }
                for start, columns in computed.items()
                for column, one in columns.items()
            ]
            if rows:
                connection.execute(view_statistics.insert(), rows)
        self.sources.remember(key, taken.to_json())
        return len(computed)

    def windows(self, view: FeatureView, *, start: int | None = None, end: int | None = None) -> Days:
        """Statistics by the start of the day, in microseconds UTC, and by column; ``start <= day < end``."""
        query = sa.select(view_statistics).where(view_statistics.c.view == view.version)
        if start is not None:
            query = query.where(view_statistics.c.start >= start)
        if end is not None:
            query = query.where(view_statistics.c.start < end)
        found: Days = {}
        with self.database.read() as connection:
            for row in connection.execute(query.order_by(view_statistics.c.start, view_statistics.c.column)):
                found.setdefault(row.start, {})[row.column] = msgspec.json.decode(row.statistics, type=ColumnStatistics)
        return found

    def total(self, view: FeatureView, *, start: int | None = None, end: int | None = None) -> dict[str, ColumnStatistics]:
        """Statistics of all days in a span together, by column."""
        found: dict[str, ColumnStatistics] = {}
        for columns in self.windows(view, start=start, end=end).values():
            for name, one in columns.items():
                found[name] = merge(found[name], one) if name in found else one
        return found

    def _touched(self, view: FeatureView, before: Snapshot, now: Snapshot) -> set[int] | None:
        """Days of what arrived; ``None`` when any day may have changed."""
        arrived = find_arrivals(before, now)
        source = view.source
        if arrived is None or source.event_id is not None or source.changes is not None:
            return set() if before.content == now.content else None
        if not arrived.files and not arrived.pushes:
            return set()
        times = self.sources.scan(source, [], snapshot=arrived)[TS].to_numpy()
        days = set((times // DAY * DAY).tolist())
        return days if len(days) <= _FEW_DAYS else None

    def _compute(self, view: FeatureView, snapshot: Snapshot, days: set[int] | None) -> Days:
        columns = list(view_columns(view))
        found: Days = {}
        for rows in self._rows(view, snapshot, columns, days=days):
            starts = rows[TS].to_numpy() // DAY * DAY
            for start in np.unique(starts).tolist():
                part = rows.filter(pa.array(starts == start))
                held = found.setdefault(start, {})
                for name in columns:
                    one = describe_column(part[name])
                    held[name] = merge(held[name], one) if name in held else one
        return found

    def _rows(self, view: FeatureView, snapshot: Snapshot, columns: list[str], *, days: set[int] | None) -> Iterator[pa.Table]:
        if days is None:
            yield from self.sources.batches(view.source, columns, snapshot=snapshot)
            return
        for day in sorted(days):
            yield from self.sources.batches(view.source, columns, snapshot=snapshot, start=Micros(day), end=Micros(day + DAY))
