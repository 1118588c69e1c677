"""The window fold for one key at one instant, without the columns and tables that many keys need.

It is the fold of :mod:`tidewheel.features.tiles`: the same kernel on the same arrays and the same finish, so the bits are
the same, which a property in the tests holds it to. It leaves to the general one what needs more than numbers:
conditions, strings, decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.clock import to_datetime
from tidewheel.errors import HistoryUnavailable
from tidewheel.features import kernel
from tidewheel.features.exact import split
from tidewheel.features.plan import PlannedWindow, TileGroup, WindowPlan
from tidewheel.features.tile_bytes import TileReader
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidewheel.features.row_arrays import Numbers

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_NO_INTS = np.empty(0, dtype=np.int64)
_NO_FLOATS = np.empty(0, dtype=np.float64)
_ONE_KEY = np.zeros(1, dtype=np.int64)
_PYTHON: dict[DataType, Callable[..., object]] = {
    DataType.INT64: int,
    DataType.INT32: int,
    DataType.FLOAT64: float,
    DataType.FLOAT32: lambda value: float(np.float32(value)),
    DataType.TIMESTAMP: lambda value: to_datetime(int(value)),
}


@dataclass(frozen=True, slots=True)
class _Spans:
    """The windows of a group by their length, with their places among the answers."""

    window: int
    features: tuple[tuple[int, PlannedWindow, object], ...]


@dataclass(frozen=True, slots=True)
class _Group:
    group: TileGroup
    column: int | None
    spans: tuple[_Spans, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """Open events of one key in order: event times, from when each is known, and the columns of the plan's events."""

    ts: Integers
    known: Integers
    columns: Sequence[Numbers]


class KeyFold:
    """Folds the windows of one key."""

    def __init__(self, plan: WindowPlan) -> None:
        self._size = len(plan.windows)
        columns = {name: place for place, name in enumerate(plan.events.names)}
        self._groups = []
        for number, group in enumerate(plan.groups):
            mine = [(place, one) for place, one in enumerate(plan.windows) if one.group == number]
            spans = tuple(
                _Spans(
                    window,
                    tuple(
                        (place, one, None if one.default is None else one.default.as_py())
                        for place, one in mine
                        if one.feature.window == window
                    ),
                )
                for window in dict.fromkeys(one.feature.window for _, one in mine)
            )
            self._groups.append(_Group(group, None if group.column is None else columns[group.column], spans))

    @staticmethod
    def takes(plan: WindowPlan) -> bool:
        """Whether the plan needs nothing but numbers."""
        return all(
            group.where is None and group.state.encoding in ("none", "limbs2", "integer", "float") for group in plan.groups
        ) and all(one.type in _PYTHON for one in plan.windows)

    def answer(self, packed: bytes, events: Open, at: int) -> list[object]:
        """One value per window of the plan.

        Parameters
        ----------
        packed
            Closed tiles of the key, as :func:`tidewheel.features.tile_bytes.pack_tiles` made them; may be empty.
        events
            Those from the watermark on.

        Raises
        ------
        HistoryUnavailable
            When a closed tile holds an event that was not yet visible.
        """
        values: list[object] = [None] * self._size
        reader = TileReader(packed)
        times = np.array([at], dtype=np.int64)
        blocked = np.zeros(1, dtype=np.uint8)
        for one in self._groups:
            added, moments, tiles = _tiles(one, reader, events)
            state = one.group.state
            wi, wf = state.ints, state.floats
            for span in one.spans:
                ints, floats = np.zeros((1, wi), dtype=np.int64), np.zeros((1, wf), dtype=np.float64)
                kernel.fold_windows(
                    added,
                    moments,
                    tiles,
                    queries=kernel.Queries(_ONE_KEY, times, span.window, one.group.hop),
                    to=kernel.States(ints.reshape(-1), floats.reshape(-1)),
                    scratch=kernel.States(np.zeros(2 * wi, dtype=np.int64), np.zeros(2 * wf, dtype=np.float64)),
                    blocked=blocked,
                )
                for place, window, default in span.features:
                    found, valid = window.aggregation.finish(state, ints, floats)
                    there = valid[0] and (default is None or ints[0, 0] > 0)
                    values[place] = _PYTHON[window.type](found[0]) if there else default
        if blocked[0]:
            raise HistoryUnavailable("a closed tile holds an event that was not visible then", fix="retrieve it offline")
        return values


def _tiles(one: _Group, reader: TileReader, events: Open) -> tuple[kernel.Values, kernel.Moments, kernel.Tiles]:
    """Closed tiles, then those of the open events, as the kernel takes them."""
    group, state = one.group, one.group.state
    start, known, ints, floats, _ = reader.group(group)
    ts, visible, vi, vf = _values(one, events) if len(events.ts) else (_NO_INTS, _NO_INTS, _NO_INTS, _NO_FLOATS)
    added = kernel.Values(int(state.fold), state.ints, state.floats, vi, vf)
    first = np.full(len(start), -1, dtype=np.int64)
    count = len(ts)
    if count:
        number = ts // group.hop
        opens = np.concatenate([_ONE_KEY, np.flatnonzero(number[1:] != number[:-1]) + 1])
        later_ints = np.zeros((len(opens), state.ints), dtype=np.int64)
        later_floats = np.zeros((len(opens), state.floats), dtype=np.float64)
        bounds = np.append(opens, count)
        kernel.fold_ranges(added, bounds, to=kernel.States(later_ints.reshape(-1), later_floats.reshape(-1)))
        start = np.concatenate([start, number[opens] * group.hop])
        known = np.concatenate([known, np.maximum.reduceat(visible, opens)])
        first = np.concatenate([first, opens])
        ints, floats = np.concatenate([ints, later_ints]), np.concatenate([floats, later_floats])
    moments = kernel.Moments(np.array([0, count], dtype=np.int64), ts, visible)
    offsets = np.array([0, len(start)], dtype=np.int64)
    states = kernel.States(_writable(ints), _writable(floats))
    return added, moments, kernel.Tiles(offsets, start, known, first, states)


def _values(one: _Group, events: Open) -> tuple[Integers, Integers, Integers, Floats]:
    """Times and values of the events that count for a group, encoded for its fold."""
    ts, known = events.ts, events.known
    if one.column is None:
        return ts, known, _NO_INTS, _NO_FLOATS
    values, there = events.columns[one.column]
    if there is not None:
        ts, known, values = ts[there], known[there], values[there]
    encoding = one.group.state.encoding
    if encoding == "none":
        return ts, known, _NO_INTS, _NO_FLOATS
    if encoding == "float":
        return ts, known, _NO_INTS, values.astype(np.float64)
    whole = values.astype(np.int64)
    return ts, known, np.ascontiguousarray(split(whole)).reshape(-1) if encoding == "limbs2" else whole, _NO_FLOATS


def _writable(states: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Flat, and not the store's own bytes: the kernel's states are written in general, though not these."""
    flat = states.reshape(-1)
    return flat if flat.flags.writeable else flat.copy()
