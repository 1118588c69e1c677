"""The content of many rows, whatever their order: a digest that is made while they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.digest import Digest, digest
from tidewheel.features import key_kernel
from tidewheel.features.encoding import to_int64
from tidewheel.features.match import key_pieces, one_array

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]

State = tuple[list[tuple[str, str]], int, list[int]]

_ALGORITHM = "rows-2"
_SEED = 0x9E3779B97F4A7C15
_ABSENT = np.uint64(0xA0761D6478BD642F)
_MASK = (1 << 64) - 1

_SLICE_ROWS = 1 << 15
"""Rows that are mixed at once: what is made of them stays in the cache, and its memory is had again for the next ones."""


class RowSum:
    """Two sums over rows, each of 64 bits, of what is mixed from a row's values: the order of rows and batches does not matter.

    It tells whether data has changed, not who forged it: sums can be met on purpose.

    Examples
    --------
    >>> one, other = RowSum(), RowSum()
    >>> one.add(pa.table({"a": [1, 2], "b": ["x", None]}))
    >>> other.add(pa.table({"a": [2], "b": pa.array([None], pa.string())})), other.add(pa.table({"a": [1], "b": ["x"]}))
    (None, None)
    >>> one.digest() == other.digest()
    True
    """

    def __init__(self) -> None:
        self._rows = 0
        self._sums = [0, 0]
        self._names: list[tuple[str, str]] = []

    def add(self, rows: pa.Table) -> None:
        """Take the next rows, always of the same columns."""
        self._names = [(field.name, str(field.type)) for field in rows.schema]
        self._rows += rows.num_rows
        columns = [one_array(column) for column in rows.columns]
        for start in range(0, rows.num_rows, _SLICE_ROWS):
            lanes = mixed_rows([one.slice(start, _SLICE_ROWS) for one in columns], min(_SLICE_ROWS, rows.num_rows - start))
            self._sums = [(one + key_kernel.mixed_total(lane)) & _MASK for one, lane in zip(self._sums, lanes, strict=True)]

    def state(self) -> State:
        """What :meth:`merge` takes: names and types, number of rows, sums."""
        return self._names, self._rows, self._sums

    def merge(self, state: State) -> None:
        """Take the rows that another one has summed up; it must be of the same columns."""
        names, rows, sums = state
        self._names = [(name, kind) for name, kind in names] or self._names
        self._rows += rows
        self._sums = [(one + other) & _MASK for one, other in zip(self._sums, sums, strict=True)]

    def digest(self) -> Digest:
        """Digest of the names and types of the columns, and of all rows so far."""
        return digest([_ALGORITHM, self._names, self._rows, self._sums])


def mixed_rows(columns: Sequence[pa.Array], rows: int) -> list[Words]:
    """Two words for each row, mixed from its values: equal values, in columns of equal types, give equal words.

    Examples
    --------
    >>> one, other = (mixed_rows([pa.array(values)], 2)[0].tolist() for values in ([1, 2], [2, 1]))
    >>> one == other[::-1], one[0] == one[1]
    (True, False)
    """
    lanes = [np.zeros(rows, dtype=np.uint64) for _ in range(2)]
    for number, column in enumerate(columns):
        salt = (_SEED * (2 * number + 3)) & _MASK
        for part, words in enumerate(_words(column, salt)):
            real = pa.types.is_floating(column.type)
            key_kernel.mix_words(words, salt ^ part, real=real, sums=lanes[0], chains=lanes[1])
        if column.null_count:
            absent = column.is_null().to_numpy(zero_copy_only=False)
            for lane in lanes:
                lane[absent] += _ABSENT
    return lanes


def _words(column: pa.Array, salt: int) -> list[Words]:
    """One or more words for each value; a null is 0, and counted beside it."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        words = np.empty(len(column), dtype=np.uint64)
        key_kernel.hash_pieces(key_pieces(column), salt, words=words)
        return [words]
    if pa.types.is_nested(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return _words(pa.array([repr(value) for value in column.to_pylist()], pa.string()), salt)
    there = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
    present = column if there is None else column.drop_null()
    if pa.types.is_decimal128(kind):
        pairs = np.frombuffer(present.buffers()[1] or b"", dtype="<u8")
        pairs = pairs[2 * present.offset : 2 * (present.offset + len(present))].reshape(-1, 2)
        return [_spread(np.ascontiguousarray(pairs[:, place]), there) for place in (0, 1)]
    if pa.types.is_floating(kind):
        floats = np.ascontiguousarray(present.to_numpy(zero_copy_only=False), dtype=np.float64)
        return [_spread(floats.view(np.uint64), there)]
    if pa.types.is_null(kind):
        return [np.zeros(len(column), dtype=np.uint64)]
    return [_spread(to_int64(present).view(np.uint64), there)]


def _spread(words: Words, there: npt.NDArray[np.bool_] | None) -> Words:
    if there is None:
        return words
    filled = np.zeros(len(there), dtype=np.uint64)
    filled[there] = words
    return filled
