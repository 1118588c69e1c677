"""Columns as the kernel sees them: int64 and float64, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import TypeMismatch
from tidewheel.features.exact import split
from tidewheel.features.state import State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_EXACT = Context(prec=60)
_AS_THEY_ARE = (DataType.INT64, DataType.FLOAT64)
_NO_INTS = np.empty(0, dtype=np.int64)
_NO_FLOATS = np.empty(0, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Values for the kernel: flat integers, floats, and for ranked values the sorted values that ranks point into.

    Of a state with a map ``ints`` are the keys of entries, and ``counts`` what each adds.
    """

    ints: Integers
    floats: Floats
    dictionary: pa.Array | None = None
    counts: Integers | None = None


def encode_column(column: pa.Array | None, kind: DataType | None, state: State) -> Encoded:
    """A column without nulls, as the state's fold takes it.

    Examples
    --------
    >>> from tidewheel.features.state import Fold, selecting
    >>> state = selecting(DataType.STRING, integer=Fold.LEAST, floating=Fold.LEAST_FLOAT)
    >>> made = encode_column(pa.array(["b", "a", "b"]), DataType.STRING, state)
    >>> made.ints.tolist(), made.dictionary.to_pylist()
    ([1, 0, 1], ['a', 'b'])
    """
    if column is None or state.encoding == "none":
        return Encoded(_NO_INTS, _NO_FLOATS)
    assert kind is not None
    if state.encoding == "float":
        return Encoded(_NO_INTS, _floats(column, kind))
    if state.encoding == "limbs4":
        return Encoded(_decimal_limbs(column), _NO_FLOATS)
    if state.encoding == "ranked":
        dictionary = sorted_unique([column])
        counts = None if state.merge is None else np.ones(len(column), dtype=np.int64)
        return Encoded(ranks(column, dictionary), _NO_FLOATS, dictionary, counts)
    if state.encoding == "entries":
        assert state.entries is not None
        keys, adds = state.entries(column)
        return Encoded(keys, _NO_FLOATS, counts=np.ones(len(keys), dtype=np.int64) if adds is None else adds)
    whole = to_int64(column)
    return Encoded(np.ascontiguousarray(split(whole)).reshape(-1) if state.encoding == "limbs2" else whole, _NO_FLOATS)


def to_int64(column: pa.Array) -> Integers:
    """Integers, booleans, timestamps (microseconds) and dates (days) without nulls, as int64."""
    kind = column.type
    if pa.types.is_int64(kind):
        return np.ascontiguousarray(column.to_numpy())
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz))
    elif pa.types.is_date(kind):
        column = column.cast(pa.date32()).view(pa.int32())
    whole: Integers = np.ascontiguousarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    return whole


def _floats(column: pa.Array, kind: DataType) -> Floats:
    wide = column.cast(pa.int8()) if kind is DataType.BOOL else column
    floats: Floats = np.ascontiguousarray(wide.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return floats


def _decimal_limbs(column: pa.Array) -> Integers:
    exact = column.cast(pa.decimal128(38, 9))
    words = np.frombuffer(exact.buffers()[1], dtype="<i8").reshape(-1, 2)[exact.offset : exact.offset + len(exact)]
    low = words[:, 0]
    unsigned = np.stack([low & 0xFFFFFFFF, (low >> 32) & 0xFFFFFFFF], axis=1)
    return np.ascontiguousarray(np.concatenate([unsigned, split(words[:, 1])], axis=1)).reshape(-1)


def sorted_unique(columns: Sequence[pa.Array]) -> pa.Array:
    """The distinct values of some columns, in order."""
    values = pc.unique(pa.concat_arrays([*columns]))
    return values.take(pc.array_sort_indices(values))


def ranks(column: pa.Array, dictionary: pa.Array) -> Integers:
    """Position of each value in a dictionary that holds them all."""
    found: Integers = pc.index_in(column, value_set=dictionary).to_numpy().astype(np.int64)
    return found


def decode_values(
    values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], *, kind: DataType, dictionary: pa.Array | None = None
) -> pa.Array:
    """What an aggregation finished with, as an Arrow column of the feature's type; not valid is null.

    Parameters
    ----------
    values
        Float64; int64 (integers, booleans, microseconds, days, or ranks); or unscaled decimals as objects.
    """
    absent = ~valid
    if kind in _AS_THEY_ARE:  # the hot path of a request: no cast
        return pa.array(values, mask=absent)
    if dictionary is not None:
        return dictionary.take(pa.array(values.astype(np.int64), pa.int64(), mask=absent)).cast(kind.arrow())
    if kind is DataType.DECIMAL:
        scaled = [
            Decimal(int(one)).scaleb(-9, context=_EXACT) if there else None for one, there in zip(values, valid, strict=True)
        ]
        return pa.array(scaled, kind.arrow())
    if kind is DataType.BOOL:
        return pa.array(values.astype(np.bool_), pa.bool_(), mask=absent)
    if kind is DataType.DATE:
        return pa.array(values.astype(np.int32), pa.int32(), mask=absent).view(pa.date32())
    if kind in (DataType.INT32, DataType.FLOAT32):
        return pa.array(values.astype(np.dtype(kind.value)), kind.arrow(), mask=absent)
    return pa.array(values.astype(np.int64), pa.int64(), mask=absent).cast(kind.arrow())


def decode_lists(
    values: npt.NDArray[np.generic], lengths: Integers, *, kind: DataType, dictionary: pa.Array | None = None
) -> pa.Array:
    """What an aggregation to lists finished with, as an Arrow column: all values, row after row, ``lengths`` of each."""
    inner = decode_values(values, np.ones(len(values), dtype=np.bool_), kind=kind.element, dictionary=dictionary)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner).cast(kind.arrow())


def typed_default(value: object, kind: DataType, *, where: str) -> pa.Scalar:
    """A feature's ``default=`` in the feature's type.

    Raises
    ------
    TypeMismatch
        When it does not fit.

    Examples
    --------
    >>> typed_default(0, DataType.FLOAT64, where="x").as_py()
    0.0
    """
    try:
        return pa.scalar(value, kind.arrow())
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError) as error:
        raise TypeMismatch(f"default {value!r} is no {kind.value}", where=where, fix=f"give a {kind.value}") from error
