"""Rows as a scan gives them: typed columns, and the times of what was read as microseconds UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros
from tidewheel.errors import Invalid, TypeMismatch
from tidewheel.schema import DataType, data_type_of_arrow
from tidewheel.sources.definition import GONE, UNTIL, Source
from tidewheel.sources.query import AVAILABLE, CREATED, TS
from tidewheel.sources.times import check_unit, to_utc_micros

if TYPE_CHECKING:
    import numpy.typing as npt


def resolved(found: pa.Table, source: Source, *, columns: Sequence[str]) -> tuple[pa.Table, int, int]:
    """Typed columns and system columns; rows without a time, or never available, are dropped and counted."""
    ts = _micros(source, found[TS], source.time)
    null_time = ts.null_count
    created = pa.chunked_array([pa.repeat(pa.scalar(0, pa.int64()), found.num_rows)])
    if source.created is not None:
        created = _micros(source, found[CREATED], source.created)
        created = pc.fill_null(created, 0) if created.null_count else created
    if source.available != "event":
        available = _micros(source, found[AVAILABLE], source.available)
    else:
        available = ts if source.after is None else pc.add(ts, int(source.after))
    ends: dict[str, pa.ChunkedArray] = {GONE: found[GONE]} if source.retracts else {}
    if source.bounded:
        until = _micros(source, found[UNTIL], source.valid_to or source.time).cast(pa.int64())
        delay = 0 if source.changes is None or source.after is None else int(source.after)
        ends[UNTIL] = pc.add(until, delay) if delay else until
    typed = {name: _typed(source, found[name], name) for name in dict.fromkeys(columns)}
    table = pa.table(typed | {TS: ts, CREATED: created, AVAILABLE: available} | ends)
    null_available = available.null_count - null_time if source.available == "event" else available.null_count
    if null_time or available.null_count:
        table = table.filter(pc.and_(pc.is_valid(ts), pc.is_valid(available)))
    return table, null_time, max(null_available, 0)


def scanned(raw: pa.Table, source: Source, *, columns: Sequence[str], start: Micros | None, end: Micros | None) -> pa.Table:
    """Rows as a scan gives them, within bounds; made to be sent elsewhere."""
    found = resolved(raw, source, columns=columns)[0]
    return found if start is None and end is None else found.filter(between(found[TS], start, end))


def _micros(source: Source, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if source.time_unit is None and source.format != "memory":  # a table in memory was made here, and is as it was made
        check_unit(column, name)
    return to_utc_micros(
        column, name=name, timezone=source.timezone, ambiguous=source.ambiguous, rounding="up", unit=source.time_unit
    )


def with_system_columns(source: Source, found: pa.Table) -> tuple[pa.Table, int]:
    """What the query around a select does, for rows that are here; and how many NaN became null."""
    unknown = 0
    for index, column in enumerate(found.columns if source.nan == "null" else []):
        if pa.types.is_floating(column.type):
            nan = pc.is_nan(column)
            here = pc.sum(nan).as_py() or 0
            if here:
                clean = pc.if_else(nan, pa.scalar(None, column.type), column)
                found = found.set_column(index, found.schema.field(index), clean)
                unknown += here
    found = found.append_column(TS, found[source.time])
    if source.created is not None:
        found = found.append_column(CREATED, found[source.created])
    if source.available != "event":
        found = found.append_column(AVAILABLE, found[source.available])
    if source.valid_to is not None:
        found = found.append_column(UNTIL, found[source.valid_to])
    return found, unknown


def _typed(source: Source, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column in one of our types; timestamps without a zone get the source's; nested types stay as they are."""
    try:
        kind = data_type_of_arrow(column.type).arrow()
    except Invalid:
        return column
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return _micros(source, column, name).cast(kind)
    if kind == pa.list_(DataType.TIMESTAMP.arrow()):
        return _typed_instants(source, column, name, kind)
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowInvalid as error:
        raise TypeMismatch(f"{name}: {error}", where=name, fix=f"cast it to {kind} in the select") from error


def _typed_instants(source: Source, column: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """Lists of instants: each as one of a plain column would be."""
    lists = column.combine_chunks().cast(pa.list_(column.type.value_type))
    inner = _typed(source, pa.chunked_array([lists.flatten()]), name).combine_chunks()
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0)).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, inner, mask=lists.is_null()).cast(kind)])


def within(rows: pa.Table, inside: npt.NDArray[np.bool_]) -> pa.Table:
    """Rows for which a condition holds: not copied where they stand together, as those of a span of time most often do.

    Examples
    --------
    >>> import numpy as np
    >>> within(pa.table({"a": [1, 2, 3]}), np.array([False, True, True]))["a"].to_pylist()
    [2, 3]
    """
    count = int(np.count_nonzero(inside))
    if count == len(inside):
        return rows
    first = int(np.argmax(inside)) if count else 0
    return rows.slice(first, count) if inside[first : first + count].all() else rows.filter(pa.array(inside))


def between(times: pa.ChunkedArray, start: Micros | None, end: Micros | None) -> pa.ChunkedArray:
    if start is None:
        return pc.less(times, int(end or 0))
    after = pc.greater_equal(times, int(start))
    return after if end is None else pc.and_(after, pc.less(times, int(end)))
