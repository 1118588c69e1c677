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


# ── windows of questions in order ────────────────────────────────────────────────────────────────

BLOCK = 32
"""So many entries are passed over at once where a window has none of them; in the loops this is a shift by 5."""


@cython.final
@cython.cclass
class Numbered:
    """Events whose entries are numbered within each key, in ascending order.

    Parameters
    ----------
    offsets, keys, counts
        Key ``k`` has the entries from ``offsets[k]`` up to ``offsets[k + 1]``.
    events, ts, entry, adds
        Key ``k`` has the events from ``events[k]`` up to ``events[k + 1]``: their times, entries, and how often each counts.
    enters, order
        The first time asked that sees each event, if its window reaches back so far; and each key's events in order of that.
    """

    offsets: cython.const[cython.longlong][::1]
    keys: cython.const[cython.longlong][::1]
    counts: cython.const[cython.longlong][::1]
    events: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    entry: cython.const[cython.longlong][::1]
    adds: cython.const[cython.longlong][::1]
    enters: cython.const[cython.longlong][::1]
    order: cython.const[cython.longlong][::1]

    def __init__(self, entries: tuple, events: tuple, seen: tuple) -> None:
        self.offsets, self.keys, self.counts = [_items(one) for one in entries]
        self.events, self.ts, self.entry, self.adds = [_items(one) for one in events]
        self.enters, self.order = [_items(one) for one in seen]


@cython.final
@cython.cclass
class Sweep:
    """Maps of windows, question after question in order of key and time: events come in and go out, and nothing is made again.

    Counts are whole numbers, so that taking away gives what adding up the others gives.

    Parameters
    ----------
    asked
        Key ``k`` asks in ``offsets[k]`` up to ``offsets[k + 1]``; and the times, which ascend.
    window
        Its length, its hop, and how far it lies in the past.
    room
        Numbers, all 0: one for each entry of a key, and one for each block of them.
    top
        Only so many entries are wanted, those that count most; 0: all.
    """

    events: Numbered
    offsets: cython.const[cython.longlong][::1]
    times: cython.const[cython.longlong][::1]
    span: cython.longlong
    hop: cython.longlong
    offset: cython.longlong
    held: cython.longlong[::1]
    live: cython.longlong[::1]
    top: cython.Py_ssize_t
    key: cython.Py_ssize_t
    q: cython.Py_ssize_t
    lo: cython.Py_ssize_t
    hi: cython.Py_ssize_t
    before: cython.longlong

    def __init__(self, events: Numbered, asked: tuple, window: tuple, *, room: tuple, top: int) -> None:
        self.events = events
        self.offsets, self.times = [_items(one) for one in asked]
        self.span, self.hop, self.offset = window
        self.held, self.live = [_items(one) for one in room]
        self.top = top
        self.key = -1
        self.q = self.lo = self.hi = 0
        self.before = 0

    def run(self, made: Bag, sizes: object, enough: int) -> int:
        """Write the next maps behind those in ``made`` until it holds ``enough`` entries; how many maps were written."""
        return _run(self, made, _items(sizes), enough)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _change(sweep: Sweep, entry: cython.Py_ssize_t, by: cython.longlong) -> cython.void:
    """Count an entry more, or less, often."""
    was: cython.longlong = sweep.held[entry]
    sweep.held[entry] = was + by
    if was == 0:
        sweep.live[entry >> 5] = sweep.live[entry >> 5] + 1
    elif was + by == 0:
        sweep.live[entry >> 5] = sweep.live[entry >> 5] - 1


@cython.cfunc
@cython.exceptval(check=False)
def _next_key(sweep: Sweep) -> cython.bint:
    """Begin with the next key that asks, if there is one."""
    events: Numbered = sweep.events
    j: cython.Py_ssize_t
    if sweep.key >= 0:
        for j in range(events.offsets[sweep.key + 1] - events.offsets[sweep.key]):
            sweep.held[j] = 0
            sweep.live[j >> 5] = 0
    sweep.key += 1
    while sweep.key + 1 < sweep.offsets.shape[0] and sweep.q == sweep.offsets[sweep.key + 1]:
        sweep.key += 1
    if sweep.key + 1 >= sweep.offsets.shape[0]:
        return False
    sweep.lo = sweep.hi = events.events[sweep.key]
    sweep.before = -9223372036854775807
    return True


