"""About how many different values, of any type; 0 of nothing. The standard error is 1.6 %.

A HyperLogLog of 4,096 registers: of each value's 64-bit hash twelve bits choose a register, which keeps the greatest number of
leading zeros seen. Registers that are not zero are the state's map, and merge by the greater: exact in any order.

Source: Flajolet, Fusy, Gandouet and Meunier (2007); the estimate is Ertl's improved one (2017), which needs no tables. Hashes:
the finaliser of SplitMix64 for numbers and instants, BLAKE2b of 8 bytes for strings, bytes and decimals.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.aggregations.distinct import codes
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Fold, Part, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tidewheel.features.aggregations import Floats, Integers, There, Values

_REST = 52
"""Bits of a hash that do not choose the register. Part of what stored tiles mean, and so are the hashes."""

_REGISTERS = 1 << (64 - _REST)
_LEVELS = _REST + 2
"""A register holds 0 up to one more than there are bits."""


def approx_distinct(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """About how many different values of a column, in a state of bounded size; the standard error is 1.6 %.

    Examples
    --------
    >>> approx_distinct("merchant", "365d").aggregation
    'approx_distinct'
    """
    return window_feature("approx_distinct", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def registers(column: pa.Array) -> tuple[Integers, Integers]:
    """The register that each value counts in, and what it asks it to be at least."""
    import numpy as np

    hashes = _hashes(column)
    rest = (hashes & np.uint64((1 << _REST) - 1)).astype(np.float64)  # below 2**53, so exact
    return (hashes >> np.uint64(_REST)).astype(np.int64), (_REST + 1 - np.frexp(rest)[1]).astype(np.int64)


def _hashes(column: pa.Array) -> npt.NDArray[np.uint64]:
    import numpy as np
    import pyarrow as pa

    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type) or pa.types.is_decimal(column.type)):
        mixed = codes(column)[0].view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
        return found
    once = column.dictionary_encode()
    words = [one if isinstance(one, bytes) else str(one).encode() for one in once.dictionary.to_pylist()]
    each = [int.from_bytes(blake2b(word, digest_size=8).digest(), "big") for word in words]
    chosen: npt.NDArray[np.uint64] = np.array(each, dtype=np.uint64)[once.indices.to_numpy()]
    return chosen


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    return None if kind is None or kind.is_list else State(Fold.TOTAL, "entries", 1, 0, "max", 0, registers)


def estimate(filled: Integers) -> Floats:
    """How many values there were.

    Parameters
    ----------
    filled
        Shape (rows, 54): how many registers hold each number.
    """
    import numpy as np

    share = _upper(1 - filled[:, _REST + 1] / _REGISTERS) * _REGISTERS
    for value in range(_REST, 0, -1):
        share = 0.5 * (share + filled[:, value])
    share = share + _REGISTERS * _lower(filled[:, 0] / _REGISTERS)
    found: Floats = _REGISTERS**2 / (2 * np.log(2)) / share
    return found


def _upper(x: Floats) -> Floats:
    """Ertl's tau."""
    import numpy as np

    z, y, before = 1 - x, 1.0, None
    while before is None or (z != before).any():
        x, before, y = np.sqrt(x), z, y / 2
        z = z - (1 - x) ** 2 * y
    return z / 3


def _lower(x: Floats) -> Floats:
    """Ertl's sigma."""
    import numpy as np

    empty = x == 1
    x = np.where(empty, 0, x)
    z, y, before = x, 1.0, None
    while before is None or (z != before).any():
        x, before = x * x, z
        z, y = z + x * y, 2 * y
    return np.where(empty, np.inf, z)


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    maps, rows = one.maps, len(one.ints)
    if one.numbers is not None:
        filled = one.numbers
    else:
        assert maps is not None
        filled = np.bincount(maps.rows * _LEVELS + maps.counts, minlength=rows * _LEVELS).reshape(rows, _LEVELS)
    filled[:, 0] = _REGISTERS - filled[:, 1:].sum(axis=1)
    return np.rint(estimate(filled)).astype(np.int64), one.ints[:, 0] >= 0


AGGREGATION = Aggregation(
    "approx_distinct", _state, lambda _kind: DataType.INT64, _finish, part=lambda _feature: Part("levels", _LEVELS)
)
