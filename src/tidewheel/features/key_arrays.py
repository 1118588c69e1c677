"""Keys of many rows at once: the same bytes as :mod:`tidewheel.features.keys`, each distinct key encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.features import row_kernel
from tidewheel.features.encoding import to_int64
from tidewheel.features.keys import DAYS_BEFORE_EPOCH, MAX_BYTES, KeyCodec, escape
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_VARIABLE = (DataType.STRING, DataType.BYTES)


@dataclass(frozen=True, slots=True)
class NumberedKeys:
    """The distinct keys of some rows in bytewise order, and which of them each row has: -1 for one with a null in it."""

    keys: list[bytes]
    codes: Integers


def number_keys(codec: KeyCodec, rows: pa.Table) -> NumberedKeys:
    """Number the keys of rows.

    Examples
    --------
    >>> from tidewheel.schema import Field, Schema
    >>> codec = KeyCodec(1, Schema((Field("zone", DataType.INT64),)))
    >>> found = number_keys(codec, pa.table({"zone": [7, -1, None, 7]}))
    >>> [codec.decode(key) for key in found.keys], found.codes.tolist()
    ([(-1,), (7,)], [1, 0, -1, 1])
    """
    columns = [rows[field.name].combine_chunks() for field in codec.schema]
    if not columns:  # one key for all rows
        return NumberedKeys([codec.prefix] * min(1, rows.num_rows), np.zeros(rows.num_rows, dtype=np.int64))
    absent = np.zeros(rows.num_rows, dtype=np.bool_)
    for column in columns:
        if column.null_count:
            absent |= column.is_null().to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~absent) if absent.any() else None
    if kept is not None:
        columns = [column.take(pa.array(kept)) for column in columns]
    distinct, codes = _distinct(codec, columns)
    if kept is not None:
        everywhere = np.full(rows.num_rows, -1, dtype=np.int64)
        everywhere[kept] = codes
        codes = everywhere
    return NumberedKeys(encode_keys(codec, distinct), codes)


def encode_keys(codec: KeyCodec, columns: Sequence[pa.Array]) -> list[bytes]:
    """The key of every row; no column has nulls.

    Raises
    ------
    Invalid
        When a key is too long.
    """
    count, head = len(columns[0]), codec.prefix
    kinds = [field.type for field in codec.schema]
    if any(kind in _VARIABLE for kind in kinds):
        parts = [
            _texts(one) if kind in _VARIABLE else _fixed(b"", [one], [kind]) for one, kind in zip(columns, kinds, strict=True)
        ]
        keys = [head + b"".join(row) for row in zip(*parts, strict=True)]
        for place, key in enumerate(keys):
            if len(key) > MAX_BYTES:
                codec.encode([column[place].as_py() for column in columns])
        return keys
    return _fixed(head, columns, kinds) if count else []


def _distinct(codec: KeyCodec, columns: Sequence[pa.Array]) -> tuple[list[pa.Array], Integers]:
    """Distinct rows of the columns in the order of their keys, and which of them each row is."""
    if len(columns) == 1 and codec.schema.fields[0].type is DataType.INT64:
        values, codes = np.unique(to_int64(columns[0]), return_inverse=True)
        return [pa.array(values)], codes.astype(np.int64, copy=False)
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    first = codes
    for column in columns:
        words = column.dictionary_encode()
        rank = np.empty(len(words.dictionary), dtype=np.int64)
        rank[pc.array_sort_indices(words.dictionary).to_numpy()] = np.arange(len(rank))
        both = codes * len(rank) + rank[words.indices.to_numpy()]
        _, first, codes = np.unique(both, return_index=True, return_inverse=True)
    return [column.take(pa.array(first)) for column in columns], codes.astype(np.int64, copy=False)


def _fixed(head: bytes, columns: Sequence[pa.Array], kinds: Sequence[DataType]) -> list[bytes]:
    widths = [1 if kind is DataType.BOOL else 8 for kind in kinds]
    size, at = len(head) + sum(widths), len(head)
    keys = bytearray((head + bytes(sum(widths))) * len(columns[0]))
    for column, kind, width in zip(columns, kinds, widths, strict=True):
        numbers = to_int64(column) + (DAYS_BEFORE_EPOCH if kind is DataType.DATE else 0)
        form = row_kernel.RAW if kind is DataType.BOOL else row_kernel.WHOLE
        row_kernel.put_column(keys, numbers, valid=None, place=(size, at, width, form, 0, 0, 0))
        at += width
    return row_kernel.cut(bytes(keys), size)


def _texts(column: pa.Array) -> list[bytes]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return [escape(text) for text in column.to_pylist()]
