"""Write what a run of materialisation closed, and take out of the store what is closed or gone by that."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import pyarrow as pa

from tidewheel.features.arrivals import find_arrivals
from tidewheel.features.closing import KeyedRows, Piece, encode_rows
from tidewheel.features.event_index import EventIndex
from tidewheel.features.online import Closed, OnlineLayout, correction_order
from tidewheel.features.read_run import batches
from tidewheel.features.rows import order_prefix
from tidewheel.features.run import Run
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.read import Sources

_LEAST = -(1 << 63)
_FIRST = (b"", b"", b"")


@dataclass(slots=True)
class RunWriter:
    """Writes for one run.

    Parameters
    ----------
    fresh
        The store had nothing of the view, so that there is nothing to take out of it.
    """

    sources: Sources
    store: OnlineStore
    run: Run
    fresh: bool
    _index: EventIndex | None = field(init=False)

    def __post_init__(self) -> None:
        self._index = None if self.run.layout.identity_place is None else EventIndex(self.run.layout)

    def write(self, table: KeyedRows | None, piece: Piece) -> None:
        """Write some keys; then drop from their sets what is closed now.

        A ``table`` is needed where corrections may have moved events: of a source with event ids, unless the run is full.
        """
        entries = () if self._index is None else self._index.entries(piece.items)
        self.store.write(piece.rows, [*piece.items, *entries])
        pushed = self._index is not None and self.sources.list_pushes(self.run.layout.view.source) != self.run.snapshot.pushes
        if self._index is not None and pushed:  # what was corrected since the snapshot is not to come back
            for items in batches(piece.items):
                self._index.settle(self.store, items)
        if not self.fresh:
            self._take_out(table, piece)

    def sweep(self) -> None:
        """After a full run: write that keys which the store has, and the run has not, have nothing."""
        if self.fresh:
            return
        run, gone = self.run, self._left_behind()
        empty = Closed(run.revision, run.until, run.watermark, (None,) * len(run.layout.slots), b"").encode()
        for keys in batches(gone):
            piece = Piece([(key, empty) for key in keys], [], [run.watermark] * len(keys))
            self.store.write(piece.rows)
            self._take_out(None, piece)

    def _left_behind(self) -> list[bytes]:
        """Keys that the store has and a full run, at its end, has not written."""
        layout, least = self.run.layout, order_prefix(self.run.revision, _LEAST)
        found = {key for key, row in self.store.scan(layout.prefix) if row < least and key != layout.mark_key}
        for keys in batches(key for key, _ in self.store.scan_sets(layout.keys.prefix)):
            rows, _ = self.store.read(keys)
            found.update(key for key, row in zip(keys, rows, strict=True) if row is None)
        return sorted(found)

    def _take_out(self, table: KeyedRows | None, piece: Piece) -> None:
        """Drop from the sets of a piece that was written what is closed now, and what the source does not have any more.

        Never more than that: a reader in between, and a push in the meantime, find what they would find afterwards.
        """
        held = self.store.read([], [key for key, _ in piece.rows])[1]
        both = [(bound, items) for bound, items in zip(piece.bounds, held, strict=True) if items]
        closed = [bound for bound, items in both if items[0] < bound[1]]
        below = [(key, item) for (key, bound), items in both for item in items if item < bound]
        open_items = ((key, item) for (key, bound), items in both for item in items if item >= bound)
        if self.run.full:
            written = set(piece.items)
            stale = self._not_pushed_since([one for one in open_items if one not in written])
        else:
            stale = [] if table is None else self._corrected(table, list(open_items))
        if closed or stale:
            unlisted = [] if self._index is None else self._unlisted(self._index, both, {*below, *stale}, piece)
            self.store.prune(closed, [*stale, *unlisted])

    @staticmethod
    def _unlisted(
        index: EventIndex,
        both: Sequence[tuple[tuple[bytes, bytes], Sequence[bytes]]],
        gone: Set[tuple[bytes, bytes]],
        piece: Piece,
    ) -> set[tuple[bytes, bytes]]:
        """Entries of items that go, unless the same version stays in another form."""
        stays = [(key, item) for (key, _), items in both for item in items if (key, item) not in gone]
        return set(index.entries(gone)) - set(index.entries((*stays, *piece.items)))

    def _not_pushed_since(self, items: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Of items that the source did not have at the run's snapshot, those that have not arrived after it either."""
        if not items:
            return []
        source, layout = self.run.layout.view.source, self.run.layout
        arrived = find_arrivals(self.run.snapshot, self.sources.snapshot(source))
        if arrived is None:  # the source has been changed again: the next run will be a full one, and tell
            return []
        if not arrived.files and not arrived.pushes:
            return items
        names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
        later = set(encode_rows(layout, self.sources.scan(source, names, snapshot=arrived)))
        told: set[object] = set()
        if source.changes is not None:  # a change is told to every key that held the row
            told = {layout.identity(row) for row in later} - {None}
        return [(key, item) for key, item in items if item[:-4] not in later and layout.identity(item[:-4]) not in told]

    def _corrected(self, table: KeyedRows, items: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Of some items those that a correction has moved to another key or before the watermark."""
        layout, identity = self.run.layout, self.run.layout.view.source.event_id
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


def is_empty(store: OnlineStore, layout: OnlineLayout) -> bool:
    """Whether the store has nothing of the view yet."""
    return next(iter(store.scan(layout.prefix)), None) is None and not any(store.scan_sets(layout.prefix))
