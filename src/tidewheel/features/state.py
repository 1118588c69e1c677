"""State of a fold: how many integers and floats it holds, and what a value looks like when it is added."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from tidewheel.schema import DataType


class Fold(IntEnum):
    """Which fold the kernel runs; the numbers are those of ``kernel._add``."""

    TOTAL = 0
    SUM = 1
    MOMENTS = 2
    LEAST = 3
    GREATEST = 4
    LEAST_FLOAT = 5
    GREATEST_FLOAT = 6
    LAST = 7
    LAST_FLOAT = 8


Encoding = Literal["none", "limbs2", "limbs4", "integer", "float", "ranked"]
"""How values reach the kernel: not at all, as 32-bit limbs of an exact integer, as int64, as float64, or as the rank of
a string, bytes or decimal among all values at hand."""


@dataclass(frozen=True, slots=True)
class State:
    """Layout of one state: ``ints`` integers, the first the count of values, and ``floats`` floats.

    Examples
    --------
    >>> State(Fold.SUM, "float", 1, 2).fold.name
    'SUM'
    """

    fold: Fold
    encoding: Encoding
    ints: int
    floats: int


COUNT = State(Fold.TOTAL, "none", 1, 0)
EXACT = State(Fold.TOTAL, "limbs2", 3, 0)
DECIMAL = State(Fold.TOTAL, "limbs4", 5, 0)
SUM = State(Fold.SUM, "float", 1, 2)
MOMENTS = State(Fold.MOMENTS, "float", 1, 2)

FLOATS = (DataType.FLOAT32, DataType.FLOAT64)
INTEGERS = (DataType.BOOL, DataType.INT32, DataType.INT64)
INSTANTS = (DataType.TIMESTAMP, DataType.DATE)
RANKED = (DataType.STRING, DataType.BYTES, DataType.DECIMAL)


def selecting(kind: DataType, *, integer: Fold, floating: Fold) -> State | None:
    """State of a fold that keeps one of the values: min, max, last. Lists have none: a look-up gives the latest."""
    if kind.is_list:
        return None
    if kind in FLOATS:
        return State(floating, "float", 1, 1)
    return State(integer, "ranked" if kind in RANKED else "integer", 2, 0)
