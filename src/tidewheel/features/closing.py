"""What one run of materialisation closes and what stays open, of rows that were read: pure, many keys at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros
from tidewheel.features import row_kernel
from tidewheel.features.carried import Carried
from tidewheel.features.columns import row_schema
from tidewheel.features.events import Events, order_rows
from tidewheel.features.intervals import FOREVER, replaced_until
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import WindowPlan, plan_windows
from tidewheel.features.row_arrays import ArrayEncoder
from tidewheel.features.rows import order_prefix
from tidewheel.features.tile_bytes import pack_many
from tidewheel.features.tiles import Tiles, build_tiles, compact_tiles, trim_tiles
from tidewheel.sources.definition import GONE, UNTIL

if TYPE_CHECKING:
    import numpy.typing as npt

    Booleans = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]

_SYSTEM = ("__ts", "__created", "__avail")
_LEAST = -(1 << 63)
_FEW = 8
"""Rows up to which encoding one by one is quicker than by column."""
_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """Rows of a source and the number of each one's key, from 0; keys are in order.

    Parameters
    ----------
    elsewhere
        Rows that no key gets, with a null in theirs or too old: a correction may have moved an event there.
    carried
        What the store said of the keys before. Its rows stand among the others, and ``shut`` tells those that are closed: they
        may answer look-ups, and are no events.
    """

    rows: pa.Table
    codes: Integers
    keys: Sequence[bytes]
    elsewhere: pa.Table
    null_keys: int
    shut: Booleans
    carried: Carried | None = None

    def column(self, name: str) -> Integers:
        """A column of numbers without nulls."""
        values: Integers = self.rows[name].to_numpy().astype(np.int64, copy=False)
        return values

    def versions(self, layout: OnlineLayout, ids: pa.Array) -> Iterator[tuple[bytes, bytes | None]]:
        """Rows with these event ids, each with its key."""
        identity = layout.view.source.event_id
        for rows, codes in ((self.rows, self.codes), (self.elsewhere, None)):
            places = np.flatnonzero(pc.is_in(rows[identity], value_set=ids))
            keys = repeat(None) if codes is None else (self.keys[code] for code in codes[places])
            yield from zip(encode_rows(layout, rows.take(pa.array(places))), keys, strict=False)


def key_rows(
    layout: OnlineLayout, rows: pa.Table, keys: Sequence[bytes] | None = None, *, carried: Carried | None = None
) -> KeyedRows:
    """Number the keys of rows, and drop rows with a null key.

    Parameters
    ----------
    keys
        In order; those of the rows are among them. ``None``: those of the rows.
    carried
        Of these keys.
    """
    numbered = number_keys(layout.keys, rows)
    codes, null = numbered.codes, numbered.codes < 0
    elsewhere = rows.filter(pa.array(null))
    if keys is not None:
        places = {key: place for place, key in enumerate(keys)}
        codes = np.array([*(places[key] for key in numbered.keys), -1], dtype=np.int64)[codes]  # the last one: null keys
    if len(elsewhere):
        rows, codes = rows.filter(pa.array(~null)), codes[~null]
    shut = np.zeros(len(codes), dtype=np.bool_)
    if carried is not None:
        more, whose, closed = carried.looked_up(layout, rows.schema)
        rows, codes = pa.concat_tables([rows, more]), np.concatenate([codes, whose])
        shut = np.concatenate([shut, closed])
    known = numbered.keys if keys is None else keys
    return KeyedRows(rows.combine_chunks(), codes, known, elsewhere, len(elsewhere), shut, carried)


@dataclass(frozen=True, slots=True)
class Piece:
    """What to write of some keys that follow each other.

    Parameters
    ----------
    rows
        Closed rows.
    items
        Rows that stay open.
    marks
        Of each key the instant before which nothing stays open any more.
    """

    rows: list[tuple[bytes, bytes]]
    items: list[tuple[bytes, bytes]]
    marks: Sequence[int]

    @property
    def bounds(self) -> list[tuple[bytes, bytes]]:
        """Of each key what items that stay open are not below."""
        return [(key, order_prefix(mark, _LEAST)) for (key, _), mark in zip(self.rows, self.marks, strict=True)]

    @property
    def key_bytes(self) -> int:
        """About how many bytes one key takes."""
        some = [len(row) for _, row in self.rows[:_SAMPLE]] + [len(item) for _, item in self.items[:_SAMPLE]]
        return max(1, sum(some) * (len(self.rows) + len(self.items)) // (len(some) * len(self.rows)))


class Closing:
    """The rows of one run, put in order once and cut into pieces to write.

    Parameters
    ----------
    revision, until
        Of the run: its number, and the instant at which it closes.
    """

    def __init__(self, layout: OnlineLayout, table: KeyedRows, *, revision: int, until: int) -> None:
        self.layout, self.table = layout, table
        self._head = order_prefix(revision, until)
        self._until = until
        self._plan = plan_windows(layout.view, layout.schema)
        self._encoder = ArrayEncoder(layout.codec)
        self._standing = self._stands() if layout.view.source.bounded else None
        self._marks = self._watermarks()
        self._latest = self._lookups()
        self._tiles = self._closed_tiles()
        self._open, self._open_ends = self._opened()

    @property
    def open_rows(self) -> int:
        """How many rows stay open."""
        return len(self._open)

    def piece(self, low: int, high: int) -> Piece:
        """What to write of the keys from ``low`` up to ``high``."""
        keys, marks = self.table.keys[low:high], self._marks[low:high]
        rows = zip(keys, self._closed_rows(low, high), strict=True)
        first, last = int(self._open_ends[low]), int(self._open_ends[high])
        items = self._numbered(self._encoded(self._open[first:last]), self.table.codes[self._open[first:last]])
        return Piece(list(rows), items, marks.tolist())

    # ── once for all keys ────────────────────────────────────────────────────────────────────────

    def _watermarks(self) -> Integers:
        """Of each key: the run's, or earlier where an old event was not visible yet."""
        table, hop = self.table, self.layout.hop
        marks = np.full(len(table.keys), self.layout.watermark(self._until), dtype=np.int64)
        pending = (table.column("__avail") > self._until) & ~table.shut
        if pending.any():
            np.minimum.at(marks, table.codes[pending], table.column("__ts")[pending] // hop * hop)
        if self._standing is not None:  # what may answer when another row has ended stays open
            codes = table.codes[self._standing]
            several = self._standing & (np.bincount(codes, minlength=len(table.keys)) > 1)[table.codes]
            np.minimum.at(marks, table.codes[several], table.column("__ts")[several] // hop * hop)
        return marks

    def _stands(self) -> Booleans:
        """Rows of a bounded source that are visible at the closing, and not replaced or ended by then."""
        table, layout = self.table, self.layout
        ts, created, known = (table.column(name) for name in _SYSTEM)
        until = table.rows[UNTIL].fill_null(FOREVER).to_numpy()
        if layout.view.source.valid_to is not None and len(ts):
            schema = row_schema(layout.view, layout.schema)
            ordered = order_rows(table.codes, len(table.keys), ts=ts, created=created, rows=table.rows, schema=schema)
            order, until = ordered.order, until.copy()
            until[order] = replaced_until(ordered.offsets, ts[order], known=known[order], until=until[order])
        stands: Booleans = (ts <= self._until) & (known <= self._until) & (until > self._until)
        return stands & ~table.rows[GONE].to_numpy() if GONE in layout.ends else stands

    def _lookups(self) -> list[Integers]:
        """For each slot, and of each key, the greatest row visible at the closing, or -1."""
        table, layout = self.table, self.layout
        if not layout.slots or not table.keys:
            return [np.full(len(table.keys), -1, dtype=np.int64) for _ in layout.slots]
        schema = row_schema(layout.view, layout.schema)
        ts, created = table.column("__ts"), table.column("__created")
        ordered = order_rows(table.codes, len(table.keys), ts=ts, created=created, rows=table.rows, schema=schema)
        visible = (ts <= self._until) & (table.column("__avail") <= self._until)
        if self._standing is not None:
            visible = self._standing
        tombstones = table.rows[GONE].to_numpy() if layout.view.source.deleted is not None else False
        found = []
        for name in layout.slots:
            mask = visible if name is None else visible & (table.rows[name].is_valid().to_numpy() | tombstones)
            place = np.where(mask[ordered.order], np.arange(len(ordered.order)), -1)
            last = np.full(len(table.keys), -1, dtype=np.int64)
            some = np.flatnonzero(np.diff(ordered.offsets))
            if len(some):
                last[some] = np.maximum.reduceat(place, ordered.offsets[some])
                last[some] = np.where(last[some] >= 0, ordered.order[last[some]], -1)
            found.append(last)
        return found

    def _closed_tiles(self) -> list[Tiles]:
        """Closed tiles of each key, as far back as a window at its watermark reaches."""
        plan, table = self._plan, self.table
        if not plan.windows:
            return []
        ts, marks = table.column("__ts"), self._marks[table.codes]
        wanted = (ts < marks) & (ts >= marks - plan.longest) & ~table.shut
        if GONE in self.layout.ends:
            wanted &= ~table.rows[GONE].to_numpy()
        if UNTIL in self.layout.ends:
            wanted &= table.rows[UNTIL].is_null().to_numpy()
        places = np.flatnonzero(wanted)
        rows = _take(table.rows.select(list(plan.events.names)), places)
        times, known = ts[places], table.column("__avail")[places]
        ordered = order_rows(table.codes[places], len(table.keys), ts=times, created=None, rows=rows, schema=plan.events)
        tiles = build_tiles(
            plan, Events(ordered.offsets, times[ordered.order], known[ordered.order], _take(rows, ordered.order))
        )
        if table.carried is not None:
            tiles = table.carried.tiles(self.layout, plan, tiles)
        return [self._within_reach(number, one) for number, one in enumerate(tiles)]

    def _within_reach(self, number: int, tiles: Tiles) -> Tiles:
        """Tiles that a window can still tell apart; of those before, a window without a start keeps what they fold to."""
        group = self._plan.groups[number]
        reach, endless = self._plan.reach(number)
        since = (self._marks - reach) // group.hop * group.hop
        return compact_tiles(group, tiles, since) if endless else trim_tiles(tiles, since)

    def _opened(self) -> tuple[Integers, Integers]:
        """Rows that stay open, in order of their keys, and where those of each key begin."""
        table = self.table
        places = np.flatnonzero((table.column("__ts") >= self._marks[table.codes]) & ~table.shut)
        codes = table.codes[places]
        places = places[np.argsort(codes, kind="stable")]
        ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(table.keys)))]).astype(np.int64)
        return places.astype(np.int64), ends

    # ── some keys ────────────────────────────────────────────────────────────────────────────────

    def _closed_rows(self, low: int, high: int) -> list[bytes]:
        marks, places = self._marks[low:high], [one[low:high] for one in self._latest]
        if len(places) == 1 and not self._plan.windows and self._encoder.width is not None and (places[0] >= 0).all():
            lead = self._head + bytes(8) + self._encoder.width.to_bytes(4, "big")
            return encode_rows(self.layout, self.table.rows.take(pa.array(places[0])), self._encoder, lead=lead, marks=marks)
        slots = [self._found(one) for one in places]
        tiles = pack_many(self._plan, self._tiles, low=low, high=high) if self._plan.windows else None
        return row_kernel.close_rows(self._head, marks, lookups=slots, tiles=tiles)

    def _found(self, places: Integers) -> list[bytes | None]:
        if (places >= 0).all():
            return list(self._encoded(places))
        found: list[bytes | None] = [None] * len(places)
        there = np.flatnonzero(places >= 0)
        for place, row in zip(there.tolist(), self._encoded(places[there]), strict=True):
            found[place] = row
        return found

    def _encoded(self, places: Integers) -> list[bytes]:
        return encode_rows(self.layout, self.table.rows.take(pa.array(places)), self._encoder) if len(places) else []

    def _numbered(self, rows: list[bytes], codes: Integers) -> list[tuple[bytes, bytes]]:
        """Set items of rows that are in order of their keys."""
        keys = [self.table.keys[code] for code in codes.tolist()]
        if len(set(rows)) == len(rows):
            return [(key, row + bytes(4)) for key, row in zip(keys, rows, strict=True)]
        by_key: dict[bytes, list[bytes]] = {}
        for key, row in zip(keys, rows, strict=True):
            by_key.setdefault(key, []).append(row)
        return [(key, item) for key, own in by_key.items() for item in self.layout.numbered(own)]


