"""Count of events, or of the events in which a column is not null."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.state import COUNT, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def _finish(_state: State, ints: Integers, _floats: Floats) -> tuple[Values, Valid]:
    return ints[:, 0], np.ones(len(ints), dtype=np.bool_)


AGGREGATION = Aggregation("count", lambda _kind: COUNT, lambda _kind: DataType.INT64, _finish)
