"""Keys closed where the rows are: by an engine that runs our kernel over buckets of keys (:class:`CoGroups`).

The workers fold tiles, choose rows and make the bytes of both; what comes back is what a store is given, in the order of its
keys, a batch at a time. All rows of one key are in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.features.closing import Closing, Piece, key_rows
from tidewheel.features.definition import FeatureView
from tidewheel.features.distribute import Prepared
from tidewheel.features.online import OnlineLayout
from tidewheel.features.vectors import check_widths
from tidewheel.ports.query_engine import OWN, CoGroups, InMemory, Side
from tidewheel.schema import Schema
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEY, _ROW, _MARK, _ITEMS, _READ, _OPEN, _NULLS = "key", "row", "mark", "items", "read", "open", "nulls"
_ANSWER = pa.schema(
    [
        (_KEY, pa.binary()),
        (_ROW, pa.binary()),
        (_MARK, pa.int64()),
        (_ITEMS, pa.list_(pa.binary())),
        (_READ, pa.int64()),
        (_OPEN, pa.int64()),
        (_NULLS, pa.int64()),
    ]
)
_BATCH_KEYS = 20_000


@dataclass(slots=True)
class Tally:
    """What was met so far.

    Parameters
    ----------
    rows_read, rows_open
        Rows of the source, and those that stay open.
    null_keys
        Rows without a key.
    """

    rows_read: int = 0
    rows_open: int = 0
    null_keys: int = 0


def close_by_engine(
    layout: OnlineLayout, sources: Sources, *, snapshot: Snapshot, start: Micros | None, revision: int, until: int, tally: Tally
) -> Iterator[Piece] | None:
    """Close every key of a source in the engine's workers; ``None`` when the engine does not do that.

    Parameters
    ----------
    start
        Rows before it are not read.
    revision, until
        Of the run: its number, and the instant at which it closes.
    tally
        Is added to while the pieces are taken.
    """
    engine = sources.engine
    if not isinstance(engine, CoGroups):
        return None
    view = layout.view
    names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
    scan = sources.plan_scan(view.source, names, snapshot=snapshot, start=start)
    if not scan.divisible:
        return None
    bare = replace(view, source=replace(view.source, data=()))  # a table in memory is not for the workers
    right = Prepared(scan.resolve, bare).side(scan)
    nobody = pa.schema([right.schema.field(key) for key in right.keys]).append(pa.field(right.time, pa.int64()))
    left = Side(
        "SELECT * FROM nobody", {"nobody": InMemory(nobody.empty_table())}, keys=right.keys, time=right.time, schema=nobody
    )
    closer = Closer(bare, layout.number, layout.schema, revision, until)
    found = engine.cogroup(left, right, closer, schema=_ANSWER)
    batches = engine.stream("SELECT * FROM closed", {"closed": found}, order_by=[_KEY], batch_rows=_BATCH_KEYS)
    return _pieces(batches, tally)


def _pieces(batches: pa.RecordBatchReader, tally: Tally) -> Iterator[Piece]:
    for batch in batches:
        for name in (_READ, _OPEN, _NULLS):
            found = sum(one for one in batch.column(name).to_pylist() if one is not None)
            place = {_READ: "rows_read", _OPEN: "rows_open", _NULLS: "null_keys"}[name]
            setattr(tally, place, getattr(tally, place) + found)
        rows = batch.filter(batch.column(_KEY).is_valid())
        keys = rows.column(_KEY).to_pylist()
        if keys:
            items = zip(keys, rows.column(_ITEMS).to_pylist(), strict=True)
            marks = rows.column(_MARK).to_pylist()
            yield Piece(
                list(zip(keys, rows.column(_ROW).to_pylist(), strict=True)),
                [(key, one) for key, own in items for one in own],
                marks,
            )


@dataclass(frozen=True, slots=True)
class Closer:
    """What workers run: everything of one bucket of keys, closed."""

    view: FeatureView
    number: int
    schema: Schema
    revision: int
    until: int

    def __call__(self, left: pa.Table, right: pa.Table) -> pa.Table:
        """A row for each key, and one with the counts."""
        layout = OnlineLayout(self.view, self.number, self.schema)
        rows = right.filter(right[OWN]).select([*layout.keys.schema.names, *_rest(layout, right.column_names)])
        check_widths(self.view, rows)
        table = key_rows(layout, rows)
        closing = Closing(layout, table, revision=self.revision, until=self.until)
        made: dict[str, Sequence[object]] = {_KEY: [], _ROW: [], _MARK: [], _ITEMS: []}
        if table.keys:
            piece = closing.piece(0, len(table.keys))
            items: dict[bytes, list[bytes]] = {key: [] for key, _ in piece.rows}
            for key, item in piece.items:
                items[key].append(item)
            made = {
                _KEY: [key for key, _ in piece.rows],
                _ROW: [row for _, row in piece.rows],
                _MARK: list(piece.marks),
                _ITEMS: list(items.values()),
            }
        counts = {_READ: [right.num_rows], _OPEN: [closing.open_rows], _NULLS: [table.null_keys]}
        return pa.concat_tables([_table(made), _table(counts)])


def _rest(layout: OnlineLayout, names: Sequence[str]) -> list[str]:
    """Columns that a scan gives beside the keys."""
    keys = layout.keys.schema.names
    return [name for name in names if name not in keys and name in (*layout.columns, "__ts", "__created", "__avail")]


def _table(columns: Mapping[str, Sequence[object]]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table(
        [pa.array(columns[one.name], one.type) if one.name in columns else pa.nulls(rows, one.type) for one in _ANSWER], _ANSWER
    )
