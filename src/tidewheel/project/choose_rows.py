"""Choose some rows of a table by the hash of their keys: the same ones every time, whatever else is in the table. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

_NULL = np.uint64(0x9E3779B97F4A7C15)


def choose_rows(keys: pa.Table, most: int) -> npt.NDArray[np.int64]:
    """Places of the rows with the least hashes, least first, so that fewer of them are a sample too.

    Parameters
    ----------
    keys
        The columns that tell rows apart.

    Examples
    --------
    >>> rows = pa.table({"user": [3, 1, 2, 1], "city": ["a", "b", None, "b"]})
    >>> one = choose_rows(rows, 2)
    >>> more = choose_rows(pa.concat_tables([rows, rows]), 4)
    >>> rows.take(one[:1]) == pa.concat_tables([rows, rows]).take(more[:1])
    True
    """
    found = np.zeros(keys.num_rows, np.uint64)
    for column in keys.columns:
        found = _mixed(found ^ _hashes(column.combine_chunks()))
    return np.argsort(found, kind="stable")[:most].astype(np.int64)


def _hashes(column: pa.Array) -> Hashes:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        wide = column.cast(pa.int32()) if pa.types.is_date32(kind) else column
        plain = wide.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    else:
        held = column.dictionary_encode()
        told = np.array([_of(value) for value in held.dictionary.to_pylist()] or [0], np.uint64)
        plain = told[held.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)]
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(nulls, _NULL, _mixed(plain))


def _of(value: object) -> int:
    data = value if isinstance(value, bytes) else str(value).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _mixed(values: Hashes) -> Hashes:
    """SplitMix64, whose bits all depend on all bits. Source: Steele, Lea and Flood (2014)."""
    sequence: Sequence[tuple[int, int]] = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
    mixed = values + _NULL
    for shift, factor in sequence:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def read_chosen(batches: Iterable[pa.RecordBatch], places: npt.NDArray[np.int64]) -> pa.Table:
    """The rows at some places of a table that comes in batches, in the order of the places.

    Examples
    --------
    >>> batches = pa.table({"a": [5, 6, 7]}).to_batches(max_chunksize=2)
    >>> read_chosen(batches, np.array([2, 0]))["a"].to_pylist()
    [7, 5]
    """
    order = np.argsort(places, kind="stable")
    sorted_places, start, taken = places[order], 0, []
    for batch in batches:
        low, high = np.searchsorted(sorted_places, [start, start + batch.num_rows])
        taken.append(pa.table(batch).take(pa.array(sorted_places[low:high] - start)))
        start += batch.num_rows
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_tables(taken).take(pa.array(back))
