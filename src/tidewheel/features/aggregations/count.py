"""Count of events, or of the events in which a column is not null."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.errors import Invalid
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import COUNT, Ending
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def count(
    column: Duration = "forever",
    window: Duration | None = None,
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """How many events: ``count("1h")`` of all, ``count("x", "1h")`` of those in which ``x`` is not null.

    Examples
    --------
    >>> count("1h").column is None, count("amount", "1h").column
    (True, 'amount')
    """
    if window is None:
        return window_feature("count", None, column, hop=grain(hop, tail), where=where, default=default, offset=offset)
    if not isinstance(column, str):
        raise Invalid(f"{column!r} is not a column", where="count", fix='write count("column", "1h") or count("1h")')
    return window_feature("count", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _finish(one: Ended) -> tuple[Values, There]:
    return one.ints[:, 0], one.ints[:, 0] >= 0


AGGREGATION = Aggregation("count", lambda _kind, _feature: COUNT, lambda _kind: DataType.INT64, _finish, Ending.COUNT)
