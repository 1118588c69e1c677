"""Time: int64 microseconds since 1970-01-01 UTC, and the clock that verbs are handed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

from tidewheel.errors import Invalid

Micros = NewType("Micros", int)
"""An instant, or a length of time, in microseconds."""

Clock = Callable[[], Micros]
"""Anything that answers "what time is it" in microseconds UTC; tests hand in their own."""

SECOND = Micros(1_000_000)
MINUTE = Micros(60 * SECOND)
HOUR = Micros(60 * MINUTE)
DAY = Micros(24 * HOUR)
WEEK = Micros(7 * DAY)

_UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_DURATION = re.compile(r"(\d+)(us|ms|s|m|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> Micros:
    """The machine's wall clock."""
    return Micros(time.time_ns() // 1_000)


def parse_duration(text: str | timedelta) -> Micros:
    """Read a duration such as ``"90s"``, ``"1h30m"`` or ``"7d"``.

    Parameters
    ----------
    text
        One or more numbers each followed by ``us ms s m h d w``, without spaces; or a ``timedelta``.

    Returns
    -------
    Microseconds, zero or more.

    Raises
    ------
    Invalid
        When the text is no duration.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400000000
    """
    if isinstance(text, timedelta):
        return Micros(text // timedelta(microseconds=1))
    found = list(_DURATION.finditer(text))
    if not found or "".join(match.group(0) for match in found) != text:
        raise Invalid(f"{text!r} is not a duration", fix='write numbers with units, such as "15m", "1h30m" or "7d"')
    return Micros(sum(int(match.group(1)) * _UNITS[match.group(2)] for match in found))


def format_duration(span: int) -> str:
    """Write microseconds the way :func:`parse_duration` reads them, exactly.

    Examples
    --------
    >>> format_duration(5_400_000_000)
    '1h30m'
    >>> format_duration(0)
    '0s'
    """
    if span < 0:
        return "-" + format_duration(-span)
    parts, rest = [], span
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def to_micros(moment: datetime) -> Micros:
    """An aware ``datetime`` as microseconds; naive values are refused.

    Examples
    --------
    >>> to_micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    if moment.tzinfo is None:
        raise Invalid(f"{moment!r} has no time zone", fix="give it one: moment.replace(tzinfo=UTC)")
    return Micros((moment - _EPOCH) // timedelta(microseconds=1))


def to_datetime(moment: int) -> datetime:
    """Microseconds as an aware UTC ``datetime``.

    Examples
    --------
    >>> to_datetime(1_000_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return _EPOCH + timedelta(microseconds=moment)


def parse_instant(text: str) -> Micros:
    """Read an ISO 8601 instant; without an offset it is UTC.

    Examples
    --------
    >>> parse_instant("2026-01-01T10:00:00Z") == parse_instant("2026-01-01 05:00:00-05:00")
    True
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time", fix="write ISO 8601, such as 2026-01-01T10:00:00Z") from error
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def format_instant(moment: int) -> str:
    """Microseconds as ISO 8601 in UTC.

    Examples
    --------
    >>> format_instant(0)
    '1970-01-01T00:00:00Z'
    """
    return to_datetime(moment).isoformat().replace("+00:00", "Z")
