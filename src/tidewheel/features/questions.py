"""Questions: what a spine asks of one view, in the order in which they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import lookup_kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_FEW = 2_000
"""Times that are sooner sorted than dealt."""


@dataclass(frozen=True)
class Questions:
    """What a spine asks of one view: keys and times, grouped by key and in order of time.

    Parameters
    ----------
    keys, times
        Of each spine row, in its order; negative keys ask nothing.
    offsets, order
        Key ``k`` asks in the positions ``offsets[k]`` up to ``offsets[k + 1]``; ``order`` is the spine row of each position.

    Examples
    --------
    >>> asked = order_questions(np.array([1, -1, 0, 1]), np.array([9, 9, 9, 3]), keys=2)
    >>> asked.offsets.tolist(), asked.order.tolist(), asked.moments.tolist()
    ([0, 1, 3], [2, 3, 0], [9, 3, 9])
    """

    keys: Integers
    times: Integers
    offsets: Integers
    order: Integers

    @property
    def size(self) -> int:
        """How many distinct keys ask."""
        return len(self.offsets) - 1

    @cached_property
    def moments(self) -> Integers:
        """The time of each position."""
        return self.times[self.order]


def order_questions(codes: Integers, times: Integers, *, keys: int) -> Questions:
    """Order questions by key and time.

    Parameters
    ----------
    codes
        Number of each question's key, from 0 up to ``keys``; negative ones ask nothing.
    """
    sorted_codes, by_time = codes, None
    if len(times) > 1 and bool(np.any(times[1:] < times[:-1])):
        by_time = _by_time(times)
        sorted_codes = codes[by_time]
    offsets = np.zeros(keys + 1, dtype=np.int64)
    order = np.empty(len(codes), dtype=np.int64)
    order = order[: lookup_kernel.group(np.ascontiguousarray(sorted_codes), offsets, order)]
    return Questions(codes, times, offsets, order if by_time is None else by_time[order])


def _by_time(times: Integers) -> Integers:
    """Positions in order of time."""
    least, most = int(times.min()), int(times.max())
    if most - least >= 1 << 63 or len(times) < _FEW:
        return np.argsort(times, kind="stable").astype(np.int64)
    order, spare, counts = (np.empty(size, dtype=np.int64) for size in (len(times), len(times), 2048))
    moved = lookup_kernel.order_times(np.ascontiguousarray(times), least, most=most, order=order, spare=spare, counts=counts)
    return spare if moved else order
