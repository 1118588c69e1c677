"""How many different values, exactly, of any type; 0 of nothing. NaN, where it is kept, is one value, and -0 is 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tidewheel.clock import DAY, format_duration
from tidewheel.errors import Invalid, UnboundedState
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import RANKED, Fold, Part, State
from tidewheel.features.windows import FOREVER
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.aggregations import Integers, There, Values

LONGEST = 31 * DAY
"""The longest window that may keep every value it met."""


def distinct(
    column: str,
    window: Duration = "forever",
    *,
    limit: int | None = None,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """How many different values of a column, counted exactly up to a limit.

    Parameters
    ----------
    limit
        More values than this count as this many, so the state holds no more. Needed for windows above 31 days.

    Raises
    ------
    UnboundedState
        For a long window without a limit.

    Examples
    --------
    >>> distinct("merchant", "30d").aggregation
    'distinct'
    >>> distinct("merchant", "365d")
    Traceback (most recent call last):
    tidewheel.errors.UnboundedState: distinct(merchant) over 365d keeps every value (at merchant). Fix: use approx_distinct, \
or give limit=
    """
    if limit is not None and limit < 1:
        raise Invalid(f"distinct with limit={limit}", where=column, fix="give a limit above 0, or none")
    options = () if limit is None else (("limit", limit),)
    made = window_feature(
        "distinct", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset, options=options
    )
    if limit is None:
        check_bounded(made, "use approx_distinct, or give limit=")
    return made


def check_bounded(feature: Feature, fix: str) -> None:
    """Refuse a window so long that what it keeps has no bound."""
    if feature.window > LONGEST:
        span = "all time" if feature.window == FOREVER else format_duration(feature.window)
        what = f"{feature.aggregation}({feature.column}) over {span} keeps every value"
        raise UnboundedState(what, where=feature.column or "", fix=fix)


def codes(column: pa.Array) -> tuple[Integers, None]:
    """Numbers and instants as the integers that stand for them: equal ones alone have equal codes."""
    import numpy as np
    import pyarrow as pa

    from tidewheel.features.encoding import to_int64

    if not pa.types.is_floating(column.type):
        return to_int64(column), None
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).view(np.int64), None


def keeping(kind: DataType | None, *, merge_sum: bool, limit: int = 0) -> State | None:
    """State with a map by value."""
    if kind is None or kind.is_list:
        return None
    merge: Literal["sum", "max"] = "sum" if merge_sum else "max"
    if kind in RANKED:
        return State(Fold.TOTAL, "ranked", 1, 0, merge, limit)
    return State(Fold.TOTAL, "entries", 1, 0, merge, limit, codes)


def _state(kind: DataType | None, feature: Feature) -> State | None:
    limit = feature.option("limit")
    return keeping(kind, merge_sum=False, limit=limit if isinstance(limit, int) else 0)


def _finish(one: Ended) -> tuple[Values, There]:
    if one.numbers is not None:
        return one.numbers[:, 0], one.ints[:, 0] >= 0
    assert one.maps is not None
    return one.maps.sizes, one.ints[:, 0] >= 0


AGGREGATION = Aggregation("distinct", _state, lambda _kind: DataType.INT64, _finish, part=lambda _feature: Part("size"))
