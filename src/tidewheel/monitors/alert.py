"""Alerts: one per lasting breach."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidewheel.clock import Micros
from tidewheel.monitors.window import Check, Kind


class Alert(msgspec.Struct, frozen=True):
    """A breach, from the window in which it began to the first clean window after it.

    Parameters
    ----------
    id
        Decided by monitor, kind and first window, so the same breach found twice is one alert.
    opened_at, closed_at
        Wall clock, microseconds UTC; ``closed_at`` is ``None`` while it lasts.
    first_window, last_window
        Start of the first and of the newest window in breach, microseconds UTC.
    windows
        How many windows in breach were seen.
    checks
        What was over its limit in the newest of them.
    """

    id: str
    monitor: str
    deployment: str
    kind: Kind
    state: Literal["open", "acknowledged", "closed"]
    version: int | None
    opened_at: Micros
    first_window: Micros
    last_window: Micros
    windows: int
    checks: tuple[Check, ...]
    closed_at: Micros | None = None
    acknowledged_at: Micros | None = None
    acknowledged_by: str | None = None
    note: str | None = None
