"""Rows of one key and time: which is the greater, by their canonical bytes, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.features.encoding import to_int64
from tidewheel.features.rows import RowCodec
from tidewheel.schema import DataType, Schema
from tidewheel.sources.definition import GONE

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Key = npt.NDArray[np.generic]

_WHOLE = (DataType.BOOL, DataType.INT32, DataType.INT64, DataType.TIMESTAMP, DataType.DATE)
_FLOATS = (DataType.FLOAT32, DataType.FLOAT64)
_TEXTS = (DataType.STRING, DataType.BYTES)


def canonical_ranks(rows: pa.Table, schema: Schema) -> Integers:
    """Rank of each row's canonical bytes (:meth:`tidewheel.features.rows.RowCodec.canonical`) among those of all rows.

    Equal rows have equal ranks; tombstones are greater than other rows. The bytes begin with which columns are there, and then
    have a slot for each column from left to right: arrays are sorted by these. Only rows whose slots are alike and that are
    not, such as long strings, are encoded.

    Examples
    --------
    >>> from tidewheel.schema import Field
    >>> schema = Schema((Field("a", DataType.INT64), Field("b", DataType.STRING)))
    >>> canonical_ranks(pa.table({"a": [2, None, 2], "b": ["x", "y", "x"]}), schema).tolist()
    [1, 0, 1]
    """
    if GONE in schema:
        plain = canonical_ranks(rows, Schema(tuple(one for one in schema if one.name != GONE)))
        return np.where(rows.column(GONE).to_numpy(), plain + rows.num_rows, plain)
    columns = [(rows.column(one.name).combine_chunks().cast(one.type.arrow()), one.type) for one in schema]
    keys: list[Key] = [column.is_valid().to_numpy(zero_copy_only=False) for column, _ in columns]
    decided = True
    for column, kind in columns:
        made = _slots(column, kind)
        if not made:  # what stands to the right of a column that we cannot order counts for less than it does
            decided = False
            break
        keys += made
        decided = decided and kind not in _TEXTS
    ranks = _dense(keys)
    if decided:
        return ranks
    alike = _dense([ranks, *(key for column, kind in columns for key in _numbers(column, kind))])
    _, first = np.unique(alike, return_index=True)
    open_ranks = ranks[first]  # one for each distinct row
    unsure = np.bincount(open_ranks)[open_ranks] > 1
    last = np.zeros(len(first), dtype=np.int64)
    last[unsure] = _encoded(rows.select(list(schema.names)).take(pa.array(first[unsure])), schema)
    return _dense([open_ranks, last])[alike]


def _slots(column: pa.Array, kind: DataType) -> list[Key]:
    """Arrays that order values as their slots do; what they say of nulls does not matter. None for an unknown layout."""
    there = column.is_valid().to_numpy(zero_copy_only=False)
    present = column.drop_null() if column.null_count else column
    if kind in _WHOLE:
        return [_spread(to_int64(present), there)]
    if kind in _FLOATS:
        floats = np.array(present.to_numpy(zero_copy_only=False), dtype=np.float64)  # the wider ones order alike
        floats[np.isnan(floats)] = np.nan  # all NaN are one
        bits = floats.view(np.int64)
        return [_spread(np.where(bits >= 0, bits, bits ^ np.iinfo(np.int64).max), there)]
    if kind is DataType.DECIMAL:
        words = np.frombuffer(present.buffers()[1] or b"", dtype="<i8")
        words = words[2 * present.offset : 2 * (present.offset + len(present))].reshape(-1, 2)
        return [_spread(words[:, 1], there), _spread(words[:, 0].astype(np.uint64), there)]
    if kind in _TEXTS:
        return [_spread(_heads(present), there)]
    return []


def _heads(column: pa.Array) -> npt.NDArray[np.uint64]:
    """The first eight bytes of strings or bytes, as a number; what is missing is zero."""
    plain = column.cast(pa.large_binary())
    heads = np.zeros(len(plain), dtype=np.uint64)
    _, places, data = plain.buffers()
    if not len(plain) or data is None or places is None:
        return heads
    offsets = np.frombuffer(places, np.int64)[plain.offset : plain.offset + len(plain) + 1]
    held = np.frombuffer(data, np.uint8)
    for byte in range(8):
        at = offsets[:-1] + byte
        inside = at < offsets[1:]
        heads = heads << np.uint64(8)
        heads[inside] |= held[at[inside]]
    return heads


def _spread(values: npt.NDArray[np.generic], there: npt.NDArray[np.bool_]) -> Key:
    if len(values) == len(there):
        return values
    filled = np.zeros(len(there), dtype=values.dtype)
    filled[there] = values
    return filled


def _numbers(column: pa.Array, kind: DataType) -> list[Key]:
    """Arrays that tell values apart, in no order; what they say of nulls does not matter."""
    if kind not in _TEXTS and (slots := _slots(column, kind)):
        return slots
    if not pa.types.is_nested(column.type):
        return [pc.dictionary_encode(column).indices.fill_null(-1).cast(pa.int64()).to_numpy()]
    seen: dict[str, int] = {}
    return [np.fromiter((seen.setdefault(repr(value), len(seen)) for value in column.to_pylist()), np.int64, len(column))]


def _dense(keys: Sequence[Key]) -> Integers:
    """Rank of each row by its keys, the first of them the most significant."""
    order = np.lexsort(list(reversed(keys)))
    rises = np.zeros(len(order), dtype=np.bool_)
    for key in keys:
        ordered = key[order]
        rises[1:] |= ordered[1:] != ordered[:-1]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.cumsum(rises)
    return ranks


def _encoded(rows: pa.Table, schema: Schema) -> Integers:
    """Rank of rows by their canonical bytes themselves."""
    codec = RowCodec(schema)
    columns = [rows.column(one.name).cast(one.type.arrow()).to_pylist() for one in schema]
    encoded = [codec.canonical(values) for values in zip(*columns, strict=True)]
    place = {data: rank for rank, data in enumerate(sorted(set(encoded)))}
    return np.fromiter((place[data] for data in encoded), dtype=np.int64, count=len(encoded))
