"""Push rows: checked, kept in the source's journal, then applied to every view of the source that is online.

A row is accepted when the journal has it. When the call returns it is in the online store too; if the process dies
in between, the next server that starts brings it there, or the next materialisation.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest
from tidewheel.features.closing import encode_rows
from tidewheel.features.definition import FeatureView
from tidewheel.features.event_index import NOWHERE, EventIndex
from tidewheel.features.online import OnlineLayout
from tidewheel.features.online_ends import Ends
from tidewheel.features.register import OnlineViews
from tidewheel.features.rows import split_order
from tidewheel.features.vectors import check_widths
from tidewheel.ports.online_store import OnlineStore
from tidewheel.schema import data_type_of_arrow
from tidewheel.sources.definition import Source
from tidewheel.sources.push import ALLOWANCE, Row
from tidewheel.sources.push_log import PushLog
from tidewheel.sources.read import Sources
from tidewheel.sources.validate import Failed

_NEWEST = 16
"""Open events of a key that a push reads at first: what happens now equals none that lie further back."""


@dataclass(frozen=True, slots=True)
class PushReceipt:
    """What became of a push.

    Parameters
    ----------
    accepted
        Rows that are kept.
    applied
        Rows that each online view of the source took: those that its select keeps, with a key.
    late
        Of those, how many the next materialisation brings to their end: they lie before tiles that are closed already, change a
        row that is closed into them, or tie with a version of the event at another key.
    quarantined
        Of the accepted rows, how many fail a rule that puts rows aside: they are kept, and no view sees them.
    aside
        Which rows these are, by their places in the push, with the rules that they fail.
    """

    accepted: int
    applied: Mapping[str, int]
    late: Mapping[str, int]
    quarantined: int = 0
    aside: tuple[Failed, ...] = ()


@dataclass(slots=True)
class Pusher:
    """Takes rows of one source as they happen; thread safe.

    Parameters
    ----------
    log
        The source's journal of pushes.
    views
        Views that may be online; those of them that were ever materialised are kept fresh.
    allowance
        How far ahead of the clock an event may lie, in microseconds.
    """

    sources: Sources
    log: PushLog
    store: OnlineStore
    views: Sequence[FeatureView]
    database: Database
    clock: Clock
    allowance: Micros = ALLOWANCE
    _online: OnlineViews = field(init=False)
    _versions: list[tuple[FeatureView, Digest]] = field(init=False)
    _layouts: list[OnlineLayout] | None = field(init=False, default=None)
    _turn: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._online = OnlineViews(self.database, self.clock)
        self._versions = [(view, view.online_version) for view in self.views]

    def push(self, source: Source, rows: Sequence[Row], *, now: Micros | None = None) -> PushReceipt:
        """Check rows, keep them, and make them count online.

        A correction that moves an event to another key or time takes it from where it was, at once where that is open. Where
        it is closed into tiles, the next materialisation takes it from there.

        Parameters
        ----------
        rows
            Raw rows, as they would stand in a file; all are kept, or none.
        now
            Microseconds UTC; the clock's by default.

        Raises
        ------
        MissingColumns, TypeMismatch, MissingTime, FutureEvent, AmbiguousTime, ExpectationFailed
            Naming row and column; nothing was kept.
        """
        table = self.sources.validate(source, rows, now=self.clock() if now is None else now, allowance=self.allowance)
        if not table.num_rows:
            return PushReceipt(0, {}, {})
        seen = _Seen(self.sources, source, table)
        for view in self.views:
            if view.source.name == source.name:
                check_widths(view, seen.by(view))
                if view.source.expect != source.expect:  # kept, they would stop the view from then on
                    self.sources.refuse(view.source, table)
        with self._turn:  # equal events are numbered by how many there are: see OnlineLayout.numbered
            if self._layouts is None:
                self._layouts = self._current(source)
            left = self.sources.departures(source, table)
            ready = [_Prepared(layout, seen.by(layout.view), self.store, left=left) for layout in self._layouts]
            self.log.append(source, table)
            known, self._layouts = self._layouts, self._current(source)
            later = [one for one in self._layouts if one not in known]  # their first run may have looked too early
            ready += [_Prepared(layout, seen.by(layout.view), self.store, left=left) for layout in later]
            self.store.write([], [item for one in ready for item in (*one.items, *one.entries)])
            for one in ready:
                one.settle(self.store)
        aside = self.sources.aside(source, table)
        return PushReceipt(
            table.num_rows,
            {one.layout.view.name: len(one.items) for one in ready},
            {one.layout.view.name: one.late for one in ready},
            quarantined=len(aside),
            aside=aside,
        )

    def _current(self, source: Source) -> list[OnlineLayout]:
        """Layouts of the source's views that have a number in the store."""
        found = []
        held = {one.number: one for one in self._layouts or ()}
        numbers = self._online.list_numbers()
        for view, version in self._versions:
            number = numbers.get(version)
            if number is not None and view.source.name == source.name:
                found.append(held.get(number) or OnlineLayout(view, number, self.sources.schema(view.source)))
        return found


