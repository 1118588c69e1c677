"""Judge: one window of predictions against calibrated limits. Pure: tables in, findings out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.monitors.calibrate import Calibration
from tidewheel.monitors.distributions import benjamini_hochberg
from tidewheel.monitors.metrics import find_loss
from tidewheel.monitors.metrics.chi_square import chi_square
from tidewheel.monitors.metrics.kolmogorov_smirnov import kolmogorov_smirnov
from tidewheel.monitors.metrics.psi import psi
from tidewheel.monitors.profile import Bins, Counts, numbers
from tidewheel.monitors.window import Check

SIGNIFICANT = 0.01
"""Share of false discoveries among the columns whose distance test is called significant."""


def profile(calibration: Calibration, table: pa.Table) -> dict[str, Counts]:
    """Counts per column over the baseline's bins; profiles of parts of a window add up to the profile of the whole.

    A column that is missing from the table counts as null in each row.
    """
    nothing = pa.chunked_array([pa.nulls(table.num_rows)])
    found: dict[str, Counts] = {}
    for name, limit in calibration.columns.items():
        column = table[name] if name in table.schema.names else nothing
        found[name] = _count(limit.bins, column)
    return found


def judge_drift(calibration: Calibration, counts: dict[str, Counts]) -> tuple[Check, ...]:
    """One check per column, worst first.

    A column is in breach when it moved further than it normally does (PSI over its limit) **and** the distance test is
    significant after Benjamini and Hochberg's correction over all columns: the first alone is noisy for few rows, the second
    alone finds differences of no importance in many.
    """
    tests = []
    for name, limit in calibration.columns.items():
        expected, actual = limit.counts, counts[name]
        if limit.bins.numeric:
            distance, p_value = kolmogorov_smirnov(expected[:-1], actual[:-1])
            _, nulls = chi_square(_null_or_not(expected), _null_or_not(actual))
            # Two questions, values and nulls, so twice the smaller p-value (Bonferroni).
            tests.append((name, distance, min(1.0, 2 * min(p_value, nulls)), "kolmogorov_smirnov"))
        else:
            tests.append((name, *chi_square(expected, actual), "chi_square"))
    adjusted = benjamini_hochberg([test[2] for test in tests])
    checks = []
    for (name, distance, _, test), p_value in zip(tests, adjusted, strict=True):
        limit = calibration.columns[name]
        value = psi(limit.bins.grouped(limit.counts), limit.bins.grouped(counts[name]))
        most = limit.limit(max(1, int(counts[name].sum())))
        breach = value > most and p_value < SIGNIFICANT
        checks.append(Check(name, "psi", value, most, breach, distance=distance, p_value=p_value, test=test))
    return tuple(sorted(checks, key=lambda check: -check.value / check.limit))


def judge_performance(calibration: Calibration, table: pa.Table) -> tuple[Check, ...]:
    """One check per metric over the rows that have a label (columns ``prediction`` and ``label``)."""
    known = table.filter(pc.is_valid(table["label"]))
    if known.num_rows == 0:
        return ()
    prediction, label = numbers(known["prediction"]), numbers(known["label"])
    checks = []
    for name, limit in calibration.metrics.items():
        value = find_loss(name).over(find_loss(name).losses(prediction, label))
        low, high = limit.limits(known.num_rows)
        breach = (high is not None and value > high) or (low is not None and value < low) or not np.isfinite(value)
        checks.append(Check("label", name, value, high if high is not None else float("inf"), breach, low=low))
    return tuple(sorted(checks, key=lambda check: not check.breach))


def _null_or_not(counts: Counts) -> Counts:
    return np.array([counts[:-1].sum(), counts[-1]], np.int64)


def _count(bins: Bins, column: pa.ChunkedArray) -> Counts:
    if bins.numeric and (pa.types.is_string(column.type) or pa.types.is_binary(column.type) or pa.types.is_nested(column.type)):
        column = pa.chunked_array([pa.nulls(len(column))])  # another kind than in the baseline: nothing of it can be compared
    return bins.count(column)
