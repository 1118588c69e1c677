"""Materialise views: close what is old into rows of tiles, open what is new, once for each thing that arrived.

A run reads what arrived since the last one (new files, pushes behind the bookmark), whatever its event times are, so a late
row is never missed. The keys it touches, and those whose open events have grown old, are computed again from the
source: their closed rows are replaced, which also heals what a late event had spoiled. The bookmark moves when everything is
written. A run that is killed leaves it where it was; the next one writes the same again, and by the store's laws that
is the same as once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.features.closing import Closing, KeyedRows, Piece, encode_rows, first_needed, key_rows
from tidewheel.features.definition import FeatureView
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.online import LATENESS, Closed, Mark, OnlineLayout, correction_order
from tidewheel.features.plan import plan_windows
from tidewheel.features.register import Bookmark, OnlineViews
from tidewheel.features.rows import order_prefix
from tidewheel.features.vectors import check_widths
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

Progress = Callable[[int, int], None]
"""Told the number of keys written and of keys to write."""

_FIRST_KEYS = 1_000
_BATCH_KEYS = 50_000
_BATCH_BYTES = 8 << 20
_LEAST = -(1 << 63)
_FIRST = (b"", b"", b"")


@dataclass(frozen=True, slots=True)
class MaterializeReport:
    """What one run did.

    Parameters
    ----------
    until
        The instant asked for.
    closed
        Events before about this instant are closed into tiles.
    full
        Everything was computed again, rather than what arrived.
    keys
        Keys written.
    rows_read, rows_open
        Rows of the source read for them, and rows of theirs that stay open.
    null_keys
        Rows without a key, which are ignored.
    """

    view: str
    number: int
    revision: int
    until: Micros
    closed: Micros
    full: bool
    keys: int = 0
    rows_read: int = 0
    rows_open: int = 0
    null_keys: int = 0


@dataclass(slots=True)
class Materializer:
    """Brings views to the online store.

    Parameters
    ----------
    lateness
        Microseconds for which events stay open, so that a late one counts at once.
    progress
        Called after each batch of keys.
    """

    sources: Sources
    store: OnlineStore
    database: Database
    clock: Clock
    lateness: int = LATENESS
    progress: Progress | None = None
    _views: OnlineViews = field(init=False)

    def __post_init__(self) -> None:
        self._views = OnlineViews(self.database, self.clock)

    def materialize(self, view: FeatureView, *, until: Micros, full: bool = False) -> MaterializeReport:
        """Make everything of the view that has arrived answerable online at ``until`` and after.

        Parameters
        ----------
        until
            Microseconds UTC: usually now. A run that goes less far than an earlier one only adds what arrived.
        full
            Compute every key again, also what has not changed, and forget what is no longer in the source. Happens by itself
            when files were changed or removed, when a column has another type than before, and when the store is a new one.
        """
        number = self._views.ensure(view)
        revision = self._views.begin(number)
        bookmark = self._views.find_bookmark(view)
        layout = OnlineLayout(view, number, self.sources.schema(view.source))
        snapshot = self.sources.snapshot(view.source)
        self.sources.guard(view.source, snapshot)
        arrived = None if full else self._arrived(layout, bookmark, snapshot)
        least = bookmark.closed if bookmark is not None and arrived is not None else _LEAST
        run = _Run(layout, revision, Micros(max(until - self.lateness, least)), snapshot, full=arrived is None)
        touched, corrections = (None, None) if arrived is None else self._touched(run, arrived, _held(bookmark))
        report = MaterializeReport(view.name, number, revision, until, run.until, run.full)
        if touched is None or touched:
            table = self._table(run, touched)
            if corrections is not None:
                elsewhere = pa.concat_tables([table.elsewhere, corrections.select(table.rows.column_names)])
                table = replace(table, elsewhere=elsewhere)
            report = self._write(run, table, touched, report)
        self.store.write([(layout.mark_key, Mark(revision, run.until, run.watermark, layout.codec.fingerprint).encode())])
        self._views.advance(number, revision=revision, until=until, closed=run.until, snapshot=snapshot)
        return report

    def _arrived(self, layout: OnlineLayout, bookmark: Bookmark | None, snapshot: Snapshot) -> Snapshot | None:
        """What is new since the bookmark; ``None`` when that is not all that has changed."""
        mark = self.store.read([layout.mark_key])[0][0]
        if bookmark is None or mark is None or Mark.decode_schema(mark) != layout.codec.fingerprint:
            return None
        return find_arrivals(bookmark.snapshot, snapshot)

    def _touched(self, run: _Run, arrived: Snapshot, before: Snapshot) -> tuple[set[bytes], pa.Table | None]:
        """Keys of what arrived, keys that its corrections may take an event from, and keys with open events to close.

        Corrections that move an event to before everything that the run reads are the second part of the answer.
        """
        layout, identity = run.layout, run.layout.view.source.event_id
        touched: set[bytes] = set()
        early: pa.Table | None = None
        if arrived.files or arrived.pushes:
            names = tuple(dict.fromkeys((*layout.keys.schema.names, *(() if identity is None else layout.columns))))
            rows = self.sources.scan(layout.view.source, names, snapshot=arrived)
            touched.update(_distinct_keys(layout, rows))
            if identity is not None:
                older = self.sources.scan(layout.view.source, names, snapshot=before, start=run.start)
                touched.update(_distinct_keys(layout, older.filter(pc.is_in(older[identity], value_set=_flat(rows[identity])))))
                touched.update(self._open_with(layout, rows[identity]))
                early = None if run.start is None else rows.filter(pc.less(rows["__ts"], run.start))
        bound = order_prefix(run.watermark, _LEAST)
        touched.update(key for key, items in self.store.scan_sets(layout.prefix) if items[0] < bound)
        return touched, early

    def _open_with(self, layout: OnlineLayout, ids: pa.ChunkedArray) -> set[bytes]:
        """Keys that hold open events of these ids: also of versions that a later push has corrected already."""
        held = [(key, layout.identity(item[:-4])) for key, items in self.store.scan_sets(layout.prefix) for item in items]
        found = pc.is_in(pa.array([one for _, one in held], ids.type), value_set=_flat(ids), skip_nulls=True)
        return {key for (key, _), hit in zip(held, found.to_pylist(), strict=True) if hit}

    def _table(self, run: _Run, touched: set[bytes] | None) -> KeyedRows:
        """Rows of the source that matter, with a code for each key."""
        layout = run.layout
        names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
        scan = self.sources.scan  # nothing here holds its answer, so that one copy of the rows is all there is
        return key_rows(layout, scan(layout.view.source, names, snapshot=run.snapshot, start=run.start), touched)

    def _write(self, run: _Run, table: KeyedRows, touched: set[bytes] | None, report: MaterializeReport) -> MaterializeReport:
        check_widths(run.layout.view, table.rows)
        closing = Closing(run.layout, table, revision=run.revision, until=run.until)
        fresh = run.full and self._empty(run.layout)
        total, low, step = len(table.keys), 0, _FIRST_KEYS
        while low < total:
            high = min(low + step, total)
            piece = closing.piece(low, high)
            self.store.write(piece.rows, piece.items)
            if not fresh:
                self._take_out(run, table, piece)
            if self.progress is not None:
                self.progress(high, total)
            step, low = max(1, min(_BATCH_KEYS, _BATCH_BYTES // piece.key_bytes)), high
        if touched is None:
            gone = [] if fresh else self._left_behind(run)
        else:  # nothing of theirs reaches into a window any more, or is left in the source
            gone = sorted(touched - set(table.keys))
        empty = Closed(run.revision, run.until, run.watermark, (None,) * len(run.layout.slots), b"").encode()
        for low in range(0, len(gone), _FIRST_KEYS):
            keys = gone[low : low + _FIRST_KEYS]
            piece = Piece([(key, empty) for key in keys], [], [run.watermark] * len(keys))
            self.store.write(piece.rows)
            self._take_out(run, table, piece)
        return replace(report, keys=total, rows_read=table.read, rows_open=closing.open_rows, null_keys=table.null_keys)

    def _empty(self, layout: OnlineLayout) -> bool:
        """Whether the store has nothing of the view yet, so that there is nothing to take out of it."""
        return next(iter(self.store.scan(layout.prefix)), None) is None and not any(self.store.scan_sets(layout.prefix))

    def _left_behind(self, run: _Run) -> list[bytes]:
        """Keys that the store has and a full run, at its end, has not written."""
        least = order_prefix(run.revision, _LEAST)
        found = {key for key, row in self.store.scan(run.layout.prefix) if row < least and key != run.layout.mark_key}
        sets = (key for key, _ in self.store.scan_sets(run.layout.prefix))
        for keys in _batches(sets):
            rows, _ = self.store.read(keys)
            found.update(key for key, row in zip(keys, rows, strict=True) if row is None)
        return sorted(found)

    def _take_out(self, run: _Run, table: KeyedRows, piece: Piece) -> None:
        """Drop from the sets of a piece that was written what is closed now, and what the source does not have any more.

        Never more than that: a reader in between, and a push in the meantime, find what they would find afterwards.
        """
        held = self.store.read([], [key for key, _ in piece.rows])[1]
        both = [(bound, items) for bound, items in zip(piece.bounds, held, strict=True) if items]
        closed = [bound for bound, items in both if items[0] < bound[1]]
        open_items = ((key, item) for (key, bound), items in both for item in items if item >= bound)
        if run.full:
            written = set(piece.items)
            stale = self._not_pushed_since(run, [one for one in open_items if one not in written])
        else:
            stale = self._corrected(run, table, list(open_items))
        if closed or stale:
            self.store.prune(closed, stale)

    def _not_pushed_since(self, run: _Run, items: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Of items that the source did not have at the run's snapshot, those that have not arrived after it either."""
        if not items:
            return []
        source = run.layout.view.source
        arrived = find_arrivals(run.snapshot, self.sources.snapshot(source))
        if arrived is None:  # the source has been changed again: the next run will be a full one, and tell
            return []
        if not arrived.files and not arrived.pushes:
            return items
        names = tuple(dict.fromkeys((*run.layout.keys.schema.names, *run.layout.columns)))
        later = set(encode_rows(run.layout, self.sources.scan(source, names, snapshot=arrived)))
        return [(key, item) for key, item in items if item[:-4] not in later]

    def _corrected(self, run: _Run, table: KeyedRows, items: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Of some items those that a correction has moved to another key or before the watermark."""
        layout, identity = run.layout, run.layout.view.source.event_id
        if identity is None or not items or layout.view.source.changes is not None:  # an earlier image was true in its time
            return []
        held = [(key, item, layout.identity(item[:-4])) for key, item in items]
        wanted = pa.array({one for _, _, one in held if one is not None}, table.rows[identity].type)
        current: dict[object, tuple[tuple[bytes, bytes, bytes], bytes | None]] = {}
        for row, place in table.versions(layout, wanted):
            one, order = layout.identity(row), correction_order(row)
            if one not in current or order > current[one][0]:
                current[one] = order, place
        stale = []
        for key, item, one in held:
            order, (best, place) = correction_order(item[:-4]), current.get(one, (_FIRST, None))
            if order < best or (order == best and key != place):
                stale.append((key, item))
        return stale


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: what it reads, and up to when it closes."""

    layout: OnlineLayout
    revision: int
    until: Micros
    snapshot: Snapshot
    full: bool

    @property
    def watermark(self) -> int:
        return self.layout.watermark(self.until)

    @property
    def start(self) -> Micros | None:
        return first_needed(self.layout, plan_windows(self.layout.view, self.layout.schema), self.until)


def find_arrivals(old: Snapshot, new: Snapshot) -> Snapshot | None:
    """What a newer snapshot has that an older one had not; ``None`` when something of the older one is gone.

    Examples
    --------
    >>> from tidewheel.digest import Digest
    >>> from tidewheel.sources.snapshot import PushSnapshot
    >>> old = Snapshot("s", pushes=(PushSnapshot("a", 10, Digest("x")),))
    >>> new = Snapshot("s", pushes=(PushSnapshot("a", 15, Digest("y")), PushSnapshot("b", 5, Digest("z"))))
    >>> [(one.segment, one.start, one.size_bytes) for one in find_arrivals(old, new).pushes]
    [('a', 10, 15), ('b', 0, 5)]
    """
    if old.table != new.table:
        return None
    held = Counter(file.digest for file in old.files)  # two files of one content are twice the rows
    fresh = []
    for file in new.files:
        if held[file.digest]:
            held[file.digest] -= 1
        else:
            fresh.append(file)
    if held.total():
        return None
    sizes = {push.segment: push.size_bytes for push in old.pushes}
    grown = []
    for push in new.pushes:
        size = sizes.pop(push.segment, 0)
        if push.size_bytes < size:
            return None
        if push.size_bytes > size:
            grown.append(replace(push, start=size))
    if sizes:
        return None
    return Snapshot(new.source, files=tuple(fresh), pushes=tuple(grown), version=new.version)


def _held(bookmark: Bookmark | None) -> Snapshot:
    assert bookmark is not None
    return bookmark.snapshot


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _distinct_keys(layout: OnlineLayout, rows: pa.Table) -> set[bytes]:
    return set(number_keys(layout.keys, rows).keys)


def _batches(keys: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    while batch := list(islice(keys, _FIRST_KEYS)):
        yield batch
