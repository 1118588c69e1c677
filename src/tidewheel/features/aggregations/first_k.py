"""The earliest values that are not null, in order of time: a list, empty of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.errors import Invalid
from tidewheel.features.aggregations import Aggregation, Ended, column_type
from tidewheel.features.feature import Duration, Feature, Options, Tail, grain, window_feature
from tidewheel.features.state import Fold, State, selecting
from tidewheel.schema import LISTS, DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values

LARGEST = 100
"""Most values that a state keeps."""


def first_k(
    column: str,
    window: Duration = "forever",
    *,
    k: int,
    hop: Duration | None = None,
    tail: Tail | None = None,
    where: str | None = None,
    offset: Duration | None = None,
) -> Feature:
    """The earliest ``k`` values of a column that are not null, in order of time.

    Examples
    --------
    >>> first_k("merchant", "30d", k=3).option("k")
    3
    """
    return window_feature(
        "first_k", column, window, hop=grain(hop, tail), where=where, offset=offset, options=some("first_k", k)
    )


def some(name: str, k: int) -> Options:
    """The option ``k``, checked."""
    if type(k) is not int or not 1 <= k <= LARGEST:
        raise Invalid(f"{name} of k={k!r}", where=name, fix=f"give a k from 1 to {LARGEST}: its state is that long")
    return (("k", k),)


def room(feature: Feature) -> int:
    """How many values the feature keeps."""
    found = feature.option("k")
    assert isinstance(found, int)
    return found


def finish_some(one: Ended) -> tuple[Values, There]:
    """Lists of the values that states keep."""
    import numpy as np

    held = one.floats if one.state.floats else one.ints[:, 1:]
    lengths = np.minimum(one.ints[:, 0], held.shape[1])
    return held[np.arange(held.shape[1]) < lengths[:, None]], lengths


def _state(kind: DataType | None, feature: Feature) -> State | None:
    return selecting(kind, integer=Fold.FIRST, floating=Fold.FIRST_FLOAT, room=room(feature))


AGGREGATION = Aggregation("first_k", _state, lambda kind: LISTS[column_type(kind)], finish_some)
