"""The report of a join or a training set: what was found for which feature, what is suspicious, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tidewheel.clock import format_duration, format_instant
from tidewheel.digest import Digest


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """One feature over the rows of the spine."""

    name: str
    origin: str
    rows: int
    nulls: int

    @property
    def coverage(self) -> float:
        """Share of rows in which the feature is not null; 0 for no rows."""
        return 1 - self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class ViewReport:
    """One view, under one alias, over the rows of the spine.

    Parameters
    ----------
    content
        Digest of the source's rows as the view sees them, whatever files hold them.
    rows
        Rows of the source that were in reach.
    unknown
        Rows of the spine whose key has no row in reach.
    too_old
        Rows of the spine whose row was older than ``ttl``.
    ties
        Keys and times at which rows differ only in value.
    null_keys
        Rows of the source that no key can find.
    late
        Rows of the source that were known only after their own time.
    delays
        How long after its own time a row was there, by ``created`` or the column of availability: half of the rows took at most
        the first, 99 of 100 at most the second; microseconds.
    """

    name: str
    prefix: str
    source: str
    content: Digest
    rows: int = 0
    unknown: int = 0
    too_old: int = 0
    ties: int = 0
    null_keys: int = 0
    late: int = 0
    delays: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a join found; ``dropped`` says which rows of the source became no row of the spine, and why.

    Examples
    --------
    >>> report = Report(rows=4, features=(FeatureReport("trips_1h", "view:ZonePace", 4, 1),))
    >>> print(report.render())
    4 rows
    feature   from           coverage  nulls
    trips_1h  view:ZonePace    75.0 %      1
    >>> Report.from_json(report.to_json()) == report
    True
    """

    rows: int
    features: tuple[FeatureReport, ...] = ()
    views: tuple[ViewReport, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    leaks: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    fingerprint: Digest | None = None

    def changes(self, earlier: Report) -> tuple[str, ...]:
        """Names of the views whose source rows differ from those of an earlier report, new views included."""
        before = {view.name: view.content for view in earlier.views}
        return tuple(dict.fromkeys(view.name for view in self.views if before.get(view.name) != view.content))

    def render(self) -> str:
        """The report as text."""
        span = "" if self.start is None or self.end is None else f", {format_instant(self.start)} to {format_instant(self.end)}"
        lines = [f"{self.rows} rows{span}"]
        lines += [f"left out: {count} rows, {why}" for why, count in self.dropped.items() if count]
        lines += [f"{what}: {count}" for what, count in self.counts.items() if count]
        if self.features:
            cells = [(one.name, one.origin, f"{one.coverage:.1%}".replace("%", " %"), str(one.nulls)) for one in self.features]
            lines += _columns([("feature", "from", "coverage", "nulls"), *cells])
        if self.views:
            heads: tuple[str, ...] = ("view", "source", "rows", "unknown keys", "too old", "ties", "null keys", "late")
            rows: list[tuple[str, ...]] = [
                (one.prefix + one.name, one.source, *(str(number) for number in _numbers(one))) for one in self.views
            ]
            if any(one.delays is not None for one in self.views):
                heads = (*heads, "delay p50", "p99")
                rows = [(*row, *_delays(one)) for row, one in zip(rows, self.views, strict=True)]
            lines += _columns([heads, *rows])
        lines += [f"leak? {leak}" for leak in self.leaks]
        if self.changed:
            lines.append(f"changed since the last build: {', '.join(self.changed)}")
        if self.fingerprint is not None:
            lines.append(f"fingerprint {self.fingerprint}")
        return "\n".join(lines)

    def to_json(self) -> bytes:
        """The report as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Report:
        """Read what :meth:`to_json` wrote."""
        return msgspec.json.decode(data, type=cls)


def _numbers(view: ViewReport) -> tuple[int, ...]:
    return (view.rows, view.unknown, view.too_old, view.ties, view.null_keys, view.late)


def delay_text(microseconds: int) -> str:
    """A measured delay, as exactly as a reader wants it, and never less than it is.

    Examples
    --------
    >>> delay_text(5_399_123_456), delay_text(1_233_567), delay_text(950)
    ('1h30m', '1s234ms', '950us')
    """
    step = next((step for least, step in ((60_000_000, 1_000_000), (1_000_000, 1_000)) if microseconds >= least), 1)
    return format_duration(-(-microseconds // step) * step)


def _delays(view: ViewReport) -> tuple[str, ...]:
    return ("", "") if view.delays is None else tuple(delay_text(delay) for delay in view.delays)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
