# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loop that folds the maps of many questions in order of time: events come in and go out, and nothing is made again.

Counts are whole numbers, so that taking away gives what adding up the others gives. Most aggregations look at little of a map,
so that this little is kept up to date instead of writing whole maps: a key with a million events has as many entries, and a
question each second. Compiled and interpreted forms are one file, as those of :mod:`tidewheel.features.kernel` are.
"""

from __future__ import annotations

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

COMPILED = cython.compiled
"""Whether this is the compiled form."""

BLOCK = 32
"""So many entries are passed over at once where a window has none of them; in the loops this is a shift by 5."""

ALL, SIZE, RANK, TOP, LEVELS = 0, 1, 2, 3, 4
"""What is wanted of each map; the loops know the numbers."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class Numbered:
    """Events whose entries are numbered within each key, in ascending order.

    Parameters
    ----------
    offsets, keys
        Key ``k`` has the entries from ``offsets[k]`` up to ``offsets[k + 1]``.
    events, ts, entry, adds
        Key ``k`` has the events from ``events[k]`` up to ``events[k + 1]``: their times, entries, and how often each counts. Of
        levels, the entry is the map's key itself, and what it adds is the level.
    enters, order
        The first time asked that sees each event, if its window reaches back so far; and each key's events in order of that.
    """

    offsets: cython.const[cython.longlong][::1]
    keys: cython.const[cython.longlong][::1]
    events: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    entry: cython.const[cython.longlong][::1]
    adds: cython.const[cython.longlong][::1]
    enters: cython.const[cython.longlong][::1]
    order: cython.const[cython.longlong][::1]

    def __init__(self, entries: tuple, events: tuple, seen: tuple) -> None:
        self.offsets, self.keys = [_items(one) for one in entries]
        self.events, self.ts, self.entry, self.adds = [_items(one) for one in events]
        self.enters, self.order = [_items(one) for one in seen]


@cython.final
@cython.cclass
class Wanted:
    """What is wanted of each map, and room to keep it up to date.

    Parameters
    ----------
    part
        ``ALL`` entries; their number (``SIZE``), at most ``number`` if that is not 0; the key of the entry in which, counted
        from the least key on, the share ``share`` of all counts lies (``RANK``); the ``number`` entries that count most, of
        those alike the least keys (``TOP``); or, of maps that keep the greatest, how many keys hold each level below ``number``
        (``LEVELS``; how many hold level 0, which nothing has, is not told).
    held, live
        Zeros. Of ``ALL``: a place for each entry of any key, one for each block of them. ``SIZE``: one for each entry.
        ``RANK``: one more. ``TOP``: twice the next power of two. ``LEVELS``: ``number`` for each key of a map; one for each.
    told
        Zeros, ``number`` of them if these are levels.
    """

    part: cython.int
    number: cython.Py_ssize_t
    share: cython.double
    held: cython.longlong[::1]
    live: cython.longlong[::1]
    told: cython.longlong[::1]

    def __init__(self, part: int, number: int, share: float, *, room: tuple) -> None:
        self.part = part
        self.number = number
        self.share = share
        self.held, self.live, self.told = [_items(one) for one in room]


@cython.final
@cython.cclass
class Made:
    """Where what was found is written: entries one map after the other, and how many each question has.

    Of ``SIZE`` there are only the sizes; of ``RANK`` one key each, of ``LEVELS`` counts alone.
    """

    keys: cython.longlong[::1]
    counts: cython.longlong[::1]
    sizes: cython.longlong[::1]
    size: cython.Py_ssize_t

    def __init__(self, keys: object, counts: object, sizes: object) -> None:
        self.keys, self.counts, self.sizes = _items(keys), _items(counts), _items(sizes)
        self.size = 0


@cython.final
@cython.cclass
class Sweep:
    """Questions in order of key and time: key ``k`` asks in ``offsets[k]`` up to ``offsets[k + 1]``, its times ascend.

    Parameters
    ----------
    window
        Its length, its hop, and how far it lies in the past.
    """

    events: Numbered
    wanted: Wanted
    offsets: cython.const[cython.longlong][::1]
    times: cython.const[cython.longlong][::1]
    span: cython.longlong
    hop: cython.longlong
    offset: cython.longlong
    key: cython.Py_ssize_t
    q: cython.Py_ssize_t
    entries: cython.Py_ssize_t
    leaves: cython.Py_ssize_t
    lo: cython.Py_ssize_t
    hi: cython.Py_ssize_t
    before: cython.longlong
    total: cython.longlong

    def __init__(self, events: Numbered, asked: tuple, window: tuple, wanted: Wanted) -> None:
        self.events = events
        self.wanted = wanted
        self.offsets, self.times = [_items(one) for one in asked]
        self.span, self.hop, self.offset = window
        self.key = -1
        self.q = self.entries = self.leaves = self.lo = self.hi = 0
        self.before = self.total = 0

    def run(self, made: Made) -> int:
        """Write what is wanted of the next questions, as long as there is room; of how many it was written."""
        return _run(self, made)


