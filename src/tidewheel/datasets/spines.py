"""Spines as tables: what was handed in, checked for what would leak; types are the business of the look-up itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.datasets.definition import check_label
from tidewheel.errors import (
    FutureLeak,
    MissingColumns,
    MixedTimezones,
    NameCollision,
    TypeMismatch,
    near_miss,
)
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.spine import spine_times
from tidewheel.schema import DataType
from tidewheel.sources.definition import ArrowStream
from tidewheel.sources.times import to_utc_micros

SpineRows = ArrowStream | Sequence[Mapping[str, object]]


def spine_table(spine: SpineRows, time: str) -> pa.Table:
    """What was handed in as an Arrow table, unchanged: column types, order of rows, and metadata such as pandas' index.

    Raises
    ------
    TypeMismatch
        When a column holds values of several types.
    MixedTimezones
        When the time column holds values with and without a zone: Arrow would take both for the same kind.
    """
    _refuse_mixed(spine, time)
    try:
        return pa.table(spine) if isinstance(spine, ArrowStream) else pa.Table.from_pylist([dict(row) for row in spine])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeMismatch(f"the spine: {error}", where="spine", fix="give each column values of one type") from error


def check_names(table: pa.Table, service: ServiceDefinition, label: str | None) -> None:
    """Refuse a spine with two columns of one name, and a label that is a feature or is not there.

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


def check_leaks(table: pa.Table, service: ServiceDefinition, *, time: str, label: str | None) -> None:
    """Refuse a spine that knows the future.

    A request value that is a time after the row's own was not known then. And where the spine carries the time of a view's
    source, later than the row's own, its rows are outcomes: which column is the outcome must be said with ``label=``.

    Raises
    ------
    FutureLeak
        With the column and the number of rows.
    """
    if time not in table.column_names:
        raise MissingColumns(f"the spine has no column {time!r}", where=time, fix=near_miss(time, table.column_names))
    requested = {field.name for field in service.request if field.type is DataType.TIMESTAMP}
    outcomes = {view.source.time for view in service.views} if label is None else set()
    for name in sorted((requested | outcomes) - {time}):
        if name not in table.column_names or not _is_time(table[name].type):
            continue
        now = pa.chunked_array([pa.array(spine_times(table, time))])
        later = pc.sum(pc.greater(to_utc_micros(table[name], name=name, rounding="up"), now)).as_py() or 0
        if later:
            fix = "take it out of the request" if name in requested else "name the outcome with label=, or drop the column"
            raise FutureLeak(f"{name} lies after {time} in {later} of {table.num_rows} rows of the spine", where=name, fix=fix)


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
