"""Features as Arrow: a stream of the inputs comes in, a stream of the answers goes out. PyArrow is imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
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
    ready, told_of = answer.columns(), _Told(answer, at, include)
    for place in places:
        one = served.outputs.fields[place]
        fields.append(pa.field(one.name, one.type.arrow()))
        made = ready.get(place)
        arrays.append(pa.array([row[place] for row in answer.values], one.type.arrow()) if made is None else made)
        for what, array in told_of.of(place):
            fields.append(pa.field(f"{one.name}__{what}", array.type))
            arrays.append(array)
    told = {f"materialized.{view}": str(until) for view, until in (materialized or {}).items()}
    schema = pa.schema(fields, metadata={"service": served.service.name, **told})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    body: bytes = sink.getvalue().to_pybytes()
    return body


class _Told:
    """Columns that tell about a value: outputs that were read from one row share them, so that they are made once."""

    def __init__(self, answer: FeatureValues, at: Sequence[Micros], include: Sequence[str]) -> None:
        self._answer, self._at, self._include = answer, at, include
        self._block: list[int] = []
        self._shared = (answer.shared if include else None) or []
        if any(None in one.statuses for one in self._shared):
            self._shared = []
        for number, one in enumerate(self._shared):
            self._block += [number] * one.width
        self._made: dict[int, list[tuple[str, pa.Array]]] = {}

    def of(self, place: int) -> list[tuple[str, pa.Array]]:
        """What is told of one output, in the order in which it is written."""
        if not self._include:
            return []
        if self._shared:
            number = self._block[place]
            if number not in self._made:
                one = self._shared[number]
                names = [None if status is None else status.name for status in one.statuses]
                self._made[number] = self._arrays(names, one.event_times)
            return self._made[number]
        return self._arrays([row[place] for row in self._names], [row[place] for row in self._times])

    @cached_property
    def _names(self) -> list[list[str]]:
        return status_names(self._answer)

    @cached_property
    def _times(self) -> Sequence[Sequence[int | None]]:
        return self._answer.event_times

    def _arrays(self, names: Sequence[str | None], times: Sequence[int | None]) -> list[tuple[str, pa.Array]]:
        import pyarrow as pa

        made: dict[str, tuple[str, pa.Array]] = {}
        if "statuses" in self._include:
            made["statuses"] = ("status", pa.array(names, pa.string()))
        if "event_times" in self._include:
            made["event_times"] = ("event_time", pa.array(times, pa.timestamp("us", "UTC")))
        if "lag" in self._include:
            (seconds,) = zip(*lags([[ts] for ts in times], self._at), strict=True) if times else ((),)
            made["lag"] = ("lag_seconds", pa.array(seconds, pa.float64()))
        return list(made.values())