class _Seen:
    """Rows that are being pushed as a view sees them: one may put aside more of them than another."""

    def __init__(self, sources: Sources, source: Source, rows: pa.Table) -> None:
        self._sources = sources
        self._rows = rows
        self._made = {source.version: sources.transform(source, rows)}

    def by(self, view: FeatureView) -> pa.Table:
        version = view.source.version
        if version not in self._made:
            self._made[version] = self._sources.transform(view.source, self._rows)
        return self._made[version]


class _Prepared:
    """Set items of one view for rows that are being pushed; reads the store, writes nothing."""

    def __init__(self, layout: OnlineLayout, rows: pa.Table, store: OnlineStore, *, left: pa.Table | None = None) -> None:
        self.layout = layout
        by_key: dict[bytes, list[bytes]] = {}
        own = set[tuple[bytes, bytes]]()
        nowhere = list[tuple[bytes, bytes]]()
        for key, row in _keyed(layout, rows):
            if key is None:
                nowhere += [(NOWHERE, item) for item in layout.numbered([row])]
                continue
            by_key.setdefault(key, []).append(row)
            own.add((key, row))
        closed: Iterable[bytes | None] = [None] * len(by_key)
        held: list[list[bytes]] = [[]] * len(by_key)
        replaced = self._add_departures(by_key, left) if left is not None else {}
        if layout.view.windows or layout.view.source.bounded:
            changes = layout.view.source.changes is not None
            sets = list(by_key) if layout.counted or changes else ()
            closed, held = store.read(list(by_key), sets, newest=None if changes else _NEWEST)
            held = _with_equals(store, by_key, held) if layout.counted else held or [[]] * len(by_key)
        self.index = EventIndex(layout) if layout.identity_place is not None else None
        ends = Ends(layout) if layout.view.windows and layout.view.source.changes is not None else None
        self.items: list[tuple[bytes, bytes]] = []
        self.late = 0
        for (key, new), shut, items in zip(by_key.items(), closed, held, strict=True):
            self.items += [(key, item) for item in layout.numbered(new, items)]
            if shut is not None:
                watermark = layout.decode_watermark(shut)
                early = {one for one in new if split_order(one)[0] < watermark}
                if ends is not None:
                    early |= ends.replacing_closed(new, items, replaced.get(key, ()))
                self.late += len(early)
        self._own = [(key, item) for key, item in self.items if (key, item[:-4]) in own]
        self._nowhere = nowhere

    @property
    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Where the items are found by their event ids."""
        return iter(()) if self.index is None else self.index.entries(self._own)

    def settle(self, store: OnlineStore) -> None:
        """After the items are written: take events that have moved from where they were open."""
        if self.index is not None:
            self.late += self.index.settle(store, [*self._own, *self._nowhere])

    def _add_departures(self, by_key: dict[bytes, list[bytes]], left: pa.Table) -> dict[bytes, list[bytes]]:
        """Tell the keys that changes took a row from; where its new image has the same key, that one tells.

        Returns
        -------
        Of each key the rows that tell of a departure.
        """
        layout, start = self.layout, 0 if self.layout.view.source.created is None else 8
        stays = {(key, row[start:16], layout.identity(row)): row for key, rows in by_key.items() for row in rows}
        found: dict[bytes, list[bytes]] = {}
        for key, row in _keyed(layout, left):
            if key is None:
                continue
            told = stays.get((key, row[start:16], layout.identity(row)))
            found.setdefault(key, []).append(row if told is None else told)
            if told is None:
                by_key.setdefault(key, []).append(row)
        return found


def _keyed(layout: OnlineLayout, rows: pa.Table) -> Iterator[tuple[bytes | None, bytes]]:
    """Key and bytes of each row; ``None`` for a key with a null in it."""
    names, rows = layout.keys.schema.names, _as_written(layout, rows)
    parts = zip(*(rows[name].to_pylist() for name in names), strict=True) if names else iter([()] * rows.num_rows)
    for part, row in zip(parts, encode_rows(layout, rows), strict=True):
        yield None if None in part else layout.keys.encode(part), row


def _as_written(layout: OnlineLayout, rows: pa.Table) -> pa.Table:
    """Rows with columns of the types that the layout writes: a process may know the source from before one was widened."""
    for name in layout.columns:
        wanted = layout.codec.schema[name].type
        if data_type_of_arrow(rows[name].type) is not wanted:
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(wanted.arrow()))
    return rows


def _with_equals(store: OnlineStore, rows: Mapping[bytes, list[bytes]], held: list[list[bytes]]) -> list[list[bytes]]:
    """The newest items of each key, or all of them where one that equals a row may stand further back."""
    short = [
        place
        for place, (new, items) in enumerate(zip(rows.values(), held, strict=True))
        if len(items) == _NEWEST and min(new) <= items[0]
    ]
    if short:
        keys = list(rows)
        for place, items in zip(short, store.read([], [keys[place] for place in short])[1], strict=True):
            held[place] = items
    return held
