"""Sources as declared: where rows come from, which column is their time, and when they become known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from tidewheel.clock import Micros, format_duration, parse_duration
from tidewheel.digest import Digest, digest
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.sources.changes import Changes
from tidewheel.sources.expectation import Expectation, Rule, quarantine_rules
from tidewheel.sources.location import Location, Query, location
from tidewheel.sources.times import TimeUnit

Format = Literal["parquet", "csv", "json", "memory", "table", "query"]
FileFormat = Literal["parquet", "csv", "json"]
Ambiguous = Literal["raise", "earlier", "later"]

GONE, UNTIL = "__gone", "__until"
ENDS = (GONE, UNTIL)
"""Columns of scans of sources whose rows can say that something is gone, or can cease to be visible: whether, and when."""

_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
_BLANKS = re.compile(r"\s+")
_FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    **{f"{ending}{packed}": "json" for ending in (".jsonl", ".ndjson") for packed in ("", ".gz")},
}


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that exports Arrow by the PyCapsule interface: an Arrow table, a pandas or Polars data frame.

    Examples
    --------
    >>> import pyarrow as pa
    >>> isinstance(pa.table({"a": [1]}), ArrowStream)
    True
    """

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream, as a capsule."""
        ...


Data = tuple[str, ...] | ArrowStream | Location | Query


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Rows with a time: files, a table, a query, or a table in memory, seen through an optional ``select``.

    Made by :func:`source`. The columns ``time``, ``created``, ``event_id`` and ``available`` are columns *after* ``select``.

    Examples
    --------
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time", timezone="America/New_York", after="15m")
    >>> trips.format, trips.after
    ('parquet', 900000000)
    >>> moved = source("trips", "elsewhere/*.parquet", time="dropoff_time", timezone="America/New_York", after="15m")
    >>> trips.version == moved.version
    True
    """

    name: str
    data: Data
    format: Format
    time: str
    timezone: str | None = None
    created: str | None = None
    event_id: str | None = None
    available: str = "event"
    after: Micros | None = None
    select: str | None = None
    nan: Literal["null", "keep"] = "null"
    ambiguous: Ambiguous = "raise"
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    where: str = field(default="", compare=False)
    deleted: str | None = None
    valid_to: str | None = None
    changes: Changes | None = None
    stream: str | None = field(default=None, repr=False)
    expect: tuple[Expectation, ...] = ()
    time_unit: TimeUnit | None = None

    @property
    def retracts(self) -> bool:
        """Whether a row can say that something is gone: scans have a column ``__gone``."""
        return self.deleted is not None or self.changes is not None

    @property
    def bounded(self) -> bool:
        """Whether a row can cease to be visible: scans have a column ``__until``."""
        return self.valid_to is not None or self.changes is not None

    @property
    def ends(self) -> tuple[str, ...]:
        """Columns that a scan adds to the system's three, because rows retract or are bounded."""
        return (GONE,) * self.retracts + (UNTIL,) * self.bounded

    @property
    def quarantine(self) -> tuple[Rule, ...]:
        """Rules whose failing rows are left out: they decide what the rows are."""
        return quarantine_rules(self.expect)

    @property
    def parameters(self) -> dict[str, object]:
        """Everything that decides what the rows mean; where the data lies is not part of it."""
        ends: dict[str, object] = {"deleted": self.deleted, "valid_to": self.valid_to, "time_unit": self.time_unit}
        if self.changes is not None:
            ends["changes"] = self.changes.parameters
        if self.quarantine:
            ends["quarantine"] = [rule.condition for rule in self.quarantine]
        return {
            "name": self.name,
            "time": self.time,
            "timezone": self.timezone,
            "created": self.created,
            "event_id": self.event_id,
            "available": self.available,
            "after": None if self.after is None else format_duration(self.after),
            "select": None if self.select is None else _normal(self.select),
            "nan": self.nan,
            "ambiguous": self.ambiguous,
            **{name: value for name, value in ends.items() if value is not None},
        }

    @property
    def version(self) -> Digest:
        """Digest of :attr:`parameters`: equal for two sources that read different data in the same way."""
        return digest(["source", self.parameters])

    @property
    def patterns(self) -> tuple[str, ...]:
        """Path patterns of the files; empty for what is no files of the project."""
        return self.data if isinstance(self.data, tuple) else ()

    @property
    def is_outside(self) -> bool:
        """Whether the rows lie outside of the project and are fetched."""
        return isinstance(self.data, Location | Query)

    @property
    def file_format(self) -> FileFormat:
        """Of the files that are read in the end: fetched rows are kept as Parquet."""
        return self.format if self.format in ("csv", "json") else "parquet"

    @property
    def origin(self) -> tuple[str, ...]:
        """Where the data lies, to be shown; secrets by their names."""
        if isinstance(self.data, Location):
            return (self.data.url, *(f"{name}={value}" for name, value in self.data.options))
        if isinstance(self.data, Query):
            return (self.data.url, self.data.sql, *(() if self.data.since is None else (f"since={self.data.since}",)))
        return self.patterns


