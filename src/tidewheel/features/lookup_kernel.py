# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.double[::1]``); the callers of this file are checked.
"""The loops of look-ups: rows grouped by key, and the last one visible searched. Compiled or interpreted, as the fold's."""

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


def group(codes: object, offsets: object, order: object) -> int:
    """Stable counting sort: positions grouped by code into ``order``, group ``c`` at ``offsets[c]`` up to ``offsets[c + 1]``.

    ``offsets`` has one more item than there are codes, all zero before. Negative codes are left out; answers how many are in.
    """
    code: cython.const[cython.longlong][::1] = _items(codes)
    start: cython.longlong[::1] = _items(offsets)
    place: cython.longlong[::1] = _items(order)
    i: cython.Py_ssize_t
    c: cython.longlong
    kept: cython.longlong = 0
    groups: cython.Py_ssize_t = start.shape[0] - 1
    for i in range(code.shape[0]):
        c = code[i]
        if c >= 0:
            start[c] = start[c] + 1
    for i in range(groups):
        c = start[i]
        start[i] = kept
        kept += c
    for i in range(code.shape[0]):
        c = code[i]
        if c >= 0:
            place[start[c]] = i
            start[c] = start[c] + 1
    for i in range(groups, 0, -1):
        start[i] = start[i - 1]
    start[0] = 0
    return kept


def record_highs(offsets: object, ranks: object, keep: object) -> None:
    """Within each group, mark the items whose rank exceeds that of every item before them."""
    start: cython.const[cython.longlong][::1] = _items(offsets)
    rank: cython.const[cython.longlong][::1] = _items(ranks)
    marked: cython.uchar[::1] = _items(keep)
    g: cython.Py_ssize_t
    i: cython.Py_ssize_t
    high: cython.longlong
    for g in range(start.shape[0] - 1):
        high = -1
        for i in range(start[g], start[g + 1]):
            if rank[i] > high:
                high = rank[i]
                marked[i] = 1


def latest(offsets: object, known: object, *, keys: object, times: object, found: object) -> None:
    """For every query the last position of its group with ``known <= time``, or -1; ``known`` ascends in each group.

    A negative key finds nothing.
    """
    start: cython.const[cython.longlong][::1] = _items(offsets)
    since: cython.const[cython.longlong][::1] = _items(known)
    asked: cython.const[cython.longlong][::1] = _items(keys)
    moment: cython.const[cython.longlong][::1] = _items(times)
    answer: cython.longlong[::1] = _items(found)
    q: cython.Py_ssize_t
    at: cython.Py_ssize_t
    key: cython.longlong
    for q in range(asked.shape[0]):
        key = asked[q]
        answer[q] = -1
        if key >= 0:
            at = _first_at(since, start[key], start[key + 1], moment[q] + 1)
            if at > start[key]:
                answer[q] = at - 1
