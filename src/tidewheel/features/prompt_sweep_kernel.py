# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""The sweep over floats, every one of which is known at its own time: what most windows fold.

The bits are those of :func:`tidewheel.features.sweep_kernel.sweep`. Tiles are made once for windows of several lengths, sums,
moments and extremes of a window share what they count, and one loop keeps its state where the machine is quick. Compiled or
interpreted, as :mod:`tidewheel.features.kernel`.
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
class Span:
    """Windows of one length: for each question how many events they hold, and what is folded of these where there is room.

    ``total`` and ``moments`` have two places for a question, ``least`` and ``greatest`` one; or none, if nobody asks for them.
    """

    length: cython.longlong
    count: cython.longlong[::1]
    total: cython.double[::1]
    moments: cython.double[::1]
    least: cython.double[::1]
    greatest: cython.double[::1]

    def __init__(self, length: int, count: object, *, total: object, moments: object, least: object, greatest: object) -> None:
        self.length = length
        self.count = _items(count)
        self.total = _items(total)
        self.moments = _items(moments)
        self.least = _items(least)
        self.greatest = _items(greatest)


@cython.final
@cython.cclass
class Room:
    """One key's tiles, and where its questions stand among tiles and events.

    Of a tile: its first event and the one behind its last, and its folds. Of a question: the end of its whole hops, how many
    tiles lie before that, the first event from there on, and the first one that is not before the question.
    """

    first: cython.longlong[::1]
    behind: cython.longlong[::1]
    floats: cython.double[::1]
    tiles: cython.Py_ssize_t
    end: cython.longlong[::1]
    upto: cython.longlong[::1]
    opened: cython.longlong[::1]
    last: cython.longlong[::1]

    def __init__(self, first: object, behind: object, floats: object, *, questions: object) -> None:
        self.first = _items(first)
        self.behind = _items(behind)
        self.floats = _items(floats)
        self.tiles = 0
        self.end, self.upto, self.opened, self.last = (_items(one) for one in questions)


@cython.final
@cython.cclass
class Events:
    """Events by key, in order of time, with their values; questions by key, in order of time, with the answers' places."""

    offsets: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    values: cython.const[cython.double][::1]
    asked: cython.const[cython.longlong][::1]
    times: cython.const[cython.longlong][::1]
    rows: cython.const[cython.longlong][::1]

    def __init__(self, offsets: object, ts: object, values: object, *, questions: object) -> None:
        self.offsets = _items(offsets)
        self.ts = _items(ts)
        self.values = _items(values)
        self.asked, self.times, self.rows = (_items(one) for one in questions)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _lost(s: cython.double, x: cython.double, t: cython.double) -> cython.double:
    """What ``t``, the rounded ``s + x``, has lost: exact, as by Neumaier, who has to know the greater: the same bits."""
    b: cython.double = t - s
    e: cython.double = (s - (t - b)) + (x - b)
    if e - e != 0.0:  # beyond the greatest double nothing is exact
        if (s if s >= 0.0 else -s) >= (x if x >= 0.0 else -x):
            return (s - t) + x
        return (x - t) + s
    return e


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
@cython.exceptval(check=False)
def _make_tile(
    events: Events, room: Room, row: cython.Py_ssize_t, rows: cython.Py_ssize_t, stop: cython.longlong, folds: cython.int
) -> cython.Py_ssize_t:
    """A tile of the events from ``row`` up to the time ``stop``; the row behind them."""
    behind: cython.Py_ssize_t = row + 1
    at: cython.Py_ssize_t
    to: cython.Py_ssize_t = 6 * room.tiles
    n: cython.double = 0.0
    s: cython.double = 0.0
    c: cython.double = 0.0
    x: cython.double
    t: cython.double
    while behind < rows and events.ts[behind] < stop:
        behind += 1
    room.first[room.tiles] = row
    room.behind[room.tiles] = behind
    room.tiles += 1
    if folds & 1:
        for at in range(row, behind):
            x = events.values[at]
            t = s + x
            c = c + _lost(s, x, t)
            s = t
        room.floats[to] = s
        room.floats[to + 1] = c
    if folds & 2:
        s = c = 0.0
        for at in range(row, behind):
            x = events.values[at]
            t = x - s
            n = n + 1.0
            s = s + t / n
            c = c + t * (x - s)
        room.floats[to + 2] = s
        room.floats[to + 3] = c
    if folds & 4:
        s = events.values[row]
        for at in range(row + 1, behind):
            x = events.values[at]
            if x < s or x != x:
                s = x
        room.floats[to + 4] = s
    if folds & 8:
        s = events.values[row]
        for at in range(row + 1, behind):
            x = events.values[at]
            if x > s or x != x:
                s = x
        room.floats[to + 5] = s
    return behind


