# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""The loop that folds the bytes of many keys where they lie, as the online store keeps them, by the steps of the window fold.

Of every key the values of its open events are taken out once for all windows that fold them, and closed tiles are copied from
the row in one piece. What becomes of the states is :mod:`tidewheel.features.ending_kernel`.

Compiled or interpreted, as :mod:`tidewheel.features.kernel`, whose states and steps these are.
"""

from __future__ import annotations

import struct
from array import array

try:
    import cython
except ImportError:  # the compiled kernel and the interpreted one both run without Cython
    from tidewheel.features import interpreted as cython

from tidewheel.features.ending_kernel import end_windows

if cython.compiled:
    from cython.cimports.libc.string import memcpy
    from cython.cimports.tidewheel.features.kernel import States, Values, _add, _clear, _fold_rows, _merge, _merge_all
else:
    from tidewheel.features.kernel import States, Values, _add, _clear, _fold_rows, _merge, _merge_all

COMPILED = cython.compiled
"""Whether this is the compiled form."""

FOLDED, BLOCKED, CORRUPT, EARLY = range(4)
"""How :func:`fold_keys` ended."""
MAPS, WORDS = 1, 2
"""What stands behind the states of a group's tiles, beside nothing: maps, the words of a dictionary, or both (3)."""
CONSTANT, INTEGER, REAL, TEXT, ABSENT, NOT, AND, OR = range(8)
"""Steps of a condition: three-valued constants, comparisons of a column with a literal, null or not, and what joins them."""
_NULL = 2
_START = 24


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


@cython.final
@cython.cclass
class Condition:
    """A condition on the bytes of one event, as steps that leave true (1), false (0) or null (2) on a stack.

    Parameters
    ----------
    steps
        Flat, 7 numbers a step: what it does; type of the slot (for text: the column's place among those of any length), its
        offset, byte and mask of its presence; which comparison (0 to 5: ``= <> < <= > >=``); the literal: an integer as it is,
        others by their place.
    """

    steps: cython.const[cython.longlong][::1]
    floats: cython.const[cython.double][::1]
    texts: list

    def __init__(self, steps: object, floats: object, texts: list) -> None:
        self.steps = _items(steps)
        self.floats = _items(floats)
        self.texts = texts


@cython.final
@cython.cclass
class KeyPlan:
    """Where the values of one key stand in its bytes, and which windows are asked of them.

    Parameters
    ----------
    columns
        Flat, 6 numbers for each sort of values: encoding (0 none, 1 limbs, 2 integer, 3 float), type of the slot (0 bool, 1 and
        2 integers of 32 and 64 bits, 3 and 4 floats), its offset (-1: every event counts), byte and mask of its presence, place
        of the condition (-1: none).
    groups
        Flat, 7 numbers a group: fold, ``wi``, ``wf``, hop, place of its column, number of windows, what stands behind the
        states.
    windows
        Their lengths and offsets, group after group.
    endings
        What becomes of the states, one after the other as windows are (:class:`tidewheel.features.ending_kernel.Endings`).
    layout
        Of closed rows: how many look-ups stand before the tiles. Of open events: version, fingerprint, least size, how many
        columns of any length; offset of the slot that says when one is known, or -1, and then how long after its time it is.
    sizes
        Steps of the longest condition, how far back from a question any window reaches, sizes of the largest state and of all
        that are asked: integers, floats.
    """

    columns: cython.const[cython.longlong][::1]
    conditions: list
    groups: cython.const[cython.longlong][::1]
    windows: cython.const[cython.longlong][::1]
    endings: object
    lookups: cython.Py_ssize_t
    version: cython.longlong
    fingerprint: cython.longlong
    least: cython.Py_ssize_t
    strings: cython.Py_ssize_t
    available: cython.Py_ssize_t
    after: cython.longlong
    deep: cython.Py_ssize_t
    longest: cython.longlong
    most_ints: cython.Py_ssize_t
    most_floats: cython.Py_ssize_t
    all_ints: cython.Py_ssize_t
    all_floats: cython.Py_ssize_t

    def __init__(self, flat: tuple, *, conditions: list, endings: object, layout: tuple, sizes: tuple) -> None:
        columns, groups, windows = flat
        self.columns = _items(columns)
        self.groups = _items(groups)
        self.windows = _items(windows)
        self.conditions, self.endings = conditions, endings
        self.lookups, self.version, self.fingerprint, self.least, self.strings, self.available, self.after = layout
        self.deep, self.longest, self.most_ints, self.most_floats, self.all_ints, self.all_floats = sizes