def number_entries(order: object, ranks: object, codes: object, *, last: object, counts: object, entry: object) -> None:
    """Number the distinct values of each key's events, the least first.

    Parameters
    ----------
    order
        All events, those with the least values first.
    ranks, codes
        Of each event: equal numbers for equal values, and its key.
    last, counts
        Of each key: -1, and 0, which becomes how many distinct values it has.
    entry
        Room for the number of each event's value.
    """
    place: cython.const[cython.longlong][::1] = _items(order)
    rank: cython.const[cython.longlong][::1] = _items(ranks)
    code: cython.const[cython.longlong][::1] = _items(codes)
    before: cython.longlong[::1] = _items(last)
    count: cython.longlong[::1] = _items(counts)
    number: cython.longlong[::1] = _items(entry)
    i: cython.Py_ssize_t
    row: cython.Py_ssize_t
    key: cython.Py_ssize_t
    for i in range(place.shape[0]):
        row = place[i]
        key = code[row]
        if before[key] != rank[row]:
            before[key] = rank[row]
            count[key] = count[key] + 1
        number[row] = count[key] - 1


# ── what is kept up to date ──────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _change_level(wanted: Wanted, key: cython.Py_ssize_t, level: cython.Py_ssize_t, by: cython.longlong) -> cython.void:
    """Count a level of a key more, or less, often; ``live`` has the greatest of each key."""
    at: cython.Py_ssize_t = key * wanted.number + level
    was: cython.Py_ssize_t = wanted.live[key]
    now: cython.Py_ssize_t = was
    wanted.held[at] = wanted.held[at] + by
    if level > was:
        now = level
    elif level == was and wanted.held[at] == 0:
        now -= 1
        while now > 0 and wanted.held[key * wanted.number + now] == 0:
            now -= 1
    if now != was:
        wanted.live[key] = now
        wanted.told[was] = wanted.told[was] - 1
        wanted.told[now] = wanted.told[now] + 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _lift(held: cython.longlong[::1], at: cython.Py_ssize_t, count: cython.longlong) -> cython.void:
    """Give a leaf of a tree of greatest counts another one."""
    left: cython.longlong
    held[at] = count
    while at > 1:
        at = at >> 1
        left = held[2 * at]
        count = held[2 * at + 1]
        if left > count:
            count = left
        if held[at] == count:
            return
        held[at] = count


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _change(sweep: Sweep, row: cython.Py_ssize_t, sign: cython.longlong) -> cython.void:
    """Take an event in, or let it out."""
    wanted: Wanted = sweep.wanted
    entry: cython.Py_ssize_t = sweep.events.entry[row]
    by: cython.longlong = sweep.events.adds[row]
    was: cython.longlong
    if wanted.part == 4:
        _change_level(wanted, entry, by, sign)
        return
    by = by * sign
    if wanted.part == 2:  # sums of spans of entries, as in a binary indexed tree
        sweep.total += by
        entry += 1
        while entry <= sweep.entries:
            wanted.held[entry] = wanted.held[entry] + by
            entry += entry & -entry
        return
    if wanted.part == 3:
        _lift(wanted.held, sweep.leaves + entry, wanted.held[sweep.leaves + entry] + by)
        return
    was = wanted.held[entry]
    wanted.held[entry] = was + by
    by = 1 if was == 0 else -1 if was + by == 0 else 0
    if wanted.part == 1:
        sweep.total += by
    elif by != 0:
        wanted.live[entry >> 5] = wanted.live[entry >> 5] + by


@cython.cfunc
@cython.exceptval(check=False)
def _forget(sweep: Sweep) -> cython.void:
    """Leave all places empty that the key at hand has used."""
    wanted: Wanted = sweep.wanted
    row: cython.Py_ssize_t
    j: cython.Py_ssize_t
    last: cython.Py_ssize_t = 2 * sweep.leaves if wanted.part == 3 else sweep.entries + 1 if wanted.part == 2 else sweep.entries
    sweep.total = 0
    if wanted.part == 4:
        for row in range(sweep.lo, sweep.events.events[sweep.key + 1]):
            if sweep.events.enters[row] <= sweep.before:
                _change(sweep, row, -1)
        return
    for j in range(last):
        wanted.held[j] = 0
    if wanted.part == 0:
        for j in range((last + 31) >> 5):
            wanted.live[j] = 0


