"""The window fold of some keys as a store holds them, of any type: by columns, with the very functions of training sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.events import Events, order_rows
from tidewheel.features.online import Blocked, OnlineLayout
from tidewheel.features.plan import WindowPlan
from tidewheel.features.row_arrays import ArrayDecoder
from tidewheel.features.tile_bytes import unpack_tiles
from tidewheel.features.tiles import fold

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


class GeneralFold:
    """Folds windows of any type.

    Parameters
    ----------
    windows
        Which windows of the plan, by their places.
    """

    def __init__(self, plan: WindowPlan, layout: OnlineLayout, windows: Sequence[int]) -> None:
        self._whole, self._layout = plan, layout
        self._plan, self._groups = plan.part(windows)
        self._decoder = ArrayDecoder(layout.codec, plan.events.names)
        self._available = len(layout.columns)

    def fold(
        self, held: tuple[list[bytes | None], list[list[bytes]]], asked: list[tuple[int, int]], marks: list[int]
    ) -> list[list[object]]:
        """For every window a column of values, one for every key and time.

        Parameters
        ----------
        held
            Closed rows and open sets of the keys.
        asked
            Keys, by place, and times.
        marks
            Of each key: events before it are in the closed row's tiles already.

        Raises
        ------
        Blocked
            When a closed tile holds an event that was not yet visible.
        Corrupt
            When bytes are not of this plan.
        """
        closed_rows, sets = held
        keys, times = np.array(asked, dtype=np.int64).T
        reach = (int(times.min()) - self._plan.longest) // self._layout.hop * self._layout.hop
        end = int(times.max())
        kept: list[bytes] = []
        offsets = [0]
        for mark, items in zip(marks, sets, strict=True):
            own = self._layout.distinct(items)
            low, high = self._layout.between(own, max(mark, reach), end)
            kept.extend(own[low:high])
            offsets.append(len(kept))
        events = self._events(np.array(offsets, dtype=np.int64), kept)
        tiles = [None if row is None else self._layout.decode_closed(row).tiles for row in closed_rows]
        closed = unpack_tiles(self._whole, tiles, groups=self._groups)
        order = np.lexsort((times, keys))  # the kernel resumes from one query to the next, so time must not run backwards
        watermark = np.array(marks, dtype=np.int64)
        folded = fold(self._plan, events, keys=keys[order], times=times[order], closed=closed, watermark=watermark)
        if folded.blocked.any():
            raise Blocked(int(order[int(np.argmax(folded.blocked))]))
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
        if self._layout.delayed:
            return self._decoder.integers(rows, self._available)
        return ts + self._layout.after if self._layout.after else ts
