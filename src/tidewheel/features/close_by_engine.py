"""Keys closed where the rows are: by an engine that runs our kernel over buckets of keys (:class:`CoGroups`).

The workers fold tiles, choose rows and make the bytes of both; what comes back is what a store is given, in the order of its
keys, a batch at a time. All rows of one key are in one call. Of a run of what has arrived, what the store holds of the touched
keys travels to the workers as the left side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.carried import Carried, from_cuts
from tidewheel.features.closing import Closing, KeyedRows, Piece, key_rows
from tidewheel.features.definition import FeatureView
from tidewheel.features.distribute import Prepared
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.online import OnlineLayout
from tidewheel.features.run import Reading
from tidewheel.features.vectors import check_widths
from tidewheel.ports.query_engine import OWN, CoGroups, InMemory, Side
from tidewheel.schema import Schema
from tidewheel.sources.read import Sources

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
_CUT, _CLOSED, _HELD = "__cut", "__closed", "__held"
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
    layout: OnlineLayout,
    sources: Sources,
    reading: Reading,
    *,
    held: Callable[[], pa.Table],
    revision: int,
    until: int,
    tally: Tally,
) -> Iterator[Piece] | None:
    """Close keys of a source in the engine's workers; ``None`` when the engine does not do that.

    Parameters
    ----------
    reading
        Which rows of the source are read, for which keys.
    held
        What the store holds of the keys to close (:func:`held_table`); asked where the reading names keys.
    revision, until
        Of the run: its number, and the instant at which it closes.
    tally
        Is added to while the pieces are taken.
    """
    engine = sources.engine
    if not isinstance(engine, CoGroups):
        return None
    view, again = layout.view, reading.cuts is not None
    names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
    scan = sources.plan_scan(view.source, names, snapshot=reading.snapshot, start=reading.start)
    if not scan.divisible:
        return None
    bare = replace(view, source=replace(view.source, data=()))  # a table in memory is not for the workers
    right = Prepared(scan.resolve, bare).side(scan)
    kept = held() if again else held_table(layout, [], Carried([], np.empty(0, dtype=np.int64)))
    for name in (right.time, *(() if layout.keys.schema.names else right.keys)):
        kept = kept.append_column(name, pa.nulls(kept.num_rows, right.schema.field(name).type).fill_null(0))
    left = Side("SELECT * FROM held", {"held": InMemory(kept)}, keys=right.keys, time=right.time, schema=kept.schema)
    closer = Closer(bare, layout.number, layout.schema, revision, until, again=again, carries=reading.carries)
    found = engine.cogroup(left, right, closer, schema=_ANSWER)
    batches = engine.stream("SELECT * FROM closed", {"closed": found}, order_by=[_KEY], batch_rows=_BATCH_KEYS)
    return _pieces(batches, tally)


def held_table(layout: OnlineLayout, keys: Sequence[bytes], held: Carried) -> pa.Table:
    """What the store holds of some keys, with their parts, as a table that travels."""
    parts = list(zip(*map(layout.keys.decode, keys), strict=True)) or [()] * len(layout.keys.schema)
    columns: dict[str, pa.Array] = {
        field.name: pa.array(values, field.type.arrow()) for field, values in zip(layout.keys.schema, parts, strict=True)
    }
    columns[_CUT] = pa.array(held.cuts)
    columns[_CLOSED] = pa.array(held.rows or [None] * len(keys), pa.binary())
    columns[_HELD] = pa.array(held.items or [[]] * len(keys), pa.list_(pa.binary()))
    return pa.table(columns)


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
    again: bool = False
    carries: bool = False

    def __call__(self, left: pa.Table, right: pa.Table) -> pa.Table:
        """A row for each key, and one with the counts."""
        layout = OnlineLayout(self.view, self.number, self.schema)
        rows = right.filter(right[OWN]).select([*layout.keys.schema.names, *_rest(layout, right.column_names)])
        check_widths(self.view, rows)
        table = key_rows(layout, rows) if not self.again else self._touched(layout, left, rows)
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

    def _touched(self, layout: OnlineLayout, left: pa.Table, rows: pa.Table) -> KeyedRows:
        """Rows of the keys to close, each key's from its cut on, behind what the store holds of it."""
        own = number_keys(layout.keys, left)
        held = left.take(pa.array(np.argsort(own.codes)))
        cuts = held[_CUT].to_numpy()
        rows = from_cuts(layout, rows, dict(zip(own.keys, cuts.tolist(), strict=True)))
        carried = None
        if self.carries and own.keys:
            carried = Carried(held[_CLOSED].to_pylist(), cuts, held[_HELD].to_pylist())
        return key_rows(layout, rows, own.keys, carried=carried)


def _rest(layout: OnlineLayout, names: Sequence[str]) -> list[str]:
    """Columns that a scan gives beside the keys."""
    keys = layout.keys.schema.names
    return [name for name in names if name not in keys and name in (*layout.columns, "__ts", "__created", "__avail")]


def _table(columns: Mapping[str, Sequence[object]]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table(
        [pa.array(columns[one.name], one.type) if one.name in columns else pa.nulls(rows, one.type) for one in _ANSWER], _ANSWER
    )