@cython.final
@cython.cclass
class Work:
    """Room to fold one key.

    State 0 is that of the window, 1 that of one hop of open events, from 2 on stand closed tiles. Of the events there is room
    for ``most`` values of every column: their times ``when``, their numbers; ``counts`` says how many there are.
    """

    states: States
    ended: States
    values: list
    when: cython.longlong[::1]
    ints: cython.longlong[::1]
    floats: cython.double[::1]
    counts: cython.longlong[::1]
    stack: cython.longlong[::1]
    most: cython.Py_ssize_t

    def __init__(self, plan: KeyPlan, events: int, tiles: int, columns: int) -> None:
        self.most = events
        self.states = States(_integers((2 + tiles) * plan.most_ints), _reals((2 + tiles) * plan.most_floats))
        self.ended = States(_integers(plan.all_ints), _reals(plan.all_floats))
        ints, floats = memoryview(_integers(2 * events * columns)), memoryview(_reals(events * columns))
        self.values = [Values(0, 0, 0, ints[2 * events * c :], floats[events * c :]) for c in range(columns)]
        self.when, self.ints, self.floats = _items(_integers(events * columns)), ints, floats
        self.counts = _items(_integers(columns))
        self.stack = _items(_integers(plan.deep))


def _integers(count: int) -> object:
    return array("q", bytes(8 * (count + 1)))  # never of no length, which memoryviews refuse


def _reals(count: int) -> object:
    return array("d", bytes(8 * (count + 1)))


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
def _small(data: cython.p_const_uchar, at: cython.Py_ssize_t, step: cython.Py_ssize_t) -> cython.longlong:
    """Four bytes, the highest first: with the step -1 from the last one down, the lowest first."""
    a: cython.longlong = data[at]
    b: cython.longlong = data[at + step]
    c: cython.longlong = data[at + 2 * step]
    d: cython.longlong = data[at + 3 * step]
    return a << 24 | b << 16 | c << 8 | d


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _signed(data: cython.p_const_uchar, at: cython.Py_ssize_t, flip: cython.bint) -> cython.longlong:
    """An int64 with its highest byte first, as rows hold it with its sign flipped."""
    if not cython.compiled:
        number = int.from_bytes(data[at : at + 8], "big", signed=not flip)
        return number - (1 << 63) if flip else number
    a: cython.ulonglong = data[at]
    b: cython.ulonglong = data[at + 1]
    c: cython.ulonglong = data[at + 2]
    d: cython.ulonglong = data[at + 3]
    e: cython.ulonglong = data[at + 4]
    f: cython.ulonglong = data[at + 5]
    g: cython.ulonglong = data[at + 6]
    h: cython.ulonglong = data[at + 7]
    if flip:
        a = a ^ 128
    return cython.cast(cython.longlong, a << 56 | b << 48 | c << 40 | d << 32 | e << 24 | f << 16 | g << 8 | h)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _float_in(data: cython.p_const_uchar, at: cython.Py_ssize_t, kind: cython.longlong) -> cython.double:
    """A float as a slot holds it, so that bytes order as numbers do: negative ones have every bit flipped, others the sign."""
    whole: cython.longlong
    if kind == 4:
        whole = _signed(data, at, True)
        return _real(whole if whole >= 0 else -1 - whole - 9223372036854775807 - 1, False)
    whole = _small(data, at, 1)
    return _real(whole ^ 2147483648 if whole >= 2147483648 else 4294967295 - whole, True)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _integer_in(data: cython.p_const_uchar, at: cython.Py_ssize_t, kind: cython.longlong) -> cython.longlong:
    """An integer, or a bool, as a slot holds it."""
    if kind == 2:
        return _signed(data, at, True)
    if kind == 1:
        return _small(data, at, 1) - 2147483648
    return data[at]


