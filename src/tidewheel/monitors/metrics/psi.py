"""Population stability index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def psi(expected: Counts, actual: Counts) -> float:
    """How far two histograms over the same bins are apart: ``sum((q - p) * ln(q / p))``.

    The symmetrised Kullback-Leibler divergence. Half a row is added to each bin (Jeffreys' prior), so that an empty one gives
    a finite number; bins that are empty on both sides do not count.

    Parameters
    ----------
    expected, actual
        Rows per bin.

    Examples
    --------
    >>> psi(np.array([50, 50]), np.array([500, 500]))
    0.0
    >>> round(psi(np.array([5000, 5000]), np.array([2500, 7500])), 4)
    0.2746

    Source: Lewis (1994), An Introduction to Credit Scoring; the distribution: Yurdakul and Naranjo (2020).
    """
    used = (expected + actual) > 0
    p, q = expected[used] + 0.5, actual[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def psi_noise(bins: int, expected_rows: float, actual_rows: float) -> float:
    """The value that PSI has on average when both sides are samples of one population.

    Examples
    --------
    >>> psi_noise(11, 1000, 1000)
    0.02
    """
    return (bins - 1) * (1 / expected_rows + 1 / actual_rows)
