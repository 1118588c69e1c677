"""Exact integers wider than a machine word, as sums of 32-bit limbs.

A value is split into limbs of 32 bits, the highest signed, and each limb is summed by itself in int64: no carry is needed
for the first 2**31 values, no order of adding changes a bit, and the total is put together at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_LOW = 0xFFFFFFFF


def split(values: Integers) -> Integers:
    """Limbs of int64 values: shape (rows, 2), low limb first.

    Examples
    --------
    >>> split(np.array([-1])).tolist()
    [[4294967295, -1]]
    """
    return np.stack([values & _LOW, values >> 32], axis=1)


def join(limbs: Integers) -> npt.NDArray[np.object_]:
    """Totals of limbs as Python integers.

    Examples
    --------
    >>> join(split(np.array([-1, 2**40 + 3]))).tolist()
    [-1, 1099511627779]
    """
    total = limbs[:, -1].astype(object)
    for j in range(limbs.shape[1] - 2, -1, -1):
        total = total * (1 << 32) + limbs[:, j]
    return total


def narrow(limbs: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Totals of two limbs as int64, and which of them fit.

    Examples
    --------
    >>> narrow(np.array([[5, 0], [2**32, 2**31 - 1]]))[1].tolist()
    [True, False]
    """
    high = limbs[:, 1] + (limbs[:, 0] >> 32)
    fits = (high >= -(1 << 31)) & (high < (1 << 31))
    return (np.where(fits, high, 0) << 32) + (limbs[:, 0] & _LOW), fits
