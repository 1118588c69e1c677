"""Variance of the sample (divisor n - 1): null below two values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.aggregations.std import moments
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Ending
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def var(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Variance of the sample (divisor n - 1); null below two values.

    Examples
    --------
    >>> var("amount", "1d").aggregation
    'var'
    """
    return window_feature("var", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    return one.floats[:, 1] / np.maximum(one.ints[:, 0] - 1, 1), one.ints[:, 0] > 1


AGGREGATION = Aggregation("var", moments, lambda _kind: DataType.FLOAT64, _finish, Ending.VAR)
