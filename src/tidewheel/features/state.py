"""State of a fold: how many integers and floats it holds, and what a value looks like when it is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


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
    FIRST = 9
    FIRST_FLOAT = 10
    SOME_LAST = 11
    SOME_LAST_FLOAT = 12


class Ending(IntEnum):
    """What a state comes to, where the kernel can tell (:mod:`tidewheel.features.ending_kernel`, whose numbers these are)."""

    COUNT = 0
    KEPT = 1
    SUM = 2
    MEAN = 3
    VAR = 4
    STD = 5
    VAR_POP = 6
    STD_POP = 7
    RATIO = 8


Encoding = Literal["none", "limbs2", "limbs4", "integer", "float", "ranked", "entries"]
"""How values reach the kernel: not at all, as 32-bit limbs of an exact integer, as int64, as float64, as the rank of a
string, bytes or decimal among all values at hand, or as entries of a map that the state's ``entries`` makes of them."""

Entries = Callable[["pa.Array"], "tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]"]
"""Values without nulls to int64 keys of a map, and what each adds there: ``None`` for 1."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a map an aggregation looks at, where that is not every entry: of many maps nothing else is made then.

    Parameters
    ----------
    kind
        ``"size"``: how many entries there are. ``"rank"``: the key of the entry in which the count number
        ``floor(share * (total - 1))`` lies, counted from the least key on. ``"top"``: the ``number`` entries that count most,
        of those alike the ones with the least keys, in this order. ``"levels"``, of maps that keep the greatest: of each
        count below ``number`` how many keys have it, except for 0.
    """

    kind: Literal["size", "rank", "top", "levels"]
    number: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """Layout of one state: ``ints`` integers, the first the count of values, and ``floats`` floats; and a map, or none.

    Parameters
    ----------
    merge
        How two entries of one key become one, where the state has a map (:mod:`tidewheel.features.maps`).
    limit
        The map keeps the entries with this many least keys; 0 keeps all.
    entries
        What a value adds to the map; ``None`` for its rank, or nothing.

    Examples
    --------
    >>> State(Fold.SUM, "float", 1, 2).fold.name
    'SUM'
    """

    fold: Fold
    encoding: Encoding
    ints: int
    floats: int
    merge: Literal["sum", "max"] | None = None
    limit: int = 0
    entries: Entries | None = None


COUNT = State(Fold.TOTAL, "none", 1, 0)
EXACT = State(Fold.TOTAL, "limbs2", 3, 0)
DECIMAL = State(Fold.TOTAL, "limbs4", 5, 0)
SUM = State(Fold.SUM, "float", 1, 2)
MOMENTS = State(Fold.MOMENTS, "float", 1, 2)

TOO_LARGE = "shorten the window, or cast the column to decimal or double in the source's select"
"""What to do about a sum that does not fit its type."""

FLOATS = (DataType.FLOAT32, DataType.FLOAT64)
INTEGERS = (DataType.BOOL, DataType.INT32, DataType.INT64)
INSTANTS = (DataType.TIMESTAMP, DataType.DATE)
RANKED = (DataType.STRING, DataType.BYTES, DataType.DECIMAL)


def selecting(kind: DataType | None, *, integer: Fold, floating: Fold, room: int = 1) -> State | None:
    """State of a fold that keeps one of the values, or some: min, max, last. Lists have none: a look-up gives the latest."""
    if kind is None or kind.is_list:
        return None
    if kind in FLOATS:
        return State(floating, "float", 1, room)
    return State(integer, "ranked" if kind in RANKED else "integer", 1 + room, 0)