@cython.cfunc
@cython.exceptval(check=False)
def _next_key(sweep: Sweep) -> cython.bint:
    """Begin with the next key that asks, if there is one."""
    if sweep.key >= 0:
        _forget(sweep)
    sweep.key += 1
    while sweep.key + 1 < sweep.offsets.shape[0] and sweep.q == sweep.offsets[sweep.key + 1]:
        sweep.key += 1
    if sweep.key + 1 >= sweep.offsets.shape[0]:
        return False
    sweep.lo = sweep.hi = sweep.events.events[sweep.key]
    sweep.before = -9223372036854775807
    if sweep.wanted.part != 4:
        sweep.entries = sweep.events.offsets[sweep.key + 1] - sweep.events.offsets[sweep.key]
        sweep.leaves = 1
        while sweep.leaves < sweep.entries:
            sweep.leaves = sweep.leaves << 1
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
            _change(sweep, sweep.lo, -1)
        sweep.lo += 1
    while sweep.hi < rows:
        row = events.order[sweep.hi]
        if events.enters[row] > t:
            break
        if events.ts[row] >= start:
            _change(sweep, row, 1)
        sweep.hi += 1
    sweep.before = t


# ── what is written ──────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.exceptval(check=False)
def _write_all(sweep: Sweep, made: Made) -> cython.Py_ssize_t:
    """Write the map at hand; its size."""
    wanted: Wanted = sweep.wanted
    base: cython.Py_ssize_t = sweep.events.offsets[sweep.key]
    first: cython.Py_ssize_t = made.size
    block: cython.Py_ssize_t = 0
    j: cython.Py_ssize_t
    left: cython.longlong
    while block << 5 < sweep.entries:
        left = wanted.live[block]
        j = block << 5
        block += 1
        while left > 0:
            if wanted.held[j] != 0:
                left -= 1
                made.keys[made.size] = sweep.events.keys[base + j]
                made.counts[made.size] = wanted.held[j]
                made.size += 1
            j += 1
    return made.size - first


@cython.cfunc
@cython.exceptval(check=False)
def _write_rank(sweep: Sweep, made: Made) -> cython.Py_ssize_t:
    """Write the key of the entry in which the share lies: before it there are at most so many counts."""
    held: cython.longlong[::1] = sweep.wanted.held
    left: cython.longlong = cython.cast(cython.longlong, sweep.wanted.share * cython.cast(cython.double, sweep.total - 1))
    at: cython.Py_ssize_t = 0
    step: cython.Py_ssize_t = sweep.leaves
    made.keys[made.size] = 0
    if sweep.total > 0:
        while step > 0:
            if at + step <= sweep.entries and held[at + step] <= left:
                at += step
                left -= held[at]
            step = step >> 1
        made.keys[made.size] = sweep.events.keys[sweep.events.offsets[sweep.key] + at]
    made.size += 1
    return 1


@cython.cfunc
@cython.exceptval(check=False)
def _write_top(sweep: Sweep, made: Made) -> cython.Py_ssize_t:
    """Write the entries that count most: each is taken out of the tree to find the next one, and put back in the end."""
    held: cython.longlong[::1] = sweep.wanted.held
    first: cython.Py_ssize_t = made.size
    at: cython.Py_ssize_t
    while held[1] > 0 and made.size - first < sweep.wanted.number:
        at = 1
        while at < sweep.leaves:
            at = 2 * at if held[2 * at] == held[at] else 2 * at + 1
        made.keys[made.size] = at
        made.counts[made.size] = held[at]
        made.size += 1
        _lift(held, at, 0)
    for at in range(first, made.size):
        _lift(held, made.keys[at], made.counts[at])
        made.keys[at] = sweep.events.keys[sweep.events.offsets[sweep.key] + made.keys[at] - sweep.leaves]
    return made.size - first


@cython.cfunc
@cython.exceptval(check=False)
def _write(sweep: Sweep, made: Made) -> cython.Py_ssize_t:
    """Write what is wanted of the map at hand behind what is there."""
    wanted: Wanted = sweep.wanted
    j: cython.Py_ssize_t
    if wanted.part == 1:
        return wanted.number if wanted.number > 0 and sweep.total > wanted.number else sweep.total
    if wanted.part == 2:
        return _write_rank(sweep, made)
    if wanted.part == 3:
        return _write_top(sweep, made)
    if wanted.part == 0:
        return _write_all(sweep, made)
    for j in range(wanted.number):
        made.counts[made.size + j] = wanted.told[j]
    made.size += wanted.number
    return wanted.number


@cython.cfunc
@cython.exceptval(check=False)
def _needed(sweep: Sweep) -> cython.Py_ssize_t:
    """Room for what the next question may have."""
    part: cython.int = sweep.wanted.part
    return sweep.entries if part == 0 else 0 if part == 1 else 1 if part == 2 else sweep.wanted.number


@cython.cfunc
@cython.exceptval(check=False)
def _run(sweep: Sweep, made: Made) -> cython.Py_ssize_t:
    """As :meth:`Sweep.run` says."""
    written: cython.Py_ssize_t = 0
    while written < made.sizes.shape[0]:
        if (sweep.key < 0 or sweep.q == sweep.offsets[sweep.key + 1]) and not _next_key(sweep):
            return written
        if made.size + _needed(sweep) > made.counts.shape[0]:
            return written
        _move(sweep, sweep.times[sweep.q])
        made.sizes[written] = _write(sweep, made)
        sweep.q += 1
        written += 1
    return written
