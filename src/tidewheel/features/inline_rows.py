"""Rows that stand in a test, as a source would give them: typed by their values, without a file and without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from tidewheel.clock import Micros, parse_instant, to_micros
from tidewheel.errors import Invalid, MissingColumns, MissingTime, TypeMismatch, near_miss
from tidewheel.features.case import Event
from tidewheel.features.columns import view_columns
from tidewheel.features.condition import parse_condition
from tidewheel.features.definition import FeatureView, ServiceDefinition
from tidewheel.features.retrieve import retrieve
from tidewheel.schema import DataType, Field, Schema, data_type
from tidewheel.sources.definition import GONE, UNTIL, Source
from tidewheel.sources.times import to_utc_micros

if TYPE_CHECKING:
    from tidewheel.sources.snapshot import Snapshot

_AT = "at"
_KINDS = (bool, int, float, str, bytes, datetime, date, Decimal)


class InlineRows:
    """Rows by source, as a reader of features takes them; types are those of the values.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, service, view_of
    >>> from tidewheel.sources.definition import source
    >>> @features(source("scores", "s.parquet", time="ts"), by=entity("user", uid=int))
    ... class Score:
    ...     x = lookup("x")
    >>> rows = InlineRows(service("s", Score), [{"uid": 1, "ts": 5, "x": 0.5}])
    >>> rows.schema(view_of(Score).source)["x"].type.value
    'float64'
    """

    def __init__(self, service: ServiceDefinition, events: Sequence[Event] | Mapping[str, Sequence[Event]]) -> None:
        self.service = service
        sources = {view.source.name: view.source for view in service.views}
        if not isinstance(events, Mapping):
            if len(sources) != 1:
                fix = f"give them by source: {{{', '.join(f'{name!r}: [...]' for name in sources)}}}"
                raise Invalid(f"rows of which of the {len(sources)} sources of {service.name}?", where="events", fix=fix)
            events = dict.fromkeys(sources, events)
        for name in events:
            if name not in sources:
                raise Invalid(f"{service.name} has no source {name!r}", where=name, fix=near_miss(name, sources))
        self.events = {name: list(events.get(name, ())) for name in sources}
        self._tables = {
            name: _table(source, self.events[name], [view for view in service.views if view.source.name == name])
            for name, source in sources.items()
        }

    def answer(self, at: int, given: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
        """The features of one row asked, and its keys and request values.

        Parameters
        ----------
        given
            Keys and request values; a key that is not among them is the one that all rows have.

        Raises
        ------
        MissingColumns
            When nothing says what a key or a request value is.
        """
        values = self._values(given)
        fields = [*self.service.keys, *self.service.request]
        spine = pa.table(
            {_AT: pa.array([at], pa.int64())} | {one.name: pa.array([values[one.name]], one.type.arrow()) for one in fields}
        )
        found: dict[str, object] = retrieve(self.service, spine, time=_AT, sources=self).table.to_pylist()[0]
        return found, values

    def schema(self, source: Source) -> Schema:
        """Columns and types."""
        return self._tables[source.name][1]

    def batches(
        self,
        source: Source,
        columns: Sequence[str],
        *,
        snapshot: Snapshot | None = None,
        start: Micros | None = None,
        end: Micros | None = None,
    ) -> Iterator[pa.Table]:
        """All rows, once."""
        yield self._tables[source.name][0]

    def _values(self, given: Mapping[str, object]) -> dict[str, object]:
        service, made = self.service, dict(given)
        seen = [row for events in self.events.values() for row in events]
        for one in (*service.keys, *service.request):
            if one.name in made:
                continue
            held = {row.get(one.name) for row in seen} - {None}
            if len(held) != 1 or one.name not in {key.name for key in service.keys}:
                fix = f"test_case(..., given={{{one.name!r}: ...}})"
                raise MissingColumns(f"nothing says what {one.name} is", where=one.name, fix=fix)
            made[one.name] = held.pop()
        return made


def _table(source: Source, events: Sequence[Event], views: Sequence[FeatureView]) -> tuple[pa.Table, Schema]:
    events = _without_quarantine(source, events)
    declared = {key.name: key.type for view in views for key in view.keys}
    names = dict.fromkeys(name for view in views for name in view_columns(view))
    fields = [Field(name, declared.get(name) or _kind(name, [row.get(name) for row in events])) for name in names]
    columns = {one.name: _column(one, [row.get(one.name) for row in events], nan=source.nan) for one in fields}
    ts = [_time(source, row, source.time) for row in events]
    created = [
        0 if source.created is None or row.get(source.created) is None else _time(source, row, source.created) for row in events
    ]
    known = (
        [_time(source, row, source.available) for row in events]
        if source.available != "event"
        else [one + int(source.after or 0) for one in ts]
    )
    for name, numbers in (("__ts", ts), ("__created", created), ("__avail", known)):
        columns[name] = pa.array(numbers, pa.int64())
    gone = _gone(source, events)
    until: list[int | None] = [None] * len(events)
    if source.valid_to is not None:
        until = [None if row.get(source.valid_to) is None else _time(source, row, source.valid_to) for row in events]
    kept = list(range(len(events)))
    if source.event_id is not None:
        until, kept = _versions(
            source, [row.get(source.event_id) for row in events], list(zip(created, ts, gone, strict=True)), known
        )
    if source.retracts:
        columns[GONE] = pa.array(gone, pa.bool_())
    if source.bounded:
        columns[UNTIL] = pa.array(until, pa.int64())
    return pa.table(columns).take(pa.array(kept, pa.int64())), Schema(tuple(fields))


def _without_quarantine(source: Source, events: Sequence[Event]) -> Sequence[Event]:
    """Rows that no rule puts aside, as far as a rule compares columns with literals; only an engine knows more of SQL."""
    for rule in source.quarantine:
        try:
            parse_condition(str(rule.condition))
        except Invalid:
            continue
        met = _met(str(rule.condition), events).to_pylist()
        events = [row for row, good in zip(events, met, strict=True) if good is not False]
    return events


def _gone(source: Source, events: Sequence[Event]) -> list[bool]:
    if source.changes is not None:
        return [row.get(source.changes.op) in source.changes.deletes for row in events]
    if source.deleted is None:
        return [False] * len(events)
    return [bool(one) for one in _met(source.deleted, events).to_pylist()]


def _met(text: str, events: Sequence[Event]) -> pa.ChunkedArray:
    """Whether each row meets a condition in SQL: null where that is unknown."""
    condition = parse_condition(text)
    held = {}
    for name in condition.columns:
        values = [row.get(name) for row in events]
        known = any(value is not None for value in values)
        held[name] = _column(Field(name, _kind(name, values)), values) if known else pa.nulls(len(values))
    return condition.truth(pa.table(held))


def _versions(
    source: Source, ids: Sequence[object], orders: Sequence[tuple[int, int, bool]], known: Sequence[int]
) -> tuple[list[int | None], list[int]]:
    """From when on a later version of each row is known, and which rows count: of changes all, of corrections the latest."""
    until: list[int | None] = [None] * len(ids)
    kept = [place for place, one in enumerate(ids) if one is None]
    for one in dict.fromkeys(one for one in ids if one is not None):
        mine = sorted((place for place, other in enumerate(ids) if other == one), key=lambda place: orders[place])
        kept += mine if source.changes is not None else mine[-1:]
        for number, place in enumerate(mine):
            until[place] = min((known[later] for later in mine[number + 1 :]), default=None)
    return until, sorted(kept)


def _kind(name: str, values: Sequence[object]) -> DataType:
    """The type of a column's values; numbers where there is none."""
    present = [value for value in values if value is not None]
    if any(isinstance(value, list | tuple) for value in present):
        return data_type(list[float])
    kinds = {next((kind for kind in _KINDS if isinstance(value, kind)), object) for value in present}
    if kinds == {int, float}:
        return DataType.FLOAT64
    if len(kinds) > 1:
        told = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeMismatch(f"column {name} holds values of {told}", where=name, fix="give values of one type")
    return data_type(kinds.pop()) if kinds else DataType.FLOAT64


