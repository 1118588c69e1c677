"""The answer of one view to a spine, made while the rows of its source come by in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.definition import FeatureView, Use
from tidewheel.features.delays import Delays
from tidewheel.features.events import Events, order_rows
from tidewheel.features.lookups import LookUps, Rows
from tidewheel.features.match import KeyIndex, ask, key_column, one_array, one_key
from tidewheel.features.plan import WindowPlan, plan_windows
from tidewheel.features.questions import Questions
from tidewheel.features.standing import StandingLookUps
from tidewheel.features.tiles import NULL_KEY, UNKNOWN_KEY, fold_questions
from tidewheel.features.vectors import check_widths
from tidewheel.schema import Schema
from tidewheel.sources.definition import GONE, UNTIL
from tidewheel.sources.rows import within

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


_MOST = 0.75
"""Of a batch in which more of the events are asked for than this, all are kept: to leave some out would copy the others."""


@dataclass(frozen=True, slots=True)
class ViewReport:
    """What was met while one view of a service was answered.

    Parameters
    ----------
    rows
        Rows of the source that were in reach.
    null_keys
        Of these, rows with a null in their key: ignored.
    late
        Of these, rows that were known only after their own time.
    ambiguous
        Keys and times at which a look-up's answer was chosen among rows that differ only in value; the greater was taken.
    found, too_old
        Spine rows for which a look-up found a row, and those for which it was older than ``ttl``.
    unknown
        Spine rows whose key the source does not have (or has only in rows out of reach).
    delays
        Microseconds from a row's time to when it was there: the half of the rows that was quickest took at most the first, and
        99 of 100 at most the second. ``None`` where the source has neither ``created`` nor a column of availability.
    """

    view: str
    prefix: str
    rows: int
    null_keys: int = 0
    late: int = 0
    ambiguous: int = 0
    found: int = 0
    too_old: int = 0
    unknown: int = 0
    delays: tuple[int, int] | None = None


class Asked:
    """A spine's keys and times; views by the same key columns share what is made of them.

    Parameters
    ----------
    columns
        Key columns by their names in the spine, in their declared types.
    times
        Of each spine row, in microseconds.
    """

    def __init__(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], times: Integers) -> None:
        self.columns = columns
        self.times = times
        self._made: dict[tuple[str, ...], tuple[KeyIndex, Questions]] = {}

    def keys(self, alias: Use) -> list[pa.Array]:
        """The key columns of a view under an alias."""
        found = [self.columns[column.name] for column in alias.columns]
        return [one_array(column) if isinstance(column, pa.ChunkedArray) else column for column in found]

    def of(self, alias: Use) -> tuple[KeyIndex, Questions]:
        """The keys of a view under an alias, numbered, and its questions in order."""
        names = tuple(column.name for column in alias.columns)
        if names not in self._made:
            index = KeyIndex(self.keys(alias) or [one_key(len(self.times))])
            self._made[names] = (index, ask(index, self.times))
        return self._made[names]


class Met:
    """Counts what was met among the rows of a view that are in reach, whoever asks for them."""

    def __init__(self, view: FeatureView) -> None:
        self._view = view
        self._rows = self._null_keys = self._late = 0
        measured = view.source.created is not None or view.source.available != "event"
        self._delays = Delays() if measured else None

    def add(self, rows: pa.Table, *, null_keys: int) -> None:
        """Count rows, so many of which have a null in their key.

        Raises
        ------
        TypeMismatch
            When a vector has another width than declared.
        """
        ts, created, known = (whole_numbers(rows, name) for name in ("__ts", "__created", "__avail"))
        self._rows += len(ts)
        self._null_keys += null_keys
        self._late += int(np.count_nonzero(known > ts))
        if self._delays is not None:
            self._delays.add((known if self._view.source.available != "event" else created) - ts)
        check_widths(self._view, rows)

    def told(self, report: ViewReport) -> ViewReport:
        """A report with these counts."""
        delays = None if self._delays is None else (self._delays.quantile(0.5), self._delays.quantile(0.99))
        return replace(report, rows=self._rows, null_keys=self._null_keys, late=self._late, delays=delays)


class ViewAnswer:
    """One view under one alias: takes rows in any order, and keeps of them what its questions need.

    Parameters
    ----------
    schema
        The source's.
    start
        First instant of event time that the view can reach, where the rows that come by may lie before it.
    """

    def __init__(self, alias: Use, schema: Schema, asked: Asked, *, start: int | None = None) -> None:
        view = alias.view
        self._alias = alias
        self._start = start
        self._index, self._questions = asked.of(alias)
        self._keys = asked.keys(alias)
        self._met = Met(view)
        self._have = np.zeros(max(self._index.keys, 1), dtype=np.bool_)
        made = StandingLookUps if view.source.bounded else LookUps
        self._look_ups = made(view, schema, self._questions) if view.lookups else None
        self._windows = _Windows(plan_windows(view, schema), self._questions) if view.windows else None

    def add(self, rows: pa.Table) -> None:
        """Take rows as a scan gives them: the view's columns, ``__ts``, ``__created`` and ``__avail``."""
        view = self._alias.view
        rows = since(rows, self._start)
        held = [key_column(rows.column(key.name), key) for key in view.keys]
        codes = self._index.find(held or [one_key(rows.num_rows)])
        self._have[codes[codes >= 0]] = True
        self._met.add(rows, null_keys=int(np.count_nonzero(codes == NULL_KEY)))
        ts, created, known = (whole_numbers(rows, name) for name in ("__ts", "__created", "__avail"))
        here = Rows(codes, ts, created, ts if np.array_equal(known, ts) else known, rows)
        if self._look_ups is not None:
            self._look_ups.add(here)
        if self._windows is not None:
            self._windows.add(_events_of(here))

    def finish(self) -> tuple[dict[str, pa.Array], ViewReport]:
        """A column per feature by its output name, in the spine's order, and what was met.

        Raises
        ------
        AmbiguousRows, FeatureOverflow
            When the rows have no answer.
        """
        view, asked = self._alias.view, self._questions.keys
        columns: dict[str, pa.Array] = {}
        unknown = int(np.count_nonzero((asked >= 0) & ~self._have[np.maximum(asked, 0)]))
        report = self._met.told(ViewReport(view.name, self._alias.prefix, 0, unknown=unknown))
        if self._look_ups is not None:
            looked = self._look_ups.finish(self._keys)
            columns |= {one.name: column for one, column in zip(view.lookups, looked.columns, strict=True)}
            report = replace(report, ambiguous=looked.ambiguous, found=looked.found, too_old=looked.too_old)
        if self._windows is not None:
            columns |= {one.name: column for one, column in zip(view.windows, self._windows.finish(), strict=True)}
        return {self._alias.prefix + name: column for name, column in columns.items()}, report


