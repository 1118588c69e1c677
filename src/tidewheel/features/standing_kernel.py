# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# mypy: ignore-errors
# mypy cannot read C types in annotations (``cython.longlong[::1]``); the callers of this file are checked.
"""The loop that tells, of rows that are visible for a while, the greatest that stands at each instant asked.

Compiled and interpreted forms are one file, as those of :mod:`tidewheel.features.kernel` are.
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
class Rows:
    """Rows by key, in their order, the last the greatest: key ``k`` has ``offsets[k]`` up to ``offsets[k + 1]``.

    Each stands from ``since`` until just before ``until``. ``begun`` are the rows of each key in the order of ``since``.
    """

    offsets: cython.const[cython.longlong][::1]
    since: cython.const[cython.longlong][::1]
    until: cython.const[cython.longlong][::1]
    begun: cython.const[cython.longlong][::1]

    def __init__(self, offsets: object, since: object, until: object, begun: object) -> None:
        self.offsets, self.since, self.until, self.begun = (_items(one) for one in (offsets, since, until, begun))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _push(heap: cython.longlong[::1], size: cython.Py_ssize_t, row: cython.longlong) -> cython.void:
    """Put a row into a heap of so many, the greatest first."""
    at: cython.Py_ssize_t = size
    while at > 0 and heap[(at - 1) >> 1] < row:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = row


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _pop(heap: cython.longlong[::1], size: cython.Py_ssize_t) -> cython.void:
    """Take the greatest out of a heap, which is left with so many."""
    row: cython.longlong = heap[size]
    at: cython.Py_ssize_t = 0
    child: cython.Py_ssize_t = 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= row:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = row


def stand(rows: Rows, asked: object, times: object, *, heap: object, found: object) -> None:
    """Of each question the greatest row that stands, or -1.

    Rows that end before later ones begin, as they should, come and go at once: there is no more than one in the heap then.

    Parameters
    ----------
    asked, times
        Key ``k`` asks in the positions ``asked[k]`` up to ``asked[k + 1]``, at times that ascend.
    heap
        Room for the rows of any key.
    """
    first: cython.const[cython.longlong][::1] = _items(asked)
    time: cython.const[cython.longlong][::1] = _items(times)
    standing: cython.longlong[::1] = _items(heap)
    place: cython.longlong[::1] = _items(found)
    key: cython.Py_ssize_t
    q: cython.Py_ssize_t
    row: cython.longlong
    next_one: cython.Py_ssize_t
    size: cython.Py_ssize_t
    for key in range(first.shape[0] - 1):
        next_one = rows.offsets[key]
        size = 0
        for q in range(first[key], first[key + 1]):
            while next_one < rows.offsets[key + 1] and rows.since[rows.begun[next_one]] <= time[q]:
                row = rows.begun[next_one]
                next_one += 1
                if rows.until[row] <= time[q]:
                    continue
                while size > 0 and rows.until[standing[0]] <= time[q]:
                    size -= 1
                    _pop(standing, size)
                _push(standing, size, row)
                size += 1
            while size > 0 and rows.until[standing[0]] <= time[q]:
                size -= 1
                _pop(standing, size)
            place[q] = standing[0] if size > 0 else -1


def replace(offsets: object, ts: object, *, known: object, until: object) -> None:
    """Let each row end when a later one of its key and time is known, the earliest of these."""
    start: cython.const[cython.longlong][::1] = _items(offsets)
    time: cython.const[cython.longlong][::1] = _items(ts)
    since: cython.const[cython.longlong][::1] = _items(known)
    end: cython.longlong[::1] = _items(until)
    key: cython.Py_ssize_t
    row: cython.Py_ssize_t
    least: cython.longlong
    for key in range(start.shape[0] - 1):
        least = 9223372036854775807
        for row in range(start[key + 1] - 2, start[key] - 1, -1):
            if time[row] != time[row + 1]:
                least = 9223372036854775807
                continue
            if since[row + 1] < least:
                least = since[row + 1]
            if least < end[row]:
                end[row] = least
