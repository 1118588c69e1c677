"""Alerts: one per lasting breach."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidewheel.clock import Micros, format_instant
from tidewheel.monitors.window import Check, Kind

State = Literal["open", "acknowledged", "closed"]


class Alert(msgspec.Struct, frozen=True):
    """A breach, from the window in which it began to the first clean window after it.

    Parameters
    ----------
    id
        Decided by monitor, kind and first window, so the same breach found twice is one alert.
    state
        ``acknowledged``: somebody has seen it, and it lasts.
    opened_at, closed_at
        Wall clock, microseconds UTC; ``closed_at`` is ``None`` while it lasts.
    first_window, first_end
        The window in which it began, ``[first_window, first_end)`` in the time of the predictions; it could be known from
        ``first_end`` on.
    last_window
        Start of the newest window in breach.
    windows
        How many windows in breach were seen.
    checks
        What was over its limit in the newest of them.
    """

    id: str
    monitor: str
    deployment: str
    kind: Kind
    state: State
    version: int | None
    opened_at: Micros
    first_window: Micros
    first_end: Micros
    last_window: Micros
    windows: int
    checks: tuple[Check, ...]
    closed_at: Micros | None = None
    acknowledged_at: Micros | None = None
    acknowledged_by: str | None = None
    note: str | None = None

    def render(self) -> str:
        """The alert in one line.

        Examples
        --------
        >>> check = Check("f.trips_1h", "psi", 0.41, 0.2, True)
        >>> zero = Micros(0)
        >>> Alert("a1", "eta", "eta", "drift", "open", 3, zero, zero, Micros(604_800_000_000), zero, 1, (check,)).render()
        'drift alert of eta (open) since the window 1970-01-01 to 1970-01-08: f.trips_1h psi 0.41 over 0.2'
        """
        parts = []
        for check in self.checks[:4]:
            side = "under" if check.low is not None and check.value < check.low else "over"
            limit = check.low if side == "under" else check.limit
            parts.append(f"{check.column} {check.metric} {check.value:.3g} {side} {limit:.3g}")
        more = f" and {len(self.checks) - 4} more" if len(self.checks) > 4 else ""
        first, end = format_instant(self.first_window)[:10], format_instant(self.first_end)[:10]
        return f"{self.kind} alert of {self.monitor} ({self.state}) since the window {first} to {end}: {', '.join(parts)}{more}"
