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
    """Entries of maps, and how two of one key become one: ``most`` takes the greater of their counts, else they add.

    ``limit`` keeps the least keys of a map, so many of them; 0 keeps all.
    """

    keys: cython.longlong[::1]
    counts: cython.longlong[::1]
    spare_keys: cython.longlong[::1]
    spare_counts: cython.longlong[::1]
    size: cython.Py_ssize_t
    most: cython.bint
    limit: cython.Py_ssize_t

    def __init__(self, most: bool = False, limit: int = 0) -> None:
        self.keys = _items(array("q", bytes(8 * 16)))
        self.counts = _items(array("q", bytes(8 * 16)))
        self.spare_keys = self.spare_counts = self.counts[:0]
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
@cython.inline
def _put(bag: Bag, key: cython.longlong, count: cython.longlong) -> cython.void:
    """Write one entry behind the others, whatever its key."""
    if bag.size == bag.keys.shape[0]:
        _room(bag, bag.size + 1)
    bag.keys[bag.size] = key
    bag.counts[bag.size] = count
    bag.size += 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _run_end(bag: Bag, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Behind the last of the entries from ``at`` on whose keys ascend."""
    if at < bag.size:
        at += 1
    while at < bag.size and bag.keys[at - 1] < bag.keys[at]:
        at += 1
    return at


@cython.cfunc
@cython.exceptval(check=False)
def _merge_runs(
    bag: Bag, low: cython.Py_ssize_t, middle: cython.Py_ssize_t, high: cython.Py_ssize_t, to: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Write the entries of ``low:middle`` and ``middle:high``, both ascending, as one map to the spare room from ``to`` on."""
    other: cython.Py_ssize_t = middle
    take: cython.bint
    while low < middle or other < high:
        take = other == high or (low < middle and bag.keys[low] <= bag.keys[other])
        if take and other < high and bag.keys[low] == bag.keys[other]:
            bag.spare_keys[to] = bag.keys[low]
            if not bag.most:
                bag.spare_counts[to] = bag.counts[low] + bag.counts[other]
            else:
                bag.spare_counts[to] = bag.counts[low] if bag.counts[low] > bag.counts[other] else bag.counts[other]
            low += 1
            other += 1
        elif take:
            bag.spare_keys[to] = bag.keys[low]
            bag.spare_counts[to] = bag.counts[low]
            low += 1
        else:
            bag.spare_keys[to] = bag.keys[other]
            bag.spare_counts[to] = bag.counts[other]
            other += 1
        to += 1
    return to


@cython.cfunc
def _settle(bag: Bag) -> cython.void:
    """Make one map of all that was put in: runs of ascending keys are merged two by two, so of n entries in n log n steps."""
    low: cython.Py_ssize_t
    middle: cython.Py_ssize_t
    high: cython.Py_ssize_t
    to: cython.Py_ssize_t
    while _run_end(bag, 0) < bag.size:
        if bag.spare_keys.shape[0] < bag.keys.shape[0]:
            bag.spare_keys = _items(array("q", bytes(8 * bag.keys.shape[0])))
            bag.spare_counts = _items(array("q", bytes(8 * bag.keys.shape[0])))
        low = to = 0
        while low < bag.size:
            middle = _run_end(bag, low)
            high = _run_end(bag, middle)
            to = _merge_runs(bag, low, middle, high, to)
            low = high
        bag.keys, bag.spare_keys = bag.spare_keys, bag.keys
        bag.counts, bag.spare_counts = bag.spare_counts, bag.counts
        bag.size = to
    if bag.limit > 0 and bag.size > bag.limit:  # of the least keys of both, the least are those of all
        bag.size = bag.limit


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
        _settle(one)
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
            _settle(shut)
        one.size = 0
        _append(one, shut)
        if offset == 0:
            _put_known(one, values, moments, _first_at(moments.ts, moments.events[key], rows, end), rows, t, t)
            _settle(one)
        size[q] = one.size
        _append(made, one)
