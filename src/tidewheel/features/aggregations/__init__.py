"""Aggregations: one file each, found by its name. Each has its constructor, its state, its result's type, and how a state ends.

Adding a value and merging two states are the kernels' work, for every aggregation and on both sides. A file is all that a new
one takes: ``tw.NAME`` and the laws in the tests find it. Definitions load these files, so NumPy is imported when a state ends.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tidewheel.errors import TypeMismatch, UnknownFeature, near_miss
from tidewheel.features.feature import Feature
from tidewheel.features.state import Ending, Part, State
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tidewheel.features.maps import Maps

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Values = npt.NDArray[np.generic]
    There = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Ended:
    """States that are to become values, one per row.

    Parameters
    ----------
    ints, floats
        Shapes (rows, state.ints) and (rows, state.floats).
    maps
        Of states that have a map.
    numbers
        Instead of maps: the aggregation's ``part`` of each. A row has one number, or as many as there are levels. The top of
        maps are maps.
    """

    feature: Feature
    state: State
    ints: Integers
    floats: Floats
    maps: Maps | None = None
    numbers: Integers | None = None


Finish = Callable[[Ended], "tuple[Values, There]"]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How one aggregation starts and ends.

    Parameters
    ----------
    name
        The name of its constructor and its file.
    state
        State for a column's type and what the feature says; ``None`` where the aggregation does not take that type.
    result
        Type of the result for a column's type.
    finish
        States to values, and whether they are there. Float64 or int64 (ranks and encoded values too), or objects for
        decimals. Where the result is a list: all values, row after row, and how many each row has.
    ending
        Which of the kernel's endings makes the same of a state of plain numbers. Without one the columns of windows are made of
        all keys at once online, too, which takes longer for a few.
    part
        What ``finish`` looks at of a map, where that is not every entry.
    """

    name: str
    state: Callable[[DataType | None, Feature], State | None]
    result: Callable[[DataType | None], DataType]
    finish: Finish
    ending: Ending | None = None
    part: Callable[[Feature], Part] | None = None

    def state_of(self, kind: DataType | None, feature: Feature, *, where: str) -> State:
        """State for a column's type.

        Raises
        ------
        TypeMismatch
            When the aggregation does not take that type.
        """
        found = self.state(kind, feature)
        if found is None:
            told = "no column" if kind is None else kind.value
            raise TypeMismatch(
                f"{self.name} of {told} means nothing", where=where, fix="cast the column in the source's select"
            )
        return found


def column_type(kind: DataType | None) -> DataType:
    """The result of an aggregation that gives one of the column's values.

    Examples
    --------
    >>> column_type(DataType.STRING).value
    'string'
    """
    assert kind is not None
    return kind


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
