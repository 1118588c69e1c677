"""Pushed rows: checked against the columns of the source, then kept in a journal beside its files.

A pushed row is a raw row, as it would stand in a file, before ``select``. Rows that the source identifies by ``event_id``
count once however often they are pushed or also stand in a file; a source without one counts each push.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa

from tidewheel.clock import MINUTE, Micros, format_duration, format_instant, to_datetime
from tidewheel.errors import AmbiguousTime, FutureEvent, MissingColumns, MissingTime, TypeMismatch, near_miss
from tidewheel.sources.definition import Source
from tidewheel.sources.push_log import PushLog, read_pushes, snapshot_pushes
from tidewheel.sources.select import parse_select
from tidewheel.sources.times import check_unit, to_utc_micros

if TYPE_CHECKING:
    from tidewheel.schema import Schema

Row = Mapping[str, object]
Convert = Callable[[object], object]

ALLOWANCE = Micros(5 * MINUTE)
"""How far ahead of the clock an event may lie: clocks differ, years are mistyped."""

_FINE = re.compile(r"[.,]\d{6}\d*[1-9]")
"""Digits of a time behind its microseconds that are not all zero."""

__all__ = ["ALLOWANCE", "PushLog", "check_times", "read_pushes", "snapshot_pushes", "validate_push"]


class _Wrong(Exception):
    """A value does not fit; the message is what was expected."""


def validate_push(
    source: Source, schema: pa.Schema | Schema, rows: Sequence[Row], *, now: Micros, allowance: Micros = ALLOWANCE
) -> pa.Table:
    """Rows as a table of the raw columns that the source needs, or an error that names the row and the column.

    Parameters
    ----------
    schema
        Raw columns of the source (:meth:`tidewheel.sources.read.Sources.raw_schema`).
    rows
        Values as JSON has them. Times are ISO 8601 strings, in the source's time zone when they carry none, or integers:
        microseconds UTC. Columns that the source does not read are ignored.
    now
        Microseconds UTC; events later than ``now + allowance`` are refused.

    Raises
    ------
    MissingColumns, TypeMismatch, MissingTime, FutureEvent, AmbiguousTime
        All name the row, from 0, and the column. Nothing is kept of any row then.

    Examples
    --------
    >>> from tidewheel.sources import source
    >>> trips = source("trips", "trips.parquet", time="ended")
    >>> raw = pa.schema([("ended", pa.timestamp("us")), ("zone", pa.int64())])
    >>> validate_push(trips, raw, [{"ended": "2026-01-01T10:00:00", "zone": 7}], now=Micros(1_800_000_000_000_000)).num_rows
    1
    """
    arrow = schema if isinstance(schema, pa.Schema) else schema.arrow()
    select = parse_select(source.select, source.where)
    needed = select.reads(tuple(arrow.names)) if source.changes is None else tuple(arrow.names)  # images have what it reads
    time = select.raw_column(source.time)
    event_id = select.raw_column(source.event_id) if source.event_id is not None else None
    columns: dict[str | None, pa.Array] = {}
    for name in needed:
        kind = arrow.field(name).type
        convert = _converter(kind, source)
        try:
            columns[name] = pa.array(_column(source, rows, name, convert), kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise TypeMismatch(f"column {name} of source {source.name}: {error}", where=name, fix=f"send {kind}") from error
    table = pa.table(columns, schema=pa.schema([arrow.field(name).with_nullable(True) for name in needed]))
    for need, refusal in ((time, MissingTime), (event_id, MissingColumns)):
        if need in columns and columns[need].null_count:
            row = columns[need].is_null().index(True).as_py()
            raise refusal(
                f"row {row} of the push to {source.name} has no {need}", where=f"rows[{row}].{need}", fix=f"send {need}"
            )
    if time is not None and time in columns:
        check_times(source, table[time], time, now=now, allowance=allowance)
    return table


def check_times(source: Source, column: pa.ChunkedArray, name: str, *, now: Micros, allowance: Micros) -> None:
    """Refuse times that are missing, that the clock shows twice, or that lie further ahead than allowed."""
    try:
        if source.time_unit is None:
            check_unit(column, name)
        times = to_utc_micros(
            column, name=name, timezone=source.timezone, ambiguous=source.ambiguous, rounding="up", unit=source.time_unit
        )
    except AmbiguousTime as error:
        raise AmbiguousTime(error.what, where=f"rows.{name}", fix=error.fix) from error
    for row, time in enumerate(times.to_pylist()):
        if time is None:
            raise MissingTime(
                f"row {row} of the push to {source.name} has no {name}", where=f"rows[{row}].{name}", fix=f"send {name}"
            )
        if time > now + allowance:
            raise FutureEvent(
                f"row {row} of the push to {source.name} has {name} {format_instant(time)}, and it is {format_instant(now)}",
                where=f"rows[{row}].{name}",
                fix=f"send events at most {format_duration(allowance)} ahead of the clock",
            )


def _column(source: Source, rows: Sequence[Row], name: str, convert: Convert) -> list[object]:
    values = []
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeMismatch(f"row {index} is not an object", where=f"rows[{index}]", fix='send {"column": value, ...}')
        if name not in row:
            raise MissingColumns(
                f"row {index} of the push to {source.name} has no column {name}",
                where=f"rows[{index}].{name}",
                fix=f"send it, null when unknown; {near_miss(name, map(str, row))}",
            )
        value = row[name]
        try:
            values.append(None if value is None else convert(value))
        except _Wrong as error:
            raise TypeMismatch(
                f"row {index} of the push to {source.name}: {name} is {value!r:.60}, not {error}",
                where=f"rows[{index}].{name}",
                fix=f"send {error}",
            ) from error
    return values


def _converter(kind: pa.DataType, source: Source) -> Convert:
    types = pa.types
    if types.is_boolean(kind):
        return _exactly(bool, "true or false")
    if types.is_integer(kind):
        return _integer(kind)
    if types.is_floating(kind):
        return _float
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _exactly(str, "a string")
    if types.is_timestamp(kind):
        zone = ZoneInfo(source.timezone) if source.timezone else UTC
        return lambda value: _timestamp(value, zone, kind.tz is not None, source.ambiguous)
    if types.is_date(kind):
        return _date
    if types.is_decimal(kind):
        return _decimal
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _list(_converter(kind.value_type, source))
    if types.is_struct(kind):
        return _struct({field.name: _converter(field.type, source) for field in kind})
    return lambda value: value


def _struct(fields: Mapping[str, Convert]) -> Convert:
    def convert_struct(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _Wrong("an object")
        made: dict[str, object] = {}
        for name, convert in fields.items():
            one = value.get(name)
            try:
                made[name] = None if one is None else convert(one)
            except _Wrong as error:
                raise _Wrong(f"an object whose {name} is {error}") from error
        return made

    return convert_struct


def _list(convert: Convert) -> Convert:
    def convert_list(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _Wrong("an array")
        try:
            return [None if one is None else convert(one) for one in value]
        except _Wrong as error:
            raise _Wrong(f"an array, each value {error}") from error

    return convert_list


def _exactly(kind: type, expected: str) -> Convert:
    def convert(value: object) -> object:
        if not isinstance(value, kind):
            raise _Wrong(expected)
        return value

    return convert


def _integer(kind: pa.DataType) -> Convert:
    low = 0 if pa.types.is_unsigned_integer(kind) else -(1 << (kind.bit_width - 1))
    high = (1 << (kind.bit_width - (0 if low == 0 else 1))) - 1

    def convert(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Wrong("an integer")
        if not low <= value <= high:
            raise _Wrong(f"an integer from {low} to {high}")
        return value

    return convert


def _float(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("a number")
    return float(value)


def _timestamp(value: object, zone: tzinfo, zoned: bool, ambiguous: str) -> object:
    """A naive local time for a column without a zone, an aware time for one with a zone; the way the files have it."""
    if isinstance(value, bool) or not isinstance(value, int | str | datetime):
        raise _Wrong("a time: ISO 8601, or an integer of microseconds UTC")
    try:
        if isinstance(value, int):
            moment = to_datetime(value)
        else:
            moment = _ceiled(value)
        if not zoned:
            return moment.astimezone(zone).replace(tzinfo=None) if moment.tzinfo else moment
        return (moment if moment.tzinfo else _aware(moment, zone, ambiguous)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Wrong("a time: ISO 8601, or an integer of microseconds UTC") from error


def _ceiled(value: str | datetime) -> datetime:
    """A time with finer digits than microseconds rounded up, as everything that happened is; Python itself cuts them off."""
    if isinstance(value, datetime):  # pandas' own have nanoseconds, and lose them in any arithmetic of datetime
        step = 1 if getattr(value, "nanosecond", 0) else 0
        plain = value.to_pydatetime(warn=False) if step else value  # type: ignore[attr-defined]  # only pandas' have both
    else:
        plain = datetime.fromisoformat(value)
        step = 1 if _FINE.search(value) else 0
    return plain + timedelta(microseconds=step)


def _aware(moment: datetime, zone: tzinfo, ambiguous: str) -> datetime:
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if ambiguous == "raise" and early.utcoffset() != late.utcoffset():
        raise _Wrong(f"one instant: the clocks of {zone} show this time twice or not at all; send an offset")
    return late if ambiguous == "later" else early


def _date(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else _exactly(date, "a date: YYYY-MM-DD")(value)
    except ValueError as error:
        raise _Wrong("a date: YYYY-MM-DD") from error


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise _Wrong("a decimal number")
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise _Wrong("a decimal number") from error