# ── conditions ───────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
def _text_in(plan: KeyPlan, event: bytes, place: cython.Py_ssize_t) -> bytes:
    """The bytes of a column of any length; what stands outside of the event is cut off."""
    data: cython.p_const_uchar = event
    behind: cython.Py_ssize_t = len(event) - 4 - 4 * plan.strings
    start: cython.Py_ssize_t = plan.least + (_small(data, behind + 4 * (place - 1), 1) if place else 0)
    stop: cython.Py_ssize_t = behind if place + 1 == plan.strings else plan.least + _small(data, behind + 4 * place, 1)
    if stop > behind:
        stop = behind
    return event[start:stop] if start < stop else b""


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _told(order: cython.longlong, less: cython.bint, more: cython.bint, equal: cython.bint) -> cython.longlong:
    """Whether a comparison holds of two values of which one is less, more, both are equal, or nothing of this (NaN)."""
    if order == 0:
        return equal
    if order == 1:
        return not equal
    if order == 2:
        return less
    if order == 3:
        return less or equal
    return more if order == 4 else more or equal


@cython.cfunc
@cython.locals(s=cython.Py_ssize_t, top=cython.Py_ssize_t, op=cython.longlong, a=cython.longlong, b=cython.longlong)
@cython.locals(data=cython.p_const_uchar, x=cython.double, y=cython.double, order=cython.longlong)
def _meets(plan: KeyPlan, condition: Condition, event: bytes, stack: cython.longlong[::1]) -> cython.bint:
    """Whether a condition is true of an event: not false, not null."""
    data = event
    top = -1
    for s in range(0, condition.steps.shape[0], 7):
        op = condition.steps[s]
        order = condition.steps[s + 5]
        if op == 5:
            stack[top] = stack[top] if stack[top] == 2 else 1 - stack[top]
        elif op >= 6:  # of AND false decides, of OR true
            b = stack[top]
            top -= 1
            a = stack[top]
            if a == op - 6 or b == op - 6:
                stack[top] = op - 6
            elif a == 2 or b == 2:
                stack[top] = 2
            else:
                stack[top] = 7 - op
        else:
            top += 1
            if op == 0:
                stack[top] = condition.steps[s + 6]
            elif op == 4:
                stack[top] = 0 if data[condition.steps[s + 3]] & condition.steps[s + 4] else 1
            elif not data[condition.steps[s + 3]] & condition.steps[s + 4]:
                stack[top] = 2
            elif op == 1:
                a = _integer_in(data, condition.steps[s + 2], condition.steps[s + 1])
                b = condition.steps[s + 6]
                stack[top] = _told(order, a < b, a > b, a == b)
            elif op == 2:
                x = _float_in(data, condition.steps[s + 2], condition.steps[s + 1])
                y = condition.floats[condition.steps[s + 6]]
                stack[top] = _told(order, x < y, x > y, x == y)
            else:
                own = _text_in(plan, event, condition.steps[s + 1])
                other = condition.texts[condition.steps[s + 6]]
                stack[top] = _told(order, own < other, own > other, own == other)
    return stack[top] == 1


# ── open events ──────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.locals(lo=cython.Py_ssize_t, hi=cython.Py_ssize_t, middle=cython.Py_ssize_t, event=bytes, data=cython.p_const_uchar)
def _first_event(events: list, bound: cython.longlong) -> cython.Py_ssize_t:
    """First position of events in order whose time is at least ``bound``."""
    lo = 0
    hi = len(events)
    while lo < hi:
        middle = (lo + hi) >> 1
        event = events[middle]
        data = event
        if _signed(data, 0, True) < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


