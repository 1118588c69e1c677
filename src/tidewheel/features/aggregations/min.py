"""Least value, of any type that has an order; null of nothing. NaN, where it is kept, wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.aggregations.last import finish_one
from tidewheel.features.state import Fold, State, selecting
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def _state(kind: DataType | None) -> State | None:
    return None if kind is None else selecting(kind, integer=Fold.LEAST, floating=Fold.LEAST_FLOAT)


def _finish(state: State, ints: Integers, floats: Floats) -> tuple[Values, Valid]:
    return (floats[:, 0] if state.floats else ints[:, 1]), ints[:, 0] > 0


def _result(kind: DataType | None) -> DataType:
    assert kind is not None
    return kind


AGGREGATION = Aggregation("min", _state, _result, _finish, finish_one)
