"""Keys as numbers: the distinct keys of a spine, each source row's place among them, and the spine's questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import KeyTypeMismatch
from tidewheel.features import key_kernel
from tidewheel.features.columns import check_key
from tidewheel.features.encoding import to_int64
from tidewheel.features.questions import Questions, order_questions
from tidewheel.features.tiles import NULL_KEY, UNKNOWN_KEY
from tidewheel.schema import Field, data_type_of_arrow

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_NEAR = 1 << 16
"""Integers that lie this close together, or four times closer than they are many, are looked up in an array, unhashed."""


def key_column(column: pa.ChunkedArray, key: Field) -> pa.Array:
    """A key column in its declared type.

    Raises
    ------
    KeyTypeMismatch
        Unless the column has the declared type, or int32 for int64. Nothing else is coerced.
    """
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), key.type.arrow())
    if pa.types.is_nested(column.type) or pa.types.is_uint64(column.type):
        raise KeyTypeMismatch(
            f"{key.name}: got {column.type}, declared {key.type.value}", where=key.name, fix="cast the column"
        )
    check_key(key, data_type_of_arrow(column.type))
    return one_array(column).cast(key.type.arrow())


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; copied only where it is in pieces.

    Examples
    --------
    >>> one_array(pa.chunked_array([[1], [2]])).to_pylist()
    [1, 2]
    """
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def one_key(rows: int) -> pa.Array:
    """The key of every row where an entity has no key columns.

    Examples
    --------
    >>> one_key(2).to_pylist()
    [0, 0]
    """
    return pa.repeat(pa.scalar(0, pa.int64()), rows)


class KeyIndex:
    """Numbers of the distinct keys of a spine, from 0 in order of appearance; built once, then asked for every batch of rows.

    Parameters
    ----------
    asked
        The parts of the keys, as :func:`key_column` gives them.

    Examples
    --------
    >>> index = KeyIndex([pa.array(["1", "11"]), pa.array(["11", "1"])])
    >>> index.asked.tolist(), index.keys
    ([0, 1], 2)
    >>> index.find([pa.array(["11", "2", None]), pa.array(["1", "2", "2"])]).tolist()
    [1, -1, -2]
    """

    def __init__(self, asked: Sequence[pa.Array]) -> None:
        self._parts = [_part(column) for column in asked]
        self._pairs: list[_Integers] = []
        self.asked: Integers = self._parts[0].asked
        """Number of each spine row's key; ``NULL_KEY`` where a part is null."""
        self.keys: int = self._parts[0].size
        """How many distinct keys there are."""
        for part in self._parts[1:]:
            both = np.where((self.asked >= 0) & (part.asked >= 0), self.asked * part.size + part.asked, NULL_KEY)
            pair = _Integers(both, both >= 0)
            self._pairs.append(pair)
            self.asked, self.keys = pair.asked, pair.size

    def find(self, held: Sequence[pa.Array]) -> Integers:
        """Number of each row's key: ``UNKNOWN_KEY`` where nobody asks for it, ``NULL_KEY`` where a part is null."""
        found = self._parts[0].find(held[0])
        for part, pair, column in zip(self._parts[1:], self._pairs, held[1:], strict=True):
            other = part.find(column)
            both = np.where((found >= 0) & (other >= 0), found * part.size + other, -1)
            found = np.where(both >= 0, pair.numbers(both), np.minimum(np.minimum(found, other), UNKNOWN_KEY))
        return found


def ask(index: KeyIndex, times: Integers) -> Questions:
    """Order a spine's questions."""
    return order_questions(index.asked, times, keys=index.keys)


class _Part(Protocol):
    """Numbers of the values of one part of a key."""

    asked: Integers
    size: int

    def find(self, held: pa.Array) -> Integers: ...


def _part(column: pa.Array) -> _Part:
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return _Strings(column)
    return _Integers(_whole(column), column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None)


def _whole(column: pa.Array) -> Integers:
    """Integers, times, dates and booleans as int64; a null as 0."""
    if not column.null_count:
        return to_int64(column)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    values = np.zeros(len(column), dtype=np.int64)
    values[there] = to_int64(column.drop_null())
    return values


def _table(size: int) -> Integers:
    return np.full(1 << max(4, (2 * size - 1).bit_length()), -1, dtype=np.int64)


class _Integers:
    """Integers, and what is kept as integers: booleans, times and dates."""

    def __init__(self, values: Integers, there: npt.NDArray[np.bool_] | None) -> None:
        present = values if there is None or bool(there.all()) else values[there]
        codes = np.empty(len(present), dtype=np.int64)
        distinct = np.empty(len(present), dtype=np.int64)
        self._table = _table(len(present))
        self.size: int = key_kernel.number_integers(present, self._table, distinct=distinct, codes=codes)
        self._distinct = distinct[: self.size].copy()
        self._low = int(present.min()) if len(present) else 0
        span = int(present.max()) - self._low + 1 if len(present) else 1
        self._near = span <= max(_NEAR, 4 * self.size)
        if self._near:
            self._table = np.full(span, -1, dtype=np.int64)
            self._table[self._distinct - self._low] = np.arange(self.size)
        self.asked = codes
        if len(present) < len(values):
            self.asked = np.full(len(values), NULL_KEY, dtype=np.int64)
            self.asked[there] = codes

    def numbers(self, values: Integers) -> Integers:
        codes = np.empty(len(values), dtype=np.int64)
        if self._near:
            key_kernel.find_near(values, self._table, low=self._low, codes=codes)
        else:
            key_kernel.find_integers(values, self._table, distinct=self._distinct, codes=codes)
        return codes

    def find(self, held: pa.Array) -> Integers:
        return _nulls(self.numbers(_whole(held)), held)


class _Strings:
    """Strings and bytes."""

    def __init__(self, column: pa.Array) -> None:
        present = column.drop_null() if column.null_count else column
        self._known = key_pieces(present)
        codes, first = np.empty(len(present), dtype=np.int64), np.empty(len(present), dtype=np.int64)
        self._table = _table(len(present))
        self.size: int = key_kernel.number_pieces(self._known, self._table, first=first, codes=codes)
        self._first = first[: self.size].copy()
        self.asked = codes
        if len(present) < len(column):
            self.asked = np.full(len(column), NULL_KEY, dtype=np.int64)
            self.asked[column.is_valid().to_numpy(zero_copy_only=False)] = codes

    def find(self, held: pa.Array) -> Integers:
        codes = np.empty(len(held), dtype=np.int64)
        key_kernel.find_pieces(key_pieces(held), self._known, table=self._table, first=self._first, codes=codes)
        return _nulls(codes, held)


def _nulls(codes: Integers, held: pa.Array) -> Integers:
    return np.where(held.is_null().to_numpy(zero_copy_only=False), NULL_KEY, codes) if held.null_count else codes


def key_pieces(column: pa.Array) -> key_kernel.Pieces:
    """Strings or bytes as the kernel sees them; a null has no bytes.

    Examples
    --------
    >>> type(key_pieces(pa.array(["a", None, "bc"]))).__name__
    'Pieces'
    """
    plain = (pc.fill_null(column, "" if pa.types.is_string(column.type) else b"") if column.null_count else column).cast(
        pa.large_binary()
    )
    _, places, data = plain.buffers()
    if places is None:
        offsets: Integers = np.zeros(len(plain) + 1, dtype=np.int64)
    else:
        offsets = np.frombuffer(places, np.int64)[plain.offset : plain.offset + len(plain) + 1]
    held = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    return key_kernel.Pieces(offsets, held)
