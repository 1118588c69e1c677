# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loops of the window fold: one file, compiled to C for speed, and interpreted as its own reference.

Arrays are flat and contiguous: int64 (microseconds, counts, codes) or float64. A state of a fold is ``wi`` integers, the first
of which counts the values folded, and ``wf`` floats. The codes of the folds stand in :mod:`tidewheel.features.state`.

Look-ups have a file of their own (:mod:`tidewheel.features.lookup_kernel`).

One key's bytes, as the online store keeps them, are folded where they lie (:func:`fold_keys`), by the same steps.

Both forms give the same bits: no fused multiply-add (``-ffp-contract=off``), integer division floors, no numpy scalars
(which warn where C does not). Interpreted, arrays are seen through ``memoryview`` and so give Python numbers.
"""

from __future__ import annotations

import struct
from array import array

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class States:
    """States, one after the other, that are written."""

    ints: cython.longlong[::1]
    floats: cython.double[::1]

    def __init__(self, ints: object, floats: object) -> None:
        self.ints = _items(ints)
        self.floats = _items(floats)


@cython.final
@cython.cclass
class Values:
    """Which fold runs, and the values that it adds: ``wi - 1`` integers or one float each."""

    fold: cython.int
    wi: cython.Py_ssize_t
    wf: cython.Py_ssize_t
    ints: cython.const[cython.longlong][::1]
    floats: cython.const[cython.double][::1]

    def __init__(self, fold: int, wi: int, wf: int, ints: object, floats: object) -> None:
        self.fold = fold
        self.wi = wi
        self.wf = wf
        self.ints = _items(ints)
        self.floats = _items(floats)


@cython.final
@cython.cclass
class Moments:
    """When the values are, by key: event time, and the time from which each is known."""

    offsets: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    known: cython.const[cython.longlong][::1]

    def __init__(self, offsets: object, ts: object, known: object) -> None:
        self.offsets = _items(offsets)
        self.ts = _items(ts)
        self.known = _items(known)


@cython.final
@cython.cclass
class Tiles:
    """Closed tiles by key: start, when all of it is known, position of the first value (-1: not here), state."""

    offsets: cython.const[cython.longlong][::1]
    start: cython.const[cython.longlong][::1]
    known: cython.const[cython.longlong][::1]
    first: cython.const[cython.longlong][::1]
    states: States

    def __init__(self, offsets: object, start: object, known: object, first: object, states: States) -> None:
        self.offsets = _items(offsets)
        self.start = _items(start)
        self.known = _items(known)
        self.first = _items(first)
        self.states = states


@cython.final
@cython.cclass
class Queries:
    """Keys (negative: none) and times asked, with the window, its hop, and how far it lies in the past."""

    keys: cython.const[cython.longlong][::1]
    times: cython.const[cython.longlong][::1]
    window: cython.longlong
    hop: cython.longlong
    offset: cython.longlong

    def __init__(self, keys: object, times: object, window: int, hop: int, offset: int = 0) -> None:
        self.keys = _items(keys)
        self.times = _items(times)
        self.window = window
        self.hop = hop
        self.offset = offset


# ── one state ────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.inline
def _compensated(floats: cython.double[::1], f: cython.Py_ssize_t, x: cython.double) -> cython.void:
    """Neumaier: the sum in ``floats[f]``, what rounding lost in ``floats[f + 1]``."""
    s: cython.double = floats[f]
    t: cython.double = s + x
    if (s if s >= 0.0 else -s) >= (x if x >= 0.0 else -x):
        floats[f + 1] = floats[f + 1] + ((s - t) + x)
    else:
        floats[f + 1] = floats[f + 1] + ((x - t) + s)
    floats[f] = t


@cython.cfunc
def _clear(values: Values, to: States, number: cython.Py_ssize_t) -> cython.void:
    """Make one state empty."""
    j: cython.Py_ssize_t
    for j in range(values.wi):
        to.ints[number * values.wi + j] = 0
    for j in range(values.wf):
        to.floats[number * values.wf + j] = 0.0


@cython.cfunc
def _add(values: Values, row: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t) -> cython.void:
    """Add one value to one state."""
    fold: cython.int = values.fold
    wi: cython.Py_ssize_t = values.wi
    i: cython.Py_ssize_t = number * wi
    f: cython.Py_ssize_t = number * values.wf
    n: cython.longlong = to.ints[i]
    j: cython.Py_ssize_t
    x: cython.double
    d: cython.double
    to.ints[i] = n + 1
    if fold == 0:  # count, and sums of limbs
        for j in range(1, wi):
            to.ints[i + j] = to.ints[i + j] + values.ints[row * (wi - 1) + j - 1]
    elif fold == 1:  # compensated sum
        _compensated(to.floats, f, values.floats[row])
    elif fold == 2:  # mean and squared deviations (Welford)
        x = values.floats[row]
        d = x - to.floats[f]
        to.floats[f] = to.floats[f] + d / cython.cast(cython.double, n + 1)
        to.floats[f + 1] = to.floats[f + 1] + d * (x - to.floats[f])
    elif fold == 3:
        if n == 0 or values.ints[row] < to.ints[i + 1]:
            to.ints[i + 1] = values.ints[row]
    elif fold == 4:
        if n == 0 or values.ints[row] > to.ints[i + 1]:
            to.ints[i + 1] = values.ints[row]
    elif fold == 5:  # NaN wins, so that it is seen
        x = values.floats[row]
        if n == 0 or x < to.floats[f] or x != x:
            to.floats[f] = x
    elif fold == 6:
        x = values.floats[row]
        if n == 0 or x > to.floats[f] or x != x:
            to.floats[f] = x
    elif fold == 7:
        to.ints[i + 1] = values.ints[row]
    elif fold == 8:
        to.floats[f] = values.floats[row]
    else:
        _keep(values, row, to, i, f, n)


@cython.cfunc
def _keep(
    values: Values, row: cython.Py_ssize_t, to: States, i: cython.Py_ssize_t, f: cython.Py_ssize_t, n: cython.longlong
) -> cython.void:
    """Add a value to a state that keeps the first ones (9, 10) or the last ones (11, 12), as many as it has room for."""
    fold: cython.int = values.fold
    room: cython.Py_ssize_t = values.wf if fold == 10 or fold == 12 else values.wi - 1
    j: cython.Py_ssize_t
    place: cython.Py_ssize_t = n if n < room else room
    if place == room:
        if fold <= 10:
            return
        for j in range(1, room):
            if fold == 11:
                to.ints[i + j] = to.ints[i + j + 1]
            else:
                to.floats[f + j - 1] = to.floats[f + j]
        place = room - 1
    if fold == 9 or fold == 11:
        to.ints[i + 1 + place] = values.ints[row]
    else:
        to.floats[f + place] = values.floats[row]


@cython.cfunc
def _keep_all(
    values: Values, by: States, other: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t, n: cython.longlong
) -> cython.void:
    """Add the values that a later state keeps to an earlier one."""
    fold: cython.int = values.fold
    a: cython.Py_ssize_t = other * values.wi
    b: cython.Py_ssize_t = other * values.wf
    i: cython.Py_ssize_t = number * values.wi
    f: cython.Py_ssize_t = number * values.wf
    m: cython.longlong = by.ints[a]
    room: cython.Py_ssize_t = values.wf if fold == 10 or fold == 12 else values.wi - 1
    have: cython.Py_ssize_t = n if n < room else room
    add: cython.Py_ssize_t = m if m < room else room
    drop: cython.Py_ssize_t = have + add - room
    j: cython.Py_ssize_t
    if drop > 0:
        if fold <= 10:
            add -= drop
        else:
            have -= drop
            for j in range(have):
                if fold == 11:
                    to.ints[i + 1 + j] = to.ints[i + 1 + j + drop]
                else:
                    to.floats[f + j] = to.floats[f + j + drop]
    for j in range(add):
        if fold == 9 or fold == 11:
            to.ints[i + 1 + have + j] = by.ints[a + 1 + j]
        else:
            to.floats[f + have + j] = by.floats[b + j]


@cython.cfunc
def _merge(values: Values, by: States, other: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t) -> cython.void:
    """Merge a later state into an earlier one. An empty state changes nothing; merging into one copies."""
    fold: cython.int = values.fold
    i: cython.Py_ssize_t = number * values.wi
    f: cython.Py_ssize_t = number * values.wf
    a: cython.Py_ssize_t = other * values.wi
    b: cython.Py_ssize_t = other * values.wf
    n: cython.longlong = to.ints[i]
    m: cython.longlong = by.ints[a]
    j: cython.Py_ssize_t
    x: cython.double
    d: cython.double
    if m == 0:
        return
    to.ints[i] = n + m
    if n == 0 or fold == 7 or fold == 8:
        for j in range(1, values.wi):
            to.ints[i + j] = by.ints[a + j]
        for j in range(values.wf):
            to.floats[f + j] = by.floats[b + j]
    elif fold == 0:
        for j in range(1, values.wi):
            to.ints[i + j] = to.ints[i + j] + by.ints[a + j]
    elif fold == 1:
        _compensated(to.floats, f, by.floats[b])
        to.floats[f + 1] = to.floats[f + 1] + by.floats[b + 1]
    elif fold == 2:  # Chan
        d = by.floats[b] - to.floats[f]
        x = cython.cast(cython.double, m) / cython.cast(cython.double, n + m)
        to.floats[f] = to.floats[f] + d * x
        to.floats[f + 1] = to.floats[f + 1] + by.floats[b + 1] + d * d * (x * cython.cast(cython.double, n))
    elif fold == 3:
        if by.ints[a + 1] < to.ints[i + 1]:
            to.ints[i + 1] = by.ints[a + 1]
    elif fold == 4:
        if by.ints[a + 1] > to.ints[i + 1]:
            to.ints[i + 1] = by.ints[a + 1]
    elif fold == 5:
        x = by.floats[b]
        if x < to.floats[f] or x != x:
            to.floats[f] = x
    elif fold == 6:
        x = by.floats[b]
        if x > to.floats[f] or x != x:
            to.floats[f] = x
    else:
        _keep_all(values, by, other, to, number, n)


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


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def fold_ranges(values: Values, first: object, to: States) -> None:
    """Fold the values from ``first[r]`` up to ``first[r + 1]`` into state ``r``, which must be empty before."""
    starts: cython.const[cython.longlong][::1] = _items(first)
    r: cython.Py_ssize_t
    row: cython.Py_ssize_t
    for r in range(starts.shape[0] - 1):
        for row in range(starts[r], starts[r + 1]):
            _add(values, row, to, r)


@cython.cfunc
def _add_known(
    values: Values,
    moments: Moments,
    row: cython.Py_ssize_t,
    rows: cython.Py_ssize_t,
    until: cython.longlong,
    t: cython.longlong,
    to: States,
    number: cython.Py_ssize_t,
) -> cython.void:
    """Add the values in ``row:rows`` that lie before ``until`` and are known at ``t``, one by one."""
    while row < rows and moments.ts[row] < until:
        if moments.known[row] <= t:
            _add(values, row, to, number)
        row += 1


def fold_windows(
    values: Values, moments: Moments, tiles: Tiles, *, queries: Queries, to: States, scratch: States, blocked: object
) -> None:
    """Fold the window of every query: closed tiles in time order, then the values of the open tile one by one, where the window
    reaches it: one that lies in the past is whole tiles.

    Queries that follow each other with the same closed tiles fold those once, so sort queries by key and time. A closed tile
    with a value not yet known at the time asked is folded again from its known values; where these are not here the query is
    ``blocked``. ``scratch`` has room for two states.
    """
    barred: cython.uchar[::1] = _items(blocked)
    hop: cython.longlong = queries.hop
    q: cython.Py_ssize_t
    tile: cython.Py_ssize_t
    i0: cython.Py_ssize_t
    i1: cython.Py_ssize_t
    rows: cython.Py_ssize_t
    key: cython.longlong
    t: cython.longlong
    end: cython.longlong
    have_key: cython.longlong = -1
    have_i0: cython.Py_ssize_t = -1
    have_i1: cython.Py_ssize_t = -1
    all_known: cython.bint
    for q in range(queries.keys.shape[0]):
        key = queries.keys[q]
        t = queries.times[q]
        if key < 0:
            continue
        rows = moments.offsets[key + 1]
        end = (t - queries.offset) // hop * hop
        i0 = _first_at(
            tiles.start, tiles.offsets[key], tiles.offsets[key + 1], (t - queries.offset - queries.window) // hop * hop
        )
        i1 = _first_at(tiles.start, i0, tiles.offsets[key + 1], end)
        if key != have_key or i0 != have_i0 or i1 != have_i1:
            _clear(values, scratch, 0)
            all_known = True
            for tile in range(i0, i1):
                if tiles.known[tile] <= t:
                    _merge(values, tiles.states, tile, scratch, 0)
                    continue
                all_known = False
                if tiles.first[tile] < 0:
                    barred[q] = 1
                    continue
                _clear(values, scratch, 1)
                _add_known(values, moments, tiles.first[tile], rows, tiles.start[tile] + hop, t, scratch, 1)
                _merge(values, scratch, 1, scratch, 0)
            have_key = key if all_known else -1
            have_i0 = i0
            have_i1 = i1
        _merge(values, scratch, 0, to, q)
        if queries.offset == 0:
            _add_known(values, moments, _first_at(moments.ts, moments.offsets[key], rows, end), rows, t, t, to, q)


# ── one key, as bytes ────────────────────────────────────────────────────────────────────────────


@cython.final
@cython.cclass
class KeyPlan:
    """Where the values of one key stand in its bytes, and which windows are asked of them.

    Parameters
    ----------
    groups
        Flat, 10 numbers a group: fold, ``wi``, ``wf``, hop, encoding (0 none, 1 limbs, 2 integer, 3 float), type of the slot
        (0 bool, 1 and 2 integers of 32 and 64 bits, 3 and 4 floats), its offset (-1: every event counts), byte and mask of its
        presence, number of windows.
    windows
        Their lengths, group after group.
    layout
        Of open events: version, fingerprint, least size; offset of the slot that says when one is known, or -1, and then how
        long after its time it is.
    """

    groups: cython.const[cython.longlong][::1]
    windows: cython.const[cython.longlong][::1]
    version: cython.longlong
    fingerprint: cython.longlong
    least: cython.Py_ssize_t
    available: cython.Py_ssize_t
    after: cython.longlong

    def __init__(self, groups: object, windows: object, layout: tuple) -> None:
        self.groups = _items(groups)
        self.windows = _items(windows)
        self.version, self.fingerprint, self.least, self.available, self.after = layout


@cython.final
@cython.cclass
class Stored:
    """What a store holds of one key: tiles from ``start`` of ``row``, and events in order, counted from ``mark`` on."""

    row: bytes
    start: cython.Py_ssize_t
    events: list
    mark: cython.longlong

    def __init__(self, row: bytes, start: int, events: list, mark: int) -> None:
        self.row = row
        self.start = start
        self.events = events
        self.mark = mark


@cython.cfunc
@cython.inline
def _word(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.longlong:
    """An int64 as tiles hold it: lowest byte first. Compiled, this holds on machines that do so too."""
    if cython.compiled:
        word: cython.longlong = 0
        memcpy(cython.address(word), data + at, 8)
        return word
    else:
        return int.from_bytes(data[at : at + 8], "little", signed=True)


@cython.cfunc
@cython.inline
def _real(bits: cython.longlong, short: cython.bint) -> cython.double:
    """The float64, or float32, of these bits."""
    if not cython.compiled:
        return struct.unpack("<f" if short else "<d", struct.pack("<I" if short else "<q", bits))[0]
    number: cython.double = 0.0
    small: cython.float = 0.0
    half: cython.uint = bits & 4294967295
    if short:
        memcpy(cython.address(small), cython.address(half), 4)
        return small
    memcpy(cython.address(number), cython.address(bits), 8)
    return number


@cython.cfunc
@cython.inline
def _small(data: cython.p_const_uchar, at: cython.Py_ssize_t, step: cython.Py_ssize_t) -> cython.longlong:
    """Four bytes, the highest first: with the step -1 from the last one down, the lowest first."""
    j: cython.Py_ssize_t
    number: cython.longlong = 0
    for j in range(4):
        number = number << 8 | data[at + step * j]
    return number


@cython.cfunc
@cython.inline
def _signed(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.longlong:
    """An int64 as rows hold it: highest byte first, sign flipped."""
    j: cython.Py_ssize_t
    number: cython.longlong = cython.cast(cython.longlong, data[at]) - 128
    for j in range(1, 8):
        number = number * 256 + data[at + j]
    return number


@cython.cfunc
def _take(plan: KeyPlan, g: cython.Py_ssize_t, event: cython.p_const_uchar, work: States) -> cython.bint:
    """Put an event's value for a group behind the states at work; whether it has one."""
    encoding: cython.longlong = plan.groups[g + 4]
    kind: cython.longlong = plan.groups[g + 5]
    slot: cython.Py_ssize_t = plan.groups[g + 6]
    whole: cython.longlong
    if slot < 0:
        return True
    if not event[plan.groups[g + 7]] & plan.groups[g + 8]:
        return False
    if encoding == 0:
        return True
    if kind == 4:  # so kept that bytes order as numbers do: negative ones have every bit flipped, others the sign
        whole = _signed(event, slot)
        work.floats[16] = _real(whole if whole >= 0 else -1 - whole - 9223372036854775807 - 1, False)
        return True
    if kind == 3:
        whole = _small(event, slot, 1)
        work.floats[16] = _real(whole ^ 2147483648 if whole >= 2147483648 else 4294967295 - whole, True)
        return True
    if kind == 2:
        whole = _signed(event, slot)
    elif kind == 1:
        whole = _small(event, slot, 1) - 2147483648
    else:
        whole = event[slot]
    if encoding == 1:
        work.ints[16] = whole & 4294967295
        work.ints[17] = whole >> 32
    elif encoding == 2:
        work.ints[16] = whole
    else:
        work.floats[16] = cython.cast(cython.double, whole)
    return True


