"""What made a number: the tiles, open events and rows behind each feature of one key at one instant. Pure.

The same question is asked of two sides: of the source's rows, as training sets see them, and of the bytes in the online store.
The values come from the paths that answer everybody; here is only shown what these paths had in hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidewheel.clock import Micros, format_duration
from tidewheel.features.columns import row_schema
from tidewheel.features.condition import parse_condition
from tidewheel.features.definition import FeatureView
from tidewheel.features.feature import Feature
from tidewheel.features.online_ends import Ends, TooEarly
from tidewheel.features.plan import plan_windows
from tidewheel.features.rows import RowCodec
from tidewheel.features.tile_bytes import unpack_tiles
from tidewheel.features.tiles import Tiles
from tidewheel.features.windows import FOREVER, window_start
from tidewheel.schema import Schema
from tidewheel.sources.definition import GONE, UNTIL

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.online import Closed, OnlineLayout

MOST = 50
"""Events that are listed of one feature: the latest; all are counted."""

Span = tuple[Micros | None, Micros]
"""First instant, ``None`` where there is none, and the first one behind."""


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row of the source: its event time, from when it is known, and its columns.

    ``gone``: it says that the key is gone; ``until``: from when on it does not stand any more.
    """

    event_time: Micros
    known_from: Micros
    values: Mapping[str, object]
    created: Micros
    gone: bool = False
    until: Micros | None = None

    @property
    def is_event(self) -> bool:
        """Whether a window folds it: no tombstone, and of changes what is there by now."""
        return not self.gone and self.until is None


