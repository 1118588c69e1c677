"""Aggregations: one file each, found by its name. Each says its state, its result's type, and how a state becomes a value.

Adding a value and merging two states are the kernel's work, for every aggregation and on both sides.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tidewheel.errors import TypeMismatch, UnknownFeature, near_miss
from tidewheel.features.state import State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Values = npt.NDArray[np.generic]
    Valid = npt.NDArray[np.bool_]
    Finish = Callable[[State, Integers, Floats], tuple[Values, Valid]]
    FinishOne = Callable[[State, Sequence[int], Sequence[float]], int | float | None]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How one aggregation starts and ends.

    Parameters
    ----------
    name
        The name of its constructor and its file.
    state
        State for a column's type; ``None`` where the aggregation does not take that type.
    result
        Type of the result for a column's type.
    finish
        States, one per row, to values and whether they are there. Float64 or int64 (ranks and encoded
        values too), or objects for decimals.
    finish_one
        The same for one state of plain numbers, ``None`` where there is no value; not called for decimals and ranks.
    """

    name: str
    state: Callable[[DataType | None], State | None]
    result: Callable[[DataType | None], DataType]
    finish: Finish
    finish_one: FinishOne

    def state_of(self, kind: DataType | None, *, where: str) -> State:
        """State for a column's type.

        Raises
        ------
        TypeMismatch
            When the aggregation does not take that type.
        """
        found = self.state(kind)
        if found is None:
            told = "no column" if kind is None else kind.value
            raise TypeMismatch(
                f"{self.name} of {told} means nothing", where=where, fix="cast the column in the source's select"
            )
        return found


def names() -> list[str]:
    """Names of all aggregations.

    Examples
    --------
    >>> "mean" in names()
    True
    """
    return [module.name for module in pkgutil.iter_modules(__path__)]


@cache
def get_aggregation(name: str) -> Aggregation:
    """The aggregation of a name.

    Examples
    --------
    >>> get_aggregation("sum").result(DataType.INT32).value
    'int64'
    """
    if name not in names():
        raise UnknownFeature(f"no aggregation {name!r}", where=name, fix=near_miss(name, names()))
    found = importlib.import_module(f"{__name__}.{name}").AGGREGATION
    assert isinstance(found, Aggregation)
    return found
