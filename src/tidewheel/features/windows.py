"""Windows: which hop a window has, and which instants bound it."""

from __future__ import annotations

from tidewheel.clock import DAY, HOUR, MINUTE, Micros, format_duration
from tidewheel.errors import BadWindow

FOREVER = Micros(1 << 62)
"""The window that holds every event before the time asked."""

EXACT = Micros(1)
"""The hop of a window with an exact tail: all its ends are instants as they are."""

_HOPS = ((HOUR, MINUTE), (12 * HOUR, 5 * MINUTE), (12 * DAY, HOUR))


def choose_hop(window: int) -> Micros:
    """The hop of a window that names none: 1m up to 1h, 5m up to 12h, 1h up to 12d, else 1d.

    Examples
    --------
    >>> from tidewheel.clock import parse_duration
    >>> [format_duration(choose_hop(parse_duration(w))) for w in ("1h", "12h", "7d", "30d")]
    ['1m', '5m', '1h', '1d']
    """
    for longest, hop in _HOPS:
        if window <= longest:
            return Micros(hop)
    return DAY


def check_window(window: int, hop: int, *, where: str) -> None:
    """Refuse a window that no whole number of hops fills, or a hop that no whole number of fills a day.

    Raises
    ------
    BadWindow
        Naming the feature in ``where`` and the value at fault.
    """
    if window <= 0 or hop <= 0:
        raise BadWindow(
            f"window {format_duration(window)} with hop {format_duration(hop)} is empty", where=where, fix="give both above 0"
        )
    if DAY % hop:
        raise BadWindow(
            f"hop {format_duration(hop)} does not divide a day", where=where, fix='use a hop such as "5m", "1h" or "1d"'
        )
    if window != FOREVER and window % hop:
        raise BadWindow(
            f"window {format_duration(window)} is not a multiple of its hop {format_duration(hop)}",
            where=where,
            fix=f"give hop=, or a window of {format_duration(window - window % hop + hop)}",
        )


def check_offset(offset: int, hop: int, *, where: str) -> None:
    """Refuse an offset that is not a whole number of hops.

    Raises
    ------
    BadWindow
        Naming the feature in ``where``.
    """
    if offset < 0 or offset % hop:
        raise BadWindow(
            f"offset {format_duration(offset)} is not a multiple of the hop {format_duration(hop)}",
            where=where,
            fix="give both in whole hops, or give hop=",
        )


def window_start(at: int, window: int, hop: int) -> Micros:
    """First instant of the window at ``at``: ``at - window`` floored to the hop. The window ends just before ``at``.

    Examples
    --------
    >>> window_start(661, 600, 300)
    0
    """
    return Micros((at - window) // hop * hop)
