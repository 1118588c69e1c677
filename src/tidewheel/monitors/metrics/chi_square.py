"""Chi-square test that two samples of categories have one distribution."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidewheel.monitors.distributions import chi_square_tail

Counts = npt.NDArray[np.int64]


def chi_square(expected: Counts, actual: Counts) -> tuple[float, float]:
    """Cramer's V between two histograms of categories, and the p-value of Pearson's test of homogeneity.

    Parameters
    ----------
    expected, actual
        Rows per category.

    Examples
    --------
    >>> v, p_value = chi_square(np.array([50, 50]), np.array([90, 10]))
    >>> round(v, 3), p_value < 1e-6
    (0.436, True)

    Source: Pearson (1900); Cramer (1946).
    """
    used = (expected + actual) > 0
    table = np.stack([expected[used], actual[used]]).astype(np.float64)
    total = table.sum()
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 0.0, 1.0
    means = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = float(np.sum((table - means) ** 2 / means))
    return math.sqrt(statistic / total), chi_square_tail(statistic, table.shape[1] - 1)
