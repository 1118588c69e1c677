"""Kolmogorov-Smirnov test of two samples, from counts over ordered bins."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidewheel.monitors.distributions import kolmogorov_tail

Counts = npt.NDArray[np.int64]


def kolmogorov_smirnov(expected: Counts, actual: Counts) -> tuple[float, float]:
    """Largest distance between two distribution functions, and its p-value.

    Exact when each bin holds one value; otherwise the distance at the edges of the bins, which is at most the share of one bin
    too small, so the test is on the careful side.

    Parameters
    ----------
    expected, actual
        Rows per bin, in the order of the values.

    Returns
    -------
    The distance in 0..1, and the two-sided p-value from the asymptotic distribution with Stephens' correction.

    Examples
    --------
    >>> distance, p_value = kolmogorov_smirnov(np.array([50, 50]), np.array([90, 10]))
    >>> round(distance, 3), p_value < 1e-6
    (0.4, True)

    Source: Stephens (1970), Journal of the Royal Statistical Society B 32.
    """
    rows, others = int(expected.sum()), int(actual.sum())
    if rows == 0 or others == 0:
        return 0.0, 1.0
    distance = float(np.max(np.abs(np.cumsum(expected) / rows - np.cumsum(actual) / others)))
    root = math.sqrt(rows * others / (rows + others))
    return distance, kolmogorov_tail((root + 0.12 + 0.11 / root) * distance)
