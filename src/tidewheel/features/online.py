"""How a view lies in the online store: what is closed, what is open, and what the two say of a key at an instant.

Each key of a view has one *set*, its open events: every row of the source that materialisation has not closed, with just the
columns that the view reads. And it has at most one *row*, the closed part, written by materialisation alone:

    16 bytes  the revision of the run that wrote it, so that the latest run wins, and the instant at which it is closed
    i64       watermark: tiles before it are closed, open events before it are ignored by windows
    per look-up slot  u32 length, and the bytes of the greatest row that was visible when it was closed
    the rest  closed tiles, in the form of :mod:`tidewheel.features.tiles`

So a push is one write of a set item, in any order, and an answer is one read of one row and one set. Look-ups take the
greatest row visible at the instant asked, over the closed one and the open ones. Everything closed was visible at the
instant it was closed at, so ``at`` may lie in the past as far as the open events reach; beyond, the answer is
``HistoryUnavailable``, not a guess.

Set items are rows (:mod:`tidewheel.features.rows`) with a number behind them, since two equal events are two events: the
number counts equal ones from 0, and so is the same whoever writes the item.

One more row per view, under the view's prefix and ``ff``, says that the view is materialised and how far.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tidewheel.clock import DAY
from tidewheel.errors import Corrupt
from tidewheel.features import row_kernel
from tidewheel.features.columns import check_columns, event_columns, lookup_columns
from tidewheel.features.definition import FeatureView
from tidewheel.features.keys import KeyCodec, view_prefix
from tidewheel.features.rows import RowCodec, order_prefix, split_order
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import GONE, UNTIL, Source

LATENESS = DAY
"""How far behind events may arrive and still count at once, without waiting for the next materialisation."""

AVAILABLE = "__avail"
_ENDS = {GONE: Field(GONE, DataType.BOOL, nullable=False), UNTIL: Field(UNTIL, DataType.INT64)}
_I64 = struct.Struct(">q")
_U32 = struct.Struct(">I")
_MARK = struct.Struct(">qq")
_START = 24


class Blocked(Exception):
    """A closed tile that the query at :attr:`place` needs holds an event that was not yet visible."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


@dataclass(frozen=True, slots=True)
class Closed:
    """The closed part of a key."""

    revision: int
    until: int
    watermark: int
    lookups: tuple[bytes | None, ...]
    tiles: bytes

    def encode(self) -> bytes:
        """The row's bytes."""
        out = [order_prefix(self.revision, self.until), _I64.pack(self.watermark)]
        for row in self.lookups:
            out += [_U32.pack(len(row or b"")), row or b""]
        return b"".join([*out, self.tiles])


@dataclass(frozen=True, slots=True)
class Mark:
    """What the store says of a view: closed until an instant, windows complete from ``watermark`` on, rows of ``schema``."""

    revision: int
    until: int
    watermark: int
    schema: int = 0

    def encode(self) -> bytes:
        """The row's bytes."""
        return order_prefix(self.revision, self.until) + _I64.pack(self.watermark) + _U32.pack(self.schema)

    @staticmethod
    def decode_schema(row: bytes) -> int:
        """Fingerprint of the schema that the view's rows were written with; 0 where none was noted.

        Examples
        --------
        >>> Mark.decode_schema(Mark(1, 2, 3, 4).encode())
        4
        """
        return int(_U32.unpack_from(row, 24)[0]) if len(row) >= 28 else 0