@cython.cfunc
@cython.locals(
    place=cython.Py_ssize_t, n=cython.Py_ssize_t, k=cython.Py_ssize_t, base=cython.Py_ssize_t, slot=cython.Py_ssize_t
)
@cython.locals(kind=cython.longlong, encoding=cython.longlong, ts=cython.longlong, known=cython.longlong, whole=cython.longlong)
@cython.locals(event=bytes, data=cython.p_const_uchar)
def _take(plan: KeyPlan, c: cython.Py_ssize_t, events: list, low: cython.Py_ssize_t, t: cython.longlong, work: Work) -> object:
    """Take the values of one column out of the events from ``low`` up to ``t``: those known then that have one."""
    k = 6 * c
    base = c * work.most
    encoding = plan.columns[k]
    kind = plan.columns[k + 1]
    slot = plan.columns[k + 2]
    condition = plan.conditions[plan.columns[k + 5]] if plan.columns[k + 5] >= 0 else None
    n = 0
    for place in range(low, len(events)):
        event = events[place]
        data = event
        ts = _signed(data, 0, True)
        if ts >= t:
            break
        known = _signed(data, plan.available, True) if plan.available >= 0 else ts + plan.after
        if known > t or (slot >= 0 and not data[plan.columns[k + 3]] & plan.columns[k + 4]):
            continue
        if condition is not None and not _meets(plan, condition, event, work.stack):
            continue
        work.when[base + n] = ts
        if encoding == 3:
            work.floats[base + n] = (
                _float_in(data, slot, kind) if kind >= 3 else cython.cast(cython.double, _integer_in(data, slot, kind))
            )
        elif encoding == 2:
            work.ints[2 * base + n] = _integer_in(data, slot, kind)
        elif encoding == 1:
            whole = _integer_in(data, slot, kind)
            work.ints[2 * (base + n)] = whole & 4294967295
            work.ints[2 * (base + n) + 1] = whole >> 32
        n += 1
    work.counts[c] = n


@cython.cfunc
@cython.locals(i=cython.Py_ssize_t, j=cython.Py_ssize_t, base=cython.Py_ssize_t, count=cython.Py_ssize_t)
@cython.locals(stop=cython.longlong)
def _fold_open(
    work: Work,
    c: cython.Py_ssize_t,
    hop: cython.longlong,
    lo: cython.longlong,
    end: cython.longlong,
    tail: cython.bint,
) -> object:
    """Fold the taken values from ``lo`` on into state 0: those before ``end`` by hops, others one by one, if wanted."""
    values: Values = work.values[c]
    base = c * work.most
    count = work.counts[c]
    i = 0
    while i < count and work.when[base + i] < lo:
        i += 1
    while i < count and work.when[base + i] < end:
        stop = work.when[base + i] // hop * hop + hop
        j = i + 1
        while j < count and work.when[base + j] < stop:
            j += 1
        _fold_rows(values, i, j, work.states, 1)
        _merge(values, work.states, 1, work.states, 0)
        i = j
    if tail:
        while i < count:
            _add(values, i, work.states, 0)
            i += 1


# ── closed tiles ─────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.locals(lo=cython.Py_ssize_t, hi=cython.Py_ssize_t, middle=cython.Py_ssize_t)
@cython.exceptval(check=False)
def _first_tile(
    row: cython.p_const_uchar, at: cython.Py_ssize_t, count: cython.Py_ssize_t, bound: cython.longlong
) -> cython.Py_ssize_t:
    """First of some tiles, whose starts stand from ``at`` on, that starts at ``bound`` or later."""
    lo = 0
    hi = count
    while lo < hi:
        middle = (lo + hi) >> 1
        if _word(row, at + 8 * middle) < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


@cython.cfunc
@cython.locals(
    count=cython.Py_ssize_t, tile=cython.Py_ssize_t, until=cython.Py_ssize_t, n=cython.Py_ssize_t, j=cython.Py_ssize_t
)
@cython.locals(known=cython.Py_ssize_t, ints=cython.Py_ssize_t, floats=cython.Py_ssize_t)
def _fold_closed(
    values: Values,
    row: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    work: Work,
    lo: cython.longlong,
    end: cython.longlong,
    t: cython.longlong,
) -> cython.bint:
    """Fold the packed tiles of a group from ``lo`` up to ``end`` into state 0; whether all of them were known at ``t``."""
    count = _small(row, at + 3, -1)
    tile = _first_tile(row, at + 4, count, lo)
    until = tile + _first_tile(row, at + 4 + 8 * tile, count - tile, end)
    known = at + 4 + 8 * count
    ints = known + 8 * count
    floats = ints + 8 * count * values.wi
    for n in range(tile, until):
        if _word(row, known + 8 * n) > t:
            return False
    n = until - tile
    if not n:
        return True
    if cython.compiled:
        memcpy(cython.address(work.states.ints[2 * values.wi]), row + (ints + 8 * tile * values.wi), 8 * n * values.wi)
        if values.wf:
            memcpy(cython.address(work.states.floats[2 * values.wf]), row + (floats + 8 * tile * values.wf), 8 * n * values.wf)
    else:
        for j in range(n * values.wi):
            work.states.ints[2 * values.wi + j] = _word(row, ints + 8 * (tile * values.wi + j))
        for j in range(n * values.wf):
            work.states.floats[2 * values.wf + j] = _real(_word(row, floats + 8 * (tile * values.wf + j)), False)
    _merge_all(values, work.states, 2, 2 + n, work.states, 0)
    return True


