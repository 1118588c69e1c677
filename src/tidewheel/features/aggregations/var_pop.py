"""Variance of the population (divisor n): 0 for one value, null of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.aggregations.std import moments
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import Ending
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def var_pop(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Variance of the population (divisor n); 0 for one value, null for none.

    Examples
    --------
    >>> var_pop("amount", "1d").aggregation
    'var_pop'
    """
    return window_feature("var_pop", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    return one.floats[:, 1] / np.maximum(one.ints[:, 0], 1), one.ints[:, 0] > 0


AGGREGATION = Aggregation("var_pop", moments, lambda _kind: DataType.FLOAT64, _finish, Ending.VAR_POP)
