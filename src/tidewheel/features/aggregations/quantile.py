"""A quantile of numbers, within 1/128 of the value: null of nothing.

The state counts values by bin: by sign, binary exponent, and the first six bits of the mantissa. So a bin is at most 1/64 of
its values wide, its middle at most 1/128 from any of them, and which bin a value is in is read off its bits: the same on every
machine. Counts add, so merging is exact in any order. Numbers below 2.3e-308 are near 0, not near themselves.

Source: Masson, Rim and Lee, "DDSketch" (2019), with the mapping that is linear within each octave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.errors import Invalid
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import FLOATS, Fold, Part, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.aggregations import Floats, Integers, There, Values

_DROPPED = 46
"""Bits of the mantissa that do not matter to the bin. Part of what stored tiles mean: another number is another aggregation."""

_INFINITE = 0x7FF << (52 - _DROPPED)
_NAN = _INFINITE + 1


def quantile(
    column: str,
    window: Duration = "forever",
    *,
    q: float,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """The value below which a share ``q`` of a column's values lies, at most 1/128 (0.8 %) off; null when there is none.

    Of ``n`` values it is number ``floor(q * (n - 1))`` from the least, as NumPy's ``method="lower"`` picks it.

    Examples
    --------
    >>> quantile("minutes", "7d", q=0.95).option("q")
    0.95
    """
    if not 0 <= q <= 1:
        raise Invalid(f"q is {q!r}", where=f"quantile({column})", fix="give a share from 0 to 1")
    options = (("q", float(q)),)
    return window_feature(
        "quantile", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset, options=options
    )


def bins(column: pa.Array) -> tuple[Integers, None]:
    """The bin of each value. NaN has one above infinity; -0 is 0."""
    import numpy as np
    import pyarrow as pa

    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    bits = np.ascontiguousarray(numbers, dtype=np.float64).view(np.int64)
    size = (bits & np.iinfo(np.int64).max) >> _DROPPED
    size = np.where(np.isnan(numbers), _NAN, np.where(bits < 0, -size, size))
    return size.astype(np.int64), None


def middles(places: Integers) -> Floats:
    """The middle of each bin."""
    import numpy as np

    size = np.abs(places)
    inside = (size > 0) & (size < _INFINITE)
    bits = np.where(inside, (size << _DROPPED) | (1 << (_DROPPED - 1)), size << _DROPPED)
    found = bits.astype(np.int64).view(np.float64)
    return np.where(places < 0, -found, found)


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    numbers = (*FLOATS, DataType.INT32, DataType.INT64, DataType.DECIMAL)
    return State(Fold.TOTAL, "entries", 1, 0, "sum", 0, bins) if kind in numbers else None


def _share(feature: Feature) -> float:
    q = feature.option("q")
    assert isinstance(q, float)
    return q


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    maps, q = one.maps, _share(one.feature)
    count = one.ints[:, 0]
    there = count > 0
    if one.numbers is not None:
        return middles(one.numbers[:, 0]), there
    assert maps is not None
    until = np.concatenate([[0], np.cumsum(maps.counts)])
    rank = np.floor(q * (np.maximum(count, 1) - 1)).astype(np.int64)
    place = np.searchsorted(until[1:], until[maps.offsets[:-1]] + rank, side="right")
    found = np.zeros(len(count))
    found[there] = middles(maps.keys[place[there]])
    return found, there


AGGREGATION = Aggregation(
    "quantile", _state, lambda _kind: DataType.FLOAT64, _finish, part=lambda one: Part("rank", share=_share(one))
)
