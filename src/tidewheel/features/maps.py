"""States that are maps of int64 to int64: sketches, counts by value, distinct values; as arrays, one map after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import key_kernel, lookup_kernel, map_kernel, map_sweep_kernel
from tidewheel.features.questions import Questions
from tidewheel.features.state import Part, State

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


_ENOUGH = 1 << 20
"""So many entries are held at once."""
_NEAR = 1 << 16
"""Values that lie this close together, or four times closer than they are many, are found by their place, unhashed."""


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


@dataclass(frozen=True, slots=True)
class Swept:
    """What is wanted of the maps of some questions: maps, or numbers, a row per question."""

    rows: int
    maps: Maps | None = None
    numbers: Integers | None = None


class MapSweep:
    """The maps of the windows of many questions, over the same events: some at a time, so that not all need to be held at once.

    Their entries are those that :func:`window_maps` gives over tiles of the same events. Maps that keep the greatest count are
    known by their sizes or levels alone.

    Parameters
    ----------
    values
        Key and count of each event's entry.
    events
        Offsets by key, event times, and the times from which they are known.

    Examples
    --------
    >>> from tidewheel.features.questions import order_questions
    >>> from tidewheel.features.state import Fold
    >>> events = np.array([0, 3]), np.array([1, 2, 3]), np.array([1, 2, 3])
    >>> sweep = MapSweep((np.array([7, 5, 7]), np.array([1, 1, 1])), events)
    >>> state = State(Fold.TOTAL, "entries", 1, 0, "sum")
    >>> questions = order_questions(np.array([0]), np.array([9]), keys=1)
    >>> [found.maps.keys.tolist() for found in sweep.run(state, questions, window=(20, 5, 0), part=Part("top", 1))]
    [[7]]
    """

    def __init__(self, values: tuple[Integers, Integers], events: tuple[Integers, Integers, Integers]) -> None:
        self._values, self._events = values, events
        self._entries: tuple[Integers, Integers, Integers] | None = None

    def run(
        self, state: State, questions: Questions, *, window: tuple[int, int, int], part: Part | None = None
    ) -> Iterator[Swept]:
        """What is wanted of the maps of questions, in their order.

        Parameters
        ----------
        state
            How the maps merge, and how many entries they keep.
        window
            Its length, its hop, and how far it lies in the past.
        part
            What of each map is wanted; ``None``: every entry.
        """
        _, hop, offset = window
        offsets, ts, known = self._events
        if part is not None and part.kind == "levels":
            none = np.empty(0, dtype=np.int64)
            begins, names, entry = none, none, self._values[0]
        else:
            assert state.merge == "sum" or (part is not None and part.kind == "size")
            begins, names, entry = self._entries = self._entries or self._numbered()
        code = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        enters = np.maximum(known, ts // hop * hop + hop + offset if offset else ts + 1)
        late = bool(np.any((enters[1:] < enters[:-1]) & (code[1:] == code[:-1])))
        entering = np.lexsort((enters, code)) if late else np.arange(len(ts))
        most = int(np.diff(begins).max(initial=0)) if len(begins) else int(entry.max(initial=-1)) + 1
        sweep = map_sweep_kernel.Sweep(
            map_sweep_kernel.Numbered((begins, names), (offsets, ts, entry, self._values[1]), (enters, entering)),
            (questions.offsets, questions.moments),
            window,
            _wanted(part, most, limit=state.limit),
        )
        return _told(sweep, part, len(questions.order), most)

    def _numbered(self) -> tuple[Integers, Integers, Integers]:
        """Of each key's events the distinct keys of entries, in order, where they begin, and each event's place there."""
        offsets = self._events[0]
        keys = len(offsets) - 1
        distinct, ranks = dense_ranks(self._values[0])
        begins, order = np.zeros(len(distinct) + 1, dtype=np.int64), np.empty(len(ranks), dtype=np.int64)
        lookup_kernel.group(ranks, begins, order)
        code = np.repeat(np.arange(keys), np.diff(offsets))
        last, counts = np.full(keys, -1, dtype=np.int64), np.zeros(keys, dtype=np.int64)
        entry = np.empty(len(ranks), dtype=np.int64)
        map_sweep_kernel.number_entries(order, ranks, code, last=last, counts=counts, entry=entry)
        begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        names = np.empty(int(begins[-1]), dtype=np.int64)
        names[begins[code] + entry] = self._values[0]
        return begins, names, entry


_PARTS = {
    None: map_sweep_kernel.ALL,
    "size": map_sweep_kernel.SIZE,
    "rank": map_sweep_kernel.RANK,
    "top": map_sweep_kernel.TOP,
    "levels": map_sweep_kernel.LEVELS,
}


def _wanted(part: Part | None, most: int, *, limit: int) -> map_sweep_kernel.Wanted:
    """Room for the entries of any key."""
    kind = _PARTS[part.kind if part is not None else None]
    number = limit if kind == map_sweep_kernel.SIZE else 0 if part is None else part.number
    held, live, told = most, 0, 0
    if kind == map_sweep_kernel.ALL:
        live = most // map_sweep_kernel.BLOCK + 1
    elif kind == map_sweep_kernel.RANK:
        held += 1
    elif kind == map_sweep_kernel.TOP:
        held = 2 << max(most - 1, 0).bit_length()
    elif kind == map_sweep_kernel.LEVELS:
        held, live, told = most * number, most, number
    room = tuple(np.zeros(size, dtype=np.int64) for size in (held, live, told))
    return map_sweep_kernel.Wanted(kind, number, 0.0 if part is None else part.share, room=room)


def _told(sweep: map_sweep_kernel.Sweep, part: Part | None, left: int, most: int) -> Iterator[Swept]:
    width = 1 if part is None or part.kind in ("size", "rank") else part.number
    while left:
        room = max(_ENOUGH, most) if part is None else min(left, _ENOUGH // width + 1) * width
        keys, counts, sizes = (np.empty(size, dtype=np.int64) for size in (room, room, min(left, room)))
        written = sweep.run(map_sweep_kernel.Made(keys, counts, sizes))
        left -= written
        sizes = sizes[:written]
        if part is None or part.kind == "top":
            total = int(sizes.sum())
            yield Swept(written, Maps.sized(sizes, keys[:total], counts[:total]))
        else:
            found = {"size": sizes, "rank": keys, "levels": counts}[part.kind]
            yield Swept(written, numbers=found[: written * width].reshape(written, width))


def dense_ranks(values: Integers) -> tuple[Integers, Integers]:
    """The distinct values, ascending, and the place of each value among them.

    Examples
    --------
    >>> [one.tolist() for one in dense_ranks(np.array([9, -4, 9]))]
    [[-4, 9], [1, 0, 1]]
    """
    if not len(values):
        return values, values
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span <= max(_NEAR, 4 * len(values)):
        there = np.zeros(span, dtype=np.bool_)
        there[values - low] = True
        distinct = np.flatnonzero(there)
        place = np.cumsum(there) - 1
        return distinct + low, place[values - low]
    table = np.full(1 << max(4, (2 * len(values) - 1).bit_length()), -1, dtype=np.int64)
    found, codes = np.empty(len(values), dtype=np.int64), np.empty(len(values), dtype=np.int64)
    found = found[: key_kernel.number_integers(values, table, distinct=found, codes=codes)]
    order = np.argsort(found)
    place = np.empty(len(found), dtype=np.int64)
    place[order] = np.arange(len(found))
    return found[order], place[codes]


def _taken(made: map_kernel.Bag, sizes: Integers) -> Maps:
    keys, counts = made.taken()
    return Maps.sized(sizes, np.frombuffer(keys, np.int64), np.frombuffer(counts, np.int64))
