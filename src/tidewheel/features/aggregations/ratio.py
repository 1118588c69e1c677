"""One aggregate over another: null where either is, and over 0."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tidewheel.clock import Micros
from tidewheel.errors import Invalid
from tidewheel.features.aggregations import Aggregation, Ended
from tidewheel.features.feature import Feature, Scalar
from tidewheel.features.state import Ending, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    from tidewheel.features.aggregations import There, Values


def ratio(over: Feature, under: Feature, *, default: Scalar = None) -> Feature:
    """One window's aggregate divided by another's, which may have another column, condition, length or offset.

    Raises
    ------
    Invalid
        For what is no window, or is a ratio itself.

    Examples
    --------
    >>> from tidewheel.features.aggregations.count import count
    >>> refused = ratio(count("7d", where="status = 'refused'"), count("7d"), default=0.0)
    >>> [one.where for one in refused.parts]
    ["status = 'refused'", None]
    """
    for one in (over, under):
        if one.kind != "window" or one.parts:
            raise Invalid(
                f"a ratio is made of two windows, not of a {one.aggregation or one.kind}", where="ratio", fix="give two"
            )
    parts = tuple(replace(one, name="") for one in (over, under))
    window, hop = max(over.window, under.window), math.lcm(over.hop, under.hop)
    return Feature("window", None, "ratio", window, Micros(hop), default=default, parts=parts)


def _state(_kind: DataType | None, _feature: Feature) -> State | None:
    return None


def _finish(_one: Ended) -> tuple[Values, There]:
    raise AssertionError("a ratio has no state of its own")


AGGREGATION = Aggregation("ratio", _state, lambda _kind: DataType.FLOAT64, _finish, Ending.RATIO)