def _events_of(rows: Rows) -> Rows:
    codes = event_rows(rows.codes, rows.table)
    return rows if codes is rows.codes else Rows(codes, rows.ts, rows.created, rows.known, rows.table)


def event_rows(codes: Integers, rows: pa.Table) -> Integers:
    """Numbers of keys, but of rows that are events: none that says that something is gone, and of changes what is there by now.

    Examples
    --------
    >>> event_rows(np.array([7, 8]), pa.table({"__gone": [False, True]})).tolist()
    [7, -1]
    """
    not_events = np.zeros(len(codes), dtype=np.bool_)
    if GONE in rows.column_names:
        not_events |= rows.column(GONE).to_numpy()
    if UNTIL in rows.column_names:
        not_events |= rows.column(UNTIL).is_valid().to_numpy()
    return np.where(not_events, UNKNOWN_KEY, codes) if not_events.any() else codes


class _Windows:
    """The windows of a view: events that a question can reach are kept, then folded."""

    def __init__(self, plan: WindowPlan, questions: Questions) -> None:
        self._plan = plan
        self._questions = questions
        times = questions.times
        self._start = None if plan.endless or not len(times) else int(times.min()) - plan.longest
        self._end = int(times.max()) if len(times) else 0
        self._names = list(plan.events.names)
        self._kept: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Keep the events of keys that are asked for, at times that are."""
        table = rows.table.select(self._names)
        asked = (rows.codes >= 0) & (rows.ts < self._end)
        if self._start is not None:
            asked &= rows.ts >= self._start
        if np.count_nonzero(asked) > _MOST * len(asked):  # the few others are left out when the rest is put in order
            self._kept.append(Rows(rows.codes, rows.ts, rows.created, rows.known, table))
            return
        places = np.flatnonzero(asked)
        ts = rows.ts[places]
        known = ts if rows.known is rows.ts else rows.known[places]
        self._kept.append(Rows(rows.codes[places], ts, rows.created[places], known, table.take(pa.array(places))))

    def finish(self) -> list[pa.Array]:
        """One column per window."""
        kept, questions = self._kept, self._questions
        none: Integers = np.empty(0, dtype=np.int64)
        codes, ts = (
            np.concatenate([none, *(getattr(one, name) for one in kept)]) if len(kept) != 1 else getattr(kept[0], name)
            for name in ("codes", "ts")
        )
        at_once = all(one.known is one.ts for one in kept)
        table = pa.concat_tables([one.table for one in kept]) if kept else self._plan.events.arrow().empty_table()
        ordered = order_rows(codes, questions.size, ts=ts, created=None, rows=table, schema=self._plan.events)
        picked = table.combine_chunks().take(pa.array(ordered.order)) if self._names else table
        moments = ts[ordered.order]
        known = moments if at_once else np.concatenate([one.known for one in kept])[ordered.order]
        events = Events(ordered.offsets, moments, known, picked)
        return fold_questions(self._plan, events, questions)


def since(rows: pa.Table, start: int | None) -> pa.Table:
    """Rows from an instant of event time on.

    Examples
    --------
    >>> since(pa.table({"__ts": [1, 2, 3]}), 2).num_rows
    2
    """
    if start is None or not rows.num_rows:
        return rows
    return within(rows, whole_numbers(rows, "__ts") >= start)


def whole_numbers(rows: pa.Table, name: str) -> Integers:
    """A column of int64 without nulls as an array.

    Examples
    --------
    >>> whole_numbers(pa.table({"a": [1, 2]}), "a").tolist()
    [1, 2]
    """
    return np.ascontiguousarray(rows.column(name).to_numpy(), dtype=np.int64)
