"""One view's answers from what the online store holds of some keys: pure, and the same fold as for training sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import format_instant
from tidewheel.errors import HistoryUnavailable
from tidewheel.features.columns import feature_type
from tidewheel.features.encoding import typed_default
from tidewheel.features.events import Events, order_rows
from tidewheel.features.feature import Feature
from tidewheel.features.key_fold import Blocked, KeyFold
from tidewheel.features.online import Closed, OnlineLayout
from tidewheel.features.plan import plan_windows
from tidewheel.features.row_arrays import ArrayDecoder
from tidewheel.features.rows import split_order
from tidewheel.features.tile_bytes import unpack_tiles
from tidewheel.features.tiles import fold

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_LEAST = -(1 << 62)


class Status(Enum):
    """Why a value is what it is."""

    PRESENT = "present"
    NULL_VALUE = "null_value"
    NOT_FOUND = "not_found"
    OUTSIDE_MAX_AGE = "outside_max_age"


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of one key: the closed row, and open set items in order."""

    row: bytes | None
    items: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """One feature's values, one per query; of look-ups also their statuses, and the event time of the row that each is from."""

    values: list[object]
    statuses: list[Status] | None = None
    event_times: list[int | None] | None = None


class OnlineView:
    """Answers the features of one view.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.schema import DataType, Field, Schema
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> schema = Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))
    >>> layout = OnlineLayout(view_of(Rating), 1, schema)
    >>> held = Held(None, list(layout.numbered([layout.row(5, 0, available=5, values=(4.5,))])))
    >>> OnlineView(layout).answer([held], [0, 0], [4, 5])[0].values
    [None, 4.5]
    """

    def __init__(self, layout: OnlineLayout) -> None:
        view, schema = layout.view, layout.schema
        self.layout = layout
        self._plan = plan_windows(view, schema)
        self._decoder = ArrayDecoder(layout.codec, self._plan.events.names)
        self._available = len(layout.columns)
        self._key_fold = KeyFold(self._plan, layout) if KeyFold.takes(self._plan) else None
        self._window_place = {one.feature.name: place for place, one in enumerate(self._plan.windows)}
        self._defaults = {
            one.name: typed_default(one.default, feature_type(one, schema), where=f"{view.name}.{one.name}").as_py()
            for one in view.lookups
            if one.default is not None
        }
        slots = {name: slot for slot, name in enumerate(layout.slots)}
        column = {name: place for place, name in enumerate(layout.columns)}
        self._looked_up = {
            one.name: (slots[one.column] if one.fill == "last_known" else 0, column[one.column])
            for one in view.lookups
            if one.column is not None
        }

    def answer(
        self, held: Sequence[Held], keys: Sequence[int], times: Sequence[int], *, since: int = _LEAST
    ) -> list[ViewAnswer]:
        """Answers of every feature of the view, in the view's order.

        Parameters
        ----------
        keys, times
            One per query: a place in ``held``, and the instant asked.
        since
            Windows are complete from this instant on.

        Raises
        ------
        HistoryUnavailable
            When a query lies before what is still known.
        FeatureOverflow
            When an exact sum does not fit.
        """
        windows = self._windows(held, keys, times, since) if self._plan.windows else []
        if not self._looked_up:
            return [ViewAnswer(one) for one in windows]
        found = self._find(held, keys, times)
        return [
            ViewAnswer(windows[self._window_place[feature.name]])
            if feature.kind == "window"
            else self._lookup(feature, found, times)
            for feature in self.layout.view.features
        ]

    # ── windows ──────────────────────────────────────────────────────────────────────────────────

    def _windows(self, held: Sequence[Held], keys: Sequence[int], times: Sequence[int], since: int) -> list[list[object]]:
        marks = [_LEAST if one.row is None else self.layout.decode_watermark(one.row) for one in held]
        for key, at in zip(keys, times, strict=True):
            if at < since or at < marks[key]:
                raise self._too_early(at, max(since, marks[key]))
        if not len(keys):
            return [[] for _ in self._plan.windows]
        if self._key_fold is None:
            return self._fold_many(held, keys, times, marks, since)
        stored = [self._key_fold.stored(one.row, one.items, mark) for one, mark in zip(held, marks, strict=True)]
        places: dict[tuple[int, int], int] = {}
        asked = [places.setdefault(one, len(places)) for one in zip(keys, times, strict=True)]
        try:
            rows = self._key_fold.answer([stored[key] for key, _ in places], [at for _, at in places])
        except Blocked as error:
            key, at = list(places)[error.place]
            raise self._too_early(at, marks[key]) from error
        return [[row[place] for place in asked] for row in zip(*rows, strict=True)]

    def _fold_many(
        self,
        held: Sequence[Held],
        asked_keys: Sequence[int],
        asked_times: Sequence[int],
        marks: Sequence[int],
        since: int,
    ) -> list[list[object]]:
        keys, times = np.array(asked_keys, dtype=np.int64), np.array(asked_times, dtype=np.int64)
        hop = self.layout.hop
        reach = (int(times.min()) - self._plan.longest) // hop * hop
        end = int(times.max())
        kept: list[bytes] = []
        offsets = [0]
        for mark, one in zip(marks, held, strict=True):
            own = self.layout.distinct(one.items)
            low, high = self.layout.between(own, max(mark, reach), end)
            kept.extend(own[low:high])
            offsets.append(len(kept))
        events = self._events(np.array(offsets, dtype=np.int64), kept)
        closed = unpack_tiles(
            self._plan, [None if one.row is None else self.layout.decode_closed(one.row).tiles for one in held]
        )
        order = np.lexsort((times, keys))  # the kernel resumes from one query to the next, so time must not run backwards
        watermark = np.array(marks, dtype=np.int64)
        folded = fold(self._plan, events, keys=keys[order], times=times[order], closed=closed, watermark=watermark)
        if folded.blocked.any():
            raise self._too_early(int(times[order[int(np.argmax(folded.blocked))]]), since)
        back = pa.array(np.argsort(order))
        return [column.take(back).to_pylist() for column in folded.columns]

    def _events(self, offsets: Integers, rows: Sequence[bytes]) -> Events:
        ts, table = self._decoder.decode(rows)
        known = self._known(ts, rows)
        tied = ts[1:] == ts[:-1]
        if tied.any():  # rows stand in order of (ts, created, all columns); events order by (ts, event columns)
            codes = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
            ordered = order_rows(codes, len(offsets) - 1, ts=ts, created=None, rows=table, schema=self._plan.events)
            ts, known = ts[ordered.order], known[ordered.order]
            table = table.take(pa.array(ordered.order)) if table.num_columns else table
        return Events(offsets, ts, known, table)

    def _known(self, ts: Integers, rows: Sequence[bytes]) -> Integers:
        if self.layout.delayed:
            return self._decoder.integers(rows, self._available)
        return ts + self.layout.after if self.layout.after else ts

    # ── look-ups ─────────────────────────────────────────────────────────────────────────────────

    def _find(self, held: Sequence[Held], keys: Sequence[int], times: Sequence[int]) -> list[tuple[bytes | None, ...]]:
        """For each query the greatest visible row of each slot."""
        rows = [self.layout.distinct(one.items) for one in held]
        closed = [None if one.row is None else self.layout.decode_closed(one.row) for one in held]
        return [self._candidates(closed[key], rows[key], at) for key, at in zip(keys, times, strict=True)]

    def _candidates(self, closed: Closed | None, rows: Sequence[bytes], at: int) -> tuple[bytes | None, ...]:
        _, high = self.layout.between(rows, _LEAST, at + 1)
        found = []
        for slot in range(len(self.layout.slots)):
            best = self._greatest(rows, high, at, slot)
            shut = None if closed is None else closed.lookups[slot]
            if shut is not None:
                ts, known = self.layout.times(shut)
                if ts > at or known > at:
                    raise self._too_early(at, max(ts, known))
                best = shut if best is None else self.layout.latest((best, shut), slot)
            found.append(best)
        return tuple(found)

    def _greatest(self, rows: Sequence[bytes], high: int, at: int, slot: int) -> bytes | None:
        for row in self._visible(rows, high, at):
            if self.layout.latest((row,), slot) is None:
                continue
            order = row[:16]
            tied = [one for one in self._visible(rows, high, at) if one[:16] == order] if self._ties(rows, row) else [row]
            return self.layout.latest(tied, slot)
        return None

    def _visible(self, rows: Sequence[bytes], high: int, at: int) -> Iterator[bytes]:
        for place in range(high - 1, -1, -1):
            if not (self.layout.delayed or self.layout.after) or self.layout.times(rows[place])[1] <= at:
                yield rows[place]

    def _ties(self, rows: Sequence[bytes], row: bytes) -> bool:
        ts, _ = split_order(row)
        low, high = self.layout.between(rows, ts, ts + 1)
        return high - low > 1

    def _lookup(self, feature: Feature, found: Sequence[tuple[bytes | None, ...]], times: Sequence[int]) -> ViewAnswer:
        slot, place = self._looked_up[feature.name]
        default, ttl = self._defaults.get(feature.name), self.layout.view.ttl
        values: list[object] = []
        statuses: list[Status] = []
        event_times: list[int | None] = []
        for candidates, at in zip(found, times, strict=True):
            row = candidates[slot]
            value: object = None
            status, ts = Status.NOT_FOUND, None
            if row is not None:
                ts, _ = split_order(row)
                if ttl is not None and at - ts > ttl:
                    status = Status.OUTSIDE_MAX_AGE
                else:
                    value = self.layout.codec.decode(row).values[place]
                    status = Status.NULL_VALUE if value is None else Status.PRESENT
            values.append(default if value is None else value)
            statuses.append(status)
            event_times.append(ts)
        return ViewAnswer(values, statuses, event_times)

    def _too_early(self, at: int, since: int) -> HistoryUnavailable:
        name = self.layout.view.name
        return HistoryUnavailable(
            f"view {name} is not known online any more as it was at {format_instant(at)}",
            where=name,
            fix=f"ask for {format_instant(since)} or later, or retrieve it offline"
            if since > _LEAST
            else "retrieve it offline",
        )
