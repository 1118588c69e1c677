"""How many values in each bucket, by edges or by name: a list of counts, zeros of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidewheel.errors import Invalid
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import FLOATS, INTEGERS, Fold, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.aggregations import Integers, There, Values


def histogram(
    column: str,
    window: Duration = "forever",
    *,
    edges: Sequence[float] | None = None,
    buckets: Sequence[Scalar] | None = None,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    offset: Duration | None = None,
) -> Feature:
    """How many values lie between edges, or are each of some values.

    Parameters
    ----------
    edges
        Ascending numbers. The counts are of values below the first, from each edge up to the next (that excluded), and from
        the last one on, where NaN counts too.
    buckets
        Values of the column. The counts are of each, and of all others.

    Returns
    -------
    A list of counts, one longer than what was given.

    Examples
    --------
    >>> histogram("minutes", "7d", edges=[5, 10, 30]).option("edges")
    (5.0, 10.0, 30.0)
    >>> histogram("status", "7d", buckets=["ok", "refused"]).option("buckets")
    ('ok', 'refused')
    """
    if (edges is None) == (buckets is None):
        raise Invalid("a histogram has edges or buckets", where=column, fix="give one of them")
    options: tuple[tuple[str, tuple[Scalar, ...]], ...]
    if edges is not None:
        cuts = tuple(float(one) for one in edges)
        if not cuts or any(not low < high for low, high in zip(cuts, (*cuts[1:], float("inf")), strict=True)):
            raise Invalid(f"edges {list(edges)} do not ascend", where=column, fix="give numbers in order, each once")
        options = (("edges", cuts),)
    else:
        options = (("buckets", tuple(buckets or ())),)
        if not buckets or len(set(buckets)) < len(buckets) or None in buckets:
            raise Invalid(f"buckets {buckets!r}", where=column, fix="name at least one value, each once, and no null")
    return window_feature("histogram", column, window, hop=grain(hop, tail), where=where, offset=offset, options=options)


@dataclass(frozen=True, slots=True)
class Cuts:
    """The bucket of each number."""

    edges: tuple[float, ...]

    def __call__(self, column: pa.Array) -> tuple[Integers, None]:
        import numpy as np
        import pyarrow as pa

        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.searchsorted(np.array(self.edges), numbers, side="right").astype(np.int64), None


@dataclass(frozen=True, slots=True)
class Buckets:
    """Which of some values each value is; another one is behind them."""

    values: tuple[Scalar, ...]

    def __call__(self, column: pa.Array) -> tuple[Integers, None]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.index_in(column, value_set=pa.array(self.values, column.type))
        return pc.fill_null(found, len(self.values)).to_numpy().astype(np.int64), None


def _state(kind: DataType | None, feature: Feature) -> State | None:
    edges, buckets = feature.option("edges"), feature.option("buckets")
    if kind is None or kind.is_list or (isinstance(edges, tuple) and kind not in (*FLOATS, *INTEGERS, DataType.DECIMAL)):
        return None
    if isinstance(edges, tuple):
        return State(Fold.TOTAL, "entries", 1, 0, "sum", 0, Cuts(tuple(float(one or 0) for one in edges)))
    from tidewheel.features.encoding import typed_default

    assert isinstance(buckets, tuple)
    for one in buckets:
        typed_default(one, kind, where=f"histogram({feature.column})")
    return State(Fold.TOTAL, "entries", 1, 0, "sum", 0, Buckets(buckets))


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    maps = one.maps
    assert maps is not None
    told = one.feature.option("edges") or one.feature.option("buckets")
    assert isinstance(told, tuple)
    counts = np.zeros((len(one.ints), len(told) + 1), dtype=np.int64)
    counts[maps.rows, maps.keys] = maps.counts
    return counts.reshape(-1), np.full(len(counts), counts.shape[1])


AGGREGATION = Aggregation("histogram", _state, lambda _kind: DataType.LIST_INT64, _finish)
