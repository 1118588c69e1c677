# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations; the callers of this file are checked.
"""The loops that fold one key's bytes where they lie, as the online store keeps them, by the steps of the window fold.

Compiled or interpreted, as :mod:`tidewheel.features.kernel`, whose states and steps these are.
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
    from cython.cimports.tidewheel.features.kernel import States, Values, _add, _clear, _merge
else:
    from tidewheel.features.kernel import States, Values, _add, _clear, _merge

COMPILED = cython.compiled
"""Whether this is the compiled form."""


def _items(array):
    """An array as this form of the kernel indexes it: interpreted, its items must be Python numbers."""
    return array if COMPILED else memoryview(array)


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
