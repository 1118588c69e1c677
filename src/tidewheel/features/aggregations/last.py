"""The latest value that is not null, of any type; null of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended, column_type
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Ending, Fold, State, selecting
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def last(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """The latest value of a column that is not null; null when there is none.

    Examples
    --------
    >>> last("merchant", "30d").hop
    86400000000
    """
    return window_feature("last", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _state(kind: DataType | None, _feature: Feature) -> State | None:
    return selecting(kind, integer=Fold.LAST, floating=Fold.LAST_FLOAT)


def finish(one: Ended) -> tuple[Values, There]:
    """The values of states that keep one of the values they were given."""
    return (one.floats[:, 0] if one.state.floats else one.ints[:, 1]), one.ints[:, 0] > 0


AGGREGATION = Aggregation("last", _state, column_type, finish, Ending.KEPT)