def first_needed(layout: OnlineLayout, plan: WindowPlan, until: int) -> Micros | None:
    """Rows before this instant cannot matter to anything that a run closes at ``until`` or leaves open; ``None``: all may."""
    if layout.view.lookups or layout.delayed or plan.endless:
        return None
    return Micros(layout.watermark(until) - plan.longest)


def encode_rows(
    layout: OnlineLayout,
    rows: pa.Table,
    encoder: ArrayEncoder | None = None,
    *,
    lead: bytes = b"",
    marks: Integers | None = None,
) -> list[bytes]:
    """The bytes of rows as a scan gives them, for the store; with a ``lead``, each behind it (:meth:`ArrayEncoder.encode`)."""
    names = [*layout.columns, *(_SYSTEM[2:] if layout.delayed else ())]
    if rows.num_rows > _FEW or lead:
        ts, created = (rows[name].to_numpy() for name in _SYSTEM[:2])
        columns = [rows[name] for name in names]
        return (encoder or ArrayEncoder(layout.codec)).encode(ts, created, columns=columns, lead=lead, marks=marks)
    times, creation = (rows[name].to_pylist() for name in _SYSTEM[:2])
    columns = [rows[name].to_pylist() for name in names]
    values: Sequence[Sequence[object]] = list(zip(*columns, strict=True)) if columns else [()] * rows.num_rows
    return [layout.codec.encode(when, then, row) for when, then, row in zip(times, creation, values, strict=True)]


def _take(rows: pa.Table, places: Integers) -> pa.Table:
    return rows.take(pa.array(places)) if rows.num_columns else rows  # a table without columns has no rows to take