@cython.cfunc
@cython.exceptval(check=False)
def _move(sweep: Sweep, t: cython.longlong) -> cython.void:
    """Let out what the window at ``t`` has left behind, and in what has come."""
    events: Numbered = sweep.events
    rows: cython.Py_ssize_t = events.events[sweep.key + 1]
    start: cython.longlong = (t - sweep.offset - sweep.span) // sweep.hop * sweep.hop
    row: cython.Py_ssize_t
    while sweep.lo < rows and events.ts[sweep.lo] < start:
        if events.enters[sweep.lo] <= sweep.before:
            _change(sweep, events.entry[sweep.lo], -events.adds[sweep.lo])
        sweep.lo += 1
    while sweep.hi < rows:
        row = events.order[sweep.hi]
        if events.enters[row] > t:
            break
        if events.ts[row] >= start:
            _change(sweep, events.entry[row], events.adds[row])
        sweep.hi += 1
    sweep.before = t


@cython.cfunc
@cython.exceptval(check=False)
def _put_top(
    made: Bag, first: cython.Py_ssize_t, top: cython.Py_ssize_t, key: cython.longlong, count: cython.longlong
) -> cython.void:
    """Put an entry among those from ``first`` on that count most; of those alike the ones that came first stay."""
    at: cython.Py_ssize_t = made.size
    if at - first == top:
        if made.counts[at - 1] >= count:
            return
        at -= 1
    else:
        made.size += 1
    while at > first and made.counts[at - 1] < count:
        made.keys[at] = made.keys[at - 1]
        made.counts[at] = made.counts[at - 1]
        at -= 1
    made.keys[at] = key
    made.counts[at] = count


@cython.cfunc
def _write(sweep: Sweep, made: Bag) -> cython.Py_ssize_t:
    """Write the map at hand behind the others; its size."""
    base: cython.Py_ssize_t = sweep.events.offsets[sweep.key]
    entries: cython.Py_ssize_t = sweep.events.offsets[sweep.key + 1] - base
    first: cython.Py_ssize_t = made.size
    block: cython.Py_ssize_t = 0
    j: cython.Py_ssize_t
    left: cython.longlong
    key: cython.longlong
    _room(made, first + entries)
    while block << 5 < entries:
        left = sweep.live[block]
        j = block << 5
        block += 1
        while left > 0:
            if sweep.held[j] == 0:
                j += 1
                continue
            left -= 1
            key = sweep.events.keys[base + j]
            if sweep.top > 0:
                _put_top(made, first, sweep.top, key, sweep.held[j])
            elif made.most and made.size > first and made.keys[made.size - 1] == key:
                made.counts[made.size - 1] = sweep.events.counts[base + j]  # of one key's counts the greatest comes last
            else:
                if made.limit > 0 and made.size - first == made.limit:
                    return made.size - first
                made.keys[made.size] = key
                made.counts[made.size] = sweep.events.counts[base + j] if made.most else sweep.held[j]
                made.size += 1
            j += 1
    return made.size - first


@cython.cfunc
def _run(sweep: Sweep, made: Bag, size: cython.longlong[::1], enough: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """As :meth:`Sweep.run` says."""
    written: cython.Py_ssize_t = 0
    while made.size < enough and written < size.shape[0]:
        if (sweep.key < 0 or sweep.q == sweep.offsets[sweep.key + 1]) and not _next_key(sweep):
            return written
        _move(sweep, sweep.times[sweep.q])
        size[written] = _write(sweep, made)
        sweep.q += 1
        written += 1
    return written
