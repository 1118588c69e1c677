# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""The loop that folds the windows of many questions in order of time, each event and tile made once.

The bits are those of :func:`tidewheel.features.kernel.fold_windows` over tiles of the same events. Here a tile is only made where
a window reaches it and is let go when the last one has left it; where one question's fold begins with the one before it, it goes
on from there. Compiled or interpreted, as :mod:`tidewheel.features.kernel`, whose states and steps these are.
"""

from __future__ import annotations

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

if cython.compiled:
    from cython.cimports.tidewheel.features.kernel import Moments, States, Values, _add, _clear, _merge
else:
    from tidewheel.features.kernel import Moments, States, Values, _add, _clear, _merge

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class Asked:
    """Questions: key ``k`` asks at ``times``, ascending, in ``offsets[k]`` up to ``offsets[k + 1]``; ``rows``: the answers' places.

    Each asks for the events before ``offset`` ago, as far back as ``window``, in whole hops but for the latest.
    """

    offsets: cython.const[cython.longlong][::1]
    times: cython.const[cython.longlong][::1]
    rows: cython.const[cython.longlong][::1]
    window: cython.longlong
    hop: cython.longlong
    offset: cython.longlong

    def __init__(self, offsets: object, times: object, rows: object, window: int, hop: int, offset: int) -> None:
        self.offsets = _items(offsets)
        self.times = _items(times)
        self.rows = _items(rows)
        self.window = window
        self.hop = hop
        self.offset = offset


@cython.final
@cython.cclass
class Work:
    """Room for one key's tiles: the first event of each, when all of it is known, and the states, three more than tiles.

    State 0 is that of the tiles from ``done`` up to ``upto``, 1 goes on with the events up to the time asked, 2 is for a tile
    of which not all is known.
    """

    first: cython.longlong[::1]
    known: cython.longlong[::1]
    states: States
    begin: cython.Py_ssize_t
    end: cython.Py_ssize_t
    done: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    whole: cython.bint

    def __init__(self, first: object, known: object, states: States) -> None:
        self.first = _items(first)
        self.known = _items(known)
        self.states = states
        self.begin = self.end = self.done = self.upto = 0
        self.whole = False


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _ahead(
    values: cython.const[cython.longlong][::1], lo: cython.Py_ssize_t, hi: cython.Py_ssize_t, bound: cython.longlong
) -> cython.Py_ssize_t:
    """First position in sorted ``values[lo:hi]`` whose value is at least ``bound``, in steps that double."""
    step: cython.Py_ssize_t = 1
    middle: cython.Py_ssize_t
    while lo < hi and values[lo] < bound:
        lo += 1
        if lo + step < hi and values[lo + step] < bound:
            lo += step + 1
            step = step * 2
        elif step > 1:
            hi = lo + step if lo + step < hi else hi
            while lo < hi:
                middle = (lo + hi) >> 1
                if values[middle] < bound:
                    lo = middle + 1
                else:
                    hi = middle
    return lo


@cython.cfunc
@cython.exceptval(check=False)
def _make_tile(
    values: Values, moments: Moments, work: Work, row: cython.Py_ssize_t, rows: cython.Py_ssize_t, stop: cython.longlong
) -> cython.Py_ssize_t:
    """A tile of the events from ``row`` up to the time ``stop``; the row behind them."""
    known: cython.longlong = moments.known[row]
    work.first[work.end] = row
    _clear(values, work.states, work.end + 3)
    while row < rows and moments.ts[row] < stop:
        _add(values, row, work.states, work.end + 3)
        if moments.known[row] > known:
            known = moments.known[row]
        row += 1
    work.known[work.end] = known
    work.end += 1
    return row


@cython.cfunc
@cython.exceptval(check=False)
def _fold_tiles(values: Values, moments: Moments, work: Work, behind: cython.Py_ssize_t, t: cython.longlong) -> cython.bint:
    """Bring state 0 up to the tiles from ``begin`` on, as far as they are known at ``t``; whether it is another one now."""
    states: States = work.states
    tile: cython.Py_ssize_t
    row: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    j: cython.Py_ssize_t
    if work.whole and values.fold == 0 and work.done < work.begin <= work.upto:
        for tile in range(work.done, work.begin):  # whole numbers: taking away gives the bits of adding up
            for j in range(values.wi):
                states.ints[j] = states.ints[j] - states.ints[(tile + 3) * values.wi + j]
        work.done = work.begin
        if work.upto == work.end:
            return True
    if work.whole and work.done == work.begin:
        if work.upto == work.end:
            return False
    else:
        _clear(values, states, 0)
        work.upto = work.begin
    work.done = work.begin
    work.whole = True
    for tile in range(work.upto, work.end):
        if work.known[tile] <= t:
            _merge(values, states, tile + 3, states, 0)
            continue
        work.whole = False
        _clear(values, states, 2)
        stop = work.first[tile + 1] if tile + 1 < work.end else behind
        for row in range(work.first[tile], stop):
            if moments.known[row] <= t:
                _add(values, row, states, 2)
        _merge(values, states, 2, states, 0)
    work.upto = work.end
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _copy(values: Values, by: States, other: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t) -> cython.void:
    j: cython.Py_ssize_t
    for j in range(values.wi):
        to.ints[number * values.wi + j] = by.ints[other * values.wi + j]
    for j in range(values.wf):
        to.floats[number * values.wf + j] = by.floats[other * values.wf + j]


def sweep(values: Values, moments: Moments, asked: Asked, *, work: Work, to: States) -> None:
    """Fold the window of every question into the state of its place, which must be empty before.

    ``work`` has room for as many tiles as one key has events, or as there are hops.
    """
    states: States = work.states
    hop: cython.longlong = asked.hop
    key: cython.Py_ssize_t
    q: cython.Py_ssize_t
    lo: cython.Py_ssize_t
    hi: cython.Py_ssize_t
    row: cython.Py_ssize_t
    rows: cython.Py_ssize_t
    opened: cython.Py_ssize_t
    t: cython.longlong
    end: cython.longlong
    for key in range(asked.offsets.shape[0] - 1):
        lo = hi = row = moments.offsets[key]
        rows = moments.offsets[key + 1]
        if lo == rows:
            continue
        opened = -1
        work.begin = work.end = work.done = work.upto = 0
        work.whole = False
        for q in range(asked.offsets[key], asked.offsets[key + 1]):
            t = asked.times[q]
            end = (t - asked.offset) // hop * hop
            lo = _ahead(moments.ts, lo, rows, (t - asked.offset - asked.window) // hop * hop)
            while work.begin < work.end and work.first[work.begin] < lo:
                work.begin += 1
            if work.begin == work.end:
                work.begin = work.end = work.done = work.upto = 0
                work.whole = False
                if hi < lo:
                    hi = lo
            while hi < rows and moments.ts[hi] < end:
                hi = _make_tile(values, moments, work, hi, rows, moments.ts[hi] // hop * hop + hop)
            if _fold_tiles(values, moments, work, hi, t) or opened != hi:
                _copy(values, states, 0, states, 1)
                opened = row = hi
            if asked.offset == 0:
                while row < rows and moments.ts[row] < t:
                    if moments.known[row] <= t:
                        _add(values, row, states, 1)
                    else:
                        opened = -1  # it comes before others once it is known
                    row += 1
            _copy(values, states, 1, to, asked.rows[q])
