"""Keys as numbers: the key of each spine row, and of each source row, as its place among the spine's distinct keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import KeyTypeMismatch
from tidewheel.features.columns import check_key
from tidewheel.features.tiles import NULL_KEY, UNKNOWN_KEY
from tidewheel.schema import Field, data_type_of_arrow

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_TABLE = 1 << 24
"""Up to so many possible combinations of parts are looked up in an array."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Numbers of keys.

    Parameters
    ----------
    asked
        Of each spine row; ``NULL_KEY`` where a part is null.
    held
        Of each source row; ``UNKNOWN_KEY`` where nobody asks for it, ``NULL_KEY`` where a part is null.
    """

    asked: Integers
    held: Integers
    keys: int


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
    return column.combine_chunks().cast(key.type.arrow())


def match_keys(asked: Sequence[pa.Array], held: Sequence[pa.Array]) -> Matched:
    """Number the distinct keys of the spine, and find them in the rows of a source.

    Parameters
    ----------
    asked, held
        The parts of the keys, as :func:`key_column` gives them, in the same order.

    Examples
    --------
    >>> one = match_keys([pa.array(["1", "11"]), pa.array(["11", "1"])], [pa.array(["11", "2"]), pa.array(["1", "2"])])
    >>> one.asked.tolist(), one.held.tolist()
    ([0, 1], [1, -1])
    """
    left, right, size = _part(asked[0], held[0])
    for more, other in zip(asked[1:], held[1:], strict=True):
        if size > 1 << 40:  # the product of the next step could leave int64
            left, right, size = _dense(left, right, size)
        next_left, next_right, next_size = _part(more, other)
        left = np.where((left >= 0) & (next_left >= 0), left * next_size + next_left, NULL_KEY)
        right = np.where((right >= 0) & (next_right >= 0), right * next_size + next_right, np.minimum(right, next_right))
        size *= next_size
    if len(asked) > 1:
        left, right, size = _dense(left, right, size)
    return Matched(left, right, size)


def _part(asked: pa.Array, held: pa.Array) -> tuple[Integers, Integers, int]:
    """One part: place among the distinct values asked. Null is ``NULL_KEY``, not asked for ``UNKNOWN_KEY``."""
    encoded = asked.dictionary_encode()
    dictionary = encoded.dictionary
    left = encoded.indices.fill_null(NULL_KEY).cast(pa.int64()).to_numpy()
    found = pc.index_in(held, value_set=dictionary).fill_null(UNKNOWN_KEY)
    right = found.cast(pa.int64()).to_numpy()
    if held.null_count:
        right = np.where(held.is_null().to_numpy(zero_copy_only=False), NULL_KEY, right)
    return left, right, len(dictionary)


def _dense(left: Integers, right: Integers, size: int) -> tuple[Integers, Integers, int]:
    """Renumber combined keys from 0, in order."""
    distinct = np.unique(left[left >= 0])
    negative = np.minimum(right, 0)
    if size <= _TABLE:
        places = np.full(max(size, 1), UNKNOWN_KEY, dtype=np.int64)
        places[distinct] = np.arange(len(distinct))
        return (
            np.where(left >= 0, places[np.maximum(left, 0)], left),
            np.where(right >= 0, places[np.maximum(right, 0)], negative),
            len(distinct),
        )
    values = pa.array(distinct)
    again = pc.index_in(pa.array(left), value_set=values).fill_null(UNKNOWN_KEY).cast(pa.int64()).to_numpy()
    other = pc.index_in(pa.array(right), value_set=values).fill_null(UNKNOWN_KEY).cast(pa.int64()).to_numpy()
    return np.where(left >= 0, again, left), np.where(right >= 0, other, negative), len(distinct)
