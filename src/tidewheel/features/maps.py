"""States that are maps of int64 to int64: sketches, counts by value, distinct values; as arrays, one map after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import map_kernel
from tidewheel.features.questions import Questions
from tidewheel.features.state import State

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


_ENOUGH = 1 << 20
"""So many entries are held at once."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps: number ``m`` has the entries from ``offsets[m]`` up to ``offsets[m + 1]``, keys ascending.

    Examples
    --------
    >>> Maps.of([[(1, 5)], [], [(0, 2), (7, 1)]]).pick(np.array([2])).keys.tolist()
    [0, 7]
    """

    offsets: Integers
    keys: Integers
    counts: Integers

    @classmethod
    def of(cls, maps: Sequence[Sequence[tuple[int, int]]]) -> Maps:
        """Maps from pairs."""
        flat = np.array([pair for one in maps for pair in one], dtype=np.int64).reshape(-1, 2)
        return cls.sized([len(one) for one in maps], np.ascontiguousarray(flat[:, 0]), np.ascontiguousarray(flat[:, 1]))

    @classmethod
    def sized(cls, sizes: Sequence[int] | Integers, keys: Integers, counts: Integers) -> Maps:
        """Maps by how many entries each has."""
        return cls(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), keys, counts)

    @property
    def sizes(self) -> Integers:
        """How many entries each map has."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> Integers:
        """The map that each entry belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int64), self.sizes)

    def pick(self, places: Integers) -> Maps:
        """Some of the maps, in order."""
        sizes = self.sizes[places]
        starts = np.repeat(self.offsets[places] - np.concatenate([[0], np.cumsum(sizes)[:-1]])[: len(places)], sizes)
        entries = (starts + np.arange(int(sizes.sum()))).astype(np.int64)
        return Maps.sized(sizes, self.keys[entries], self.counts[entries])

    def behind(self, later: Maps) -> Maps:
        """These, and others behind them."""
        keys, counts = np.concatenate([self.keys, later.keys]), np.concatenate([self.counts, later.counts])
        return Maps.sized(np.concatenate([self.sizes, later.sizes]), keys, counts)

    @classmethod
    def joined(cls, some: Sequence[Maps]) -> Maps:
        """Maps of several, one behind the other."""
        none = np.empty(0, dtype=np.int64)
        keys, counts = (np.concatenate([none, *(getattr(one, name) for one in some)]) for name in ("keys", "counts"))
        return cls.sized(np.concatenate([none, *(one.sizes for one in some)]), keys, counts)

    def moved(self, to: Integers) -> Maps:
        """Maps whose keys are ranks, in another dictionary, in the same order there."""
        return replace(self, keys=to[self.keys])


@dataclass(frozen=True, slots=True)
class When:
    """Where events and tiles of the keys lie, as :mod:`tidewheel.features.tiles` has them.

    Parameters
    ----------
    events
        Offsets by key, event times, and the times from which they are known.
    tiles
        Offsets by key, starts, when all of each is known, and where its first event is.
    """

    events: tuple[Integers, Integers, Integers]
    tiles: tuple[Integers, Integers, Integers, Integers]


def tile_maps(state: State, keys: Integers, counts: Integers, *, first: Integers) -> Maps:
    """The maps of tiles: of the events from ``first[r]`` up to ``first[r + 1]``, which add one entry each."""
    sizes = np.empty(len(first) - 1, dtype=np.int64)
    made = map_kernel.Bag(state.merge == "max", state.limit)
    map_kernel.fold_ranges(map_kernel.Entries(first, keys, counts), first, made, sizes=sizes)
    return _taken(made, sizes)


def window_maps(
    state: State,
    values: tuple[Integers, Integers],
    tiles: Maps,
    *,
    when: When,
    queries: tuple[Integers, Integers],
    window: tuple[int, int, int],
) -> Maps:
    """The maps of windows, one per query.

    Parameters
    ----------
    values
        Key and count of each event's entry.
    queries
        Keys (negative: none) and times.
    window
        Its length, its hop, and how far it lies in the past.
    """
    sizes = np.empty(len(queries[0]), dtype=np.int64)
    made = map_kernel.Bag(state.merge == "max", state.limit)
    map_kernel.fold_windows(
        map_kernel.Entries(np.empty(0, dtype=np.int64), *values),
        map_kernel.Entries(tiles.offsets, tiles.keys, tiles.counts),
        map_kernel.Moments(when.events, when.tiles),
        queries=queries,
        window=window,
        made=made,
        sizes=sizes,
    )
    return _taken(made, sizes)


def sweep_maps(
    state: State,
    values: tuple[Integers, Integers],
    *,
    events: tuple[Integers, Integers, Integers],
    questions: Questions,
    window: tuple[int, int, int],
    top: int = 0,
) -> Iterator[Maps]:
    """The maps of windows of questions in their order, some at a time, so that not all of them need to be held at once.

    Their entries are those that :func:`window_maps` gives over tiles of the same events.

    Parameters
    ----------
    values
        Key and count of each event's entry.
    events
        Offsets by key, event times, and the times from which they are known.
    window
        Its length, its hop, and how far it lies in the past.
    top
        Only so many entries of each map are wanted, those with the greatest counts and of them those with the least keys; they
        come in this order. 0: all, by key.
    """
    _, hop, offset = window
    offsets, ts, known = events
    code = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys, counts = values
    distinct = (keys, code) if state.merge == "sum" else (counts, keys, code)
    order = np.lexsort(distinct)
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = np.logical_or.reduce([one[order[1:]] != one[order[:-1]] for one in distinct])
    first = order[fresh]
    begins = np.searchsorted(code[first], np.arange(len(offsets)))
    entry = np.empty(len(order), dtype=np.int64)
    entry[order] = np.cumsum(fresh) - 1
    entry -= begins[code]
    adds = counts if state.merge == "sum" else np.ones(len(counts), dtype=np.int64)
    enters = np.maximum(known, ts // hop * hop + hop + offset if offset else ts + 1)
    late = bool(np.any((enters[1:] < enters[:-1]) & (code[1:] == code[:-1])))
    entering = np.lexsort((enters, code)) if late else np.arange(len(ts))
    room = int(np.diff(begins).max(initial=0)) + map_kernel.BLOCK
    sweep = map_kernel.Sweep(
        map_kernel.Numbered((begins, keys[first], counts[first]), (offsets, ts, entry, adds), (enters, entering)),
        (questions.offsets, questions.moments),
        window,
        room=(np.zeros(room, dtype=np.int64), np.zeros(room, dtype=np.int64)),
        top=top,
    )
    left = len(questions.order)
    while left:
        made, sizes = map_kernel.Bag(state.merge == "max", state.limit), np.empty(left, dtype=np.int64)
        written = sweep.run(made, sizes, _ENOUGH)
        left -= written
        yield _taken(made, sizes[:written])


def _taken(made: map_kernel.Bag, sizes: Integers) -> Maps:
    keys, counts = made.taken()
    return Maps.sized(sizes, np.frombuffer(keys, np.int64), np.frombuffer(counts, np.int64))