@cython.cfunc
@cython.exceptval(check=False)
def _place(
    events: Events, room: Room, key: cython.Py_ssize_t, hop: cython.longlong, longest: cython.longlong, folds: cython.int
) -> cython.void:
    """Make the tiles of a key that its windows reach, and tell where its questions stand."""
    row: cython.Py_ssize_t = events.offsets[key]
    rows: cython.Py_ssize_t = events.offsets[key + 1]
    first: cython.Py_ssize_t = events.asked[key]
    q: cython.Py_ssize_t
    last: cython.Py_ssize_t = row
    t: cython.longlong
    end: cython.longlong
    room.tiles = 0
    for q in range(first, events.asked[key + 1]):
        t = events.times[q]
        end = t // hop * hop
        if row < rows and events.ts[row] < end:
            row = _ahead(events.ts, row, rows, end - longest)
            while row < rows and events.ts[row] < end:
                row = _make_tile(events, room, row, rows, events.ts[row] // hop * hop + hop, folds)
        if last < row:
            last = row
        while last < rows and events.ts[last] < t:
            last += 1
        room.end[q - first] = end
        room.upto[q - first] = room.tiles
        room.opened[q - first] = row
        room.last[q - first] = last


@cython.cfunc
@cython.exceptval(check=False)
def _count(events: Events, room: Room, span: Span, key: cython.Py_ssize_t) -> cython.void:
    """How many events the windows hold."""
    first: cython.Py_ssize_t = events.asked[key]
    begin: cython.Py_ssize_t = 0
    q: cython.Py_ssize_t
    i: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    n: cython.longlong
    for q in range(first, events.asked[key + 1]):
        i = q - first
        upto = room.upto[i]
        while begin < upto and events.ts[room.first[begin]] < room.end[i] - span.length:
            begin += 1
        n = room.last[i] - room.opened[i]
        if begin < upto:
            n += room.behind[upto - 1] - room.first[begin]
        span.count[events.rows[q]] = n


@cython.cfunc
@cython.exceptval(check=False)
def _sum(events: Events, room: Room, span: Span, key: cython.Py_ssize_t) -> cython.void:
    """Compensated sums: of whole tiles ``s`` and ``c``, from tile ``from_`` up to ``to``; with open events ``u`` and ``d``."""
    first: cython.Py_ssize_t = events.asked[key]
    begin: cython.Py_ssize_t = 0
    q: cython.Py_ssize_t
    i: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    from_: cython.Py_ssize_t = -1
    to: cython.Py_ssize_t = -1
    row: cython.Py_ssize_t = 0
    since: cython.Py_ssize_t = -1
    s: cython.double = 0.0
    c: cython.double = 0.0
    u: cython.double = 0.0
    d: cython.double = 0.0
    x: cython.double
    t: cython.double
    for q in range(first, events.asked[key + 1]):
        i = q - first
        upto = room.upto[i]
        while begin < upto and events.ts[room.first[begin]] < room.end[i] - span.length:
            begin += 1
        if begin != from_ or upto != to:
            if begin != from_ or to <= begin:
                from_ = to = begin
                s = c = 0.0
                if to < upto:
                    s = room.floats[6 * to]
                    c = room.floats[6 * to + 1]
                    to += 1
            while to < upto:
                x = room.floats[6 * to]
                t = s + x
                c = c + _lost(s, x, t)
                c = c + room.floats[6 * to + 1]
                s = t
                to += 1
            since = -1
        if since != room.opened[i]:  # else the question before has added some of the open events already
            since = row = room.opened[i]
            u = s
            d = c
        while row < room.last[i]:
            x = events.values[row]
            t = u + x
            d = d + _lost(u, x, t)
            u = t
            row += 1
        i = 2 * events.rows[q]
        span.total[i] = u
        span.total[i + 1] = d


@cython.cfunc
@cython.exceptval(check=False)
def _moments(events: Events, room: Room, span: Span, key: cython.Py_ssize_t) -> cython.void:
    """Mean and squared deviations, as :func:`_sum`; ``n`` and ``m`` are counted."""
    first: cython.Py_ssize_t = events.asked[key]
    begin: cython.Py_ssize_t = 0
    q: cython.Py_ssize_t
    i: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    from_: cython.Py_ssize_t = -1
    to: cython.Py_ssize_t = -1
    row: cython.Py_ssize_t = 0
    since: cython.Py_ssize_t = -1
    n: cython.double = 0.0
    m: cython.double = 0.0
    more: cython.double
    s: cython.double = 0.0
    c: cython.double = 0.0
    u: cython.double = 0.0
    d: cython.double = 0.0
    x: cython.double
    t: cython.double
    for q in range(first, events.asked[key + 1]):
        i = q - first
        upto = room.upto[i]
        while begin < upto and events.ts[room.first[begin]] < room.end[i] - span.length:
            begin += 1
        if begin != from_ or upto != to:
            if begin != from_ or to <= begin:
                from_ = to = begin
                n = s = c = 0.0
                if to < upto:
                    n = cython.cast(cython.double, room.behind[to] - room.first[to])
                    s = room.floats[6 * to + 2]
                    c = room.floats[6 * to + 3]
                    to += 1
            while to < upto:
                more = cython.cast(cython.double, room.behind[to] - room.first[to])
                t = room.floats[6 * to + 2] - s
                x = more / (n + more)
                s = s + t * x
                c = c + room.floats[6 * to + 3] + t * t * (x * n)
                n = n + more
                to += 1
            since = -1
        if since != room.opened[i]:  # else the question before has added some of the open events already
            since = row = room.opened[i]
            m = n
            u = s
            d = c
        while row < room.last[i]:
            x = events.values[row]
            t = x - u
            m = m + 1.0
            u = u + t / m
            d = d + t * (x - u)
            row += 1
        i = 2 * events.rows[q]
        span.moments[i] = u
        span.moments[i + 1] = d


@cython.cfunc
@cython.exceptval(check=False)
def _extreme(
    events: Events, room: Room, to_: cython.double[::1], length: cython.longlong, key: cython.Py_ssize_t, sign: cython.int
) -> cython.void:
    """The least value, or with ``sign`` -1 the greatest; NaN wins, so that it is seen."""
    first: cython.Py_ssize_t = events.asked[key]
    place: cython.Py_ssize_t = 4 if sign > 0 else 5
    begin: cython.Py_ssize_t = 0
    q: cython.Py_ssize_t
    i: cython.Py_ssize_t
    upto: cython.Py_ssize_t
    from_: cython.Py_ssize_t = -1
    to: cython.Py_ssize_t = -1
    row: cython.Py_ssize_t = 0
    since: cython.Py_ssize_t = -1
    s: cython.double = 0.0
    u: cython.double = 0.0
    x: cython.double
    some: cython.bint = False
    for q in range(first, events.asked[key + 1]):
        i = q - first
        upto = room.upto[i]
        while begin < upto and events.ts[room.first[begin]] < room.end[i] - length:
            begin += 1
        if begin != from_ or upto != to:
            if begin != from_ or to <= begin:
                from_ = to = begin
                s = 0.0
                if to < upto:
                    s = room.floats[6 * to + place]
                    to += 1
            while to < upto:
                x = room.floats[6 * to + place]
                if (x < s if sign > 0 else x > s) or x != x:
                    s = x
                to += 1
            since = -1
        if since != room.opened[i]:  # else the question before has added some of the open events already
            since = row = room.opened[i]
            u = s
            some = begin < upto
        while row < room.last[i]:
            x = events.values[row]
            if not some or (x < u if sign > 0 else x > u) or x != x:
                u = x
                some = True
            row += 1
        to_[events.rows[q]] = u


@cython.locals(span=Span)
def sweep(events: Events, spans: list, room: Room, *, hop: int, folds: int) -> None:
    """Fold the windows of every question; the places of questions that no key asks stay as they are.

    Parameters
    ----------
    spans
        The longest first.
    room
        For as many tiles and questions as one key can have.
    hop, folds
        Of all spans; what is made of tiles: 1 sums, 2 moments, 4 the least, 8 the greatest, added up.
    """
    key: cython.Py_ssize_t
    longest: cython.longlong = _length(spans)
    width: cython.longlong = hop
    made: cython.int = folds
    for key in range(events.asked.shape[0] - 1):
        if events.asked[key] == events.asked[key + 1] or events.offsets[key] == events.offsets[key + 1]:
            continue
        _place(events, room, key, width, longest, made)
        for span in spans:
            _count(events, room, span, key)
            if span.total.shape[0]:
                _sum(events, room, span, key)
            if span.moments.shape[0]:
                _moments(events, room, span, key)
            if span.least.shape[0]:
                _extreme(events, room, span.least, span.length, key, 1)
            if span.greatest.shape[0]:
                _extreme(events, room, span.greatest, span.length, key, -1)


@cython.cfunc
@cython.locals(span=Span)
def _length(spans: list) -> cython.longlong:
    """The length of the first span."""
    span = spans[0]
    return span.length
