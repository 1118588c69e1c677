"""The window fold of keys on the bytes that a store holds, without the columns and tables that the general one makes of them.

It is the fold of :mod:`tidewheel.features.tiles`: the kernel adds, merges and walks in the same order, so the bits are
the same, which a property in the tests holds it to. It leaves to the general one the windows that need more than numbers:
strings and decimals, maps, conditions that only Arrow can tell. These are said by :attr:`KeyFold.left`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date

from tidewheel.clock import to_datetime
from tidewheel.features import bytes_kernel, kernel
from tidewheel.features.ending_kernel import Endings
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import PlannedWindow, TileGroup, WindowPlan
from tidewheel.features.rows import VERSION, RowCodec
from tidewheel.schema import DataType

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ENCODINGS = {"none": 0, "limbs2": 1, "integer": 2, "float": 3}
_SLOTS = {
    DataType.BOOL: 0,
    DataType.INT32: 1,
    DataType.DATE: 1,
    DataType.INT64: 2,
    DataType.TIMESTAMP: 2,
    DataType.FLOAT32: 3,
    DataType.FLOAT64: 4,
}
_PYTHON: dict[DataType, Callable[[int], object]] = {
    DataType.BOOL: bool,
    DataType.DATE: lambda days: date.fromordinal(days + _EPOCH_DAY),
    DataType.TIMESTAMP: to_datetime,
}
_READS_BYTES = sys.byteorder == "little" or not kernel.COMPILED
"""Whether the kernel can fold bytes here."""
_END = struct.Struct(">I")
_NUMBER = 4
"""Bytes of the number behind a row in a set item."""
_Spans = dict[tuple[int, int], tuple[int, int]]


class KeyFold:
    """Folds windows key by key.

    Parameters
    ----------
    plan
        All windows of the view.

    Attributes
    ----------
    left
        Places of the windows that are left to the general fold: what is answered for them is ``None``.
    """

    def __init__(self, plan: WindowPlan, layout: OnlineLayout) -> None:
        self._layout = layout
        self._events_codec = RowCodec(plan.events)
        self._id_slot = None if layout.identity_place is None else layout.codec.slot(layout.identity_place)
        self._columns: list[int] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._conditions: list[bytes_kernel.Condition] = []
        self._condition_places: dict[str, int | None] = {}
        self._deep = 0
        groups = [self._column(group) if _READS_BYTES else None for group in plan.groups]
        quick = [self._takes(plan, one, groups) for one in plan.windows]
        self.left = tuple(place for place, taken in enumerate(quick) if not taken)
        parts = {part for one, taken in zip(plan.windows, quick, strict=True) if taken for part in one.parts}
        wanted = [plan.parts[part] for part in sorted(parts)] + [
            one for one, taken in zip(plan.windows, quick, strict=True) if taken
        ]
        states, flat, windows, sizes = self._states(plan, wanted, groups)
        answers: list[int] = []
        behind = {part: place for place, part in enumerate(sorted(parts))}
        shown = [-1] * len(parts) + [place for place, taken in enumerate(quick) if taken]
        for one, place in zip(wanted, shown, strict=True):
            where = [behind[part] for part in one.parts] or states[one.group][one.feature.window, one.feature.offset]
            assert one.aggregation.ending is not None
            answers += [int(one.aggregation.ending), *where, place]
        endings = Endings(
            array("q", answers),
            defaults=[None if one.default is None else one.default.as_py() for one in wanted],
            converters=[_PYTHON.get(one.type) for one in wanted],
            shown=len(plan.windows),
        )
        codec = layout.codec
        available = codec.slot(len(layout.columns)).offset if layout.delayed else -1
        rows = (len(layout.slots), VERSION, codec.fingerprint, codec.size, len(codec.strings), available, layout.after)
        self._plan = bytes_kernel.KeyPlan(
            (array("q", self._columns), array("q", flat), array("q", windows)),
            conditions=self._conditions,
            endings=endings,
            layout=rows,
            sizes=(self._deep, plan.longest, *sizes),
        )

    def fold(
        self, held: tuple[list[bytes | None], list[list[bytes]]], *, keys: Sequence[int], times: Sequence[int], since: int
    ) -> tuple[int, int, list[list[object]]]:
        """Of every query the values of the windows, or why there are none; see :func:`bytes_kernel.fold_keys`.

        Parameters
        ----------
        held
            Closed rows and open sets of the keys.
        """
        rows, sets = held
        found = self._ordered_sets(sets)
        made: tuple[int, int, list[list[object]]] = bytes_kernel.fold_keys(
            self._plan, rows, found, keys=list(keys), times=list(times), since=since
        )
        return made

    # ── which windows, and how ───────────────────────────────────────────────────────────────────

    def _takes(self, plan: WindowPlan, one: PlannedWindow, groups: Sequence[int | None]) -> bool:
        """Whether a window needs nothing but numbers."""
        if one.parts:
            parts = [plan.parts[part] for part in one.parts]
            return all(
                self._takes(plan, part, groups) and part.type not in (DataType.DATE, DataType.TIMESTAMP) for part in parts
            )
        return groups[one.group] is not None and one.aggregation.ending is not None

    def _column(self, group: TileGroup) -> int | None:
        """The place of what a group folds among the kernel's columns; ``None`` when it cannot take it out of bytes."""
        encoding = group.state.encoding
        plain = encoding == "none" or (encoding in _ENCODINGS and group.kind in _SLOTS)
        if not plain or group.state.merge is not None or not self._reads(group.where):
            return None
        name = (group.column, group.where, encoding)
        if name not in self._places:
            self._places[name] = len(self._columns) // 6
            condition = -1 if group.where is None else self._condition_places[group.where]
            assert condition is not None
            if group.column is None or group.kind is None:
                self._columns += [0, 0, -1, 0, 0, condition]
            else:
                slot = self._layout.codec.slot(self._layout.columns.index(group.column))
                kind = _SLOTS.get(group.kind, 0)
                self._columns += [_ENCODINGS[encoding], kind, slot.offset, slot.presence, slot.mask, condition]
        return self._places[name]

    def _reads(self, where: str | None) -> bool:
        """Whether the kernel can tell a condition."""
        if where is not None and where not in self._condition_places:
            from tidewheel.features.condition_steps import condition_steps  # brings Arrow along, which numbers do without

            steps = condition_steps(where, self._layout.codec, self._layout.columns)
            self._condition_places[where] = None if steps is None else len(self._conditions)
            if steps is not None:
                self._conditions.append(steps.condition)
                self._deep = max(self._deep, steps.length)
        return where is None or self._condition_places[where] is not None

    def _states(
        self, plan: WindowPlan, wanted: Sequence[PlannedWindow], columns: Sequence[int | None]
    ) -> tuple[list[_Spans], list[int], list[int], tuple[int, int, int, int]]:
        """Where the state of each window of each group is, the groups and windows as the kernel has them, and sizes."""
        places: list[_Spans] = []
        groups: list[int] = []
        windows: list[int] = []
        i = f = most_ints = most_floats = 0
        for number, (group, column) in enumerate(zip(plan.groups, columns, strict=True)):
            state = group.state
            mine: _Spans = {}
            for one in wanted:
                span = (one.feature.window, one.feature.offset)
                if one.group == number and span not in mine:
                    mine[span] = (i, f if state.floats else -1)
                    windows += span
                    i, f = i + state.ints, f + state.floats
            places.append(mine)
            ranked = bytes_kernel.WORDS if state.encoding == "ranked" else 0
            behind = ranked + (0 if state.merge is None else bytes_kernel.MAPS)
            groups += [int(state.fold), state.ints, state.floats, group.hop, column or 0, len(mine), behind]
            if mine:
                most_ints, most_floats = max(most_ints, state.ints), max(most_floats, state.floats)
        return places, groups, windows, (most_ints, most_floats, i, f)

    # ── the open events ──────────────────────────────────────────────────────────────────────────

    def _ordered_sets(self, sets: list[list[bytes]]) -> list[list[bytes]]:
        """The items of every set as events in their order, corrected ones left out."""
        tied = bytes_kernel.find_tied(sets)
        if self._layout.identity_place is not None:
            known = set(tied)
            tied += [place for place, items in enumerate(sets) if place not in known and not self._unlike(items)]
        if not tied:
            return sets
        found = list(sets)
        for place in tied:
            found[place] = [row + bytes(_NUMBER) for row in self._ordered(self._layout.distinct(sets[place]))]
        return found

    def _unlike(self, items: Sequence[bytes]) -> bool:
        """Whether no event corrects another one: all ids have other bytes. When in doubt, no."""
        place, codec = self._layout.identity_place, self._layout.codec
        slot = self._id_slot
        if place is None or slot is None or len(items) < 2:
            return True
        if not all(item[slot.presence] & slot.mask for item in items):
            return False
        if place not in codec.strings:
            start, end = slot.offset, slot.offset + slot.size
            return len({item[start:end] for item in items}) == len(items)
        behind = _NUMBER + 4 * len(codec.strings)
        if place != codec.strings[0]:
            return False
        start = codec.size
        if len(codec.strings) == 1:
            return len({item[start:-behind] for item in items}) == len(items)
        return len({item[start : start + _END.unpack_from(item, len(item) - behind)[0]] for item in items}) == len(items)

    def _ordered(self, rows: list[bytes]) -> list[bytes]:
        """Events of one time in the order that :func:`tidewheel.features.events.order_rows` gives them."""
        times = Counter(row[:8] for row in rows)
        return sorted(rows, key=lambda row: (row[:8], b"" if times[row[:8]] == 1 else self._content(row)))

    def _content(self, row: bytes) -> bytes:
        values = self._layout.codec.decode(row).values
        return self._events_codec.canonical([values[place] for place in self._layout.event_places])