@cython.cfunc
@cython.locals(middle=cython.Py_ssize_t, event=bytes, data=cython.p_const_uchar)
def _first_event(events: list, bound: cython.longlong) -> cython.Py_ssize_t:
    """First position of events in order whose time is at least ``bound``."""
    lo: cython.Py_ssize_t = 0
    hi: cython.Py_ssize_t = len(events)
    while lo < hi:
        middle = (lo + hi) >> 1
        event = events[middle]
        data = event
        if _signed(data, 0) < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


@cython.cfunc
@cython.locals(place=cython.Py_ssize_t, ts=cython.longlong, known=cython.longlong, event=bytes, data=cython.p_const_uchar)
def _fold_open(
    plan: KeyPlan, g: cython.Py_ssize_t, key: Stored, values: Values, work: States, lo: cython.longlong, t: cython.longlong
) -> cython.void:
    """Fold the open events from ``lo`` up to ``t`` into state 0: by closed hops first, in state 1, then one by one."""
    hop: cython.longlong = plan.groups[g + 3]
    end: cython.longlong = t // hop * hop
    number: cython.longlong = 0
    count: cython.Py_ssize_t = len(key.events)
    pending: cython.bint = False
    for place in range(_first_event(key.events, lo if lo > key.mark else key.mark), count):
        event = key.events[place]
        data = event
        ts = _signed(data, 0)
        if ts >= t:
            break
        if pending and (ts >= end or ts // hop != number):
            _merge(values, work, 1, work, 0)
            pending = False
        known = _signed(data, plan.available) if plan.available >= 0 else ts + plan.after
        if known > t or not _take(plan, g, data, work):
            continue
        if ts >= end:
            _add(values, 0, work, 0)
            continue
        if not pending:
            _clear(values, work, 1)
            number = ts // hop
            pending = True
        _add(values, 0, work, 1)
    if pending:
        _merge(values, work, 1, work, 0)


@cython.cfunc
@cython.locals(middle=cython.Py_ssize_t, j=cython.Py_ssize_t)
def _fold_closed(
    values: Values,
    row: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    work: States,
    lo: cython.longlong,
    hop: cython.longlong,
    t: cython.longlong,
) -> cython.bint:
    """Fold the packed tiles of a group that lie in a window into state 0; whether all of them were known at ``t``."""
    count: cython.Py_ssize_t = _small(row, at + 3, -1)
    end: cython.longlong = t // hop * hop
    known: cython.Py_ssize_t = at + 4 + 8 * count
    ints: cython.Py_ssize_t = known + 8 * count
    floats: cython.Py_ssize_t = ints + 8 * count * values.wi
    tile: cython.Py_ssize_t = 0
    hi: cython.Py_ssize_t = count
    while tile < hi:
        middle = (tile + hi) >> 1
        if _word(row, at + 4 + 8 * middle) < lo:
            tile = middle + 1
        else:
            hi = middle
    while tile < count and _word(row, at + 4 + 8 * tile) < end:
        if _word(row, known + 8 * tile) > t:
            return False
        for j in range(values.wi):
            work.ints[values.wi + j] = _word(row, ints + 8 * (tile * values.wi + j))
        for j in range(values.wf):
            work.floats[values.wf + j] = _real(_word(row, floats + 8 * (tile * values.wf + j)), False)
        _merge(values, work, 1, work, 0)
        tile += 1
    return True


@cython.cfunc
@cython.locals(g=cython.Py_ssize_t, event=bytes)
def _well_formed(plan: KeyPlan, key: Stored) -> cython.bint:
    """Whether the bytes are of this plan, so that nothing is read behind them."""
    size: cython.Py_ssize_t = len(key.row)
    at: cython.Py_ssize_t = key.start
    data: cython.p_const_uchar = key.row
    if at < size:
        for g in range(0, plan.groups.shape[0], 10):
            if at + 4 > size:
                return False
            at += 4 + 8 * _small(data, at + 3, -1) * (2 + plan.groups[g + 1] + plan.groups[g + 2])
        if at != size:
            return False
    for event in key.events:
        data = event
        if len(event) < plan.least or data[16] != plan.version or _small(data, 18, 1) != plan.fingerprint:
            return False
    return True


@cython.locals(q=cython.Py_ssize_t, g=cython.Py_ssize_t, w=cython.Py_ssize_t, j=cython.Py_ssize_t, at=cython.Py_ssize_t)
@cython.locals(
    last=cython.Py_ssize_t, t=cython.longlong, lo=cython.longlong, hop=cython.longlong, key=Stored, row=cython.p_const_uchar
)
def fold_keys(plan: KeyPlan, keys: list, times: list, *, to: States) -> int:
    """Fold every window of ``keys[q]`` at ``times[q]`` into ``to``, one state per query and window, which must be empty before.

    Returns
    -------
    -1; or the first query that needs a closed tile of which not all was known then; or -2 when bytes are not of this plan.
    """
    ints = memoryview(array("q", bytes(8 * 18)))  # room for two states, and behind it the value of one event
    floats = memoryview(array("d", bytes(8 * 17)))
    work: States = States(ints, floats)
    values: Values = Values(0, 0, 0, ints[16:], floats[16:])
    i: cython.Py_ssize_t = 0
    f: cython.Py_ssize_t = 0
    for q in range(len(keys)):
        key = keys[q]
        t = times[q]
        if not _well_formed(plan, key):
            return -2
        row = key.row
        at = key.start
        w = 0
        for g in range(0, plan.groups.shape[0], 10):
            values.fold = plan.groups[g]
            values.wi = plan.groups[g + 1]
            values.wf = plan.groups[g + 2]
            hop = plan.groups[g + 3]
            last = w + plan.groups[g + 9]
            while w < last:
                lo = (t - plan.windows[w]) // hop * hop
                _clear(values, work, 0)
                if at < len(key.row) and not _fold_closed(values, row, at, work, lo, hop, t):
                    return q
                _fold_open(plan, g, key, values, work, lo, t)
                for j in range(values.wi):
                    to.ints[i + j] = work.ints[j]
                for j in range(values.wf):
                    to.floats[f + j] = work.floats[j]
                i += values.wi
                f += values.wf
                w += 1
            if at < len(key.row):
                at += 4 + 8 * _small(row, at + 3, -1) * (2 + values.wi + values.wf)
    return -1
