"""Compare two models on the same rows: paired bootstrap, by slice. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.monitors.distributions import normal_quantile
from tidewheel.monitors.metrics import LossMetric, find_loss

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

RESAMPLES = 2_000
_MOST_NUMBERS = 40_000_000  # drawn in all: a million held-out rows are resampled less often, their interval is narrow anyway
_LEAST_RESAMPLES = 200
_CHUNK = 4_000_000
_VALUES = 24
_PARTS = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of two models on the same rows.

    Parameters
    ----------
    improvement
        Relative to the champion's metric; positive is better, whatever the metric.
    low, high
        Interval of the improvement.
    """

    challenger: float
    champion: float
    improvement: float
    low: float
    high: float
    rows: int


def row_losses(metric: LossMetric, prediction: Floats, label: Floats) -> Floats:
    """The loss of each row; predictions of shape (rows, classes) hold probabilities."""
    if prediction.ndim == 1:
        return metric.losses(prediction, label)
    if metric.name == "accuracy":
        return metric.losses(np.argmax(prediction, axis=1).astype(np.float64), label)
    sure = np.take_along_axis(prediction, label.astype(np.int64)[:, None], axis=1)[:, 0]
    return metric.losses(sure, np.ones(len(sure)))


def compare(name: str, challenger: Floats, champion: Floats, *, confidence: float = 0.95, seed: int = 0) -> Comparison:
    """Compare row losses of two models by resampling rows, the same rows for both.

    The pairing is the point: easy and hard rows cancel, so a small but steady advantage shows.

    Parameters
    ----------
    challenger, champion
        Losses of the same rows in the same order.
    confidence
        Of the two-sided interval.
    seed
        The same seed gives the same interval.

    Examples
    --------
    >>> easy = np.arange(1.0, 101.0)
    >>> found = compare("mae", easy - 0.5, easy)
    >>> round(found.improvement, 4), found.low > 0
    (0.0099, True)

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 16 (percentile interval).
    """
    metric = find_loss(name)
    rows = len(challenger)
    ours, theirs = metric.over(challenger), metric.over(champion)
    improvement = _relative(metric, np.array([ours]), np.array([theirs]))[0]
    times = max(_LEAST_RESAMPLES, min(RESAMPLES, _MOST_NUMBERS // max(1, rows)))
    random = np.random.default_rng(seed)
    drawn = []
    for start in range(0, times, max(1, _CHUNK // rows)):
        count = min(max(1, _CHUNK // rows), times - start)
        chosen = random.integers(0, rows, size=(count, rows))
        mine, other = challenger[chosen].mean(axis=1), champion[chosen].mean(axis=1)
        drawn.append(_relative(metric, *((np.sqrt(mine), np.sqrt(other)) if metric.root else (mine, other))))
    low, high = _interval(np.concatenate(drawn), float(improvement), confidence)
    return Comparison(ours, theirs, float(improvement), low, high, rows)


def slices(column: pa.ChunkedArray) -> list[tuple[str, Rows]]:
    """Rows of each slice of a column: a slice per value; a number of many values is cut into eight parts of about as many rows.

    Examples
    --------
    >>> [(name, rows.tolist()) for name, rows in slices(pa.chunked_array([["a", "b", None, "a"]]))]
    [('a', [0, 3]), ('b', [1]), ('null', [2])]
    """
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    if numeric and len(pc.unique(column)) > _VALUES:
        return _parts(column.cast(pa.float64(), safe=False).to_numpy())
    codes = np.asarray(pc.fill_null(column.combine_chunks().dictionary_encode().indices, -1))
    values = column.combine_chunks().dictionary_encode().dictionary.to_pylist()
    found = [(str(value), np.flatnonzero(codes == code)) for code, value in enumerate(values)]
    empty = np.flatnonzero(codes == -1)
    return [*found, ("null", empty)] if len(empty) else found


def p95_ms(seconds: Floats) -> float:
    """The 95th percentile of times, in milliseconds.

    Examples
    --------
    >>> p95_ms(np.arange(1, 101) / 1000)
    95.05
    """
    return float(np.quantile(seconds, 0.95)) * 1000


def _parts(values: Floats) -> list[tuple[str, Rows]]:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, _PARTS) / _PARTS, method="inverted_cdf"))
    place = np.searchsorted(edges, values, side="left")
    bounds = [-math.inf, *edges.tolist(), math.inf]
    found = []
    for part in range(len(edges) + 1):
        rows = np.flatnonzero((place == part) & ~np.isnan(values))
        if len(rows):
            found.append((f"{bounds[part]:.4g} .. {bounds[part + 1]:.4g}", rows))
    empty = np.flatnonzero(np.isnan(values))
    return [*found, ("null", empty)] if len(empty) else found


def _relative(metric: LossMetric, ours: Floats, theirs: Floats) -> Floats:
    better = ours - theirs if metric.better == "higher" else theirs - ours
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(better == 0, 0.0, better / np.abs(theirs))


def _interval(drawn: Floats, middle: float, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < len(drawn):  # a metric of zero among the resamples: nothing relative can be said
        return -math.inf, math.inf
    if tail * len(drawn) >= 10:
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)
    # Too far out in the tail for the resamples that there are, as with many slices: the normal interval of the same spread.
    reach = normal_quantile(1 - tail) * float(drawn.std(ddof=1))
    return middle - reach, middle + reach
