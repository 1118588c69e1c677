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


def order_times(times: object, least: int, *, most: int, order: object, spare: object, counts: object) -> bool:
    """Positions in order of time, equal times as they come, by digits of 11 bits from the lowest on.

    Parameters
    ----------
    least, most
        Of all times; the digits are those of what lies between.
    counts
        Room for 2048 numbers.

    Returns
    -------
    Whether the positions are in ``spare``; otherwise they are in ``order``.
    """
    time: cython.const[cython.longlong][::1] = _items(times)
    old: cython.longlong[::1] = _items(order)
    new: cython.longlong[::1] = _items(spare)
    count: cython.longlong[::1] = _items(counts)
    low: cython.longlong = least
    left: cython.longlong = most - low
    shift: cython.longlong = 0
    digit: cython.longlong
    at: cython.longlong
    held: cython.longlong
    i: cython.Py_ssize_t
    swapped: cython.bint = False
    for i in range(time.shape[0]):
        old[i] = i
    while left > 0:
        for i in range(2048):
            count[i] = 0
        for i in range(time.shape[0]):
            digit = ((time[i] - low) >> shift) & 2047
            count[digit] = count[digit] + 1
        at = 0
        for i in range(2048):
            held = count[i]
            count[i] = at
            at += held
        for i in range(time.shape[0]):
            held = old[i]
            digit = ((time[held] - low) >> shift) & 2047
            new[count[digit]] = held
            count[digit] = count[digit] + 1
        old, new = new, old
        swapped = not swapped
        shift += 11
        left = left >> 11
    return swapped


def tally(buckets: object, values: object, *, counts: object, greatest: object) -> None:
    """Count the values of each bucket, and keep the greatest."""
    bucket: cython.const[cython.longlong][::1] = _items(buckets)
    value: cython.const[cython.longlong][::1] = _items(values)
    count: cython.longlong[::1] = _items(counts)
    most: cython.longlong[::1] = _items(greatest)
    i: cython.Py_ssize_t
    at: cython.longlong
    for i in range(bucket.shape[0]):
        at = bucket[i]
        count[at] = count[at] + 1
        if value[i] > most[at]:
            most[at] = value[i]


@cython.final
@cython.cclass
class Slots:
    """Questions by key and time, each with the greatest row that was offered to it.

    Parameters
    ----------
    offsets
        Key ``k`` asks in the slots ``offsets[k]`` up to ``offsets[k + 1]``.
    held
        Four numbers a slot, side by side since one row needs them all: the question's time, which ascend in each key; then
        of the greatest row its times, and its number; -1: none yet, -2 and less: row ``-2 - number`` of the batch at hand.
    tied
        Whether another row of the same times was offered that has other values.
    last
        For each key the slot that the row before was offered to: rows that come in order of time are placed in a step or two.
    """

    offsets: cython.const[cython.longlong][::1]
    held: cython.longlong[:, ::1]
    tied: cython.uchar[::1]
    last: cython.longlong[::1]

    def __init__(self, offsets: object, held: object, tied: object, last: object) -> None:
        self.offsets = _items(offsets)
        self.held = _items(held)
        self.tied = _items(tied)
        self.last = _items(last)


@cython.final
@cython.cclass
class Offers:
    """Rows of a batch: number of the key (negative: not asked for), event time, created time, and from when known."""

    codes: cython.const[cython.longlong][::1]
    ts: cython.const[cython.longlong][::1]
    created: cython.const[cython.longlong][::1]
    known: cython.const[cython.longlong][::1]

    def __init__(self, codes: object, ts: object, created: object, known: object) -> None:
        self.codes = _items(codes)
        self.ts = _items(ts)
        self.created = _items(created)
        self.known = _items(known)


@cython.cfunc
@cython.exceptval(check=False)
@cython.inline
def _place(
    held: cython.longlong[:, ::1],
    lo: cython.Py_ssize_t,
    hi: cython.Py_ssize_t,
    near: cython.Py_ssize_t,
    bound: cython.longlong,
) -> cython.Py_ssize_t:
    """First slot from ``lo`` up to ``hi`` whose time is at least ``bound``, from one nearby in steps that double."""
    step: cython.Py_ssize_t = 1
    middle: cython.Py_ssize_t
    if held[near, 0] < bound:
        lo = near + 1
        while lo + step < hi and held[lo + step, 0] < bound:
            lo = lo + step + 1
            step = step * 2
        if lo + step < hi:
            hi = lo + step
    elif near == lo or held[near - 1, 0] < bound:
        return near
    else:
        hi = near
    while lo < hi:
        middle = (lo + hi) >> 1
        if held[middle, 0] < bound:
            lo = middle + 1
        else:
            hi = middle
    return lo


