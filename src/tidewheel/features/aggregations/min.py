"""Least value, of any type that has an order; null of nothing. NaN, where it is kept, wins."""

from __future__ import annotations

from tidewheel.features.aggregations import Aggregation, column_type
from tidewheel.features.aggregations.last import finish
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Ending, Fold, State, selecting
from tidewheel.schema import DataType


def min(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Least value of a column; null when there is none.

    Examples
    --------
    >>> min("amount", "1d").aggregation
    'min'
    """
    return window_feature("min", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    return selecting(kind, integer=Fold.LEAST, floating=Fold.LEAST_FLOAT)


AGGREGATION = Aggregation("min", _state, column_type, finish, Ending.KEPT)