def source(
    name: str,
    data: str | Sequence[str] | ArrowStream | Location | Query,
    *,
    time: str | None = None,
    timezone: str | None = None,
    select: str | None = None,
    available: str = "event",
    after: str | timedelta | None = None,
    created: str | None = None,
    event_id: str | None = None,
    deleted: str | None = None,
    valid_from: str | None = None,
    valid_to: str | None = None,
    changes: Changes | None = None,
    stream: str | None = None,
    expect: Sequence[Expectation] = (),
    nan: Literal["null", "keep"] = "null",
    ambiguous: Ambiguous = "raise",
    time_unit: TimeUnit | None = None,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Source:
    """Declare where rows come from.

    Parameters
    ----------
    data
        Path patterns relative to the project (``"data/*.parquet"``, ``.csv``, ``.jsonl``), the folder of a Delta table
        (``"data/rides/"``), a URL (``"s3://..."``, ``"delta://..."``, ``"iceberg://..."``; :func:`tw.location` for one with
        options), :func:`tw.query`, or a table that exports Arrow (Arrow, pandas, Polars).
    time
        Column with the event's time: a timestamp, an ISO 8601 string, or a number since 1970 UTC, see ``time_unit``. Rows
        without a time are dropped and counted.
    timezone
        Zone of times that carry none (IANA name); ``None`` is UTC.
    select
        One row-wise ``SELECT ... FROM this`` in DuckDB's dialect. It runs on files and on pushed rows alike, so it may
        filter and compute, but not aggregate, sort or join.
    available
        When a row is known: ``"event"`` (at its own time), or the name of a timestamp column.
    after
        Delay between a row's time and its being known, such as ``"15m"``.
    created
        Timestamp column that orders corrections of one row: the latest wins.
    event_id
        Column that identifies an event: rows with the same id, in files and pushes together, count once.
    deleted
        Boolean column, or a condition in DuckDB's SQL: such a row says that its key is gone. Look-ups find nothing from its
        time on until a later row, windows do not fold it.
    valid_from, valid_to
        In place of ``time``: a row is visible from the first until just before the second, for ever where that is null (a
        slowly changing dimension of type 2). A row of the same key and ``valid_from`` replaces an older one, and may close it.
    changes
        The rows are changes of a table's rows, see :func:`tidewheel.sources.changes.changes`.
    stream
        URL of a stream whose events are rows of this source, as JSON objects: ``redis://host/0/trips?group=taxi``,
        ``nats://host/TRIPS``, ``kafka://host:9092/trips``. ``tidewheel consume`` takes them. It needs ``event_id``, since
        streams deliver again what a consumer that died had taken. Where rows come from does not change what they mean, so it
        is no part of the recipe; ``[workspace.NAME.streams]`` in ``tidewheel.toml`` goes before it.
    expect
        What rows are to be, and what becomes of those that are not: :func:`tw.expect`, :func:`tw.fresh`.
    nan
        ``"null"`` turns NaN into null (counted), ``"keep"`` keeps it.
    ambiguous
        Local times that the clock shows twice: ``"raise"`` refuses them, ``"earlier"`` and ``"later"`` choose.
    time_unit
        What times that are numbers count: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` since 1970 UTC, with fractions or without.
        ``None`` takes int64 for microseconds, and refuses those that can only be something else, but for a table in memory.

    Raises
    ------
    Invalid
        Unknown file format or time zone, or both ``available`` and ``after``.

    Examples
    --------
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time", timezone="America/New_York")
    >>> trips.patterns
    ('data/*.parquet',)
    """
    where = place()
    held, format = _data(name, data, where)
    moment = _time(name, time, valid_from, valid_to, where)
    made = Source(
        name=name,
        data=held,
        format=format,
        time=moment,
        timezone=timezone,
        created=created,
        event_id=event_id,
        available=available,
        after=None if after is None else parse_duration(after),
        select=select,
        nan=nan,
        ambiguous=ambiguous,
        owner=owner,
        description=description,
        tags=tuple(tags),
        where=where,
        deleted=deleted,
        valid_to=valid_to,
        changes=changes,
        stream=stream,
        expect=tuple(expect),
        time_unit=time_unit,
    )
    _check(made, where)
    declare(
        Declaration(
            node_id("source", name),
            made,
            where,
            parameters=made.parameters | {"data": made.origin, "format": made.format},
            meta={"owner": owner, "description": description, "tags": tuple(tags)} | expected_meta(made.expect),
        )
    )
    return made


def check_aside(made: Source, expectations: Sequence[Expectation], where: str) -> None:
    """Changes cannot be put aside one by one: the row that a bad change replaces would stay offline, and be gone online."""
    if made.changes is not None and quarantine_rules(expectations):
        what = f"rows of source {made.name} are changes, which cannot be put in quarantine"
        raise Invalid(what, where=where, fix='use otherwise="stop" or "warn", or where= of a feature')


def expected_meta(expectations: Sequence[Expectation]) -> dict[str, object]:
    """What a node's meta says of its expectations: those that only stop or warn change no row."""
    rules = [f"{rule.text} ({one.otherwise})" for one in expectations for rule in one.rules if one.otherwise != "quarantine"]
    return {"expect": tuple(rules)} if rules else {}


def _check(made: Source, where: str) -> None:
    if not made.name.isidentifier():
        raise Invalid(f"source name {made.name!r} is not an identifier", where=where, fix="use letters, digits and underscores")
    _check_zone(made.timezone, where)
    if made.after is not None and made.available != "event":
        raise Invalid(
            f"source {made.name} has both available={made.available!r} and after", where=where, fix="keep one of them"
        )
    _check_ends(made, where)
    if made.stream is not None and made.event_id is None:
        fix = "name the column that identifies an event: event_id="
        raise Invalid(f"source {made.name} has a stream and no event_id", where=where, fix=fix)
    if made.nan not in ("null", "keep"):
        raise Invalid(f"source {made.name}: nan={made.nan!r}", where=where, fix='nan is "null" or "keep"')
    if made.time_unit not in (None, "s", "ms", "us", "ns"):
        fix = 'time_unit is "s", "ms", "us" or "ns"'
        raise Invalid(f"source {made.name}: time_unit={made.time_unit!r}", where=where, fix=fix)
    if made.ambiguous not in ("raise", "earlier", "later"):
        fix = 'ambiguous is "raise", "earlier" or "later"'
        raise Invalid(f"source {made.name}: ambiguous={made.ambiguous!r}", where=where, fix=fix)


def _time(name: str, time: str | None, valid_from: str | None, valid_to: str | None, where: str) -> str:
    """The column of a row's time: ``valid_from`` is another name for it, where there is a ``valid_to``."""
    if (valid_from is None) != (valid_to is None):
        raise Invalid(f"source {name} has one of valid_from and valid_to", where=where, fix="give both, or time")
    moment = time if time is not None else valid_from
    if moment is None or (time is not None and valid_from is not None):
        told = "no time" if moment is None else "both time and valid_from"
        raise Invalid(f"source {name} has {told}", where=where, fix='name the column of the rows\' time: time="ts"')
    return moment


def _check_ends(made: Source, where: str) -> None:
    """What ends a row's being visible is said in one way, and only by what the row itself holds."""
    if not (made.retracts or made.bounded):
        return
    from tidewheel.sources.select import has_condition, parse_select  # parses SQL, which most sources need not to be declared

    ways = [name for name in ("deleted", "valid_to", "changes") if getattr(made, name) is not None]
    if len(ways) > 1:
        raise Invalid(f"source {made.name} has {' and '.join(ways)}", where=where, fix="keep one of them")
    if made.valid_to is not None and made.event_id is not None:
        fix = "drop event_id: the key and valid_from identify a row"
        raise Invalid(f"source {made.name} has valid_to and event_id", where=where, fix=fix)
    if made.deleted is not None:
        parse_select(f"SELECT ({made.deleted}) AS gone FROM this", where)
    if made.changes is None:
        return
    check_aside(made, made.expect, where)
    if made.event_id is None:
        fix = "name the column that identifies a row of the table: event_id="
        raise Invalid(f"the changes of source {made.name} have no event_id", where=where, fix=fix)
    if has_condition(made.select):
        fix = "select without WHERE: a row that no longer meets a condition would be kept as it was; use where= of a feature"
        raise Invalid(f"source {made.name} filters changes", where=where, fix=fix)


def _data(name: str, data: str | Sequence[str] | ArrowStream | Location | Query, where: str) -> tuple[Data, Format]:
    if isinstance(data, Query):
        return data, "query"
    if isinstance(data, str) and "://" in data:
        data = location(data)
    if isinstance(data, str) and data.endswith("/"):
        data = Location(f"delta://{data}")
    if isinstance(data, Location):
        if data.is_table:
            return data, "table"
        found = _format(data.url.partition("?")[0])
        return data, _known_format(name, [data.url], {found}, where)
    if isinstance(data, ArrowStream):
        return data, "memory"
    patterns = (data,) if isinstance(data, str) else tuple(str(item) for item in data)
    return patterns, _known_format(name, patterns, {_format(pattern) for pattern in patterns}, where)


def _known_format(name: str, patterns: Sequence[str], formats: set[FileFormat | None], where: str) -> FileFormat:
    found = next(iter(formats)) if len(formats) == 1 else None
    if found is None:
        raise Invalid(
            f"source {name}: cannot tell the format of {', '.join(patterns) or 'no files'}",
            where=where,
            fix="name files that all end in .parquet, in .csv or in .jsonl, a Delta table's folder with a / at its end, "
            "a table's URL, or hand in an Arrow, pandas or Polars table",
        )
    return found


def _format(pattern: str) -> FileFormat | None:
    return next((format for ending, format in _FORMATS.items() if pattern.lower().endswith(ending)), None)


def _normal(select: str) -> str:
    """The select with runs of white space as one blank, where that cannot change what it says."""
    if any(mark in select for mark in ("--", "/*", "$")):
        return select.strip()
    parts = _QUOTED.split(select)
    return "".join(part if index % 2 else _BLANKS.sub(" ", part) for index, part in enumerate(parts)).strip()


def _check_zone(name: str | None, where: str) -> None:
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(f"{name!r} is not a time zone", where=where, fix='use an IANA name such as "America/New_York"') from error
