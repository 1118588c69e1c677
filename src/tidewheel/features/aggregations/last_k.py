"""The latest values that are not null, in order of time: a list, empty of nothing."""

from __future__ import annotations

from tidewheel.features.aggregations import Aggregation, column_type
from tidewheel.features.aggregations.first_k import finish_some, room, some
from tidewheel.features.feature import Duration, Feature, Tail, grain, window_feature
from tidewheel.features.state import Fold, State, selecting
from tidewheel.schema import LISTS, DataType


def last_k(
    column: str,
    window: Duration = "forever",
    *,
    k: int,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    offset: Duration | None = None,
) -> Feature:
    """The latest ``k`` values of a column that are not null, in order of time: the newest is the last.

    Examples
    --------
    >>> last_k("merchant", "30d", k=3).option("k")
    3
    """
    return window_feature("last_k", column, window, hop=grain(hop, tail), where=where, offset=offset, options=some("last_k", k))


def _state(kind: DataType | None, feature: Feature) -> State | None:
    return selecting(kind, integer=Fold.SOME_LAST, floating=Fold.SOME_LAST_FLOAT, room=room(feature))


AGGREGATION = Aggregation("last_k", _state, lambda kind: LISTS[column_type(kind)], finish_some)
