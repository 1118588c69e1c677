"""Arithmetic mean: the sum (exact, or compensated) over the count; null of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.aggregations.sum import compensated, state_of
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import DECIMAL, EXACT, SUM, Ending
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values

_EXACT_FLOAT = 1 << 53


def mean(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Arithmetic mean of a column; null when there is none.

    Examples
    --------
    >>> mean("minutes", "1d", where="minutes < 600").where
    'minutes < 600'
    """
    return window_feature("mean", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def _finish(one: Ended) -> tuple[Values, There]:
    import numpy as np

    from tidewheel.features.exact import join, narrow

    state, ints = one.state, one.ints
    count = ints[:, 0]
    valid = count > 0
    divisor = np.maximum(count, 1)
    if state == SUM:
        return compensated(one.floats) / divisor, valid
    if state == EXACT:
        totals, fits = narrow(ints[:, 1:])
        means = totals / divisor
        for row in np.flatnonzero(~fits | (abs(totals) > _EXACT_FLOAT)):  # Python divides large integers correctly rounded
            means[row] = join(ints[row : row + 1, 1:])[0] / int(divisor[row])
        return means, valid
    assert state == DECIMAL
    exact = [total / (int(n) * 10**9) for total, n in zip(join(ints[:, 1:]), divisor, strict=True)]
    return np.array(exact, dtype=np.float64), valid


AGGREGATION = Aggregation("mean", state_of, lambda _kind: DataType.FLOAT64, _finish, Ending.MEAN)
