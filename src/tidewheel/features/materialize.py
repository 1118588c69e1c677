"""Materialise views: close what is old into rows of tiles, open what is new, once for each thing that arrived.

A run reads what arrived since the last one (new files, pushes behind the bookmark), whatever its event times are, so a late
row is never missed. The keys it touches, and those whose open events have grown old, are computed again, from what the store
holds of them and as few rows of the source as that leaves open (:mod:`~tidewheel.features.read_run`); a tile that a late event
belongs to is folded again from all its events, which also heals it. Rows that memory does not hold are worked off in parts of
neighbouring keys (:mod:`~tidewheel.features.gather`), the next being read while one is written.

The bookmark moves when everything is written. A run that is killed leaves it where it was; the next one finishes the parts that
were left, or writes the same again, and by the store's laws that is the same as once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.errors import Conflict, NotFound
from tidewheel.features.ahead import ahead
from tidewheel.features.arrivals import find_arrivals
from tidewheel.features.close_by_engine import Tally, close_by_engine
from tidewheel.features.closing import Closing, KeyedRows, Piece
from tidewheel.features.definition import FeatureView
from tidewheel.features.gather import MEMORY_BYTES, Gathered, Part
from tidewheel.features.online import LATENESS, Mark, OnlineLayout
from tidewheel.features.read_run import RunReader
from tidewheel.features.register import Bookmark, OnlineViews
from tidewheel.features.resume import OpenRuns, Unfinished
from tidewheel.features.run import Reading, Run
from tidewheel.features.vectors import check_widths
from tidewheel.features.write_run import RunWriter, is_empty
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.compact_pushes import compact_pushes
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

Progress = Callable[[int, int], None]
"""Told the number of keys written, and of keys to write as far as they are known by then."""

_FIRST_KEYS = 1_000
_BATCH_KEYS = 50_000
_BATCH_BYTES = 8 << 20
_LEAST = -(1 << 63)
_MOST_WORKERS = 4


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
    parts
        Parts of neighbouring keys that were worked off one after the other.
    resumed
        Parts that an earlier run, which was killed, had written already.
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
    parts: int = 0
    resumed: int = 0


@dataclass(slots=True)
class Materializer:
    """Brings views to the online store.

    Parameters
    ----------
    lateness
        Microseconds for which events stay open, so that a late one counts at once.
    progress
        Called after each batch of keys.
    memory_bytes
        Rows of the source that are held at once, about; a larger source is worked off in parts, by files beside the pushes.
    workers
        How many parts are put in order at once, in threads; as many as there are cores by default, 4 at most.
    """

    sources: Sources
    store: OnlineStore
    database: Database
    clock: Clock
    lateness: int = LATENESS
    progress: Progress | None = None
    memory_bytes: int = MEMORY_BYTES
    workers: int = field(default_factory=lambda: min(_MOST_WORKERS, len(os.sched_getaffinity(0))))
    _views: OnlineViews = field(init=False)
    _open_runs: OpenRuns = field(init=False)

    def __post_init__(self) -> None:
        self._views = OnlineViews(self.database, self.clock)
        self._open_runs = OpenRuns(self.database)

    def materialize(self, view: FeatureView, *, until: Micros, full: bool = False) -> MaterializeReport:
        """Make everything of the view that has arrived answerable online at ``until`` and after.

        A run in parts that was killed is finished first, as it was meant; then what has arrived since is brought.

        Parameters
        ----------
        until
            Microseconds UTC: usually now. A run that goes less far than an earlier one only adds what arrived.
        full
            Compute every key again, also what has not changed, and forget what is no longer in the source. Happens by itself
            when files were changed or removed, and when the store is a new one. Where a column has another type than before,
            every key is computed too, but beside the rows of the old type, which answer as they did until all is written.
        """
        layout = self._layout(view)
        snapshot = self.sources.snapshot(view.source)
        self.sources.guard(view.source, snapshot)
        before = self._finish(layout, full)
        bookmark = self._views.find_bookmark(view)
        full = full and not (before is not None and before.full)
        arrived = None if full else self._arrived(layout, bookmark, snapshot)
        least = bookmark.closed if bookmark is not None and arrived is not None else _LEAST
        closed = Micros(max(until - self.lateness, least))
        run = Run(layout, self._views.begin(layout.number), closed, snapshot, full=arrived is None)
        report = self._work(run, until, bookmark)
        compact_pushes(self.sources.pushes / view.source.name)
        if before is None:
            return report
        return replace(
            report,
            full=before.full or report.full,
            keys=before.keys + report.keys,
            rows_read=before.rows_read + report.rows_read,
            rows_open=before.rows_open + report.rows_open,
            parts=before.parts + report.parts,
            resumed=before.resumed,
        )

    def _layout(self, view: FeatureView) -> OnlineLayout:
        """Where the view lies: in a new place where columns have other types than what is written at the old one."""
        schema = self.sources.schema(view.source)
        layout = OnlineLayout(view, self._views.ensure(view), schema)
        mark, left = self.store.read([layout.mark_key])[0][0], self._open_runs.find(layout.number)
        written = {*(() if mark is None else (Mark.decode_schema(mark),)), *(() if left is None else (left.schema,))}
        if written <= {layout.codec.fingerprint}:
            return layout
        return OnlineLayout(view, self._views.renew(view), schema)

    def _arrived(self, layout: OnlineLayout, bookmark: Bookmark | None, snapshot: Snapshot) -> Snapshot | None:
        """What is new since the bookmark; ``None`` when that is not all that has changed."""
        mark = self.store.read([layout.mark_key])[0][0]
        if bookmark is None or mark is None:
            return None
        return find_arrivals(bookmark.snapshot, snapshot)

    def _finish(self, layout: OnlineLayout, full: bool) -> MaterializeReport | None:
        """Finish a run in parts that was killed; ``None`` without one, or when it does not stand on what there is any more."""
        left = self._open_runs.find(layout.number)
        if left is None:
            return None
        bookmark = self._views.find_bookmark(layout.view)
        written = left.still_written(self.store)
        outdone = bookmark is not None and bookmark.revision > left.revision
        less = full and not left.full
        if outdone or less or not written or (not left.full and self._arrived(layout, bookmark, left.snapshot) is None):
            self._open_runs.end(layout.number, left.revision)
            return None
        run = Run(layout, left.revision, left.closed, left.snapshot, full=left.full)
        try:
            return self._work(run, left.until, bookmark, bounds=left.bounds, written=written)
        except (Conflict, NotFound):  # its files are not what they were
            self._open_runs.end(layout.number, left.revision)
            return None

    def _work(
        self,
        run: Run,
        until: Micros,
        bookmark: Bookmark | None,
        *,
        bounds: Sequence[bytes] | None = None,
        written: frozenset[int] = frozenset(),
    ) -> MaterializeReport:
        layout = run.layout
        reader = RunReader(self.sources, self.store, run, self.memory_bytes)
        reading: Reading | None = Reading(run.snapshot, run.start)
        if not run.full:
            reading = None
            assert bookmark is not None
            arrived = find_arrivals(bookmark.snapshot, run.snapshot)
            assert arrived is not None
            touched = reader.touched(arrived, bookmark.snapshot)
            if touched.first:
                reading = reader.plan(arrived, touched)
        report = MaterializeReport(layout.view.name, layout.number, run.revision, until, run.until, run.full)
        tally = Tally()
        far = None if written or reading is None else self._far(reader, reading, tally)
        if far is not None:
            report = self._take(run, far, tally, report)
        elif reading is not None:
            with reader.gather(reading, bounds, written) as gathered:
                if len(gathered) > 1 and not written:
                    begun = Unfinished(run.revision, run.until, until, full=run.full, snapshot=run.snapshot)
                    begun = replace(begun, schema=layout.codec.fingerprint, bounds=gathered.bounds)
                    self._open_runs.begin(layout.number, begun)
                report = self._write(reader, reading, gathered, written, report)
        mark = Mark(run.revision, run.until, run.watermark, layout.codec.fingerprint)
        self.store.write([(layout.mark_key, mark.encode())])
        self._views.advance(layout.number, revision=run.revision, until=until, closed=run.until, snapshot=run.snapshot)
        self._open_runs.end(layout.number, run.revision)
        return report

    def _far(self, reader: RunReader, reading: Reading, tally: Tally) -> Iterator[Piece] | None:
        """Every key to close, closed by an engine's workers; ``None`` when the engine has none.

        What corrections have moved from key to key is told from all rows at once, so that is closed here.
        """
        run = reader.run
        if not run.full and run.layout.view.source.event_id is not None:
            return None
        return close_by_engine(
            run.layout,
            self.sources,
            reading,
            held=lambda: reader.held(reading),
            revision=run.revision,
            until=run.until,
            tally=tally,
        )

    def _take(self, run: Run, pieces: Iterator[Piece], tally: Tally, report: MaterializeReport) -> MaterializeReport:
        """Write what an engine's workers closed, as it comes."""
        writer = RunWriter(self.sources, self.store, run, fresh=run.full and is_empty(self.store, run.layout))
        keys = 0
        for piece in pieces:
            writer.write(None, piece)
            keys += len(piece.rows)
            if self.progress is not None:
                self.progress(keys, keys)
        if run.full:
            writer.sweep()
        return replace(
            report, keys=keys, rows_read=tally.rows_read, rows_open=tally.rows_open, null_keys=tally.null_keys, parts=1
        )

    def _write(
        self, reader: RunReader, reading: Reading, gathered: Gathered, written: frozenset[int], report: MaterializeReport
    ) -> MaterializeReport:
        """Three stages at once: parts are put in order ahead, pieces encoded here, and written by a thread behind."""
        run = reader.run
        writer = RunWriter(self.sources, self.store, run, fresh=run.full and not written and is_empty(self.store, run.layout))
        keys = opened = null_keys = 0

        def close(part: Part) -> tuple[int, Closing]:
            table = reader.take(reading, part)
            check_widths(run.layout.view, table.rows)
            return part.number, Closing(run.layout, table, revision=run.revision, until=run.until)

        def pieces() -> Iterator[tuple[KeyedRows, Piece | int]]:
            """Pieces of all parts; behind those of a part its number."""
            nonlocal keys, opened, null_keys
            left = (part for part in gathered.parts() if part.number not in written)
            for number, closing in ahead(parts, close, left, depth=min(self.workers, len(gathered))):
                table = closing.table
                keys, opened, null_keys = keys + len(table.keys), opened + closing.open_rows, null_keys + table.null_keys
                for piece in cut(closing):
                    yield table, piece
                yield table, number

        def write(one: tuple[KeyedRows, Piece | int]) -> int:
            table, piece = one
            if isinstance(piece, Piece):
                writer.write(table, piece)
                return len(piece.rows)
            if len(gathered) > 1:
                last = table.keys[-1] if table.keys else None
                self._open_runs.done(run.layout.number, run.revision, part=piece, key=last)
            return 0

        done = 0
        with ThreadPoolExecutor(self.workers) as parts, ThreadPoolExecutor(1) as behind:
            for count in ahead(behind, write, pieces(), depth=2):
                done += count
                if count and self.progress is not None:
                    self.progress(done, keys)
        if run.full:
            writer.sweep()
        return replace(
            report,
            keys=keys,
            rows_read=reader.rows_read,
            rows_open=opened,
            null_keys=null_keys,
            parts=len(gathered) - len(written),
            resumed=len(written),
        )


def cut(closing: Closing) -> Iterator[Piece]:
    """What to write of all keys, in pieces: small ones first, so that something is there soon, then such as a store likes."""
    low, total, step = 0, len(closing.table.keys), _FIRST_KEYS
    while low < total:
        high = min(low + step, total)
        piece = closing.piece(low, high)
        yield piece
        step, low = max(1, min(_BATCH_KEYS, _BATCH_BYTES // piece.key_bytes)), high
