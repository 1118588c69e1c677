"""Record statistics of the rows that a view reads and of its features, by day; what arrived says which days are computed again.

A feature's statistics of a day are over the keys that had a row on that day, as it was answered in the day's last microsecond;
of very many keys over a fixed choice of :data:`MOST_KEYS`. They stand beside those of the columns under ``f.<name>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from tidewheel.clock import DAY, Clock, Micros
from tidewheel.database.open import Database
from tidewheel.features.arrivals import find_arrivals
from tidewheel.features.columns import view_columns
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use, outputs_of
from tidewheel.features.retrieve import retrieve
from tidewheel.features.statistics import ColumnStatistics, describe_column, merge
from tidewheel.features.tables import view_statistics
from tidewheel.features.windows import FOREVER
from tidewheel.sources.query import TS
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

MOST_KEYS = 10_000
_FEW_DAYS = 31
_FEATURE = "f."
_ASKED = "__asked"
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
        key = f"statistics-2:{view.version}"
        remembered = self.sources.recall(key)
        days = None if remembered is None else self._touched(view, Snapshot.from_json(remembered), taken)
        computed = self._compute(view, taken, days)
        reached = None if days is None else self._reached(view, days)
        answered = self._answers(view, taken, reached)
        with self.database.write() as connection:
            of = view_statistics.c.view == view.version
            table, own = view_statistics, view_statistics.c.column.startswith(_FEATURE, autoescape=True)
            connection.execute(table.delete().where(of if days is None else sa.and_(of, table.c.start.in_(sorted(days)))))
            if reached is not None:
                connection.execute(table.delete().where(of, own, table.c.start.in_(sorted(reached))))
            rows = [
                {
                    "view": view.version,
                    "name": view.name,
                    "start": start,
                    "column": column,
                    "statistics": msgspec.json.encode(one),
                    "at": self.clock(),
                }
                for found in (computed, answered)
                for start, columns in found.items()
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

    def _reached(self, view: FeatureView, days: set[int]) -> set[int]:
        """Days whose features may be others when rows of some days came: those in reach of the windows behind them."""
        spans = [one.window + one.offset + one.hop for window in view.windows for one in window.inputs]
        # A row that is known later than its time may be what answers on a later day.
        reach = max([0, *spans]) if view.source.available == "event" else FOREVER
        known = {start for start in self.windows(view) if any(day <= start <= day + reach for day in days)}
        return known | days

    def _answers(self, view: FeatureView, snapshot: Snapshot, days: set[int] | None) -> Days:
        """Statistics of the features at the end of days."""
        keys = [key.name for key in view.keys]
        pairs: list[pa.Table] = []
        for rows in self._rows(view, snapshot, keys, days=days):
            starts = pa.array(rows[TS].to_numpy() // DAY * DAY, pa.int64())
            pairs.append(rows.select(keys).append_column(_ASKED, starts).group_by([*keys, _ASKED]).aggregate([]))
        if not pairs:
            return {}
        names = [_ASKED, *keys]
        asked = pa.concat_tables(pairs).group_by(names).aggregate([]).drop_null()
        asked = asked.sort_by([(name, "ascending") for name in names])
        starts = asked[_ASKED].to_numpy()
        spine = asked.take(pa.array(_some_of_each(starts)))
        starts = spine[_ASKED].to_numpy()
        service = ServiceDefinition(view.name, (Use(view),), outputs_of(view.name, (Use(view),)), (), ())
        at = pa.array(starts + (DAY - 1), pa.int64()).cast(pa.timestamp("us", "UTC"))
        spine = spine.set_column(spine.column_names.index(_ASKED), _ASKED, at)
        snapshots = {view.source.name: snapshot}
        answers = retrieve(service, spine, time=_ASKED, sources=self.sources, snapshots=snapshots).table
        found: Days = {}
        for start in np.unique(starts).tolist():
            part = answers.filter(pa.array(starts == start))
            found[start] = {_FEATURE + name: describe_column(part[name]) for name in service.names}
        return found

    def _rows(self, view: FeatureView, snapshot: Snapshot, columns: list[str], *, days: set[int] | None) -> Iterator[pa.Table]:
        if days is None:
            yield from self.sources.batches(view.source, columns, snapshot=snapshot)
            return
        for day in sorted(days):
            yield from self.sources.batches(view.source, columns, snapshot=snapshot, start=Micros(day), end=Micros(day + DAY))


def _some_of_each(starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places of at most :data:`MOST_KEYS` rows of each day, evenly spread; the days stand together."""
    _, first, counts = np.unique(starts, return_index=True, return_counts=True)
    chosen = [
        np.unique(np.linspace(begin, begin + count - 1, min(count, MOST_KEYS)).astype(np.int64))
        for begin, count in zip(first.tolist(), counts.tolist(), strict=True)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *chosen])
