# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loops of the window fold: one file, compiled to C for speed, and interpreted as its own reference.

Arrays are flat and contiguous: int64 (microseconds, counts, codes) or float64. A state of a fold is ``wi`` integers, the first
of which counts the values folded, and ``wf`` floats. The codes of the folds stand in :mod:`tidewheel.features.state`.

Look-ups have a file of their own (:mod:`tidewheel.features.lookup_kernel`).

What other kernels share of this one (:mod:`tidewheel.features.bytes_kernel`) stands in ``kernel.pxd`` too, for C.

Both forms give the same bits: no fused multiply-add (``-ffp-contract=off``), integer division floors, no numpy scalars
(which warn where C does not). Interpreted, arrays are seen through ``memoryview`` and so give Python numbers.
"""

from __future__ import annotations

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
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
def _clear(values: Values, to: States, number: cython.Py_ssize_t) -> cython.void:
    """Make one state empty."""
    j: cython.Py_ssize_t
    for j in range(values.wi):
        to.ints[number * values.wi + j] = 0
    for j in range(values.wf):
        to.floats[number * values.wf + j] = 0.0


@cython.cfunc
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
def _fold_rows(
    values: Values, row: cython.Py_ssize_t, until: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t
) -> cython.void:
    """Make one state of the values from ``row`` up to ``until``: :func:`_clear`, and :func:`_add` of each."""
    n: cython.longlong = 0
    s: cython.double = 0.0
    c: cython.double = 0.0
    x: cython.double
    t: cython.double
    if values.fold == 0 and values.wi == 1:
        to.ints[number] = until - row
    elif values.fold == 1:
        to.ints[number] = until - row
        while row < until:
            x = values.floats[row]
            t = s + x
            if (s if s >= 0.0 else -s) >= (x if x >= 0.0 else -x):
                c = c + ((s - t) + x)
            else:
                c = c + ((x - t) + s)
            s = t
            row += 1
        to.floats[2 * number] = s
        to.floats[2 * number + 1] = c
    elif values.fold == 2:
        while row < until:
            x = values.floats[row]
            t = x - s
            n += 1
            s = s + t / cython.cast(cython.double, n)
            c = c + t * (x - s)
            row += 1
        to.ints[number] = n
        to.floats[2 * number] = s
        to.floats[2 * number + 1] = c
    else:
        _clear(values, to, number)
        while row < until:
            _add(values, row, to, number)
            row += 1


@cython.cfunc
@cython.exceptval(check=False)
def _merge_all(
    values: Values, by: States, other: cython.Py_ssize_t, until: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t
) -> cython.void:
    """Merge the states from ``other`` up to ``until``, none of them empty, into an earlier one: :func:`_merge` of each."""
    n: cython.longlong
    m: cython.longlong
    s: cython.double
    c: cython.double
    x: cython.double
    t: cython.double
    if values.fold > 2 or values.wi > 1:
        while other < until:
            _merge(values, by, other, to, number)
            other += 1
        return
    if other < until and to.ints[number] == 0:
        _merge(values, by, other, to, number)
        other += 1
    n = to.ints[number]
    if values.fold == 0:
        while other < until:
            n += by.ints[other]
            other += 1
        to.ints[number] = n
        return
    s = to.floats[2 * number]
    c = to.floats[2 * number + 1]
    if values.fold == 1:
        while other < until:
            n += by.ints[other]
            x = by.floats[2 * other]
            t = s + x
            if (s if s >= 0.0 else -s) >= (x if x >= 0.0 else -x):
                c = c + ((s - t) + x)
            else:
                c = c + ((x - t) + s)
            s = t
            c = c + by.floats[2 * other + 1]
            other += 1
    else:
        while other < until:
            m = by.ints[other]
            t = by.floats[2 * other] - s
            x = cython.cast(cython.double, m) / cython.cast(cython.double, n + m)
            s = s + t * x
            c = c + by.floats[2 * other + 1] + t * t * (x * cython.cast(cython.double, n))
            n += m
            other += 1
    to.ints[number] = n
    to.floats[2 * number] = s
    to.floats[2 * number + 1] = c


@cython.cfunc
@cython.exceptval(check=False)
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
    """Fold the values from ``first[r]`` up to ``first[r + 1]`` into state ``r``."""
    starts: cython.const[cython.longlong][::1] = _items(first)
    r: cython.Py_ssize_t
    for r in range(starts.shape[0] - 1):
        _fold_rows(values, starts[r], starts[r + 1], to, r)


@cython.cfunc
@cython.exceptval(check=False)
def _add_known(
    values: Values,
    moments: Moments,
    row: cython.Py_ssize_t,
    rows: cython.Py_ssize_t,
    until: cython.longlong,
    t: cython.longlong,
    to: States,
    number: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Add the values in ``row:rows`` that lie before ``until`` and are known at ``t``, one by one.

    The row behind them, or -1 where some are not known.
    """
    known: cython.bint = True
    while row < rows and moments.ts[row] < until:
        if moments.known[row] <= t:
            _add(values, row, to, number)
        else:
            known = False
        row += 1
    return row if known else -1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _copy(values: Values, states: States, by: cython.Py_ssize_t, number: cython.Py_ssize_t) -> cython.void:
    """Put one state in the place of another."""
    j: cython.Py_ssize_t
    for j in range(values.wi):
        states.ints[number * values.wi + j] = states.ints[by * values.wi + j]
    for j in range(values.wf):
        states.floats[number * values.wf + j] = states.floats[by * values.wf + j]


def fold_windows(
    values: Values, moments: Moments, tiles: Tiles, *, queries: Queries, to: States, scratch: States, blocked: object
) -> None:
    """Fold the window of every query: closed tiles in time order, then the values of the open tile one by one, where the window
    reaches it: one that lies in the past is whole tiles.

    Queries that follow each other with the same closed tiles fold those once, and each value of the open tile once, so sort
    queries by key and time. A closed tile
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
    have_end: cython.longlong = 0
    have_t: cython.longlong = 0
    row: cython.Py_ssize_t = -1
    all_known: cython.bint
    for q in range(queries.keys.shape[0]):
        key = queries.keys[q]
        t = queries.times[q]
        if key < 0:
            row = -1
            continue
        rows = moments.offsets[key + 1]
        end = (t - queries.offset) // hop * hop
        i0 = _first_at(
            tiles.start, tiles.offsets[key], tiles.offsets[key + 1], (t - queries.offset - queries.window) // hop * hop
        )
        i1 = _first_at(tiles.start, i0, tiles.offsets[key + 1], end)
        if key != have_key or i0 != have_i0 or i1 != have_i1:
            row = -1
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
        if row >= 0 and end == have_end and t >= have_t:  # goes on from where the query before it was
            _copy(values, to, q - 1, q)
        else:
            _merge(values, scratch, 0, to, q)
            row = _first_at(moments.ts, moments.offsets[key], rows, end)
        if queries.offset == 0:
            row = _add_known(values, moments, row, rows, t, t, to, q)
        have_end = end
        have_t = t
