"""Features as Arrow: a stream of the inputs comes in, a stream of the answers goes out. PyArrow is imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidewheel.clock import Micros
from tidewheel.errors import Invalid, KeyTypeMismatch, MissingColumns, TidewheelError, TypeMismatch, UnknownInput, near_miss
from tidewheel.schema import Field, data_type_of_arrow
from tidewheel.serving.feature_request import AskedFeatures
from tidewheel.serving.feature_response import lags, status_names
from tidewheel.serving.served_features import FeatureValues, ServedFeatures

if TYPE_CHECKING:
    import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
"""Media type of an Arrow IPC stream."""


def read_arrow(body: bytes) -> pa.Table:
    """The table in a body.

    Raises
    ------
    Invalid
        When the bytes are no Arrow stream.
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        told = str(error).partition("\n")[0][:200]
        raise Invalid(
            f"the body is not an Arrow stream: {told}", where="body", fix="write it with pyarrow.ipc.new_stream"
        ) from error
    return table


def asked_of_arrow(table: pa.Table, served: ServedFeatures) -> tuple[AskedFeatures, dict[str, list[object]]]:
    """The request that a table is, and its typed columns.

    Raises
    ------
    MissingColumns, UnknownInput, KeyTypeMismatch, TypeMismatch
        With the name of the column.
    """
    known = [field.name for field in served.inputs]
    names = list(table.column_names)
    for name in names:
        if name not in known:
            raise UnknownInput(f"{name[:80]!r} is not an input", where=f"columns.{name[:80]}", fix=near_miss(name[:80], known))
        if names.count(name) > 1:
            raise Invalid(f"column {name} is there twice", where=f"columns.{name}", fix="send it once")
    keys = {key.name for key in served.keys}
    columns: dict[str, list[object]] = {}
    for field in served.inputs:
        if field.name not in names:
            fix = f"send {field.name} as {field.type.value}"
            raise MissingColumns(f"the table has no column {field.name}", where=f"columns.{field.name}", fix=fix)
        columns[field.name] = _typed(table.column(field.name), field, is_key=field.name in keys)
    return AskedFeatures(None, columns or {"": [None] * table.num_rows}), columns


def _typed(column: pa.ChunkedArray, field: Field, *, is_key: bool) -> list[object]:
    import pyarrow as pa

    where = f"columns.{field.name}"
    wrong = KeyTypeMismatch if is_key else TypeMismatch
    told = f"{field.name}: got {column.type}, declared {field.type.value}"
    try:
        found = data_type_of_arrow(column.type)
    except TidewheelError as error:
        raise wrong(told, where=where, fix=f"send {field.type.value}") from error
    if found is not field.type and (found.value, field.type.value) not in _WIDER:
        raise wrong(told, where=where, fix=f"send {field.type.value}")
    if column.null_count and (is_key or not field.nullable):
        row = column.is_null().index(True).as_py()
        raise wrong(f"{field.name} is null", where=f"{where}[{row}]", fix=f"send {field.type.value}")
    try:
        values: list[object] = column.cast(field.type.arrow()).to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise wrong(f"{told}: {error}", where=where, fix=f"send {field.type.value}") from error
    return values


_WIDER = {("int32", "int64"), ("float32", "float64"), ("int32", "float64")}


def write_arrow(
    served: ServedFeatures,
    places: Sequence[int],
    *,
    answer: FeatureValues,
    at: Sequence[Micros],
    include: Sequence[str],
    materialized: Mapping[str, Micros] | None = None,
) -> bytes:
    """An Arrow stream: a typed column per feature, behind it its ``__status``, ``__event_time``, ``__lag_seconds`` as asked."""
    import pyarrow as pa

    fields: list[pa.Field] = []
    arrays: list[pa.Array] = []
    statuses = status_names(answer) if "statuses" in include else None
    times = answer.event_times if "event_times" in include else None
    lag = lags(answer.event_times, at) if "lag" in include else None
    for place in places:
        one = served.outputs.fields[place]
        fields.append(pa.field(one.name, one.type.arrow()))
        arrays.append(pa.array([row[place] for row in answer.values], one.type.arrow()))
        if statuses is not None:
            fields.append(pa.field(f"{one.name}__status", pa.string()))
            arrays.append(pa.array([row[place] for row in statuses], pa.string()))
        if times is not None:
            fields.append(pa.field(f"{one.name}__event_time", pa.timestamp("us", "UTC")))
            arrays.append(pa.array([row[place] for row in times], pa.timestamp("us", "UTC")))
        if lag is not None:
            fields.append(pa.field(f"{one.name}__lag_seconds", pa.float64()))
            arrays.append(pa.array([row[place] for row in lag], pa.float64()))
    told = {f"materialized.{view}": str(until) for view, until in (materialized or {}).items()}
    schema = pa.schema(fields, metadata={"service": served.service.name, **told})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    body: bytes = sink.getvalue().to_pybytes()
    return body
