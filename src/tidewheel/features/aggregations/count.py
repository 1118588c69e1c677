"""Count of events, or of the events in which a column is not null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.state import COUNT, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def _finish(_state: State, ints: Integers, _floats: Floats) -> tuple[Values, Valid]:
    return ints[:, 0], np.ones(len(ints), dtype=np.bool_)


def _finish_one(_state: State, ints: Sequence[int], _floats: Sequence[float]) -> int:
    return ints[0]


AGGREGATION = Aggregation("count", lambda _kind: COUNT, lambda _kind: DataType.INT64, _finish, _finish_one)
