"""When a schedule is due. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tidewheel.clock import Micros, to_datetime, to_micros
from tidewheel.triggers.definition import Schedule

_BEFORE = Micros(3 * 60 * 60 * 1_000_000)
"""From how long before an instant times are listed: from inside of an hour that the clock shows twice, what was due in it
once already could look due again."""


def due_times(schedule: Schedule, after: int) -> Iterator[Micros]:
    """Times that are due after an instant, in order, without end.

    Examples
    --------
    >>> from tidewheel.clock import format_instant, parse_instant
    >>> from tidewheel.triggers.definition import schedule
    >>> night = schedule("30 2 * * *", timezone="Europe/Berlin")
    >>> due = due_times(night, parse_instant("2026-03-28T12:00:00Z"))
    >>> [format_instant(next(due)) for _ in range(2)]  # 02:30 does not exist on the 29th: it is taken at 03:00
    ['2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']
    """
    last = after
    for moment in CronSim(schedule.cron, to_datetime(after - _BEFORE).astimezone(ZoneInfo(schedule.timezone))):
        due = to_micros(moment.astimezone(UTC))
        if due > last:
            last = due
            yield due


def due_between(schedule: Schedule, after: int, until: int, *, limit: int) -> list[Micros]:
    """The last ``limit`` times in ``(after, until]``, oldest first.

    Examples
    --------
    >>> from tidewheel.triggers.definition import schedule
    >>> due_between(schedule("* * * * *"), 0, 180_000_000, limit=2)
    [120000000, 180000000]
    """
    found: list[Micros] = []
    for due in due_times(schedule, after):
        if due > until:
            break
        found.append(due)
        del found[:-limit]
    return found


def last_due(schedule: Schedule, before: int) -> Micros | None:
    """The last time before an instant; ``None`` when there is none in the fifty years before.

    Examples
    --------
    >>> from tidewheel.triggers.definition import schedule
    >>> last_due(schedule("0 * * * *"), 7_200_000_000)
    3600000000
    """
    zone = ZoneInfo(schedule.timezone)
    earlier = CronSim(schedule.cron, to_datetime(before).astimezone(zone), reverse=True)
    found = next(earlier, None)
    if found is None:
        return None
    # Backwards, an hour that the clock shows twice may be told otherwise than forwards, which is what tasks are made by.
    known = due_between(schedule, to_micros(found.astimezone(UTC)) - _BEFORE, before - 1, limit=1)
    return known[-1] if known else to_micros(found.astimezone(UTC))


def next_due(schedule: Schedule, after: int) -> Micros | None:
    """The first time after an instant; ``None`` when there is none in the next fifty years.

    Examples
    --------
    >>> from tidewheel.triggers.definition import schedule
    >>> next_due(schedule("0 * * * *"), 1)
    3600000000
    """
    return next(islice(due_times(schedule, after), 1), None)
