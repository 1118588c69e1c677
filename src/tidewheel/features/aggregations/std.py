"""Standard deviation of the sample (divisor n - 1): null below two values.

Source: Welford (1962) for adding a value; Chan, Golub and LeVeque (1979) for merging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import FLOATS, INTEGERS, MOMENTS, Ending, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def std(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Standard deviation of the sample (divisor n - 1); null below two values.

    Examples
    --------
    >>> std("amount", "1d").aggregation
    'std'
    """
    return window_feature("std", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def moments(kind: DataType | None, _feature: Feature) -> State | None:
    """State of every measure of spread: each number is folded as float64."""
    return MOMENTS if kind in (*FLOATS, *INTEGERS, DataType.DECIMAL) else None


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    return np.sqrt(one.floats[:, 1] / np.maximum(one.ints[:, 0] - 1, 1)), one.ints[:, 0] > 1


AGGREGATION = Aggregation("std", moments, lambda _kind: DataType.FLOAT64, _finish, Ending.STD)
