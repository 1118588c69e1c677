"""Partitions: the spans of time that a step or a pipeline is run for, one by one. Pure."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tidewheel.clock import DAY, parse_duration
from tidewheel.errors import Invalid

MOST = 100_000
"""Partitions of one backfill."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A span of time, ``[start, end)``.

    A step with a parameter of this type, or with the two parameters ``start`` and ``end``, can be run for one span after
    the other: ``tidewheel backfill``.

    Parameters
    ----------
    start, end
        Aware, ``end`` after ``start``.

    Examples
    --------
    >>> day = Partition(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    >>> day.name
    '2026-01-01T00:00:00Z/2026-01-02T00:00:00Z'
    >>> Partition.parse(day.name) == day
    True
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None or not self.start < self.end:
            raise Invalid(f"{self.start} to {self.end} is no span of time", fix="give aware times, the earlier one first")

    @property
    def name(self) -> str:
        """Start and end in UTC, as ISO 8601 writes an interval."""
        return "/".join(moment.astimezone(UTC).isoformat().replace("+00:00", "Z") for moment in (self.start, self.end))

    @classmethod
    def parse(cls, name: str) -> Partition:
        """Read what :attr:`name` wrote; in UTC."""
        start, _, end = name.partition("/")
        return cls(datetime.fromisoformat(start), datetime.fromisoformat(end))


def list_partitions(start: str, end: str, *, every: str, timezone: str = "UTC") -> list[Partition]:
    """Cut ``[start, end)`` into partitions.

    Parameters
    ----------
    start, end
        ISO 8601 dates or times; those without an offset are of the time zone.
    every
        Length of a partition, a duration. Whole days are days of the place, of 23 and 25 hours too.

    Raises
    ------
    Invalid
        When there is no time between them, the last partition would stick out, or there would be more than 100,000.

    Examples
    --------
    >>> [day.name[:10] for day in list_partitions("2026-01-01", "2026-01-03", every="1d")]
    ['2026-01-01', '2026-01-02']
    >>> (short,) = list_partitions("2026-03-29", "2026-03-30", every="1d", timezone="Europe/Berlin")
    >>> (short.end - short.start).seconds // 3600
    23
    """
    zone, length = ZoneInfo(timezone), parse_duration(every)
    if length <= 0:
        raise Invalid(f"partitions of {every} have no length", where="every", fix='give a duration such as "1d"')
    first, last = (_moment(text, zone) for text in (start, end))
    if not first < last:
        raise Invalid(f"there is no time from {start} to {end}", where="from", fix="give the earlier one first")
    span = timedelta(microseconds=length)
    found: list[Partition] = []
    at = first
    while at < last:
        # Within a zone Python adds on the wall's clock: right for days, and wrong for hours, which are added in UTC.
        after = at.astimezone(zone) + span if length % DAY == 0 else (at.astimezone(UTC) + span).astimezone(zone)
        found.append(Partition(at.astimezone(UTC), after.astimezone(UTC)))
        if len(found) > MOST:
            raise Invalid(f"more than {MOST:,} partitions", where="every", fix="take longer ones, or a part of the time")
        at = after
    if found[-1].end != last.astimezone(UTC):
        raise Invalid(
            f"partitions of {every} from {start} do not end at {end}: the last one would reach to {found[-1].name[-20:]}",
            where="to",
            fix="end where a partition ends",
        )
    return found


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time", fix="write a date such as 2026-01-01, or ISO 8601") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone)


def takes_partition(function: Callable[..., object]) -> bool:
    """Whether a function has a parameter for a partition.

    Examples
    --------
    >>> def load(day: Partition) -> int: ...
    >>> takes_partition(load), takes_partition(lambda rounds: rounds)
    (True, False)
    """
    parameters, named = _named(function)
    return bool(named) or {"start", "end"} <= parameters.keys()


def _named(function: Callable[..., object]) -> tuple[Mapping[str, inspect.Parameter], list[str]]:
    """Parameters of a function, and the names of those that are partitions by their annotation."""
    parameters = inspect.signature(function).parameters
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        hints = {}
    return parameters, [n for n, one in parameters.items() if hints.get(n) is Partition or one.annotation == "tw.Partition"]


def arguments_for(
    function: Callable[..., object], partition: Partition, *, where: str, others: Collection[str] = ()
) -> Mapping[str, object]:
    """The arguments by which a function takes a partition.

    Parameters
    ----------
    others
        Parameters that are given otherwise.

    Raises
    ------
    Invalid
        When it has no parameter for one, or another parameter that has no default.

    Examples
    --------
    >>> day = Partition(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    >>> def load(day: Partition, table: str = "rides") -> int: ...
    >>> def sums(start: datetime, end: datetime) -> int: ...
    >>> list(arguments_for(load, day, where="f.py:1")), list(arguments_for(sums, day, where="f.py:2"))
    (['day'], ['start', 'end'])
    """
    parameters, named = _named(function)
    given: dict[str, object] = {named[0]: partition} if named else {}
    if not named and {"start", "end"} <= parameters.keys():
        given = {"start": partition.start, "end": partition.end}
    open_ones = [n for n, one in parameters.items() if one.default is one.empty and n not in given and n not in others]
    if not given or open_ones:
        told = f"needs {', '.join(open_ones)} too" if given else "takes no partition"
        raise Invalid(
            f"{getattr(function, '__name__', function)} {told}",
            where=where,
            fix="give it one parameter of type tw.Partition, or start and end, and defaults to the others",
        )
    return given


def spans(partitions: list[Partition]) -> Iterator[str]:
    """Names of partitions, neighbours joined, for a person.

    Examples
    --------
    >>> list(spans(list_partitions("2026-01-01", "2026-01-04", every="1d")))
    ['2026-01-01T00:00:00Z/2026-01-04T00:00:00Z']
    """
    begun: Partition | None = None
    for one in sorted(partitions, key=lambda each: each.start):
        if begun is not None and begun.end == one.start:
            begun = Partition(begun.start, one.end)
            continue
        if begun is not None:
            yield begun.name
        begun = one
    if begun is not None:
        yield begun.name