@dataclass(frozen=True, slots=True)
class SeenTile:
    """Events ``[start, end)`` that were folded together, and how many values they had."""

    start: Micros
    end: Micros
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one side had in hand for one feature.

    Parameters
    ----------
    tiles
        Whole tiles, in order; online those that are closed.
    events
        Raw events behind the tiles, the latest :data:`MOST` of them; ``count`` is how many there are.
    row
        What a look-up found; offline a tombstone, where that is why it found nothing.
    """

    tiles: tuple[SeenTile, ...] = ()
    events: tuple[SeenRow, ...] = ()
    count: int = 0
    row: SeenRow | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """One output of a service: its value on both sides, and what it was made of.

    ``agree`` is ``None`` when there is no online side. A ratio is explained by its two ``parts``, which have no values here.
    """

    name: str
    origin: str
    definition: str
    offline: object
    online: object = None
    agree: bool | None = None
    window: Span | None = None
    evidence_offline: Evidence = field(default_factory=Evidence)
    evidence_online: Evidence | None = None
    parts: tuple[Explained, ...] = ()


def window_of(feature: Feature, at: int) -> Span:
    """First instant of a window, ``None`` where it has no start, and the first one behind it.

    Examples
    --------
    >>> from tidewheel.features.aggregations.count import count
    >>> window_of(count("10m", hop="5m"), 661_000_000)
    (0, 661000000)
    >>> window_of(count("10m", hop="5m", offset="5m"), 961_000_000)
    (0, 600000000)
    >>> window_of(count(), 661_000_000)
    (None, 661000000)
    """
    last = at - feature.offset
    end = last // feature.hop * feature.hop if feature.offset else at
    start = None if feature.window == FOREVER else window_start(last, feature.window, feature.hop)
    return start, Micros(end)


def define(feature: Feature) -> str:
    """A feature in the words of its definition.

    Examples
    --------
    >>> from tidewheel.features.aggregations.mean import mean
    >>> from tidewheel.features.aggregations.last_k import last_k
    >>> define(mean("minutes", "1d", where="minutes < 600"))
    "mean('minutes', '1d', where='minutes < 600')"
    >>> define(last_k("shop", "7d", k=3, offset="7d"))
    "last_k('shop', '7d', offset='7d', k=3)"
    """
    if feature.parts:
        return f"{feature.aggregation}({', '.join(define(one) for one in feature.parts)})"
    parts = [repr(feature.column)] if feature.column is not None else []
    if feature.kind == "window" and feature.window != FOREVER:
        parts.append(repr(format_duration(feature.window)))
    if feature.offset:
        parts.append(f"offset={format_duration(feature.offset)!r}")
    if feature.where is not None:
        parts.append(f"where={feature.where!r}")
    parts += [f"{name}={value!r}" for name, value in feature.options]
    return f"{feature.aggregation or 'lookup'}({', '.join(parts)})"


def offline_evidence(view: FeatureView, schema: Schema, rows: pa.Table, *, at: int) -> dict[str, tuple[Evidence, ...]]:
    """What the rows of one key show for each feature of a view: one evidence, or one for each part of a ratio.

    Parameters
    ----------
    rows
        Rows of the key, with the view's columns and ``__ts``, ``__created``, ``__avail``.
    """
    names = [name for name in rows.column_names if not name.startswith("__")]
    seen = [
        SeenRow(
            row["__ts"],
            row["__avail"],
            {name: row[name] for name in names},
            row["__created"],
            bool(row.get(GONE)),
            row.get(UNTIL),
        )
        for row in rows.to_pylist()
    ]
    return {
        one.name: tuple(_folded(part, rows, seen, at) for part in one.inputs)
        if one.kind == "window"
        else (Evidence(row=_greatest(view, schema, one, seen, at)),)
        for one in view.features
    }


def _folded(feature: Feature, rows: pa.Table, seen: Sequence[SeenRow], at: int) -> Evidence:
    start, end = window_of(feature, at)
    inside = [
        one
        for one in _meeting(feature, rows, seen)
        if one.is_event and (start is None or start <= one.event_time) and one.event_time < end and one.known_from <= at
    ]
    return _tiled(feature, sorted(inside, key=lambda one: one.event_time), at // feature.hop * feature.hop)


def _meeting(feature: Feature, table: pa.Table, seen: Sequence[SeenRow]) -> list[SeenRow]:
    mask = [True] * len(seen) if feature.where is None else parse_condition(feature.where).mask(table).tolist()
    column = feature.column
    return [one for one, met in zip(seen, mask, strict=True) if met and (column is None or one.values[column] is not None)]


def _tiled(feature: Feature, inside: Sequence[SeenRow], opened: int) -> Evidence:
    """Events before ``opened`` by the tile that they fall into, the rest as they are."""
    counts: dict[int, int] = {}
    for one in inside:
        if one.event_time < opened:
            start = one.event_time // feature.hop * feature.hop
            counts[start] = counts.get(start, 0) + 1
    tiles = tuple(SeenTile(Micros(start), Micros(start + feature.hop), count) for start, count in sorted(counts.items()))
    events = [one for one in inside if one.event_time >= opened]
    return Evidence(tiles, tuple(events[-MOST:]), len(events))


def _greatest(view: FeatureView, schema: Schema, feature: Feature, seen: Sequence[SeenRow], at: int) -> SeenRow | None:
    codec = RowCodec(row_schema(view, schema))
    names = codec.schema.names

    def order(one: SeenRow) -> tuple[int, int, bytes]:
        told: dict[str, object] = {**one.values, GONE: one.gone, UNTIL: one.until}
        return one.event_time, one.created, codec.canonical([told[name] for name in names])

    visible = [one for one in seen if one.event_time <= at and one.known_from <= at]
    if view.source.valid_to is not None:  # a row of the same start replaces an earlier one
        starts: dict[int, SeenRow] = {}
        for one in sorted(visible, key=order):
            starts[one.event_time] = one
        visible = list(starts.values())
    if view.source.bounded:
        visible = [one for one in visible if not one.gone and (one.until is None or at < one.until)]
    says = feature.fill != "last_known" or feature.column is None
    candidates = [one for one in visible if says or one.gone or one.values[str(feature.column)] is not None]
    return max(candidates, key=order, default=None)


def online_evidence(
    layout: OnlineLayout, row: bytes | None, items: Sequence[bytes], *, at: int
) -> dict[str, tuple[Evidence, ...]]:
    """What the online store shows for each feature of a view: its closed tiles and rows, and its open events.

    Parameters
    ----------
    row, items
        What the store holds of the key.
    """
    import pyarrow as pa

    view, schema = layout.view, layout.schema
    closed = None if row is None else layout.decode_closed(row)
    ends = Ends(layout) if layout.ends else None
    events = layout.distinct(items) if ends is None else [item[:-4] for item in ends.events(items)]
    opened = [_seen(layout, one) for one in events]
    plain = [name for name in layout.columns if name not in layout.ends]
    columns = {name: [one.values[name] for one in opened] for name in plain}
    table = pa.table({name: pa.array(values, schema[name].type.arrow()) for name, values in columns.items()})
    plan = plan_windows(view, schema)
    tiles = unpack_tiles(plan, [None if closed is None else closed.tiles]) if view.windows else []
    watermark = -FOREVER if closed is None else closed.watermark
    if ends is not None:
        stands = _standing(layout, ends, closed, items, at=at)
    else:
        shut = [_seen(layout, one) for one in (closed.lookups if closed is not None else ()) if one]
        stands = {one.name: _greatest(view, schema, one, [*opened, *shut], at) for one in view.lookups}
    found: dict[str, tuple[Evidence, ...]] = {name: (Evidence(row=one),) for name, one in stands.items()}
    for one in plan.windows:
        found[one.feature.name] = tuple(
            _stored(part.feature, tiles[part.group], _meeting(part.feature, table, opened), watermark=watermark, at=at)
            for part in ([plan.parts[place] for place in one.parts] or [one])
        )
    return found


def _stored(feature: Feature, tiles: Tiles, events: Sequence[SeenRow], *, watermark: int, at: int) -> Evidence:
    start, end = window_of(feature, at)
    since = -FOREVER if start is None else start
    whole = tuple(
        SeenTile(Micros(first), Micros(first + feature.hop), int(ints[0]))
        for first, ints in zip(tiles.start.tolist(), tiles.ints, strict=True)
        if since <= first and first + feature.hop <= end
    )
    inside = [one for one in events if max(since, watermark) <= one.event_time < end and one.known_from <= at]
    return Evidence(whole, tuple(inside[-MOST:]), len(inside))


def _standing(
    layout: OnlineLayout, ends: Ends, closed: Closed | None, items: Sequence[bytes], *, at: int
) -> dict[str, SeenRow | None]:
    """Of each look-up the row that stands at the instant; of rows that end something, as they are answered from."""
    try:
        rows = ends.standing(closed, items, at)
    except TooEarly:  # said where the answer is
        rows = (None,) * len(layout.slots)
    by_slot = dict(zip(layout.slots, rows, strict=True))
    picked = {one.name: by_slot[one.column if one.fill == "last_known" else None] for one in layout.view.lookups}
    return {name: None if row is None else _seen(layout, row) for name, row in picked.items()}


def _seen(layout: OnlineLayout, row: bytes) -> SeenRow:
    from tidewheel.features.rows import split_order

    ts, known = layout.times(row)
    _, created = split_order(row)
    values = dict(zip(layout.columns, layout.codec.decode(row).values, strict=False))
    gone, until = bool(values.pop(GONE, False)), values.pop(UNTIL, None)
    assert until is None or isinstance(until, int)
    return SeenRow(Micros(ts), Micros(known), values, Micros(created), gone, None if until is None else Micros(until))
