# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""The loop that folds the windows of many questions in order of time, each event and tile made once.

The bits are those of :func:`tidewheel.features.kernel.fold_windows` over tiles of the same events. Here a tile is only made
where a window reaches it, and is let go when the last one has left it; where one question's fold begins as the one before it
did, it goes on from there. Compiled or interpreted, as :mod:`tidewheel.features.kernel`, whose states and steps these are.
"""

from __future__ import annotations

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

if cython.compiled:
    from cython.cimports.tidewheel.features.kernel import Moments, States, Values, _add, _clear, _fold_rows, _merge, _merge_all
else:
    from tidewheel.features.kernel import Moments, States, Values, _add, _clear, _fold_rows, _merge, _merge_all

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class Asked:
    """Questions: key ``k`` asks in ``offsets[k]`` up to ``offsets[k + 1]``, its ``times`` ascend.

    ``rows`` are the answers' places. Each asks for the events before ``offset`` ago, as far back as ``window``, in whole hops
    but for the latest.
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
class Fold:
    """One fold of the window: its values, room for three states and those of one key's tiles, and the states of the answers.

    State 0 is that of the tiles at hand, 1 goes on with the events up to the time asked, 2 is for a tile of which not all is
    known.
    """

    values: Values
    states: States
    to: States

    def __init__(self, values: Values, states: States, to: States) -> None:
        self.values = values
        self.states = states
        self.to = to


@cython.final
@cython.cclass
class Held:
    """One key's tiles: the first event of each, and when all of it is known.

    Those from ``begin`` up to ``end`` are in the window; state 0 of every fold is that of those from ``done`` up to ``upto``,
    all of them known if it is ``whole``.
    """

    first: cython.longlong[::1]
    known: cython.longlong[::1]
    begin: cython.Py_ssize_t
    end: cython.Py_ssize_t
    done: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    whole: cython.bint

    def __init__(self, first: object, known: object) -> None:
        self.first = _items(first)
        self.known = _items(known)
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
    if lo >= hi or values[lo] >= bound:
        return lo
    lo += 1
    while lo + step < hi and values[lo + step] < bound:
        lo += step + 1
        step = step * 2
    if lo + step < hi:
        hi = lo + step
    while lo < hi:
        middle = (lo + hi) >> 1
        if values[middle] < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


@cython.cfunc
@cython.locals(fold=Fold)
def _make_tile(
    folds: list, moments: Moments, held: Held, row: cython.Py_ssize_t, rows: cython.Py_ssize_t, stop: cython.longlong
) -> cython.Py_ssize_t:
    """A tile of the events from ``row`` up to the time ``stop``; the row behind them."""
    known: cython.longlong = moments.known[row]
    behind: cython.Py_ssize_t = row + 1
    while behind < rows and moments.ts[behind] < stop:
        if moments.known[behind] > known:
            known = moments.known[behind]
        behind += 1
    held.first[held.end] = row
    held.known[held.end] = known
    for fold in folds:
        _fold_rows(fold.values, row, behind, fold.states, held.end + 3)
    held.end += 1
    return behind


@cython.cfunc
@cython.exceptval(check=False)
def _merge_tiles(
    fold: Fold, moments: Moments, held: Held, tile: cython.Py_ssize_t, behind: cython.Py_ssize_t, t: cython.longlong
) -> cython.bint:
    """Merge the tiles from ``tile`` on into state 0, as far as they are known at ``t``; whether all of them are."""
    till: cython.Py_ssize_t
    row: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    whole: cython.bint = True
    while tile < held.end:
        till = tile
        while till < held.end and held.known[till] <= t:
            till += 1
        _merge_all(fold.values, fold.states, tile + 3, till + 3, fold.states, 0)
        if till < held.end:
            whole = False
            _clear(fold.values, fold.states, 2)
            stop = held.first[till + 1] if till + 1 < held.end else behind
            for row in range(held.first[till], stop):
                if moments.known[row] <= t:
                    _add(fold.values, row, fold.states, 2)
            _merge(fold.values, fold.states, 2, fold.states, 0)
        tile = till + 1
    return whole


