"""What a monitor found in one window."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidewheel.clock import Micros

Kind = Literal["drift", "performance"]
Status = Literal["ok", "breach", "skipped"]


class Check(msgspec.Struct, frozen=True):
    """One measured number and its limit.

    Parameters
    ----------
    column
        ``f.<feature>`` or ``prediction`` for drift, ``label`` for performance.
    metric
        ``psi``, or the name of a performance metric.
    value
        What was measured in this window.
    limit
        The calibrated limit; ``low`` is the lower one of a metric that may not fall either (bias).
    distance, p_value
        Of the distance test, drift only; ``p_value`` after the correction for many columns.
    breach
        The limit was passed, and for drift the distance test is significant too.
    """

    column: str
    metric: str
    value: float
    limit: float
    breach: bool
    low: float | None = None
    distance: float | None = None
    p_value: float | None = None
    test: str = ""


class WindowResult(msgspec.Struct, frozen=True):
    """The outcome of one kind of check over one window ``[start, end)``.

    Parameters
    ----------
    status
        ``skipped`` when there were too few rows, or there is no baseline to compare with; ``reason`` tells which.
    checks
        Worst first: by how far over its limit each one is.
    """

    monitor: str
    kind: Kind
    version: int | None
    start: Micros
    end: Micros
    rows: int
    status: Status
    checks: tuple[Check, ...] = ()
    reason: str = ""

    @property
    def breached(self) -> tuple[Check, ...]:
        """The checks that are over their limit."""
        return tuple(check for check in self.checks if check.breach)
