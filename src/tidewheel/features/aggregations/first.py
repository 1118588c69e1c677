"""The earliest value that is not null, of any type; null of nothing."""

from __future__ import annotations

from tidewheel.features.aggregations import Aggregation, column_type
from tidewheel.features.aggregations.last import finish
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Ending, Fold, State, selecting
from tidewheel.schema import DataType


def first(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """The earliest value of a column that is not null; null when there is none.

    Examples
    --------
    >>> first("merchant", "30d").aggregation
    'first'
    """
    return window_feature("first", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    return selecting(kind, integer=Fold.FIRST, floating=Fold.FIRST_FLOAT)


AGGREGATION = Aggregation("first", _state, column_type, finish, Ending.KEPT)
