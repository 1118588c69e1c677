"""Profiles of columns, and which rows stand for all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidewheel.models.version import FeatureProfile

Floats = npt.NDArray[np.float64]

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def profile_of(column: Floats) -> FeatureProfile:
    """Summary of one column; NaN counts as null.

    Examples
    --------
    >>> found = profile_of(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> found.count, found.nulls, found.mean, found.quantiles[4]
    (4, 1, 2.0, 2.0)
    """
    known = column[~np.isnan(column)]
    if not len(known):
        return FeatureProfile(len(column), len(column), float("nan"), float("nan"), ())
    with np.errstate(invalid="ignore"):  # infinities make NaN here, and that is the answer
        marks = tuple(float(mark) for mark in np.quantile(known, QUANTILES))
        mean, std = float(np.mean(known)), float(np.std(known))
    return FeatureProfile(len(column), len(column) - len(known), mean, std, marks)


def choose_rows(count: int, most: int) -> npt.NDArray[np.int64]:
    """Indices of at most ``most`` of ``count`` rows, ascending, each row as likely; the same for the same numbers."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)
