# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loops of look-up and window fold: one file, compiled to C for speed, and interpreted as its own reference.

Arrays are flat and contiguous: int64 (microseconds, counts, codes) or float64. A state of a fold is ``wi`` integers, the first
of which counts the values folded, and ``wf`` floats. ``fold`` says which fold; the codes stand in
:mod:`tidewheel.features.state`.

Both forms give the same bits: no fused multiply-add (``-ffp-contract=off``), integer division floors, no numpy scalars
(which warn where C does not). Interpreted, arrays are seen through ``memoryview`` and so give Python numbers.
"""

from __future__ import annotations

import functools

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _arrays(function):
    """Let an interpreted function see arrays as memoryviews, whose items are Python numbers."""
    if COMPILED:
        return function

    @functools.wraps(function)
    def call(*args):
        return function(*[memoryview(one) if hasattr(one, "__array_interface__") else one for one in args])

    return call


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
def _add(
    fold: cython.int,
    wi: cython.Py_ssize_t,
    ints: cython.longlong[::1],
    i: cython.Py_ssize_t,
    floats: cython.double[::1],
    f: cython.Py_ssize_t,
    vi: cython.const[cython.longlong][::1],
    vf: cython.const[cython.double][::1],
    row: cython.Py_ssize_t,
) -> cython.void:
    """Add one value to the state that starts at ``ints[i]`` and ``floats[f]``."""
    n: cython.longlong = ints[i]
    j: cython.Py_ssize_t
    x: cython.double
    d: cython.double
    ints[i] = n + 1
    if fold == 0:  # count, and sums of limbs
        for j in range(1, wi):
            ints[i + j] = ints[i + j] + vi[row * (wi - 1) + j - 1]
    elif fold == 1:  # compensated sum
        _compensated(floats, f, vf[row])
    elif fold == 2:  # mean and squared deviations (Welford)
        x = vf[row]
        d = x - floats[f]
        floats[f] = floats[f] + d / (n + 1)
        floats[f + 1] = floats[f + 1] + d * (x - floats[f])
    elif fold == 3:
        if n == 0 or vi[row] < ints[i + 1]:
            ints[i + 1] = vi[row]
    elif fold == 4:
        if n == 0 or vi[row] > ints[i + 1]:
            ints[i + 1] = vi[row]
    elif fold == 5:  # NaN wins, so that it is seen
        x = vf[row]
        if n == 0 or x < floats[f] or x != x:
            floats[f] = x
    elif fold == 6:
        x = vf[row]
        if n == 0 or x > floats[f] or x != x:
            floats[f] = x
    elif fold == 7:
        ints[i + 1] = vi[row]
    else:
        floats[f] = vf[row]


@cython.cfunc
def _merge(
    fold: cython.int,
    wi: cython.Py_ssize_t,
    wf: cython.Py_ssize_t,
    ints: cython.longlong[::1],
    i: cython.Py_ssize_t,
    floats: cython.double[::1],
    f: cython.Py_ssize_t,
    from_ints: cython.const[cython.longlong][::1],
    a: cython.Py_ssize_t,
    from_floats: cython.const[cython.double][::1],
    b: cython.Py_ssize_t,
) -> cython.void:
    """Merge a later state into an earlier one. An empty state changes nothing; merging into one copies."""
    n: cython.longlong = ints[i]
    m: cython.longlong = from_ints[a]
    j: cython.Py_ssize_t
    x: cython.double
    d: cython.double
    if m == 0:
        return
    ints[i] = n + m
    if n == 0 or fold >= 7:
        for j in range(1, wi):
            ints[i + j] = from_ints[a + j]
        for j in range(wf):
            floats[f + j] = from_floats[b + j]
    elif fold == 0:
        for j in range(1, wi):
            ints[i + j] = ints[i + j] + from_ints[a + j]
    elif fold == 1:
        _compensated(floats, f, from_floats[b])
        floats[f + 1] = floats[f + 1] + from_floats[b + 1]
    elif fold == 2:  # Chan
        d = from_floats[b] - floats[f]
        x = cython.cast(cython.double, m) / cython.cast(cython.double, n + m)
        floats[f] = floats[f] + d * x
        floats[f + 1] = floats[f + 1] + from_floats[b + 1] + d * d * (x * n)
    elif fold == 3:
        if from_ints[a + 1] < ints[i + 1]:
            ints[i + 1] = from_ints[a + 1]
    elif fold == 4:
        if from_ints[a + 1] > ints[i + 1]:
            ints[i + 1] = from_ints[a + 1]
    elif fold == 5:
        x = from_floats[b]
        if x < floats[f] or x != x:
            floats[f] = x
    else:
        x = from_floats[b]
        if x > floats[f] or x != x:
            floats[f] = x


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


@_arrays
def fold_ranges(
    fold: cython.int,
    wi: cython.Py_ssize_t,
    wf: cython.Py_ssize_t,
    first: cython.const[cython.longlong][::1],
    vi: cython.const[cython.longlong][::1],
    vf: cython.const[cython.double][::1],
    ints: cython.longlong[::1],
    floats: cython.double[::1],
):
    """Fold values ``first[r]`` up to ``first[r + 1]`` into state ``r``, which must be zero before."""
    r: cython.Py_ssize_t
    row: cython.Py_ssize_t
    for r in range(first.shape[0] - 1):
        for row in range(first[r], first[r + 1]):
            _add(fold, wi, ints, r * wi, floats, r * wf, vi, vf, row)


@_arrays
def fold_windows(
    fold: cython.int,
    wi: cython.Py_ssize_t,
    wf: cython.Py_ssize_t,
    window: cython.longlong,
    hop: cython.longlong,
    keys: cython.const[cython.longlong][::1],
    times: cython.const[cython.longlong][::1],
    tile_offsets: cython.const[cython.longlong][::1],
    tile_start: cython.const[cython.longlong][::1],
    tile_known: cython.const[cython.longlong][::1],
    tile_first: cython.const[cython.longlong][::1],
    tile_ints: cython.const[cython.longlong][::1],
    tile_floats: cython.const[cython.double][::1],
    offsets: cython.const[cython.longlong][::1],
    ts: cython.const[cython.longlong][::1],
    known: cython.const[cython.longlong][::1],
    vi: cython.const[cython.longlong][::1],
    vf: cython.const[cython.double][::1],
    ints: cython.longlong[::1],
    floats: cython.double[::1],
    closed_ints: cython.longlong[::1],
    closed_floats: cython.double[::1],
    blocked: cython.uchar[::1],
):
    """Fold the window of every query: closed tiles in time order, then the events of the open tile one by one.

    Queries that follow each other with the same closed tiles fold those once, so sort queries by key and time. A closed tile
    with an event not yet known at the time asked is folded again from its known events; ``tile_first`` is its first event, or
    -1 where its events are not here, and then the query is ``blocked``. The last two states of ``closed_*`` are scratch.
    """
    q: cython.Py_ssize_t
    tile: cython.Py_ssize_t
    row: cython.Py_ssize_t
    i0: cython.Py_ssize_t
    i1: cython.Py_ssize_t
    j: cython.Py_ssize_t
    key: cython.longlong
    t: cython.longlong
    end: cython.longlong
    have_key: cython.longlong = -1
    have_i0: cython.Py_ssize_t = -1
    have_i1: cython.Py_ssize_t = -1
    all_known: cython.bint
    for q in range(keys.shape[0]):
        key = keys[q]
        t = times[q]
        if key < 0:
            continue
        end = t // hop * hop
        i0 = _first_at(tile_start, tile_offsets[key], tile_offsets[key + 1], (t - window) // hop * hop)
        i1 = _first_at(tile_start, i0, tile_offsets[key + 1], end)
        if key != have_key or i0 != have_i0 or i1 != have_i1:
            for j in range(wi):
                closed_ints[j] = 0
            for j in range(wf):
                closed_floats[j] = 0.0
            all_known = True
            for tile in range(i0, i1):
                if tile_known[tile] <= t:
                    _merge(fold, wi, wf, closed_ints, 0, closed_floats, 0, tile_ints, tile * wi, tile_floats, tile * wf)
                    continue
                all_known = False
                if tile_first[tile] < 0:
                    blocked[q] = 1
                    continue
                for j in range(wi):
                    closed_ints[wi + j] = 0
                for j in range(wf):
                    closed_floats[wf + j] = 0.0
                row = tile_first[tile]
                while row < offsets[key + 1] and ts[row] < tile_start[tile] + hop:
                    if known[row] <= t:
                        _add(fold, wi, closed_ints, wi, closed_floats, wf, vi, vf, row)
                    row += 1
                _merge(fold, wi, wf, closed_ints, 0, closed_floats, 0, closed_ints, wi, closed_floats, wf)
            have_key = key if all_known else -1
            have_i0 = i0
            have_i1 = i1
        for j in range(wi):
            ints[q * wi + j] = closed_ints[j]
        for j in range(wf):
            floats[q * wf + j] = closed_floats[j]
        row = _first_at(ts, offsets[key], offsets[key + 1], end)
        while row < offsets[key + 1] and ts[row] < t:
            if known[row] <= t:
                _add(fold, wi, ints, q * wi, floats, q * wf, vi, vf, row)
            row += 1


# ── look-ups ─────────────────────────────────────────────────────────────────────────────────────


@_arrays
def group(codes: cython.const[cython.longlong][::1], offsets: cython.longlong[::1], order: cython.longlong[::1]):
    """Stable counting sort: positions grouped by code into ``order``, group ``c`` at ``offsets[c]`` up to ``offsets[c + 1]``.

    ``offsets`` has one more item than there are codes, all zero before. Negative codes are left out; answers how many are in.
    """
    i: cython.Py_ssize_t
    c: cython.longlong
    kept: cython.longlong = 0
    groups: cython.Py_ssize_t = offsets.shape[0] - 1
    for i in range(codes.shape[0]):
        c = codes[i]
        if c >= 0:
            offsets[c] = offsets[c] + 1
    for i in range(groups):
        c = offsets[i]
        offsets[i] = kept
        kept += c
    for i in range(codes.shape[0]):
        c = codes[i]
        if c >= 0:
            order[offsets[c]] = i
            offsets[c] = offsets[c] + 1
    for i in range(groups, 0, -1):
        offsets[i] = offsets[i - 1]
    offsets[0] = 0
    return kept


@_arrays
def record_highs(
    offsets: cython.const[cython.longlong][::1], rank: cython.const[cython.longlong][::1], keep: cython.uchar[::1]
):
    """Within each group, mark the items whose rank exceeds that of every item before them."""
    g: cython.Py_ssize_t
    i: cython.Py_ssize_t
    high: cython.longlong
    for g in range(offsets.shape[0] - 1):
        high = -1
        for i in range(offsets[g], offsets[g + 1]):
            if rank[i] > high:
                high = rank[i]
                keep[i] = 1


@_arrays
def latest(
    offsets: cython.const[cython.longlong][::1],
    known: cython.const[cython.longlong][::1],
    keys: cython.const[cython.longlong][::1],
    times: cython.const[cython.longlong][::1],
    found: cython.longlong[::1],
):
    """For every query the last position of its group with ``known <= time``, or -1; ``known`` ascends in each group."""
    q: cython.Py_ssize_t
    at: cython.Py_ssize_t
    key: cython.longlong
    for q in range(keys.shape[0]):
        key = keys[q]
        found[q] = -1
        if key >= 0:
            at = _first_at(known, offsets[key], offsets[key + 1], times[q] + 1)
            if at > offsets[key]:
                found[q] = at - 1