class OnlineLayout:
    """Where things of one view stand, resolved once.

    Parameters
    ----------
    number
        The view's number in the store.
    schema
        Schema of the view's source.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> schema = Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))
    >>> layout = OnlineLayout(view_of(Rating), 1, schema)
    >>> layout.columns, layout.keys.encode((7,)).hex()
    (('rating',), '00000001018000000000000007')
    """

    def __init__(self, view: FeatureView, number: int, schema: Schema) -> None:
        check_columns(view, schema)
        self.view = view
        self.number = number
        self.prefix = view_prefix(number)
        self.mark_key = self.prefix + b"\xff"
        self.keys = KeyCodec(number, Schema(view.keys))
        self.lookup_names = lookup_columns(view)
        self.event_names = event_columns(view)
        self.ends = view.source.ends
        self.columns = tuple(dict.fromkeys((*self.event_names, *self.lookup_names, *_identity(view.source), *self.ends)))
        fields = [_ENDS.get(name) or Field(name, schema[name].type) for name in self.columns]
        self.delayed = view.source.available != "event"
        if self.delayed:
            fields.append(Field(AVAILABLE, DataType.INT64, nullable=False))
        self.codec = RowCodec(Schema(tuple(fields)))
        content = (*self.lookup_names, *((UNTIL,) if view.source.valid_to is not None else ()))  # a row that closes is greater
        self.row_codec = RowCodec(Schema(tuple(_ENDS.get(name) or schema[name] for name in content)))
        place = {name: i for i, name in enumerate(self.columns)}
        self._content_places = tuple(place[name] for name in content)
        self.event_places = tuple(place[name] for name in self.event_names)
        self.identity_place = place[view.source.event_id] if view.source.event_id is not None else None
        places = [] if self.identity_place is None else [self.identity_place]
        self._identity_reader = self.codec.reader(places, defaults=[None]) if places else None
        filled = sorted({one.column for one in view.lookups if one.fill == "last_known" and one.column is not None})
        self.slots: tuple[str | None, ...] = ((None, *filled)) if view.lookups else ()
        self.slot_places = tuple(None if name is None else place[name] for name in self.slots)
        self.after = int(view.source.after or 0)
        self.counted = bool(view.windows) and view.source.event_id is None
        self.schema = schema
        self.hop = math.lcm(*(one.hop for one in view.windows)) if view.windows else 1

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def watermark(self, until: int) -> int:
        """The instant before which every event was visible at ``until``, on a border of every tile."""
        return (until - self.after) // self.hop * self.hop

    def row(self, ts: int, created: int, *, available: int, values: Sequence[object]) -> bytes:
        """The bytes of one row of the source."""
        return self.codec.encode(ts, created, (*values, available) if self.delayed else values)

    def numbered(self, rows: Iterable[bytes], held: Iterable[bytes] = ()) -> Iterator[bytes]:
        """Set items for rows of one key: equal rows are numbered on from those that are held, if equal rows are two events."""
        if not self.counted and self.identity_place is None:
            yield from (row + bytes(4) for row in rows)
            return
        counts: dict[bytes, int] = {}
        for item in held:
            counts[item[:-4]] = counts.get(item[:-4], 0) + 1
        for row in rows:
            number = counts.get(row, 0) if self.counted or self.identity(row) is None else 0
            counts[row] = number + 1
            yield row + _U32.pack(number)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def decode_closed(self, row: bytes) -> Closed:
        """The closed part of a key.

        Raises
        ------
        Corrupt
            When the bytes end too soon.
        """
        revision, until = split_order(row)
        (watermark,) = _I64.unpack_from(row, 16)
        at, lookups = _START, []
        for _ in self.slots:
            if len(row) < at + 4:
                raise Corrupt(f"a closed row of view {self.view.name} ends after {len(row)} bytes", where=self.view.name)
            (size,) = _U32.unpack_from(row, at)
            lookups.append(row[at + 4 : at + 4 + size] if size else None)
            at += 4 + size
        return Closed(revision, until, watermark, tuple(lookups), row[at:])

    def decode_watermark(self, row: bytes) -> int:
        """The watermark of a closed row, or of a mark."""
        if len(row) < _START:
            raise Corrupt(f"a closed row of view {self.view.name} ends after {len(row)} bytes", where=self.view.name)
        return int(_I64.unpack_from(row, 16)[0])

    def tiles_start(self, row: bytes) -> int:
        """Where in a closed row its tiles begin."""
        at = _START
        for _ in self.slots:
            at += 4 + int.from_bytes(row[at : at + 4], "big")
        if at > len(row):
            raise Corrupt(f"a closed row of view {self.view.name} ends after {len(row)} bytes", where=self.view.name)
        return at

    def times(self, row: bytes) -> tuple[int, int]:
        """Event time of a row, and the instant from which it is visible."""
        ts, _ = split_order(row)
        return ts, self.decode_available(row) if self.delayed else ts + self.after

    def decode_available(self, row: bytes) -> int:
        """The availability that a row carries, where it is a column of the source."""
        value = self.codec.decode(row).values[-1]
        assert isinstance(value, int)
        return value

    def between(self, items: Sequence[bytes], start: int, end: int) -> tuple[int, int]:
        """Range of the items, in order, whose event time lies in ``[start, end)``."""
        low = bisect_left(items, order_prefix(start, -(1 << 63)))
        return low, bisect_left(items, order_prefix(end, -(1 << 63)), low)

    def latest(self, candidates: Iterable[bytes], slot: int) -> bytes | None:
        """The greatest of some rows by (event time, created, canonical bytes of the looked-up columns)."""
        place = self.slot_places[slot]
        best: bytes | None = None
        for row in candidates:
            if place is not None and self.codec.decode(row).values[place] is None:
                continue
            if best is None or row[:16] > best[:16] or (row[:16] == best[:16] and self.content(row) > self.content(best)):
                best = row
        return best

    def content(self, row: bytes) -> bytes:
        """Canonical bytes of what a look-up sees of a row, which break ties."""
        values = self.codec.decode(row).values
        return self.row_codec.canonical([values[i] for i in self._content_places])

    def distinct(self, items: Sequence[bytes]) -> list[bytes]:
        """Rows of the items without their numbers; of rows with one event id only the latest correction."""
        rows = [item[:-4] for item in items]
        if self.identity_place is None:
            return rows
        best: dict[object, bytes] = {}
        kept = []
        for row in rows:
            identity = self.identity(row)
            if identity is None:
                kept.append(row)
            elif identity not in best or correction_order(row) > correction_order(best[identity]):
                best[identity] = row
        return rows if len(kept) + len(best) == len(rows) else sorted([*kept, *best.values()])

    def identity(self, row: bytes) -> object:
        """The event id of a row, where the source has one."""
        if self._identity_reader is None or self.identity_place is None:
            return None
        values = row_kernel.read_values(self._identity_reader, row)
        return (
            values[0] if isinstance(values, list) else self.codec.decode(row).values[self.identity_place]
        )  # says what is wrong


def correction_order(row: bytes) -> tuple[bytes, bytes, bytes]:
    """Of rows with one event id the greatest counts: by created time, then event time, then content.

    Examples
    --------
    >>> correction_order(order_prefix(5, 1)) < correction_order(order_prefix(4, 2))
    True
    """
    return row[8:16], row[:8], row[16:]


def _identity(source: Source) -> tuple[str, ...]:
    return () if source.event_id is None else (source.event_id,)
