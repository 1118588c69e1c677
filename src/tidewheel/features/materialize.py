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
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.features.columns import row_schema
from tidewheel.features.definition import FeatureView
from tidewheel.features.events import Events, order_rows
from tidewheel.features.online import LATENESS, Closed, Mark, OnlineLayout, correction_order
from tidewheel.features.plan import WindowPlan, plan_windows
from tidewheel.features.register import Bookmark, OnlineViews
from tidewheel.features.rows import order_prefix
from tidewheel.features.tile_bytes import pack_tiles
from tidewheel.features.tiles import Tiles, build_tiles
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

Progress = Callable[[int, int], None]
"""Told the number of keys written and of keys to write."""

_KEYS_PER_BATCH = 1_000
_SYSTEM = ("__ts", "__created", "__avail")
_EVERYTHING = b"\xff" * 17
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
            when files were changed or removed, and when the store is a new one.
        """
        number = self._views.ensure(view)
        revision = self._views.begin(number)
        bookmark = self._views.find_bookmark(view)
        layout = OnlineLayout(view, number, self.sources.schema(view.source))
        snapshot = self.sources.snapshot(view.source)
        arrived = None if full else self._arrived(layout, bookmark, snapshot)
        least = bookmark.closed if bookmark is not None and arrived is not None else _LEAST
        run = _Run(layout, plan_windows(view, layout.schema), revision, max(until - self.lateness, least))
        if arrived is None:
            touched, corrections = self._emptied(layout), None
            snapshot = self.sources.snapshot(view.source)  # a push before the sets were emptied is in it, one after them stays
        else:
            assert bookmark is not None
            touched, corrections = self._touched(run, arrived, bookmark.snapshot)
        closed = Micros(run.until)
        report = MaterializeReport(view.name, number, revision, until, closed, arrived is None)
        if touched or arrived is None:
            table = self._table(run, snapshot, None if arrived is None else touched)
            if corrections is not None:
                table = replace(
                    table, elsewhere=pa.concat_tables([table.elsewhere, corrections.select(table.rows.column_names)])
                )
            report = self._write(run, table, touched, report)
        mark = Mark(revision, closed, run.watermark)
        self.store.write([(layout.mark_key, mark.encode())])
        self._views.advance(number, revision=revision, until=until, closed=closed, snapshot=snapshot)
        return report

    def _arrived(self, layout: OnlineLayout, bookmark: Bookmark | None, snapshot: Snapshot) -> Snapshot | None:
        """What is new since the bookmark; ``None`` when that is not all that has changed."""
        if bookmark is None or self.store.read([layout.mark_key])[0][0] is None:
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

    def _emptied(self, layout: OnlineLayout) -> set[bytes]:
        """Every key that the store has, after its set was emptied."""
        sets = [(key, _EVERYTHING) for key, _ in self.store.scan_sets(layout.prefix)]
        for batch in _batches(sets):
            self.store.prune(batch)
        rows = {key for key, _ in self.store.scan(layout.prefix) if key != layout.mark_key}
        return rows | {key for key, _ in sets}

    def _table(self, run: _Run, snapshot: Snapshot, touched: set[bytes] | None) -> _Keyed:
        """Rows of the source that matter, with a code for each key."""
        layout = run.layout
        names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
        rows = self.sources.scan(layout.view.source, names, snapshot=snapshot, start=run.start)
        return key_rows(layout, rows, touched)

    def _write(self, run: _Run, table: _Keyed, touched: set[bytes], report: MaterializeReport) -> MaterializeReport:
        watermarks = run.watermarks(table)
        lookups = run.lookups(table)
        tiles = run.tiles(table, watermarks)
        opened = run.opened(table, watermarks)
        total = len(table.keys)
        for low in range(0, total, _KEYS_PER_BATCH):
            codes = range(low, min(low + _KEYS_PER_BATCH, total))
            rows, items, bounds = [], [], []
            for code in codes:
                key, watermark = table.keys[code], int(watermarks[code])
                packed = pack_tiles(run.plan, tiles, code) if tiles else b""
                rows.append((key, run.closed(watermark, lookups[code], packed).encode()))
                items += [(key, item) for item in run.layout.numbered(opened.get(code, ()))]
                bounds.append((key, order_prefix(watermark, _LEAST)))
            self.store.write(rows, items)
            self.store.prune(bounds)
            self._drop_corrected(run, table, [key for key, _ in rows])
            if self.progress is not None:
                self.progress(codes.stop, total)
        gone = sorted(touched - set(table.keys))  # nothing of theirs reaches into a window any more, or is left in the source
        empty = run.closed(run.watermark, (None,) * len(run.layout.slots), b"").encode()
        for batch in _batches([(key, empty) for key in gone]):
            self.store.write(batch)
            self.store.prune([(key, order_prefix(run.watermark, _LEAST)) for key, _ in batch])
            self._drop_corrected(run, table, [key for key, _ in batch])
        open_rows = sum(map(len, opened.values()))
        return replace(report, keys=total, rows_read=table.read, rows_open=open_rows, null_keys=table.null_keys)

    def _drop_corrected(self, run: _Run, table: _Keyed, keys: Sequence[bytes]) -> None:
        """Take out of the sets what a correction has moved to another key or before the watermark; later pushes stay."""
        layout, identity = run.layout, run.layout.view.source.event_id
        if identity is None or not keys:
            return
        held = [
            (key, item, layout.identity(item[:-4]))
            for key, own in zip(keys, self.store.read([], keys)[1], strict=True)
            for item in own
        ]
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
        if stale:
            spoiled, gone = {key for key, _ in stale}, set(stale)
            kept = [(key, item) for key, item, _ in held if key in spoiled and (key, item) not in gone]
            self.store.prune([(key, _EVERYTHING) for key in sorted(spoiled)])
            self.store.write([], kept)


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


@dataclass(frozen=True, slots=True)
class _Keyed:
    """Rows of a source and the number of each one's key, from 0.

    ``elsewhere`` are rows that no key gets, with a null in theirs or too old: a correction may have moved an event there.
    """

    rows: pa.Table
    codes: Integers
    keys: list[bytes]
    read: int
    elsewhere: pa.Table
    null_keys: int

    def column(self, name: str) -> Integers:
        values: Integers = self.rows[name].to_numpy().astype(np.int64, copy=False)
        return values

    def versions(self, layout: OnlineLayout, ids: pa.Array) -> Iterator[tuple[bytes, bytes | None]]:
        """Rows with these event ids, each with its key."""
        identity = layout.view.source.event_id
        for rows, codes in ((self.rows, self.codes), (self.elsewhere, None)):
            places = np.flatnonzero(pc.is_in(rows[identity], value_set=ids))
            keys = repeat(None) if codes is None else (self.keys[code] for code in codes[places])
            yield from zip(encode_rows(layout, rows.take(pa.array(places))), keys, strict=False)


def key_rows(layout: OnlineLayout, rows: pa.Table, touched: set[bytes] | None = None) -> _Keyed:
    """Number the keys of rows, drop rows with a null key, and those whose key is not among the touched."""
    names = layout.keys.schema.names
    read = rows.num_rows
    codes = np.zeros(read, dtype=np.int64)
    null = np.zeros(read, dtype=np.bool_)
    for name in names:
        column = rows[name].combine_chunks().dictionary_encode()
        null |= np.asarray(column.is_null())
        indices = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        _, codes = np.unique(codes * (len(column.dictionary) + 1) + indices, return_inverse=True)
    kept = np.flatnonzero(~null)
    _, first, codes = np.unique(codes[kept], return_index=True, return_inverse=True)
    examples = rows.select(names).take(pa.array(kept[first]))
    keys = [layout.keys.encode(parts) for parts in zip(*(examples[name].to_pylist() for name in names), strict=True)]
    if touched is not None:
        wanted = np.array([key in touched for key in keys], dtype=np.bool_)
        mask = wanted[codes] if len(keys) else np.zeros(0, dtype=np.bool_)
        kept, codes = kept[mask], (np.cumsum(wanted) - 1)[codes[mask]]
        keys = [key for key in keys if key in touched]
    elsewhere = rows.filter(pa.array(null))
    return _Keyed(rows.take(pa.array(kept)), codes.astype(np.int64), keys, read, elsewhere, int(null.sum()))


@dataclass(frozen=True, slots=True)
class _Run:
    """The pure part of one run: rows in, what to write out."""

    layout: OnlineLayout
    plan: WindowPlan
    revision: int
    until: int

    @property
    def watermark(self) -> int:
        return self.layout.watermark(self.until)

    @property
    def start(self) -> Micros | None:
        """Rows before this instant cannot matter to anything that is closed or stays open."""
        if self.layout.view.lookups or self.layout.delayed:
            return None
        return Micros(self.watermark - self.plan.longest)

    def closed(self, watermark: int, lookups: tuple[bytes | None, ...], tiles: bytes) -> Closed:
        return Closed(self.revision, self.until, watermark, lookups, tiles)

    def watermarks(self, table: _Keyed) -> Integers:
        """Of each key: the run's, or earlier where an old event was not visible yet."""
        marks = np.full(len(table.keys), self.watermark, dtype=np.int64)
        pending = table.column("__avail") > self.until
        hop = self.layout.hop
        np.minimum.at(marks, table.codes[pending], table.column("__ts")[pending] // hop * hop)
        return marks

    def lookups(self, table: _Keyed) -> list[tuple[bytes | None, ...]]:
        """Of each key: the greatest row visible at the closing, for each slot."""
        found: list[list[bytes | None]] = [[None] * len(self.layout.slots) for _ in table.keys]
        if not self.layout.slots or not table.keys:
            return [tuple(one) for one in found]
        schema = row_schema(self.layout.view, self.layout.schema)
        ts, created = table.column("__ts"), table.column("__created")
        ordered = order_rows(table.codes, len(table.keys), ts=ts, created=created, rows=table.rows, schema=schema)
        visible = (ts <= self.until) & (table.column("__avail") <= self.until)
        for slot, name in enumerate(self.layout.slots):
            mask = visible if name is None else visible & np.asarray(table.rows[name].is_valid())
            place = np.where(mask[ordered.order], np.arange(len(ordered.order)), -1)
            last = np.maximum.reduceat(place, ordered.offsets[:-1])
            codes = np.flatnonzero(last >= 0)
            for code, row in zip(codes, self._encoded(table, ordered.order[last[codes]]), strict=True):
                found[code][slot] = row
        return [tuple(one) for one in found]

    def tiles(self, table: _Keyed, watermarks: Integers) -> list[Tiles]:
        """Closed tiles of each key, as far back as a window at its watermark reaches."""
        if not self.plan.windows:
            return []
        ts = table.column("__ts")
        wanted = (ts < watermarks[table.codes]) & (ts >= watermarks[table.codes] - self.plan.longest)
        places = np.flatnonzero(wanted)
        rows = _take(table.rows.select(list(self.plan.events.names)), places)
        times, known = ts[places], table.column("__avail")[places]
        ordered = order_rows(table.codes[places], len(table.keys), ts=times, created=None, rows=rows, schema=self.plan.events)
        events = Events(ordered.offsets, times[ordered.order], known[ordered.order], _take(rows, ordered.order))
        return build_tiles(self.plan, events)

    def opened(self, table: _Keyed, watermarks: Integers) -> dict[int, list[bytes]]:
        """Rows of each key that stay open."""
        places = np.flatnonzero(table.column("__ts") >= watermarks[table.codes]) if table.keys else np.empty(0, np.int64)
        opened: dict[int, list[bytes]] = {}
        for place, row in zip(places, self._encoded(table, places), strict=True):
            opened.setdefault(int(table.codes[place]), []).append(row)
        return opened

    def _encoded(self, table: _Keyed, places: Integers) -> Iterator[bytes]:
        return encode_rows(self.layout, table.rows.take(pa.array(places)))


def encode_rows(layout: OnlineLayout, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of rows as a scan gives them, for the store."""
    ts, created, available = (rows[name].to_pylist() for name in _SYSTEM)
    columns = [rows[name].to_pylist() for name in layout.columns]
    values = zip(*columns, strict=True) if columns else iter([()] * rows.num_rows)
    for when, then, known, row in zip(ts, created, available, values, strict=True):
        yield layout.row(when, then, available=known, values=row)


def _take(rows: pa.Table, places: Integers) -> pa.Table:
    return rows.take(pa.array(places)) if rows.num_columns else rows  # a table without columns has no rows to take


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _distinct_keys(layout: OnlineLayout, rows: pa.Table) -> set[bytes]:
    parts = zip(*(rows[name].to_pylist() for name in layout.keys.schema.names), strict=True)
    return {layout.keys.encode(part) for part in set(parts) if None not in part}


def _batches(pairs: Sequence[tuple[bytes, bytes]]) -> Iterator[Sequence[tuple[bytes, bytes]]]:
    for low in range(0, len(pairs), _KEYS_PER_BATCH):
        yield pairs[low : low + _KEYS_PER_BATCH]
