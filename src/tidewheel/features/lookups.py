"""Look-ups: for every key and time asked, the greatest row that was visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import format_instant
from tidewheel.errors import AmbiguousRows
from tidewheel.features import lookup_kernel
from tidewheel.features.columns import feature_type, row_schema
from tidewheel.features.definition import FeatureView
from tidewheel.features.encoding import typed_default
from tidewheel.features.events import order_rows
from tidewheel.features.feature import Feature
from tidewheel.features.tiles import NULL_KEY
from tidewheel.schema import Schema

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a source.

    Parameters
    ----------
    codes
        Number of each row's key; negative for rows that nobody asks for.
    keys
        How many keys are asked for.
    ts, created, known
        Microseconds: event time, created time (0 without), and from when the row is visible.
    table
        The columns.
    """

    codes: Integers
    keys: int
    ts: Integers
    created: Integers
    known: Integers
    table: pa.Table


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Answers of a view's look-ups: one column per feature, and what the report tells."""

    columns: list[pa.Array]
    found: int
    too_old: int
    ambiguous: int


@dataclass(frozen=True, slots=True)
class _Index:
    """Rows that can be the answer to some question, by key and by the time from which they are."""

    offsets: Integers
    since: Integers
    rows: Integers


def look_up(view: FeatureView, schema: Schema, *, rows: Rows, keys: Integers, times: Integers) -> LookedUp:
    """Answer the look-ups of a view.

    Parameters
    ----------
    keys, times
        Shape (queries,): number of the key (negative: unknown or null), microseconds.

    Raises
    ------
    AmbiguousRows
        Under ``strict_ties``, when only its value tells two rows of a key apart.
    """
    ordered = order_rows(
        rows.codes, rows.keys, ts=rows.ts, created=rows.created, rows=rows.table, schema=row_schema(view, schema)
    )
    if view.strict_ties and len(ordered.ambiguous):
        raise _ambiguous(view, rows, ordered.order[ordered.ambiguous])
    everything = _index(ordered.offsets, ordered.order, rows)
    latest = _latest(everything, keys, times)
    fresh, found, too_old = _within(view.ttl, rows.ts, latest, times)
    columns = []
    for one in view.lookups:
        assert one.column is not None
        column = rows.table.column(one.column)
        picked = fresh
        if one.fill == "last_known" and column.null_count:
            known = _only(ordered.offsets, ordered.order, column.is_valid().to_numpy())
            picked, _, _ = _within(view.ttl, rows.ts, _latest(_index(*known, rows), keys, times), times)
        columns.append(_take(view, one, column, schema, picked=picked, null=keys == NULL_KEY))
    return LookedUp(columns, found, too_old, len(ordered.ambiguous))


def _index(offsets: Integers, order: Integers, rows: Rows) -> _Index:
    """Drop every row that some greater row hides from the moment it can be seen.

    What is left ascends both in order and in the time from which it can be seen, so one search answers both.
    """
    since = np.maximum(rows.ts[order], rows.known[order])
    descends = since[1:] < since[:-1]
    inner = offsets[1:-1]
    descends[inner[(inner > 0) & (inner < len(since))] - 1] = False
    if not descends.any():
        return _Index(offsets, since, order)
    keys = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    by_time = np.lexsort((since, keys)).astype(np.int64)
    keep = np.zeros(len(order), dtype=np.uint8)
    lookup_kernel.record_highs(offsets, by_time, keep)
    places = np.flatnonzero(keep)
    picked = by_time[places]
    return _Index(np.searchsorted(places, offsets).astype(np.int64), since[picked], order[picked])


def _only(offsets: Integers, order: Integers, present: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    kept = present[order]
    return np.concatenate([[0], np.cumsum(kept)])[offsets].astype(np.int64), order[kept]


def _latest(index: _Index, keys: Integers, times: Integers) -> Integers:
    """The row that answers each query, or -1."""
    found = np.empty(len(keys), dtype=np.int64)
    lookup_kernel.latest(index.offsets, index.since, keys=keys, times=times, found=found)
    if not len(index.rows):
        return found
    return np.where(found >= 0, index.rows[np.maximum(found, 0)], -1)


def _within(ttl: int | None, ts: Integers, latest: Integers, times: Integers) -> tuple[Integers, int, int]:
    """Answers that are not older than ``ttl``, how many those are, and how many are too old."""
    found = int(np.count_nonzero(latest >= 0))
    if ttl is None or not len(ts):
        return latest, found, 0
    old = (latest >= 0) & (times - ts[np.maximum(latest, 0)] > ttl)
    too_old = int(np.count_nonzero(old))
    return np.where(old, -1, latest), found - too_old, too_old


def _take(
    view: FeatureView,
    feature: Feature,
    column: pa.ChunkedArray,
    schema: Schema,
    *,
    picked: Integers,
    null: npt.NDArray[np.bool_],
) -> pa.Array:
    kind = feature_type(feature, schema)
    values = column.combine_chunks().cast(kind.arrow()).take(pa.array(picked, mask=picked < 0))
    if feature.default is None:
        return values
    default = typed_default(feature.default, kind, where=f"{view.name}.{feature.name}")
    filled = values.fill_null(default)
    return pa.compute.if_else(pa.array(null), pa.scalar(None, filled.type), filled) if null.any() else filled


def _ambiguous(view: FeatureView, rows: Rows, first: Integers) -> AmbiguousRows:
    names = [key.name for key in view.keys]
    told: Sequence[str] = [
        f"{', '.join(f'{name}={value!r}' for name, value in row.items())} at {format_instant(int(rows.ts[place]))}"
        for place, row in zip(first[:5], rows.table.select(names).take(pa.array(first[:5])).to_pylist(), strict=True)
    ]
    return AmbiguousRows(
        f"view {view.name}: rows of one key and time differ only in value: {'; '.join(told)} ({len(first)} in all)",
        where=view.name,
        fix="declare created= on the source, remove the duplicates, or drop strict_ties",
    )
