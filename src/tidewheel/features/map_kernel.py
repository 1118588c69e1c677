# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loop that folds maps: int64 keys, ascending, with an int64 each. Two maps merge by adding, or by taking the greater.

Merging is exact, associative and commutative, so that no order of events or tiles changes a bit. Compiled and interpreted forms
are one file, as those of :mod:`tidewheel.features.kernel` are.
"""

from __future__ import annotations

from array import array

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class Entries:
    """Entries of maps, one map after the other: map ``m`` has those from ``offsets[m]`` up to ``offsets[m + 1]``."""

    offsets: cython.const[cython.longlong][::1]
    keys: cython.const[cython.longlong][::1]
    counts: cython.const[cython.longlong][::1]

    def __init__(self, offsets: object, keys: object, counts: object) -> None:
        self.offsets = _items(offsets)
        self.keys = _items(keys)
        self.counts = _items(counts)


@cython.final
@cython.cclass
class Moments:
    """Events and tiles by key: when they are, and from when they are known; tiles say where their first event is, or -1."""

    events: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    known: cython.const[cython.longlong][::1]
    tiles: cython.const[cython.longlong][::1]
    start: cython.const[cython.longlong][::1]
    closed: cython.const[cython.longlong][::1]
    first: cython.const[cython.longlong][::1]

    def __init__(self, events: tuple, tiles: tuple) -> None:
        self.events, self.ts, self.known = [_items(one) for one in events]
        self.tiles, self.start, self.closed, self.first = [_items(one) for one in tiles]


@cython.final
@cython.cclass
class Bag:
    """One map that grows, and how: ``most`` takes the greater of two counts, else they add; ``limit`` keeps the least keys."""

    keys: cython.longlong[::1]
    counts: cython.longlong[::1]
    size: cython.Py_ssize_t
    most: cython.bint
    limit: cython.Py_ssize_t

    def __init__(self, most: bool = False, limit: int = 0) -> None:
        self.keys = _items(array("q", bytes(8 * 16)))
        self.counts = _items(array("q", bytes(8 * 16)))
        self.size = 0
        self.most = most
        self.limit = limit

    def taken(self) -> tuple:
        """The entries as bytes."""
        return bytes(self.keys[: self.size]), bytes(self.counts[: self.size])


@cython.cfunc
def _room(bag: Bag, size: cython.Py_ssize_t) -> cython.void:
    """Make room for this many entries."""
    held: cython.Py_ssize_t = bag.keys.shape[0]
    if size <= held:
        return
    while held < size:
        held = held * 2
    keys = memoryview(array("q", bytes(8 * held)))
    counts = memoryview(array("q", bytes(8 * held)))
    keys[: bag.size] = bag.keys[: bag.size]
    counts[: bag.size] = bag.counts[: bag.size]
    bag.keys = keys
    bag.counts = counts


@cython.cfunc
def _put(bag: Bag, key: cython.longlong, count: cython.longlong) -> cython.void:
    """Add one entry."""
    lo: cython.Py_ssize_t = 0
    hi: cython.Py_ssize_t = bag.size
    middle: cython.Py_ssize_t
    j: cython.Py_ssize_t
    while lo < hi:
        middle = (lo + hi) >> 1
        if bag.keys[middle] < key:
            lo = middle + 1
        else:
            hi = middle
    if lo < bag.size and bag.keys[lo] == key:
        if not bag.most:
            bag.counts[lo] = bag.counts[lo] + count
        elif count > bag.counts[lo]:
            bag.counts[lo] = count
        return
    if bag.limit > 0 and lo >= bag.limit:
        return
    _room(bag, bag.size + 1)
    if bag.limit > 0 and bag.size == bag.limit:
        bag.size -= 1
    for j in range(bag.size, lo, -1):
        bag.keys[j] = bag.keys[j - 1]
        bag.counts[j] = bag.counts[j - 1]
    bag.keys[lo] = key
    bag.counts[lo] = count
    bag.size += 1


@cython.cfunc
def _append(bag: Bag, other: Bag) -> cython.void:
    """Write another map behind what is there, whatever its keys."""
    j: cython.Py_ssize_t
    _room(bag, bag.size + other.size)
    for j in range(other.size):
        bag.keys[bag.size + j] = other.keys[j]
        bag.counts[bag.size + j] = other.counts[j]
    bag.size += other.size


@cython.cfunc
@cython.inline
def _first_at(
    values: cython.const[cython.longlong][::1], lo: cython.Py_ssize_t, hi: cython.Py_ssize_t, bound: cython.longlong
) -> cython.Py_ssize_t:
    """First position in sorted ``values[lo:hi]`` whose value is at least ``bound``."""
    middle: cython.Py_ssize_t
    while lo < hi:
        middle = (lo + hi) >> 1
        if values[middle] < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


@cython.cfunc
def _put_known(
    bag: Bag,
    values: Entries,
    moments: Moments,
    row: cython.Py_ssize_t,
    rows: cython.Py_ssize_t,
    until: cython.longlong,
    t: cython.longlong,
) -> cython.void:
    """Add the events in ``row:rows`` that lie before ``until`` and are known at ``t``."""
    while row < rows and moments.ts[row] < until:
        if moments.known[row] <= t:
            _put(bag, values.keys[row], values.counts[row])
        row += 1


def fold_ranges(values: Entries, first: object, made: Bag, *, sizes: object) -> None:
    """Fold the events from ``first[r]`` up to ``first[r + 1]`` into one map each, one behind the other in ``made``.

    ``made`` says how maps merge; ``sizes`` has room for one number per map.
    """
    starts: cython.const[cython.longlong][::1] = _items(first)
    size: cython.longlong[::1] = _items(sizes)
    one: Bag = Bag(made.most, made.limit)
    r: cython.Py_ssize_t
    row: cython.Py_ssize_t
    for r in range(starts.shape[0] - 1):
        one.size = 0
        for row in range(starts[r], starts[r + 1]):
            _put(one, values.keys[row], values.counts[row])
        size[r] = one.size
        _append(made, one)


def fold_windows(
    values: Entries, tiles: Entries, moments: Moments, *, queries: tuple, window: tuple, made: Bag, sizes: object
) -> None:
    """Fold the map of every query's window, one behind the other in ``made``, as ``kernel.fold_windows`` folds states.

    Parameters
    ----------
    values
        One entry per event; ``offsets`` does not matter.
    queries
        Keys (negative: none) and times, in order.
    window
        Its length, its hop, and how far it lies in the past.
    """
    keys: cython.const[cython.longlong][::1] = _items(queries[0])
    times: cython.const[cython.longlong][::1] = _items(queries[1])
    span: cython.longlong = window[0]
    hop: cython.longlong = window[1]
    offset: cython.longlong = window[2]
    size: cython.longlong[::1] = _items(sizes)
    shut: Bag = Bag(made.most, made.limit)
    one: Bag = Bag(made.most, made.limit)
    q: cython.Py_ssize_t
    i0: cython.Py_ssize_t
    i1: cython.Py_ssize_t
    tile: cython.Py_ssize_t
    j: cython.Py_ssize_t
    rows: cython.Py_ssize_t
    key: cython.longlong
    t: cython.longlong
    end: cython.longlong
    have: cython.longlong = -1
    have_i0: cython.Py_ssize_t = -1
    have_i1: cython.Py_ssize_t = -1
    for q in range(keys.shape[0]):
        key = keys[q]
        t = times[q]
        size[q] = 0
        if key < 0:
            continue
        rows = moments.events[key + 1]
        end = (t - offset) // hop * hop
        i0 = _first_at(moments.start, moments.tiles[key], moments.tiles[key + 1], (t - offset - span) // hop * hop)
        i1 = _first_at(moments.start, i0, moments.tiles[key + 1], end)
        if key != have or i0 != have_i0 or i1 != have_i1:
            shut.size = 0
            have = key
            have_i0 = i0
            have_i1 = i1
            for tile in range(i0, i1):
                if moments.closed[tile] <= t:
                    for j in range(tiles.offsets[tile], tiles.offsets[tile + 1]):
                        _put(shut, tiles.keys[j], tiles.counts[j])
                    continue
                have = -1
                if moments.first[tile] >= 0:
                    _put_known(shut, values, moments, moments.first[tile], rows, moments.start[tile] + hop, t)
        one.size = 0
        _append(one, shut)
        if offset == 0:
            _put_known(one, values, moments, _first_at(moments.ts, moments.events[key], rows, end), rows, t, t)
        size[q] = one.size
        _append(made, one)