@cython.cfunc
@cython.exceptval(check=False)
def _leave(fold: Fold, tile: cython.Py_ssize_t, until: cython.Py_ssize_t) -> cython.void:
    """Take tiles out of state 0, whose numbers are whole: taking away gives the bits of adding up what stays."""
    j: cython.Py_ssize_t
    width: cython.Py_ssize_t = fold.values.wi
    while tile < until:
        for j in range(width):
            fold.states.ints[j] = fold.states.ints[j] - fold.states.ints[(tile + 3) * width + j]
        tile += 1


@cython.cfunc
@cython.locals(fold=Fold, whole=cython.bint, same=cython.bint, tile=cython.Py_ssize_t)
def _fold_tiles(folds: list, moments: Moments, held: Held, behind: cython.Py_ssize_t, t: cython.longlong) -> cython.bint:
    """Bring state 0 to the tiles from ``begin`` on, as far as they are known at ``t``; whether it is another one now."""
    same = held.whole and held.done == held.begin
    if same and held.upto == held.end:
        return False
    whole = True
    for fold in folds:
        tile = held.upto
        if not same and held.whole and held.begin < held.upto and fold.values.fold == 0:
            _leave(fold, held.done, held.begin)
        elif not same:
            _clear(fold.values, fold.states, 0)
            tile = held.begin
        whole = _merge_tiles(fold, moments, held, tile, behind, t)
    held.whole = whole
    held.done = held.begin
    held.upto = held.end
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _copy(values: Values, by: States, other: cython.Py_ssize_t, to: States, number: cython.Py_ssize_t) -> cython.void:
    """Put one state in the place of another."""
    j: cython.Py_ssize_t
    for j in range(values.wi):
        to.ints[number * values.wi + j] = by.ints[other * values.wi + j]
    for j in range(values.wf):
        to.floats[number * values.wf + j] = by.floats[other * values.wf + j]


@cython.cfunc
@cython.locals(fold=Fold, at=cython.Py_ssize_t, behind=cython.Py_ssize_t, known=cython.bint)
def _add_open(
    folds: list, moments: Moments, row: cython.Py_ssize_t, rows: cython.Py_ssize_t, t: cython.longlong
) -> cython.Py_ssize_t:
    """Add the events from ``row`` on that lie before ``t`` to state 1; the row behind them, negative if some are not known."""
    behind = row
    known = True
    while behind < rows and moments.ts[behind] < t:
        known = known and moments.known[behind] <= t
        behind += 1
    for fold in folds:
        for at in range(row, behind):
            if known or moments.known[at] <= t:
                _add(fold.values, at, fold.states, 1)
    return behind if known else -1 - behind


