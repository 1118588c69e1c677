"""Served features against the same features computed again: equal to the bit, or listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.schema import Schema

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One value that was served otherwise than it is computed.

    ``at`` is the instant of the features, microseconds UTC; ``keys`` the prediction's inputs as JSON text.
    """

    prediction_id: str
    feature: str
    at: Micros
    served: object
    computed: object
    keys: str


@dataclass(frozen=True, slots=True)
class Parity:
    """The outcome for one deployment."""

    deployment: str
    predictions: int
    values: int
    mismatches: int
    examples: tuple[Mismatch, ...]


def compare_features(predictions: pa.Table, computed: pa.Table, names: tuple[str, ...]) -> Iterator[Mismatch]:
    """Values that differ, by feature and then by row.

    Parameters
    ----------
    predictions
        Rows of the prediction log, with columns ``f.<name>``.
    computed
        The same rows in the same order, computed offline, with columns ``<name>``.
    """
    for name in names:
        served = predictions[f"f.{name}"] if f"f.{name}" in predictions.column_names else pa.nulls(len(predictions))
        for row in different(served, computed[name]):
            yield Mismatch(
                prediction_id=predictions["prediction_id"][row].as_py(),
                feature=name,
                at=Micros(predictions["at"][row].as_py()),
                served=served[row].as_py(),
                computed=computed[name][row].as_py(),
                keys=predictions["inputs"][row].as_py(),
            )


def different(served: pa.ChunkedArray | pa.Array, computed: pa.ChunkedArray | pa.Array) -> list[int]:
    """Rows in which two columns differ: in null, or in any bit of the value.

    Examples
    --------
    >>> different(pa.array([1.0, None, 0.0]), pa.array([1.0, 2.0, -0.0]))
    [1, 2]
    """
    left, right = _one(served), _one(computed)
    if left.type != right.type:
        left = left.cast(right.type, safe=False) if pa.types.is_null(left.type) or _widens(left.type, right.type) else left
    null_left, null_right = np.asarray(left.is_null()), np.asarray(right.is_null())
    wrong = null_left != null_right
    both = ~(null_left | null_right)
    if left.type == right.type and (pa.types.is_floating(left.type) or pa.types.is_integer(left.type)):
        wrong |= both & (_bits(left) != _bits(right))
    else:
        one, two = left.to_pylist(), right.to_pylist()
        wrong |= both & np.fromiter((a != b for a, b in zip(one, two, strict=True)), bool, len(one))
    return [int(row) for row in np.flatnonzero(wrong)]


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _widens(narrow: pa.DataType, wide: pa.DataType) -> bool:
    """Whether the log, which keeps numbers as JSON does, may hold this type for that one."""
    integers = pa.types.is_integer(narrow) and (pa.types.is_integer(wide) or pa.types.is_floating(wide))
    return bool(integers or (pa.types.is_floating(narrow) and pa.types.is_floating(wide)))


def _bits(column: pa.Array) -> npt.NDArray[np.int64]:
    filled = column.fill_null(0)
    values = np.asarray(filled)
    if values.dtype == np.float32:
        return values.view(np.int32).astype(np.int64)
    return values.view(np.int64) if values.dtype == np.float64 else values.astype(np.int64)


def spine_of(predictions: pa.Table, schema: Schema) -> pa.Table:
    """The rows that were asked: keys and request values as typed columns, and ``at`` as an instant."""
    import msgspec

    decoded: list[Mapping[str, object]] = [msgspec.json.decode(text) for text in predictions["inputs"].to_pylist()]
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"at": predictions["at"].cast(pa.timestamp("us", tz="UTC"))}
    for field in schema:
        columns[field.name] = _typed([row.get(field.name) for row in decoded], field.type.arrow())
    return pa.table(columns)


def _typed(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        from tidewheel.clock import parse_instant

        return pa.array([parse_instant(value) if isinstance(value, str) else value for value in values], pa.int64()).cast(kind)
    return pa.array(values, kind)