@cython.cfunc
@cython.locals(count=cython.Py_ssize_t, n=cython.Py_ssize_t, total=cython.Py_ssize_t, size=cython.Py_ssize_t)
def _behind(plan: KeyPlan, g: cython.Py_ssize_t, row: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the tiles of a group end that begin at ``at``; -1 when the row ends before."""
    data: cython.p_const_uchar = row
    size = len(row)
    if at + 4 > size:
        return -1
    count = _small(data, at + 3, -1)
    at += 4 + 8 * count * (2 + plan.groups[g + 1] + plan.groups[g + 2])
    if plan.groups[g + 6] & 1:
        if at + 8 * count > size:
            return -1
        total = 0
        for n in range(count):
            total += _word(data, at + 8 * n)
            if total < 0 or total > size:
                return -1
        at += 8 * count + 16 * total
    if plan.groups[g + 6] & 2:
        if at + 4 > size:
            return -1
        at += 4 + _small(data, at + 3, -1)
    return at if at <= size else -1


@cython.cfunc
@cython.locals(at=cython.Py_ssize_t, n=cython.Py_ssize_t, size=cython.Py_ssize_t)
def _tiles_at(plan: KeyPlan, row: bytes) -> cython.Py_ssize_t:
    """Where the tiles of a closed row begin; -1 when it ends before."""
    data: cython.p_const_uchar = row
    size = len(row)
    at = 24
    for n in range(plan.lookups):  # noqa: B007 - counted in C
        if at + 4 > size:
            return -1
        at += 4 + _small(data, at, 1)
    return at if at <= size else -1


@cython.cfunc
@cython.locals(
    g=cython.Py_ssize_t, at=cython.Py_ssize_t, start=cython.Py_ssize_t, most=cython.Py_ssize_t, size=cython.Py_ssize_t
)
@cython.locals(event=bytes, data=cython.p_const_uchar)
def _well_formed(plan: KeyPlan, row: bytes, events: list) -> cython.Py_ssize_t:
    """The most tiles of any group; -1 when the bytes are not of this plan: nothing is read behind them."""
    most = 0
    data = row
    size = len(row)
    if size:
        at = _tiles_at(plan, row)
        if at < 0:
            return -1
        if at < size:
            for g in range(0, plan.groups.shape[0], 7):
                start = at
                at = _behind(plan, g, row, start)
                if at < 0:
                    return -1
                if _small(data, start + 3, -1) > most:
                    most = _small(data, start + 3, -1)
            if at != size:
                return -1
    for event in events:
        data = event
        if (
            len(event) < plan.least + 4 + 4 * plan.strings
            or data[16] != plan.version
            or _small(data, 18, 1) != plan.fingerprint
        ):
            return -1
    return most


# ── all of it ────────────────────────────────────────────────────────────────────────────────────


@cython.cfunc
@cython.locals(g=cython.Py_ssize_t, w=cython.Py_ssize_t, c=cython.Py_ssize_t, j=cython.Py_ssize_t, i=cython.Py_ssize_t)
@cython.locals(f=cython.Py_ssize_t, at=cython.Py_ssize_t, last=cython.Py_ssize_t, low=cython.Py_ssize_t)
@cython.locals(hop=cython.longlong, lo=cython.longlong, end=cython.longlong, data=cython.p_const_uchar, bound=cython.longlong)
def _fold_key(plan: KeyPlan, row: bytes, events: list, mark: cython.longlong, t: cython.longlong, work: Work) -> cython.bint:
    """Fold every window of one key into the states that end; whether every closed tile needed was known at ``t``."""
    values: Values
    data = row
    if len(events):
        bound = t - plan.longest
        low = _first_event(events, mark if mark > bound else bound)
        for c in range(plan.columns.shape[0] // 6):
            _take(plan, c, events, low, t, work)
    at = _tiles_at(plan, row) if len(row) else 0
    w = 0
    i = 0
    f = 0
    for g in range(0, plan.groups.shape[0], 7):
        last = w + plan.groups[g + 5]
        hop = plan.groups[g + 3]
        c = plan.groups[g + 4]
        while w < last:
            values = work.values[c]
            values.fold = plan.groups[g]
            values.wi = plan.groups[g + 1]
            values.wf = plan.groups[g + 2]
            end = (t - plan.windows[2 * w + 1]) // hop * hop
            lo = (t - plan.windows[2 * w + 1] - plan.windows[2 * w]) // hop * hop
            _clear(values, work.states, 0)
            if at < len(row) and not _fold_closed(values, data, at, work, lo, end, t):
                return False
            if len(events):
                _fold_open(work, c, hop, lo, end, plan.windows[2 * w + 1] == 0)
            for j in range(values.wi):
                work.ended.ints[i + j] = work.states.ints[j]
            for j in range(values.wf):
                work.ended.floats[f + j] = work.states.floats[j]
            i += values.wi
            f += values.wf
            w += 1
        if at < len(row):
            at = _behind(plan, g, row, at)
    return True


@cython.locals(q=cython.Py_ssize_t, k=cython.Py_ssize_t, t=cython.longlong, mark=cython.longlong, tiles=cython.Py_ssize_t)
@cython.locals(most=cython.Py_ssize_t, events=cython.Py_ssize_t, row=bytes, items=list, data=cython.p_const_uchar)
@cython.locals(complete=cython.longlong, work=Work)
def fold_keys(plan: KeyPlan, rows: list, sets: list, *, keys: list, times: list, since: int) -> tuple:
    """Every window of ``keys[q]``, by its place among the rows and sets, at ``times[q]``.

    Parameters
    ----------
    rows, sets
        Closed rows, and open items in the order of events.
    since
        Windows are complete from this instant on.

    Returns
    -------
    How it ended; the first query (of :data:`CORRUPT` bytes the key) that is the reason: one that needs a closed tile of which
    not all was known then is :data:`BLOCKED`, one before its key's watermark or ``since`` is :data:`EARLY`. And the values.
    """
    made: list = []
    most = 0
    events = 0
    complete = since
    for k in range(len(rows)):
        row = rows[k] or b""
        items = sets[k]
        tiles = _well_formed(plan, row, items)
        if tiles < 0:
            return CORRUPT, k, made
        most = max(most, tiles)
        events = max(events, len(items))
    work = Work(plan, events, most, plan.columns.shape[0] // 6)
    told: object = {} if len(keys) > len(rows) else None
    for q in range(len(keys)):
        k = keys[q]
        t = times[q]
        row = rows[k] or b""
        data = row
        mark = _signed(data, 16, False) if len(row) else -4611686018427387904
        if t < complete or t < mark:
            return EARLY, q, made
        if told is not None:
            before = told.setdefault((k, t), q)
            if before != q:
                made.append(list(made[before]))
                continue
        if not _fold_key(plan, row, sets[k], mark, t, work):
            return BLOCKED, q, made
        made.append(end_windows(plan.endings, work.ended))
    return FOLDED, 0, made


@cython.locals(k=cython.Py_ssize_t, n=cython.Py_ssize_t, items=list, one=bytes, other=bytes)
def find_tied(sets: list) -> list:
    """Places of the sets in which some items have one time."""
    found: list = []
    for k in range(len(sets)):
        items = sets[k]
        for n in range(1, len(items)):
            one = items[n - 1]
            other = items[n]
            if one[:8] == other[:8]:
                found.append(k)
                break
    return found
