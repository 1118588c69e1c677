"""Standard deviation of the population (divisor n): 0 for one value, null of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.aggregations.std import moments, root
from tidewheel.features.state import State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def _finish(_state: State, ints: Integers, floats: Floats) -> tuple[Values, Valid]:
    count = ints[:, 0]
    return np.sqrt(floats[:, 1] / np.maximum(count, 1)), count > 0


def _finish_one(_state: State, ints: Sequence[int], floats: Sequence[float]) -> float | None:
    return root(floats[1], ints[0]) if ints[0] else None


AGGREGATION = Aggregation("std_pop", moments, lambda _kind: DataType.FLOAT64, _finish, _finish_one)
