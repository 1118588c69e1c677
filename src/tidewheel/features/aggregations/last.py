"""The latest value that is not null, of any type; null of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation
from tidewheel.features.state import Fold, State, selecting
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import Floats, Integers, Valid, Values


def _state(kind: DataType | None) -> State | None:
    return None if kind is None else selecting(kind, integer=Fold.LAST, floating=Fold.LAST_FLOAT)


def _finish(state: State, ints: Integers, floats: Floats) -> tuple[Values, Valid]:
    return (floats[:, 0] if state.floats else ints[:, 1]), ints[:, 0] > 0


def finish_one(_state: State, ints: Sequence[int], floats: Sequence[float]) -> int | float | None:
    """The value of one state that keeps one of the values it was given."""
    return (floats[0] if floats else ints[1]) if ints[0] else None


def _result(kind: DataType | None) -> DataType:
    assert kind is not None
    return kind


AGGREGATION = Aggregation("last", _state, _result, _finish, finish_one)
