"""Read what a run of materialisation needs: the keys that it touches, and of their rows as few as say the same as all of them.

What arrived is read, and of what was there before: nothing, where the closed row and the open ones in the store say it all
(look-ups); or rows from the instant on before which the store's tiles hold (windows: a row group that ends before it is not
decoded). All rows of the touched keys are read again only where what is closed may be wrong: where a correction of an event, a
change or an end reaches back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros
from tidewheel.features.carried import NEVER, Carried, from_cuts
from tidewheel.features.close_by_engine import held_table
from tidewheel.features.closing import KeyedRows, key_rows
from tidewheel.features.event_index import EventIndex
from tidewheel.features.gather import Gathered, Part, gather
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import WindowPlan, plan_windows
from tidewheel.features.rows import order_prefix
from tidewheel.features.run import Reading, Run
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.query import Only
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

T = TypeVar("T")

SOME_KEYS = 1_000
"""Keys that the store is asked for at once."""

_LEAST = -(1 << 63)
_AFTER_ALL = (1 << 63) - 1


@dataclass(slots=True)
class Touched:
    """Keys that a run has to compute, each with the time of its first row that arrived, or one after all others."""

    first: dict[bytes, int] = field(default_factory=dict)
    corrected: bool = False
    arrived: pa.Table | None = None

    def add(self, layout: OnlineLayout, rows: pa.Table) -> None:
        """Take rows that arrived."""
        numbered = number_keys(layout.keys, rows)
        earliest = np.full(len(numbered.keys) + 1, _AFTER_ALL, dtype=np.int64)  # the last one: of null keys
        np.minimum.at(earliest, numbered.codes, rows["__ts"].to_numpy())
        for key, ts in zip(numbered.keys, earliest[:-1].tolist(), strict=True):
            self.first[key] = min(ts, self.first.get(key, _AFTER_ALL))

    def add_keys(self, keys: Iterable[bytes]) -> None:
        """Take keys for another reason than a row that arrived."""
        for key in keys:
            self.first.setdefault(key, _AFTER_ALL)


@dataclass(slots=True)
class RunReader:
    """Reads for one run.

    Parameters
    ----------
    memory_bytes
        Rows that are held at once, about; more of them go through files.
    """

    sources: Sources
    store: OnlineStore
    run: Run
    memory_bytes: int
    rows_read: int = 0
    _plan: WindowPlan = field(init=False)
    _order: list[bytes] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._plan = plan_windows(self.run.layout.view, self.run.layout.schema)

    # ── which keys, and from when on ─────────────────────────────────────────────────────────────

    def touched(self, arrived: Snapshot, before: Snapshot) -> Touched:
        """Keys of what arrived, keys that its corrections may take an event from, and keys with open events to close."""
        layout, identity = self.run.layout, self.run.layout.view.source.event_id
        found = Touched()
        if arrived.files or arrived.pushes:
            names = layout.keys.schema.names
            if identity is None:
                for rows in self.sources.batches(layout.view.source, names, snapshot=arrived):
                    found.add(layout, rows)
            else:
                rows = self.sources.scan(layout.view.source, self._names, snapshot=arrived)
                found.add(layout, rows)
                found.arrived = rows
                ids = rows[identity].combine_chunks()
                asked = tuple(dict.fromkeys((*names, identity)))
                only = Only.of(pa.table({identity: ids.unique().drop_null()}), by_id=True)
                source, start = layout.view.source, self.run.start
                for rows in self.sources.batches(source, asked, snapshot=before, start=start, where=only):
                    older = rows.filter(pc.is_in(rows[identity], value_set=ids, skip_nulls=True))
                    found.corrected |= older.num_rows > 0
                    found.add_keys(number_keys(layout.keys, older).keys)
                found.add_keys(self._open_with(ids))
        bound = order_prefix(self.run.watermark, _LEAST)
        old = ((key, items[0]) for key, items in self.store.scan_sets(layout.keys.prefix) if items[0] < bound)
        found.add_keys(self._closable(old) if layout.view.source.bounded else (key for key, _ in old))
        return found

    def _closable(self, old: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Of keys, each with its first open row, those that a run may close more of.

        A row that stood beside others when its key was closed holds the watermark where it is until something arrives.
        """
        layout = self.run.layout
        for some in batches(old):
            for (key, item), row in zip(some, self.store.read([key for key, _ in some])[0], strict=True):
                ts, known = layout.times(item[:-4])
                holds = row is not None and layout.decode_watermark(row) == ts // layout.hop * layout.hop
                if not holds or known > layout.decode_closed(row or b"").until:
                    yield key

    def _open_with(self, ids: pa.Array) -> set[bytes]:
        """Keys that hold open events of these ids: also of versions that a later push has corrected already."""
        index, found = EventIndex(self.run.layout), set[bytes]()
        for some in batches(ids.drop_null().unique().to_pylist()):
            found |= index.holders(self.store, some)
        return found

    def plan(self, arrived: Snapshot, touched: Touched) -> Reading:
        """What to read for the touched keys."""
        run, layout = self.run, self.run.layout
        source = layout.view.source
        if source.bounded or touched.corrected:
            return self._from(run.snapshot, run.start, dict.fromkeys(touched.first, NEVER), touched)
        if not layout.view.windows and source.event_id is None:
            return Reading(arrived, None, dict.fromkeys(touched.first, NEVER), carries=True, opened=True)
        cuts = {}
        for keys in batches(touched.first):
            for key, row in zip(keys, self.store.read(keys)[0], strict=True):
                cuts[key] = self._cut(touched.first[key], row)
        least = min(cuts.values(), default=_AFTER_ALL)
        start = run.start if least == NEVER else max(least, NEVER if run.start is None else run.start)
        return self._from(run.snapshot, None if start is None else Micros(start), cuts, touched, carries=True)

    def _from(
        self, snapshot: Snapshot, start: Micros | None, cuts: Mapping[bytes, int], touched: Touched, *, carries: bool = False
    ) -> Reading:
        moved = None
        if touched.arrived is not None and start is not None:
            moved = touched.arrived.filter(pc.less(touched.arrived["__ts"], int(start)))
        return Reading(snapshot, start, cuts, carries=carries, moved=moved)

    def _cut(self, first: int, row: bytes | None) -> int:
        """The instant from which on a key's rows are read: its closed part is right before it."""
        layout = self.run.layout
        if row is None:  # nothing of it was there before
            return first // layout.hop * layout.hop
        watermark = layout.decode_watermark(row)
        cut = min(first // layout.hop * layout.hop, watermark)
        for number, group in enumerate(self._plan.groups):
            reach, endless = self._plan.reach(number)
            if endless and cut < (watermark - reach) // group.hop * group.hop:  # its tiles are one by now
                return NEVER
        return cut

    # ── the rows ─────────────────────────────────────────────────────────────────────────────────

    def gather(self, reading: Reading, bounds: Sequence[bytes] | None = None, skip: frozenset[int] = frozenset()) -> Gathered:
        """The rows, in parts of neighbouring keys."""
        self._order = [] if reading.cuts is None else sorted(reading.cuts)
        folder, codec = self.sources.pushes.parent / "parts", self.run.layout.keys
        rows, keys = self._rows(reading), codec.schema.names
        source = self.run.layout.view.source

        def only_keys() -> Iterator[pa.Table]:
            return self.sources.batches(source, keys, snapshot=reading.snapshot, start=reading.start)

        # Which version of an event is the latest is told from all of them, wherever corrections have moved it.
        together = reading.cuts is not None and source.event_id is not None
        memory_bytes = _AFTER_ALL if together else self.memory_bytes
        return gather(rows, only_keys, codec, folder=folder, memory_bytes=memory_bytes, bounds=bounds, skip=skip)

    def take(self, reading: Reading, part: Part) -> KeyedRows:
        """The rows of one part, and what is taken over of its keys."""
        layout, rows = self.run.layout, part.take()
        if reading.cuts is None:
            return key_rows(layout, rows)
        low = 0 if part.low is None else bisect_left(self._order, part.low)
        high = len(self._order) if part.high is None else bisect_left(self._order, part.high)
        keys = self._order[low:high]
        table = key_rows(layout, rows, keys, carried=self._carried(reading, keys) if reading.carries else None)
        if reading.moved is None:
            return table
        return replace(table, elsewhere=pa.concat_tables([table.elsewhere, reading.moved.select(table.rows.column_names)]))

    def held(self, reading: Reading) -> pa.Table:
        """What the store holds of all keys of a reading, for an engine that closes them elsewhere."""
        assert reading.cuts is not None
        keys = sorted(reading.cuts)
        nothing = Carried([], np.array([reading.cuts[key] for key in keys], dtype=np.int64))
        return held_table(self.run.layout, keys, self._carried(reading, keys) if reading.carries else nothing)

    @property
    def _names(self) -> tuple[str, ...]:
        layout = self.run.layout
        return tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))

    def _rows(self, reading: Reading) -> Iterator[pa.Table]:
        layout = self.run.layout
        source, cuts = layout.view.source, reading.cuts
        only = None if cuts is None else self._only(cuts)
        for rows in self.sources.batches(source, self._names, snapshot=reading.snapshot, start=reading.start, where=only):
            self.rows_read += rows.num_rows
            yield rows if cuts is None else from_cuts(layout, rows, cuts)

    def _only(self, keys: Iterable[bytes]) -> Only | None:
        """What tells the rows of some keys before they are put in order; ``None`` where files are quicker read as they lie."""
        layout = self.run.layout
        if layout.view.source.event_id is None and not layout.view.source.bounded:
            return None
        parts = zip(*map(layout.keys.decode, keys), strict=True)
        fields = layout.keys.schema
        return Only.of(
            pa.table([pa.array(part, one.type.arrow()) for one, part in zip(fields, parts, strict=True)], names=fields.names)
        )

    def _carried(self, reading: Reading, keys: Sequence[bytes]) -> Carried:
        assert reading.cuts is not None
        rows: list[bytes | None] = []
        items: list[list[bytes]] = []
        for some in batches(keys):
            closed, held = self.store.read(some, some if reading.opened else ())
            rows += closed
            items += held
        cuts = np.array([reading.cuts[key] for key in keys], dtype=np.int64)
        carried = Carried(rows, cuts, items)
        carried.check(self.run.layout)
        return carried


def batches(keys: Iterable[T]) -> Iterator[list[T]]:
    """Keys, as many at once as the store is asked for."""
    left = iter(keys)
    while batch := list(islice(left, SOME_KEYS)):
        yield batch
