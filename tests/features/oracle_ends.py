"""Rows that end something, written again in the plainest Python: at each instant, go through everything that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a source. ``gone``: a tombstone, or a deletion. ``until``: valid_to. ``id``: of the row of a changed table."""

    key: int
    ts: int
    created: int
    known: int
    value: int | None
    gone: bool = False
    until: int | None = None
    id: int = 0


def _order(row: Row) -> tuple[object, ...]:
    return (row.ts, row.created, row.gone, row.value is not None, row.value or 0, row.until is not None, row.until or 0)


def _answer(standing: Sequence[Row], t: int, ttl: int | None, last_known: bool) -> int | None:
    counted = [row for row in standing if not last_known or row.gone or row.value is not None]
    best = max(counted, key=_order, default=None)
    return None if best is None or best.gone or (ttl is not None and t - best.ts > ttl) else best.value


def tombstoned(rows: Sequence[Row], key: int, t: int, *, ttl: int | None = None, last_known: bool = False) -> int | None:
    """Value of the greatest visible row; none where that is a tombstone."""
    return _answer([r for r in rows if r.key == key and r.ts <= t and r.known <= t], t, ttl, last_known)


def dimension(rows: Sequence[Row], key: int, t: int, *, ttl: int | None = None, last_known: bool = False) -> int | None:
    """Value of the greatest row that is valid: of the rows of one key and start the last one known counts."""
    latest: dict[int, Row] = {}
    for row in sorted((r for r in rows if r.key == key and r.ts <= t and r.known <= t), key=_order):
        latest[row.ts] = row
    return _answer([r for r in latest.values() if r.until is None or t < r.until], t, ttl, last_known)


def current(rows: Sequence[Row], t: int | None) -> list[Row]:
    """The table that was changed, as it was known at an instant, or as it is by now."""
    latest: dict[int, Row] = {}
    for row in sorted((r for r in rows if t is None or r.known <= t), key=lambda r: (r.created, r.ts, r.gone)):
        latest[row.id] = row
    return [row for row in latest.values() if not row.gone]


def changed(rows: Sequence[Row], key: int, t: int, *, ttl: int | None = None, last_known: bool = False) -> int | None:
    """Value of the greatest row of the table as it was known at an instant."""
    return _answer([r for r in current(rows, t) if r.key == key and r.ts <= t], t, ttl, last_known)


def events(rows: Sequence[Row], key: int, t: int, *, start: int) -> list[int]:
    """Values of the events in a window that ends before an instant: the table's rows as they are by now."""
    seen = [r for r in current(rows, None) if r.key == key and start <= r.ts < t and r.known <= t]
    return [r.value for r in seen if r.value is not None]
