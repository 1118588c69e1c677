"""Windows answered one stretch of time after the other: what a stretch leaves behind is its tiles, not its events.

That is how a store answers, too: closed tiles up to a watermark, raw events from there on. So the events of a key need not be
in hand at once, however far back a window reaches; those of one hop need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.definition import Use
from tidewheel.features.events import Events, order_rows
from tidewheel.features.match import KeyIndex, key_column, one_key
from tidewheel.features.plan import plan_windows
from tidewheel.features.tiles import Tiles, build_tiles, carry_tiles, compact_tiles, fold, trim_tiles
from tidewheel.features.view_answer import Asked, ViewReport, event_rows, since, whole_numbers
from tidewheel.schema import Schema

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_BEFORE_ALL = -(1 << 61)
_SAMPLE = 97
"""One of so many events says where to cut."""


class WindowsInTime:
    """The windows of one view under one alias.

    Parameters
    ----------
    start
        First instant of event time that the view can reach, where the rows that come by may lie before it.
    """

    def __init__(self, alias: Use, schema: Schema, asked: Asked, *, start: int | None) -> None:
        self._alias, self._start = alias, start
        self._plan = plan_windows(alias.view, schema)
        self._hop = math.lcm(*[group.hop for group in self._plan.groups])
        self._times = asked.times
        self._index = KeyIndex(asked.keys(alias) or [one_key(len(asked.times))])
        self._have = np.zeros(max(self._index.keys, 1), dtype=np.bool_)
        size = self._index.keys
        self._marks = np.full(size, _BEFORE_ALL // self._hop * self._hop, dtype=np.int64)
        nothing = self._plan.events.arrow().empty_table()
        none = np.empty(0, dtype=np.int64)
        self._closed = build_tiles(self._plan, Events(np.zeros(size + 1, dtype=np.int64), none, none, nothing))

    def answer(self, rows: Callable[[], Iterable[pa.Table]], *, cuts: int) -> tuple[dict[str, pa.Array], ViewReport]:
        """A column per feature by its output name, in the questions' order, and how many keys are unknown.

        Parameters
        ----------
        rows
            All rows, again and again: as a scan gives them.
        cuts
            About how many stretches have as many events, or questions, each.
        """
        order = np.lexsort((self._index.asked, self._times))
        pieces: list[list[pa.Array]] = []
        low = 0
        for end in self._ends(rows, cuts):
            high = int(np.searchsorted(self._times, end, side="right", sorter=order))
            events = self._events(rows, end)
            if high > low:
                pieces.append(self._fold(events, order[low:high]))
            self._close(events, end)
            low = high
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        names = [self._alias.prefix + one.name for one in self._alias.view.windows]
        columns = {
            name: pa.concat_arrays([piece[place] for piece in pieces]).take(pa.array(back)) for place, name in enumerate(names)
        }
        unknown = int(np.count_nonzero((self._index.asked >= 0) & ~self._have[np.maximum(self._index.asked, 0)]))
        return columns, ViewReport(self._alias.view.name, self._alias.prefix, 0, unknown=unknown)

    def _ends(self, rows: Callable[[], Iterable[pa.Table]], cuts: int) -> list[int]:
        """Where stretches end: at quantiles of the questions' times and of the events', and at the last question."""
        sample = [np.empty(0, dtype=np.int64)]
        for codes, table in self._known(rows):
            self._have[codes[codes >= 0]] = True
            sample.append(whole_numbers(table, "__ts")[codes >= 0][::_SAMPLE])
        ends = {int(self._times.max())}
        for times in (np.sort(np.concatenate(sample)), np.sort(self._times)):
            if len(times):
                ends |= set(times[len(times) * np.arange(1, cuts) // cuts].tolist())
        return sorted(one for one in ends if one <= self._times.max())

    def _known(self, rows: Callable[[], Iterable[pa.Table]]) -> Iterator[tuple[Integers, pa.Table]]:
        """Rows in reach, with the numbers of their keys."""
        view = self._alias.view
        for batch in rows():
            table = since(batch, self._start)
            yield self._index.find([key_column(table[key.name], key) for key in view.keys] or [one_key(table.num_rows)]), table

    def _events(self, rows: Callable[[], Iterable[pa.Table]], end: int) -> Events:
        """Events before an instant that no closed tile stands for."""
        names = list(self._plan.events.names)
        kept: list[tuple[Integers, Integers, Integers, pa.Table]] = []
        for found, table in self._known(rows):
            codes = event_rows(found, table)
            ts = whole_numbers(table, "__ts")
            places = np.flatnonzero((codes >= 0) & (ts < end) & (ts >= self._marks[np.maximum(codes, 0)]))
            known = whole_numbers(table, "__avail")[places]
            kept.append((codes[places], ts[places], known, table.select(names).take(pa.array(places)) if names else table))
        codes, ts, known = (np.concatenate([one[place] for one in kept]) for place in range(3))
        schema = self._plan.events
        table = pa.concat_tables([one[3] for one in kept]).combine_chunks() if names else schema.arrow().empty_table()
        ordered = order_rows(codes, self._index.keys, ts=ts, created=None, rows=table, schema=schema)
        picked = table.take(pa.array(ordered.order)) if names else table
        return Events(ordered.offsets, ts[ordered.order], known[ordered.order], picked)

    def _fold(self, events: Events, places: Integers) -> list[pa.Array]:
        """The columns of some questions, which are in order of time."""
        keys, times = self._index.asked[places], self._times[places]
        by_key = np.argsort(keys, kind="stable")
        folded = fold(self._plan, events, keys=keys[by_key], times=times[by_key], closed=self._closed, watermark=self._marks)
        assert not folded.blocked.any()
        back = pa.array(np.argsort(by_key, kind="stable"))
        return [column.take(back) for column in folded.columns]

    def _close(self, events: Events, end: int) -> None:
        """Let tiles stand for the events before an instant, of each key up to the first that could not be seen then."""
        marks = np.full(len(self._marks), end // self._hop * self._hop, dtype=np.int64)
        codes = np.repeat(np.arange(len(marks)), np.diff(events.offsets))
        pending = events.known > end
        np.minimum.at(marks, codes[pending], events.ts[pending] // self._hop * self._hop)
        later = build_tiles(self._plan, events, before=marks)
        closed = [carry_tiles(one, new, until=self._marks) for one, new in zip(self._closed, later, strict=True)]
        self._closed = [self._within_reach(number, one, marks) for number, one in enumerate(closed)]
        self._marks = marks

    def _within_reach(self, number: int, tiles: Tiles, marks: Integers) -> Tiles:
        group = self._plan.groups[number]
        reach, endless = self._plan.reach(number)
        first = (marks - reach) // group.hop * group.hop
        return compact_tiles(group, tiles, first) if endless else trim_tiles(tiles, first)
