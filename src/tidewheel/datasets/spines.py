"""Spines as tables: what was handed in, checked and typed the way look-ups need it; nothing is coerced that could lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.datasets.definition import check_label
from tidewheel.errors import (
    FutureLeak,
    Invalid,
    KeyTypeMismatch,
    MissingColumns,
    MissingTime,
    MixedTimezones,
    NameCollision,
    TypeMismatch,
    near_miss,
)
from tidewheel.features.definition import ServiceDefinition
from tidewheel.schema import DataType, Field, data_type_of_arrow
from tidewheel.sources.definition import ArrowStream
from tidewheel.sources.times import to_utc_micros

SpineRows = ArrowStream | Sequence[Mapping[str, object]]
_LOSSLESS = {
    (DataType.INT32, DataType.INT64),
    (DataType.INT32, DataType.FLOAT64),
    (DataType.INT64, DataType.FLOAT64),
    (DataType.FLOAT32, DataType.FLOAT64),
}


def spine_table(spine: SpineRows, time: str) -> pa.Table:
    """What was handed in as an Arrow table, unchanged: column types, order of rows, and metadata such as pandas' index.

    Raises
    ------
    MixedTimezones
        When the time column holds values with and without a zone: Arrow would take both for the same kind.
    """
    _refuse_mixed(spine, time)
    if isinstance(spine, ArrowStream):
        return pa.table(spine)
    return pa.Table.from_pylist([dict(row) for row in spine])


def typed_spine(table: pa.Table, service: ServiceDefinition, *, time: str) -> pa.Table:
    """The columns that a service reads: ``time`` in microseconds UTC rounded down, keys and request values as declared.

    Raises
    ------
    MissingColumns, MissingTime
        A column, or the time of a row, is absent. A key may be null: its features are null then.
    KeyTypeMismatch, TypeMismatch
        A column has another type than is declared, unless it fits without loss.
    """
    keys = {field.name: field for field in service.keys}
    columns: dict[str, pa.ChunkedArray] = {}
    for field in (*service.keys, *service.request):
        if field.name in columns:
            continue
        refusal = KeyTypeMismatch if field.name in keys else TypeMismatch
        columns[field.name] = _typed(_column(table, field.name, service), field, refusal)
    columns[time] = _instants(_column(table, time, service), time)
    return pa.table(columns)


def check_names(table: pa.Table, service: ServiceDefinition, label: str | None) -> None:
    """Refuse features that would overwrite a column of the spine, and labels that are features.

    Raises
    ------
    NameCollision, FutureLeak, MissingColumns
    """
    if label is not None:
        check_label(service, label)
        if label not in table.column_names:
            fix = near_miss(label, table.column_names)
            raise MissingColumns(f"the spine has no label column {label!r}", where=label, fix=fix)
    if len(set(table.column_names)) != len(table.column_names):
        twice = next(name for name in table.column_names if table.column_names.count(name) > 1)
        raise NameCollision(f"the spine has two columns called {twice!r}", where=twice, fix="rename one")
    requested = {field.name for field in service.request}
    for output in service.outputs:
        if output.name in table.column_names and output.name not in requested:
            raise NameCollision(
                f"the spine has a column {output.name!r}, and {output.origin} of service {service.name} makes one",
                where=output.name,
                fix='rename the column, or give the view an alias: tw.use(VIEW, prefix="...")',
            )


def check_leaks(table: pa.Table, service: ServiceDefinition, *, time: str, label: str | None) -> None:
    """Refuse a spine that knows the future.

    A request value that is a time after the row's own was not known then. And where the spine carries the time of a view's
    source, later than the row's own, its rows are outcomes: which column is the outcome must be said with ``label=``.

    Raises
    ------
    FutureLeak
        With the column and the number of rows.
    """
    now = _instants(table[time], time).cast(pa.int64())
    requested = {field.name for field in service.request if field.type is DataType.TIMESTAMP}
    outcomes = {view.source.time for view in service.views} if label is None else set()
    for name in sorted((requested | outcomes) - {time}):
        if name not in table.column_names or not _is_time(table[name].type):
            continue
        later = pc.sum(pc.greater(to_utc_micros(table[name], name=name, rounding="up"), now)).as_py() or 0
        if later:
            fix = "take it out of the request" if name in requested else "name the outcome with label=, or drop the column"
            raise FutureLeak(f"{name} lies after {time} in {later} of {table.num_rows} rows of the spine", where=name, fix=fix)


def _column(table: pa.Table, name: str, service: ServiceDefinition) -> pa.ChunkedArray:
    if name not in table.column_names:
        what = f"the spine has no column {name!r}, which service {service.name} needs"
        raise MissingColumns(what, where=name, fix=near_miss(name, table.column_names))
    return table[name]


def _typed(column: pa.ChunkedArray, field: Field, refusal: type[Invalid]) -> pa.ChunkedArray:
    target = field.type.arrow()
    if pa.types.is_null(column.type):
        return column.cast(target)
    if field.type is DataType.TIMESTAMP and _is_time(column.type):
        return to_utc_micros(column, name=field.name).cast(target)
    try:
        got = data_type_of_arrow(column.type)
    except Invalid as error:
        raise _mismatch(field, str(column.type), refusal) from error
    if got is not field.type and (got, field.type) not in _LOSSLESS:
        raise _mismatch(field, got.value, refusal)
    try:
        return column if column.type == target else column.cast(target)
    except pa.ArrowInvalid as error:
        raise _mismatch(field, f"{got.value} that does not fit", refusal) from error


def _mismatch(field: Field, got: str, refusal: type[Invalid]) -> Invalid:
    what = f"{field.name}: got {got}, declared {field.type.value}"
    return refusal(what, where=field.name, fix=f"cast the column to {field.type.value} yourself; nothing is coerced")


def _instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Instants of prediction: without a zone they are UTC; finer digits are cut off, so that nothing is seen early."""
    times = to_utc_micros(column, name=name, rounding="down")
    if times.null_count:
        row = times.is_null().combine_chunks().index(True).as_py()
        raise MissingTime(f"row {row} of the spine has no {name}", where=name, fix="drop the row, or give it a time")
    return times.cast(pa.timestamp("us", "UTC"))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _refuse_mixed(spine: SpineRows, time: str) -> None:
    """Look at Python objects before Arrow does: a frame's column of objects, or rows as mappings."""
    values: Sequence[object]
    if isinstance(spine, ArrowStream):
        kinds = getattr(spine, "dtypes", None)
        if not isinstance(kinds, Mapping) and not hasattr(kinds, "get"):
            return
        if str(cast("Mapping[str, object]", kinds).get(time)) != "object":
            return
        values = spine[time]  # type: ignore[index]  # a pandas frame: only its column of objects can be mixed
    else:
        values = [row.get(time) for row in spine]
    zones = {value.tzinfo is not None for value in values if isinstance(value, datetime)}
    if len(zones) > 1:
        raise MixedTimezones(
            f"{time} of the spine holds times with and without a zone", where=time, fix="give all of them a zone, or none"
        )


__all__ = ["SpineRows", "check_leaks", "check_names", "spine_table", "typed_spine"]
