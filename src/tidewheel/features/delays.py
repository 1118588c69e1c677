"""How long after their own time rows are there: quantiles of many delays, in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import lookup_kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_SHIFT = 40
_ONE = 1023 << (52 - _SHIFT)
"""The bucket before that of one microsecond."""


class Delays:
    """Counts delays by their first 13 binary digits, and keeps the greatest of each count.

    A quantile is a delay that occurred, never too small, and at most 0.025 % too large; exact up to 8 ms, and where the delays
    that share their first digits are one delay.

    A row that was there before its own time has a delay of zero.

    Examples
    --------
    >>> delays = Delays()
    >>> delays.add(np.array([5, 1, 3, 2, -4]))
    >>> delays.quantile(0.5), delays.quantile(0.99)
    (2, 5)
    """

    def __init__(self) -> None:
        self._counts = np.zeros(1, dtype=np.int64)
        self._greatest = np.zeros(1, dtype=np.int64)

    def add(self, microseconds: Integers) -> None:
        """Count some delays."""
        delays = np.maximum(microseconds, 0)
        buckets = delays.astype(np.float64).view(np.int64)
        buckets >>= _SHIFT
        buckets -= _ONE - 1
        np.maximum(buckets, 0, out=buckets)
        self._reach(buckets)
        lookup_kernel.tally(buckets, delays, counts=self._counts, greatest=self._greatest)

    def counts(self) -> list[tuple[int, int, int]]:
        """What :meth:`merge` takes: the buckets that are not empty, their counts and greatest delays."""
        return [(int(one), int(self._counts[one]), int(self._greatest[one])) for one in np.flatnonzero(self._counts)]

    def merge(self, counts: Sequence[tuple[int, int, int]]) -> None:
        """Count what another one has counted."""
        if counts:
            buckets, numbers, greatest = np.array(counts, dtype=np.int64).T
            self._reach(buckets)
            np.add.at(self._counts, buckets, numbers)
            np.maximum.at(self._greatest, buckets, greatest)

    def _reach(self, buckets: Integers) -> None:
        """Have room for these buckets."""
        more = int(buckets.max(initial=0)) + 1 - len(self._counts)
        if more > 0:
            self._counts, self._greatest = np.pad(self._counts, (0, more)), np.pad(self._greatest, (0, more))

    def quantile(self, share: float) -> int:
        """A delay that is not exceeded by this share of them, the least but for 0.025 %; 0 without any."""
        total = int(self._counts.sum())
        if not total:
            return 0
        return int(self._greatest[np.searchsorted(np.cumsum(self._counts), max(share * total, 1))])
