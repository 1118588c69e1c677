"""The window fold of single keys, on the bytes that a store holds, without the columns and tables that many keys need.

It is the fold of :mod:`tidewheel.features.tiles`: the kernel adds, merges and walks in the same order, so the bits are
the same, which a property in the tests holds it to. It leaves to the general one what needs more than numbers:
conditions, strings, decimals.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from tidewheel.clock import to_datetime
from tidewheel.errors import Corrupt
from tidewheel.features import bytes_kernel, kernel
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import PlannedWindow, WindowPlan
from tidewheel.features.rows import VERSION, RowCodec
from tidewheel.features.state import State
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


@dataclass(frozen=True, slots=True)
class _Ending:
    """How one window ends: its place among the answers, and where its state is."""

    place: int
    window: PlannedWindow
    state: State
    default: object
    convert: Callable[[int], object] | None
    ints: slice
    floats: slice


class Blocked(Exception):
    """A closed tile that the query at :attr:`place` needs holds an event that was not yet visible."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class KeyFold:
    """Folds windows key by key."""

    def __init__(self, plan: WindowPlan, layout: OnlineLayout) -> None:
        self._layout = layout
        self._events_codec = RowCodec(plan.events)
        self._id_slot = None if layout.identity_place is None else layout.codec.slot(layout.identity_place)
        self._endings: list[_Ending] = []
        codec, groups, lengths = layout.codec, [], []
        i = f = 0
        for number, group in enumerate(plan.groups):
            state = group.state
            mine = [(place, one) for place, one in enumerate(plan.windows) if one.group == number]
            spans = list(dict.fromkeys(one.feature.window for _, one in mine))
            for span in spans:
                for place, one in mine:
                    if one.feature.window == span:
                        default = None if one.default is None else one.default.as_py()
                        where = slice(i, i + state.ints), slice(f, f + state.floats)
                        self._endings.append(_Ending(place, one, state, default, _PYTHON.get(one.type), *where))
                i, f = i + state.ints, f + state.floats
            lengths += spans
            groups += [int(state.fold), state.ints, state.floats, group.hop, _ENCODINGS[state.encoding]]
            if group.column is None or group.kind is None:
                groups += [0, -1, 0, 0]
            else:
                slot = codec.slot(layout.columns.index(group.column))
                groups += [_SLOTS.get(group.kind, 0), slot.offset, slot.presence, slot.mask]
            groups.append(len(spans))
        self._endings.sort(key=lambda one: one.place)
        self._ints, self._floats = i, f
        available = codec.slot(len(layout.columns)).offset if layout.delayed else -1
        rows = (VERSION, codec.fingerprint, codec.size, available, layout.after)
        self._plan = bytes_kernel.KeyPlan(array("q", groups), array("q", lengths), rows)

    @staticmethod
    def takes(plan: WindowPlan) -> bool:
        """Whether the plan needs nothing but numbers."""
        plain = all(one.aggregation.finish_one is not None and not one.feature.offset for one in plan.windows)
        return (
            _READS_BYTES
            and plain
            and all(
                group.where is None
                and group.state.encoding in _ENCODINGS
                and (group.kind is None or group.kind in _SLOTS or group.state.encoding == "none")
                for group in plan.groups
            )
        )

    def fold(
        self, held: tuple[list[bytes | None], list[list[bytes]]], asked: list[tuple[int, int]], marks: list[int]
    ) -> list[list[object]]:
        """For every key, by its place among those held, and time one value per window of the plan; see :meth:`answer`."""
        stored = [self.stored(row, items, mark) for row, items, mark in zip(*held, marks, strict=True)]
        return self.answer([stored[key] for key, _ in asked], [at for _, at in asked])

    def stored(self, row: bytes | None, items: Sequence[bytes], mark: int) -> bytes_kernel.Stored:
        """What the store holds of one key, for :meth:`answer`.

        Parameters
        ----------
        row
            The closed row.
        items
            Set items in order.
        mark
            Events before it are in the closed row's tiles already.
        """
        rows = list(items)
        if len(rows) > 1 and (len({row[:8] for row in rows}) < len(rows) or not self._unlike(rows)):
            rows = self._ordered(self._layout.distinct(rows))
        return bytes_kernel.Stored(row or b"", 0 if row is None else self._layout.tiles_start(row), rows, mark)

    def answer(self, keys: list[bytes_kernel.Stored], times: list[int]) -> list[list[object]]:
        """For every key and time one value per window of the plan.

        Raises
        ------
        Blocked
            When a closed tile holds an event that was not yet visible.
        Corrupt
            When bytes are not of this plan.
        """
        wide, real = self._ints, self._floats
        ints, floats = np.zeros(wide * len(keys), dtype=np.int64), np.zeros(real * len(keys), dtype=np.float64)
        stopped = bytes_kernel.fold_keys(self._plan, keys, times, to=kernel.States(ints, floats))
        if stopped >= 0:
            raise Blocked(stopped)
        if stopped < -1:
            raise Corrupt("stored tiles or events are of another layout or schema", fix="materialise the view again")
        all_ints, all_floats = ints.tolist(), floats.tolist()
        if len(keys) == 1:
            return [self._finish(all_ints, all_floats)]
        return [
            self._finish(all_ints[n * wide : (n + 1) * wide], all_floats[n * real : (n + 1) * real]) for n in range(len(keys))
        ]

    def _finish(self, ints: list[int], floats: list[float]) -> list[object]:
        values: list[object] = []
        for one in self._endings:
            mine = ints[one.ints]
            finish = one.window.aggregation.finish_one
            assert finish is not None
            found: object = finish(one.state, mine, floats[one.floats])
            if found is None or (one.default is not None and not mine[0]):
                found = one.default
            elif one.convert is not None:
                found = one.convert(found)  # type: ignore[arg-type]  # only integers have a conversion
            values.append(found)
        return values

    # ── the open events ──────────────────────────────────────────────────────────────────────────

    def _unlike(self, items: Sequence[bytes]) -> bool:
        """Whether no event corrects another one: all ids have other bytes. When in doubt, no."""
        place, codec = self._layout.identity_place, self._layout.codec
        slot = self._id_slot
        if place is None or slot is None:
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
