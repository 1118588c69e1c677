"""Statistics of a column, such that those of two parts give those of the whole: moments, a quantile sketch, frequent values.

The sketch is that of Masson, Rim and Lee: logarithmic bins of a fixed base, so every quantile is within 1 % of a value of that
rank, and merging adds counts: it is exactly associative and commutative.

Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch", PVLDB 12(12), 2019; T. F. Chan, G. H. Golub, R. J. LeVeque, 1979, for
the merged variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ERROR = 0.01
"""Relative error of a quantile."""

TOP = 100
"""Values that are counted; rarer ones are let go where there are more."""

_BASE = (1 + ERROR) / (1 - ERROR)
_LOG = math.log(_BASE)
Plain = int | float | str
Key = TypeVar("Key", int, str)


class ColumnStatistics(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a column holds.

    Parameters
    ----------
    count, nulls
        Values, and rows without one.
    finite, mean, squares
        Of numbers that are finite: how many, their mean, and the sum of squared distances from it.
    least, greatest
        Also of texts and instants, which are ISO 8601.
    above, below, zeros
        Bins of the quantile sketch: of numbers above and below zero, by the logarithm of their size.
    top
        Frequent values and how often they occur.
    whole
        Whether ``top`` has every value.
    """

    count: int = 0
    nulls: int = 0
    finite: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: Plain | None = None
    greatest: Plain | None = None
    above: dict[int, int] = {}
    below: dict[int, int] = {}
    zeros: int = 0
    top: dict[str, int] = {}
    whole: bool = True

    @property
    def std(self) -> float | None:
        """Of a sample; ``None`` for fewer than two numbers."""
        return math.sqrt(self.squares / (self.finite - 1)) if self.finite > 1 else None

    def quantile(self, share: float) -> float | None:
        """A number within 1 % of the one below which a share of the numbers lies; ``None`` when there are none.

        Examples
        --------
        >>> abs(describe_column(pa.array([1.0, 2.0, 3.0])).quantile(0.5) - 2.0) < 0.02
        True
        """
        if not self.finite:
            return None
        rank = share * (self.finite - 1)
        seen = 0
        for place in sorted(self.below, reverse=True):
            seen += self.below[place]
            if seen > rank:
                return -_value(place)
        seen += self.zeros
        if self.zeros and seen > rank:
            return 0.0
        for place in sorted(self.above):
            seen += self.above[place]
            if seen > rank:
                return _value(place)
        return _value(max(self.above)) if self.above else 0.0


def describe_column(column: pa.Array | pa.ChunkedArray) -> ColumnStatistics:
    """Statistics of values that are here.

    Examples
    --------
    >>> found = describe_column(pa.array([1, 2, None, 2]))
    >>> found.count, found.nulls, found.mean, found.least, found.greatest, found.top
    (3, 1, 1.6666666666666667, 1, 2, {'2': 2, '1': 1})
    """
    kind = column.type
    nulls = column.null_count
    told = ColumnStatistics(count=len(column) - nulls, nulls=nulls)
    if pa.types.is_nested(kind) or told.count == 0:
        return told
    if pa.types.is_boolean(kind):
        return msgspec.structs.replace(told, top=_counted(column))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(told, column)
    if pa.types.is_temporal(kind):
        bounds = pc.min_max(column).as_py()
        return msgspec.structs.replace(told, least=bounds["min"].isoformat(), greatest=bounds["max"].isoformat())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return told
    bounds = pc.min_max(column.cast(pa.string())).as_py()
    top = _counted(column)
    cut, whole = _most(top)
    return msgspec.structs.replace(told, least=bounds["min"], greatest=bounds["max"], top=cut, whole=whole)


def merge(one: ColumnStatistics, two: ColumnStatistics) -> ColumnStatistics:
    """Statistics of both parts.

    Examples
    --------
    >>> whole = merge(describe_column(pa.array([1.0, 3.0])), describe_column(pa.array([5.0, None])))
    >>> whole.count, whole.nulls, whole.mean, whole.std
    (3, 1, 3.0, 2.0)
    """
    if not one.finite or not two.finite:  # to the bit what the other says
        some = one if one.finite else two
        finite, mean, squares = some.finite, some.mean, some.squares
    else:
        finite = one.finite + two.finite
        apart = two.mean - one.mean
        mean = one.mean + apart * two.finite / finite
        squares = one.squares + two.squares + apart * apart * one.finite * two.finite / finite
    top, whole = _most(_added(one.top, two.top))
    return ColumnStatistics(
        count=one.count + two.count,
        nulls=one.nulls + two.nulls,
        finite=finite,
        mean=mean,
        squares=squares,
        least=_first(one.least, two.least, lower=True),
        greatest=_first(one.greatest, two.greatest, lower=False),
        above=_added(one.above, two.above),
        below=_added(one.below, two.below),
        zeros=one.zeros + two.zeros,
        top=top,
        whole=whole and one.whole and two.whole,
    )


def _numbers(told: ColumnStatistics, column: pa.Array | pa.ChunkedArray) -> ColumnStatistics:
    values: npt.NDArray[np.float64] = np.asarray(column.drop_null().cast(pa.float64(), safe=False), dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return told
    mean = float(values.mean())
    whole_numbers = pa.types.is_integer(column.type)
    bounds = pc.min_max(column).as_py() if whole_numbers else {"min": float(values.min()), "max": float(values.max())}
    top, whole = _most(_counted(column)) if whole_numbers else ({}, False)
    return msgspec.structs.replace(
        told,
        finite=len(values),
        mean=mean,
        squares=float(np.square(values - mean).sum()),
        least=bounds["min"],
        greatest=bounds["max"],
        above=_bins(values[values > 0]),
        below=_bins(-values[values < 0]),
        zeros=int(np.count_nonzero(values == 0)),
        top=top,
        whole=whole,
    )


def _bins(sizes: npt.NDArray[np.float64]) -> dict[int, int]:
    places, counts = np.unique(np.ceil(np.log(sizes) / _LOG).astype(np.int64), return_counts=True)
    return dict(zip(places.tolist(), counts.tolist(), strict=True))


def _value(place: int) -> float:
    """The middle of a bin, relative to its ends."""
    return 2 * math.exp(place * _LOG) / (_BASE + 1)


def _counted(column: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(column.drop_null())
    return {str(pair["values"].as_py()): pair["counts"].as_py() for pair in _heaviest(pairs)}


def _heaviest(pairs: pa.StructArray) -> pa.StructArray:
    """Of very many values those that occur most; ties by the value's text are decided among them."""
    if len(pairs) <= 10 * TOP:
        return pairs
    return pairs.take(pc.select_k_unstable(pa.table({"n": pairs.field("counts")}), 10 * TOP, [("n", "descending")]))


def _most(counts: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    kept = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]
    return dict(kept), len(counts) <= TOP


def _added(one: Mapping[Key, int], two: Mapping[Key, int]) -> dict[Key, int]:
    return {key: one.get(key, 0) + two.get(key, 0) for key in {**one, **two}}


def _first(one: Plain | None, two: Plain | None, *, lower: bool) -> Plain | None:
    both = [value for value in (one, two) if value is not None]
    if not both:
        return None
    return min(both) if lower else max(both)  # values of one column compare