def offer(slots: Slots, rows: Offers, *, touched: object, rivals: object, rival_slots: object) -> tuple[int, int]:
    """Offer every row to the first question of its key that can see it; later questions see it through that one.

    Parameters
    ----------
    touched
        Receives the slots that took a row of this batch.
    rivals, rival_slots
        Receive the rows that had the very times of what their slot had, and the slots.

    Returns
    -------
    How many were written to each.
    """
    taken: cython.longlong[::1] = _items(touched)
    rival: cython.longlong[::1] = _items(rivals)
    contested: cython.longlong[::1] = _items(rival_slots)
    created: cython.longlong
    takes: cython.Py_ssize_t = 0
    ties: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    lo: cython.Py_ssize_t
    hi: cython.Py_ssize_t
    at: cython.Py_ssize_t
    key: cython.longlong
    since: cython.longlong
    for i in range(rows.codes.shape[0]):
        key = rows.codes[i]
        if key < 0:
            continue
        lo = slots.offsets[key]
        hi = slots.offsets[key + 1]
        since = rows.ts[i] if rows.ts[i] > rows.known[i] else rows.known[i]
        if lo == hi or slots.held[hi - 1, 0] < since:
            continue
        at = _place(slots.held, lo, hi, slots.last[key], since)
        slots.last[key] = at
        created = rows.created[i]
        if (
            slots.held[at, 3] == -1
            or rows.ts[i] > slots.held[at, 1]
            or (rows.ts[i] == slots.held[at, 1] and created > slots.held[at, 2])
        ):
            if slots.held[at, 3] >= -1:
                taken[takes] = at
                takes += 1
            slots.held[at, 1] = rows.ts[i]
            slots.held[at, 2] = created
            slots.held[at, 3] = -2 - i
            slots.tied[at] = 0
        elif rows.ts[i] == slots.held[at, 1] and created == slots.held[at, 2]:
            rival[ties] = i
            contested[ties] = at
            ties += 1
    return takes, ties


def equals(slots: Slots, marks: object) -> int:
    """Mark slots of one key whose rows have the same times, where nothing but values can say which is greater; how many."""
    marked: cython.uchar[::1] = _items(marks)
    k: cython.Py_ssize_t
    at: cython.Py_ssize_t
    best: cython.Py_ssize_t
    count: cython.longlong = 0
    for k in range(slots.offsets.shape[0] - 1):
        best = -1
        for at in range(slots.offsets[k], slots.offsets[k + 1]):
            if slots.held[at, 3] < 0:
                continue
            if best >= 0 and slots.held[at, 1] == slots.held[best, 1] and slots.held[at, 2] == slots.held[best, 2]:
                count += 1 - marked[best]
                marked[best] = 1
                marked[at] = 1
                count += 1
            elif (
                best < 0
                or slots.held[at, 1] > slots.held[best, 1]
                or (slots.held[at, 1] == slots.held[best, 1] and slots.held[at, 2] > slots.held[best, 2])
            ):
                best = at
    return count


def settle(slots: Slots, ranks: object, *, found: object, doubts: object) -> int:
    """For every slot the number of the greatest row offered to it or to an earlier one of its key, or -1.

    Parameters
    ----------
    ranks
        One for each slot, which tell rows of the same times apart; empty where there are none.
    doubts
        Receives a mark at the first slot of each key and time whose answer was chosen among rows that differ only in value.

    Returns
    -------
    How many marks were made.
    """
    rank: cython.const[cython.longlong][::1] = _items(ranks)
    answer: cython.longlong[::1] = _items(found)
    doubt: cython.uchar[::1] = _items(doubts)
    ranked: cython.bint = rank.shape[0] > 0
    k: cython.Py_ssize_t
    at: cython.Py_ssize_t
    best: cython.Py_ssize_t
    same: cython.bint
    tied: cython.bint
    ambiguous: cython.longlong = 0
    for k in range(slots.offsets.shape[0] - 1):
        best = -1
        tied = False
        for at in range(slots.offsets[k], slots.offsets[k + 1]):
            if slots.held[at, 3] >= 0:
                same = best >= 0 and slots.held[at, 1] == slots.held[best, 1] and slots.held[at, 2] == slots.held[best, 2]
                if same and ranked:
                    if not tied and (slots.tied[at] or rank[at] != rank[best]):
                        tied = True
                        doubt[at] = 1
                        ambiguous += 1
                    if rank[at] > rank[best]:
                        best = at
                elif (
                    best < 0
                    or slots.held[at, 1] > slots.held[best, 1]
                    or (slots.held[at, 1] == slots.held[best, 1] and slots.held[at, 2] > slots.held[best, 2])
                ):
                    best = at
                    tied = slots.tied[at] != 0
                    doubt[at] = tied
                    ambiguous += tied
            answer[at] = -1 if best < 0 else slots.held[best, 3]
    return ambiguous
