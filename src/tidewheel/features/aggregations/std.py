"""Standard deviation of the sample (divisor n - 1): null below two values.

Source: Welford (1962) for adding a value; Chan, Golub and LeVeque (1979) for merging.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.state import FLOATS, INTEGERS, MOMENTS, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def moments(kind: DataType | None) -> State | None:
    """State of both standard deviations: every number is folded as float64."""
    return MOMENTS if kind in (*FLOATS, *INTEGERS, DataType.DECIMAL) else None


def _finish(_state: State, ints: Integers, floats: Floats) -> tuple[Values, Valid]:
    count = ints[:, 0]
    return np.sqrt(floats[:, 1] / np.maximum(count - 1, 1)), count > 1


def root(squares: float, divisor: int) -> float:
    """As NumPy's: NaN of what is below zero or NaN."""
    share = squares / divisor
    return math.sqrt(share) if share >= 0 else math.nan


def _finish_one(_state: State, ints: Sequence[int], floats: Sequence[float]) -> float | None:
    return root(floats[1], ints[0] - 1) if ints[0] > 1 else None


AGGREGATION = Aggregation("std", moments, lambda _kind: DataType.FLOAT64, _finish, _finish_one)
