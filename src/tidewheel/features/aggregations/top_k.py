"""The most frequent values, the most frequent first, of those alike the least: a list, empty of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended, column_type
from tidewheel.features.aggregations.distinct import check_bounded, keeping
from tidewheel.features.aggregations.first_k import room, some
from tidewheel.features.feature import Duration, Feature, Tail, grain, window_feature
from tidewheel.features.state import FLOATS, Part, State
from tidewheel.schema import LISTS, DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def top_k(
    column: str,
    window: Duration,
    *,
    k: int,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    offset: Duration | None = None,
) -> Feature:
    """The ``k`` most frequent values of a column, counted exactly: any type but floats.

    Raises
    ------
    UnboundedState
        For windows above 31 days: they would keep a count of every value.

    Examples
    --------
    >>> top_k("merchant", "7d", k=3).option("k")
    3
    """
    made = window_feature("top_k", column, window, hop=grain(hop, tail), where=where, offset=offset, options=some("top_k", k))
    check_bounded(made, "give a window of at most 31d, or count known values with histogram(buckets=)")
    return made


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    return None if kind in FLOATS else keeping(kind, merge_sum=True)


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    maps = one.maps
    assert maps is not None
    rows = maps.rows
    order = np.lexsort((maps.keys, -maps.counts, rows))
    among = np.arange(len(rows)) - maps.offsets[rows]
    kept = room(one.feature)
    return maps.keys[order[among < kept]], np.minimum(maps.sizes, kept)


def _part(feature: Feature) -> Part:
    return Part("top", room(feature))


AGGREGATION = Aggregation("top_k", _state, lambda kind: LISTS[column_type(kind)], _finish, part=_part)