def _column(field: Field, values: Sequence[object], *, nan: str = "null") -> pa.Array:
    try:
        made = pa.array(values, field.type.arrow())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise TypeMismatch(f"column {field.name}: {error}", where=field.name, fix=f"give {field.type.value}") from error
    if field.type is DataType.FLOAT64 and nan == "null":
        made = pa.compute.if_else(pa.compute.is_nan(made), pa.scalar(None, made.type), made)
    return made


def _time(source: Source, row: Event, name: str) -> int:
    """A time of a row, as the source's zone and unit say."""
    value = row.get(name)
    if value is None:
        raise MissingTime(f"a row has no {name}: {dict(row)!r:.80}", where=name, fix=f"give it {name}")
    if isinstance(value, bool) or not isinstance(value, str | int | float | date):
        raise _no_time(value, name)
    moment: int = to_utc_micros(
        pa.array([value]),
        name=name,
        timezone=source.timezone,
        ambiguous=source.ambiguous,
        rounding="up",
        unit=source.time_unit,
    )[0].as_py()
    return moment


def read_moment(value: object, name: str) -> int:
    """An instant in microseconds.

    Examples
    --------
    >>> read_moment("1970-01-01T00:00:01Z", "at")
    1000000
    """
    if isinstance(value, datetime):
        return to_micros(value)
    if isinstance(value, str):
        return parse_instant(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _no_time(value, name)
    return value


def _no_time(value: object, name: str) -> TypeMismatch:
    fix = "give ISO 8601, such as 2026-01-01T10:00:00Z"
    return TypeMismatch(f"{name} is {value!r:.60}, not a time", where=name, fix=fix)
