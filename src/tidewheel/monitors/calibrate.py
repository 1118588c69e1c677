"""Calibrate: how far the baseline's own windows stray, and so from where on a window is alarming.

A fixed threshold (PSI above 0.2 ...) alarms each summer on one feature and never on another. Here the baseline is cut into
windows of the monitor's length; each is compared with all the others, and the limit is the upper prediction limit for one more
window at the monitor's rate of false alarms, shared between all columns and metrics. Weeks, holidays and seasons that the
baseline holds are in it. A baseline with fewer than eight windows is resampled in blocks of a day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import DAY, Micros
from tidewheel.errors import Invalid
from tidewheel.monitors.distributions import chi_square_quantile, student_quantile
from tidewheel.monitors.metrics import find_loss
from tidewheel.monitors.metrics.psi import psi, psi_noise
from tidewheel.monitors.profile import Bins, Counts, Floats, numbers

FEW_WINDOWS = 8
"""With fewer windows than this the baseline is resampled."""
RESAMPLES = 200
PRACTICAL_PSI = 0.1
"""PSI below this is called "no change" by the field's convention; a limit is never lower."""
_LEAST_SHARE = 0.25  # of the typical window's rows: a window with fewer says more about sampling than about the season

_ONE_WINDOW = 1.5
_FEW_FACTOR = 4.0  # standard deviations of the few real windows; Student's quantile for so few would never alarm

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ColumnLimit:
    """Reference and limit of one column.

    Parameters
    ----------
    counts
        Baseline rows per bin.
    excess
        Largest normal PSI above the noise of sampling.
    chance
        Probability of a false alarm that this column has, per window.
    rows
        Rows of a typical baseline window.
    """

    bins: Bins
    counts: Counts
    excess: float
    chance: float
    rows: float

    def limit(self, rows: int) -> float:
        """PSI from which on a window of that many rows is a breach."""
        total, groups = int(self.counts.sum()), len(set(self.bins.groups))
        noise = psi_noise(groups, total, rows)
        # A window smaller than those of the baseline strays further by chance alone.
        wider = max(0.0, 1 / rows - 1 / self.rows) * (chi_square_quantile(1 - self.chance, groups - 1) - (groups - 1))
        return max(PRACTICAL_PSI, self.excess + noise + wider)


@dataclass(frozen=True, slots=True)
class MetricLimit:
    """Normal range of one performance metric.

    Parameters
    ----------
    center, spread
        Mean and standard deviation of the metric's mean loss over windows.
    scale
        Standard deviation of the loss of one row.
    factor
        Student's quantile for the chance of a false alarm, prediction of one more window included.
    """

    metric: str
    center: float
    spread: float
    scale: float
    factor: float
    rows: float

    def limits(self, rows: int) -> tuple[float | None, float | None]:
        """Lowest and highest normal value for a window of that many rows; ``None`` where that side is no harm."""
        metric = find_loss(self.metric)
        reach = self.factor * math.sqrt(self.spread**2 + self.scale**2 * max(0.0, 1 / rows - 1 / self.rows))
        lowest = max(0.0, self.center - reach) if metric.root else self.center - reach
        low, high = metric.finish(lowest), metric.finish(self.center + reach)
        return None if metric.better == "lower" else low, None if metric.better == "higher" else high


@dataclass(frozen=True, slots=True)
class Calibration:
    """All limits of a monitor for one model version.

    Parameters
    ----------
    method
        ``windows`` when the baseline's own windows were compared, ``bootstrap`` when they were too few.
    windows
        Whole windows in the baseline.
    reason
        Why there are no performance limits, if there are none.
    """

    columns: Mapping[str, ColumnLimit]
    metrics: Mapping[str, MetricLimit]
    method: Literal["windows", "bootstrap"]
    windows: int
    reason: str = ""