@cython.locals(fold=Fold)
def sweep(folds: list, moments: Moments, asked: Asked, *, first: object, known: object) -> None:
    """Fold the window of every question into the state of its place, which must be empty before.

    ``first`` and ``known`` have room for as many tiles as one key can have.
    """
    held: Held = Held(first, known)
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
        held.begin = held.end = 0
        held.whole = False
        for q in range(asked.offsets[key], asked.offsets[key + 1]):
            t = asked.times[q]
            end = (t - asked.offset) // hop * hop
            lo = _ahead(moments.ts, lo, rows, (t - asked.offset - asked.window) // hop * hop)
            while held.begin < held.end and held.first[held.begin] < lo:
                held.begin += 1
            if held.begin == held.end:  # the window has left them all
                held.begin = held.end = 0
                held.whole = False
                if hi < lo:
                    hi = lo
            while hi < rows and moments.ts[hi] < end:
                hi = _make_tile(folds, moments, held, hi, rows, moments.ts[hi] // hop * hop + hop)
            if held.end == 0 and (hi == rows or moments.ts[hi] >= t):
                opened = -1
                continue
            if _fold_tiles(folds, moments, held, hi, t) or opened != hi:
                opened = row = hi
                if asked.offset != 0 or hi == rows or moments.ts[hi] >= t:  # whole tiles are all there is
                    opened = -1
                    for fold in folds:
                        _copy(fold.values, fold.states, 0, fold.to, asked.rows[q])
                    continue
                for fold in folds:
                    _copy(fold.values, fold.states, 0, fold.states, 1)
            if row < rows and moments.ts[row] < t:
                row = _add_open(folds, moments, row, rows, t)
                if row < 0:
                    opened = -1  # what is not known yet comes before others once it is
            for fold in folds:
                _copy(fold.values, fold.states, 1, fold.to, asked.rows[q])


# ── folds whose state is some of the events ──────────────────────────────────────────────────────


@cython.cfunc
@cython.exceptval(check=False)
def _keep_rows(fold: Fold, lo: cython.Py_ssize_t, hi: cython.Py_ssize_t, row: cython.Py_ssize_t) -> cython.void:
    """The state of the events from ``lo`` up to ``hi``, of a fold that keeps the first ones or the last ones."""
    values: Values = fold.values
    floating: cython.bint = values.wf > 0
    room: cython.Py_ssize_t = values.wf if floating else values.wi - 1
    j: cython.Py_ssize_t
    fold.to.ints[row * values.wi] = hi - lo
    if hi - lo < room:
        room = hi - lo
    if values.fold != 9 and values.fold != 10:
        lo = hi - room
    for j in range(room):
        if floating:
            fold.to.floats[row * values.wf + j] = values.floats[lo + j]
        else:
            fold.to.ints[row * values.wi + 1 + j] = values.ints[lo + j]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _outdone(values: Values, before: cython.Py_ssize_t, row: cython.Py_ssize_t) -> cython.bint:
    """Whether an extreme can be of a later event, and not of one before it: of those alike the first is kept."""
    if values.fold == 3:
        return values.ints[row] < values.ints[before]
    if values.fold == 4:
        return values.ints[row] > values.ints[before]
    if values.fold == 5:
        return values.floats[row] < values.floats[before]
    return values.floats[row] > values.floats[before]


@cython.locals(extreme=cython.bint, best=cython.Py_ssize_t)
def sweep_rows(fold: Fold, moments: Moments, asked: Asked, *, queue: object) -> None:
    """As :func:`sweep`, of one fold that keeps some of its events, all known at their times: no tile is needed to tell which.

    So it takes as long whatever the hop is. ``queue`` has room for the events of any key: those that may become an extreme.
    """
    held: cython.longlong[::1] = _items(queue)
    values: Values = fold.values
    key: cython.Py_ssize_t
    q: cython.Py_ssize_t
    lo: cython.Py_ssize_t
    hi: cython.Py_ssize_t
    behind: cython.Py_ssize_t
    head: cython.Py_ssize_t
    tail: cython.Py_ssize_t
    nan: cython.Py_ssize_t
    t: cython.longlong
    extreme = 3 <= values.fold <= 6
    for key in range(asked.offsets.shape[0] - 1):
        lo = hi = moments.offsets[key]
        head = tail = 0
        nan = -1
        for q in range(asked.offsets[key], asked.offsets[key + 1]):
            t = asked.times[q] - asked.offset
            lo = _ahead(moments.ts, lo, moments.offsets[key + 1], (t - asked.window) // asked.hop * asked.hop)
            if hi < lo:
                hi = lo
            behind = _ahead(moments.ts, hi, moments.offsets[key + 1], t if asked.offset == 0 else t // asked.hop * asked.hop)
            while extreme and hi < behind:
                if values.fold >= 5 and values.floats[hi] != values.floats[hi]:
                    nan = hi
                else:
                    while tail > head and _outdone(values, held[tail - 1], hi):
                        tail -= 1
                    held[tail] = hi
                    tail += 1
                hi += 1
            hi = behind
            if hi == lo:
                continue
            if not extreme:
                _keep_rows(fold, lo, hi, asked.rows[q])
                continue
            while head < tail and held[head] < lo:
                head += 1
            best = nan if nan >= lo else held[head]
            fold.to.ints[asked.rows[q] * values.wi] = hi - lo
            if values.fold >= 5:
                fold.to.floats[asked.rows[q] * values.wf] = values.floats[best]
            else:
                fold.to.ints[asked.rows[q] * values.wi + 1] = values.ints[best]
