"""Sum: exact for integers and decimals, compensated for floats; 0 of nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tidewheel.errors import FeatureOverflow
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Duration, Feature, Scalar, Tail, grain, window_feature
from tidewheel.features.state import DECIMAL, EXACT, FLOATS, INTEGERS, SUM, TOO_LARGE, Ending, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, There, Values

LARGEST = 10**38


def sum(
    column: str,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
) -> Feature:
    """Sum of a column: exact for integers and decimals, compensated for floats; 0 when there is none.

    Examples
    --------
    >>> sum("amount", "7d").hop
    3600000000
    """
    return window_feature("sum", column, window, hop=grain(hop, tail), where=where, default=default, offset=offset)


def state_of(kind: DataType | None, _feature: Feature) -> State | None:
    """State of a sum, which a mean has too."""
    return SUM if kind in FLOATS else EXACT if kind in INTEGERS else DECIMAL if kind is DataType.DECIMAL else None


def compensated(floats: Floats) -> Floats:
    """Sum and lost part as one number; an infinite sum has no lost part."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(floats[:, 0]), floats[:, 0] + floats[:, 1], floats[:, 0])


def _result(kind: DataType | None) -> DataType:
    return DataType.FLOAT64 if kind in FLOATS else DataType.DECIMAL if kind is DataType.DECIMAL else DataType.INT64


def _finish(one: Ended) -> tuple[Values, There]:
    from tidewheel.features.exact import join, narrow

    state, ints = one.state, one.ints
    valid = ints[:, 0] >= 0
    if state == SUM:
        return compensated(one.floats), valid
    if state == EXACT:
        totals, fits = narrow(ints[:, 1:])
        if not fits.all():
            total = join(ints[~fits][:1, 1:])[0]
            raise FeatureOverflow(f"sum {total} does not fit int64", fix=TOO_LARGE)
        return totals, valid
    exact = join(ints[:, 1:])
    for total in exact:
        if abs(total) >= LARGEST:
            raise FeatureOverflow(f"sum {Decimal(total).scaleb(-9)} does not fit decimal128(38, 9)", fix=TOO_LARGE)
    return exact, valid


AGGREGATION = Aggregation("sum", state_of, _result, _finish, Ending.SUM)