def calibrate(
    baseline: pa.Table,
    *,
    window: Micros,
    chance: float,
    metrics: Sequence[str] = (),
    features: Sequence[str] = (),
    drift: bool = True,
    seed: int = 0,
) -> Calibration:
    """Limits from a baseline.

    Parameters
    ----------
    baseline
        Columns ``f.<feature>``, ``prediction``, ``at`` (microseconds UTC), and where known ``label`` and ``split``.
    window
        Length of the monitor's windows, microseconds.
    chance
        Probability of a false alarm in one window, over everything that is watched together.
    features
        Only these; empty is all.

    Raises
    ------
    Invalid
        When the baseline lacks ``at``, a feature that is asked for, or has fewer than 30 rows.
    """
    _check(baseline, features)
    at = baseline["at"].cast(pa.int64()).to_numpy()
    names = [f"f.{name}" for name in features] or [name for name in baseline.schema.names if name.startswith("f.")]
    columns = [*names, *(["prediction"] if "prediction" in baseline.schema.names else [])] if drift else []
    judged = [name for name in metrics if "label" in baseline.schema.names and baseline["label"].null_count < baseline.num_rows]
    share = chance / max(1, len(columns) + len(judged))
    cut = _Cut.of(at, window, np.random.default_rng(seed))
    limits = {name: _column_limit(baseline[name], cut, share) for name in columns if _is_comparable(baseline[name])}
    found = {name: _metric_limit(baseline, name, window, share, seed) for name in judged}
    reason = "the baseline has no labels" if metrics and not judged else ""
    return Calibration(limits, found, cut.method, cut.whole, reason)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Windows of a baseline, each as the rows in it; resampled ones may hold a row more than once."""

    members: tuple[Places, ...]
    real: tuple[Places, ...]
    method: Literal["windows", "bootstrap"]
    whole: int
    freedom: int

    @classmethod
    def of(cls, at: Places, window: Micros, random: np.random.Generator) -> _Cut:
        first = int(at.min())
        number = (at - first) // window
        whole = max(1, round((int(at.max()) - first) / window))
        members = [np.flatnonzero(number == index) for index in range(whole)]
        typical = float(np.median([len(rows) for rows in members]))
        members = [rows for rows in members if len(rows) >= max(1.0, _LEAST_SHARE * typical)]
        if len(members) >= FEW_WINDOWS:
            return cls(tuple(members), tuple(members), "windows", whole, len(members) - 1)
        made = _resampled(at - first, window, random)
        return cls(made, tuple(members), "bootstrap", whole, _blocks(at - first, window) - 1)


def _blocks(since: Places, window: Micros) -> int:
    return max(2, len(np.unique(since // _block(window))))


def _block(window: Micros) -> int:
    """Blocks of a day, so that a night never meets another morning; for windows below two days a twelfth of the window."""
    return DAY if window >= 2 * DAY else max(1, window // 12)


def _resampled(since: Places, window: Micros, random: np.random.Generator) -> tuple[Places, ...]:
    """Windows made of random blocks; a block comes from its own place in the window (Monday from Mondays) if there are two."""
    block = _block(window)
    places = max(1, -(-window // block))
    number = since // block
    rows = {int(index): np.flatnonzero(number == index) for index in np.unique(number)}
    by_place = [[index for index in rows if index % places == place] for place in range(places)]
    if min(len(choices) for choices in by_place) < 2:
        by_place = [list(rows)] * places
    made = [np.concatenate([rows[int(random.choice(choices))] for choices in by_place]) for _ in range(RESAMPLES)]
    return tuple(made)


def _column_limit(column: pa.ChunkedArray, cut: _Cut, chance: float) -> ColumnLimit:
    bins = Bins.of(column)
    place = bins.places(column)
    total = np.bincount(place, minlength=bins.size).astype(np.int64)
    roots = _strays(bins, place, cut.real, total, apart=True)
    if cut.method == "windows":
        reach = float(roots.mean()) + _factor(chance, cut) * float(roots.std(ddof=1))
    else:
        # Blocks of days do not know that a whole week can differ from the next one; the few real windows do, a little.
        made = _strays(bins, place, cut.members, total, apart=False)
        reach = float(made.mean()) + _factor(chance, cut) * float(made.std(ddof=1))
        if len(roots) > 1:
            reach = max(reach, float(roots.mean()) + _FEW_FACTOR * float(roots.std(ddof=1)))
        else:
            reach *= _ONE_WINDOW  # one window cannot tell at all how two differ
    typical = float(np.median([len(rows) for rows in cut.members]))
    return ColumnLimit(bins, total, max(reach, float(max(roots, default=0.0))) ** 2, chance, typical)


def _strays(bins: Bins, place: Places, windows: Sequence[Places], total: Counts, *, apart: bool) -> Floats:
    """How far each window lies from the baseline: the root of its PSI without the noise of sampling.

    The root is a distance, whose spread over windows is far closer to normal than that of PSI, which is its square. A window
    that is part of its own reference would look tamer than it is, so real windows are compared with the others only
    (``apart``).
    """
    grouped, groups = bins.grouped(total), len(set(bins.groups))
    found = []
    for rows in windows:
        mine = bins.grouped(np.bincount(place[rows], minlength=bins.size).astype(np.int64))
        others = grouped - mine if apart else grouped
        if others.sum() > 0:
            found.append(math.sqrt(max(0.0, psi(others, mine) - psi_noise(groups, float(others.sum()), float(mine.sum())))))
    return np.array(found, np.float64)


def _factor(chance: float, cut: _Cut) -> float:
    """One-sided Student's quantile for one more window (Hahn 1969), not for the mean of windows."""
    return student_quantile(1 - chance, cut.freedom) * math.sqrt(1 + 1 / max(1, cut.whole))


