"""The spine's columns as features need them: times in microseconds, keys and request values in their declared types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import Invalid, MissingColumns, MissingTime, NameCollision, TypeMismatch, near_miss
from tidewheel.features.definition import ServiceDefinition
from tidewheel.schema import DataType, Field, data_type_of_arrow

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_PER_MICRO = {"s": 1_000_000, "ms": 1_000, "us": 1}
_WIDER = {
    DataType.INT32: (DataType.INT64, DataType.FLOAT64),
    DataType.INT64: (DataType.FLOAT64, DataType.FLOAT32, DataType.INT32),
    DataType.FLOAT32: (DataType.FLOAT64,),
    DataType.FLOAT64: (DataType.FLOAT32,),
}


def check_spine(service: ServiceDefinition, names: list[str], time: str) -> None:
    """Refuse a spine that lacks a column, or has one that a feature would overwrite.

    Raises
    ------
    MissingColumns, NameCollision
        Naming the column.
    """
    for needed in (time, *(key.name for key in service.keys), *(value.name for value in service.request)):
        if needed not in names:
            raise MissingColumns(
                f"the spine has no column {needed!r}, which service {service.name} needs",
                where=needed,
                fix=near_miss(needed, names),
            )
    for made in service.outputs:
        if made.origin != "request" and made.name in names:
            raise NameCollision(
                f"the spine has a column {made.name!r}, which {made.origin} makes",
                where=made.name,
                fix="rename or drop the column",
            )


def micros(column: pa.ChunkedArray, name: str) -> pa.Array:
    """A time column as int64 microseconds UTC, rounded down; times without a zone are UTC; int64 is microseconds already.

    Raises
    ------
    TypeMismatch
        When the column holds no times.

    Examples
    --------
    >>> micros(pa.chunked_array([pa.array([1999], pa.timestamp("ns"))]), "t").to_pylist()
    [1]
    """
    flat = column.combine_chunks()
    if pa.types.is_date(flat.type):
        flat = flat.cast(pa.timestamp("s"))
    if pa.types.is_int64(flat.type):
        return flat
    if not pa.types.is_timestamp(flat.type):
        raise TypeMismatch(f"{name} is {flat.type}, not a time", where=name, fix="cast it to a timestamp")
    ticks = flat.cast(pa.int64())
    if flat.type.unit == "ns":
        whole = np.floor_divide(ticks.fill_null(0).to_numpy(), 1000)
        return pa.array(whole, mask=ticks.is_null().to_numpy(zero_copy_only=False))
    return pc.multiply_checked(ticks, _PER_MICRO[flat.type.unit])


def spine_times(spine: pa.Table, time: str) -> Integers:
    """The time of each spine row.

    Raises
    ------
    MissingTime
        When a row has none.
    """
    found = micros(spine.column(time), time)
    if found.null_count:
        row = int(np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0])
        raise MissingTime(
            f"{found.null_count} rows of the spine have no {time}; the first is row {row}", where=time, fix="drop them"
        )
    return np.ascontiguousarray(found.to_numpy(), dtype=np.int64)


def request_column(column: pa.ChunkedArray, field: Field) -> pa.Array:
    """A request value in its declared type: numbers widen, NaN is null, nothing is parsed.

    Raises
    ------
    TypeMismatch
        When the column has another type.
    """
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), field.type.arrow())
    if field.type is DataType.TIMESTAMP:
        return micros(column, field.name).cast(pa.timestamp("us", tz="UTC"))
    try:
        found = data_type_of_arrow(column.type)
        wider = _WIDER.get(found.element, ())
        if found is not field.type and (found.is_list is not field.type.is_list or field.type.element not in wider):
            raise Invalid(f"{found.value}")
        made = column.combine_chunks().cast(field.type.arrow(), safe=field.type.element is not DataType.FLOAT32)
    except (Invalid, pa.ArrowInvalid) as error:
        raise TypeMismatch(
            f"{field.name} is {column.type}, declared {field.type.value}", where=field.name, fix="cast the spine's column"
        ) from error
    if field.type in (DataType.FLOAT32, DataType.FLOAT64):
        made = pc.if_else(pc.is_nan(made), pa.scalar(None, made.type), made)
    return made