def _metric_limit(baseline: pa.Table, name: str, window: Micros, chance: float, seed: int) -> MetricLimit:
    """The level comes from held-out rows only; how it strays comes from them and from the longer training period.

    A model flatters itself on the rows that it was trained on, so their level is no reference. But how much a metric moves
    from week to week, relative to its level, is seen better in a year of training rows than in a month of test rows.
    """
    table = baseline.filter(pc.is_valid(baseline["label"]))
    metric = find_loss(name)
    held_out = table
    if "split" in table.schema.names and metric.better != "zero":
        # The bias of one held-out month says more about that month than about the model, and training rows do not hide it.
        test = table.filter(pc.equal(table["split"], "test"))
        held_out = test if test.num_rows >= 30 else table
    losses, cut = _window_means(held_out, name, window, seed)
    means = np.array([losses[rows].mean() for rows in cut.members])
    center, spread = float(losses.mean()), float(means.std(ddof=1))
    if held_out.num_rows < table.num_rows:
        learned, train = _window_means(table.filter(pc.equal(table["split"], "train")), name, window, seed)
        steady = np.array([learned[rows].mean() for rows in train.members])
        spread = max(spread, float(steady.std(ddof=1)) * center / max(1e-12, float(learned.mean())))
        cut = train if train.method == "windows" else cut
    factor = _factor(chance / 2 if metric.better == "zero" else chance, cut)
    return MetricLimit(name, center, spread, float(losses.std()), factor, float(np.median([len(rows) for rows in cut.members])))


def _window_means(table: pa.Table, name: str, window: Micros, seed: int) -> tuple[Floats, _Cut]:
    losses = find_loss(name).losses(numbers(table["prediction"]), numbers(table["label"]))
    return losses, _Cut.of(table["at"].cast(pa.int64()).to_numpy(), window, np.random.default_rng(seed))


def _is_comparable(column: pa.ChunkedArray) -> bool:
    return not pa.types.is_nested(column.type)


def _check(baseline: pa.Table, features: Sequence[str]) -> None:
    if "at" not in baseline.schema.names or baseline.num_rows < 30:
        raise Invalid(
            f"a baseline of {baseline.num_rows} rows ({', '.join(baseline.schema.names)}) cannot calibrate a monitor",
            where="baseline",
            fix="train the model on 30 rows or more, with their times in the column at",
        )
    missing = [name for name in features if f"f.{name}" not in baseline.schema.names]
    if missing:
        raise Invalid(f"the baseline has no feature {missing[0]!r}", where=missing[0], fix="watch a feature of the model")
