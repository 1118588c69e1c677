"""Rows that are visible for a while: which of those of a key that stand at an instant is the greatest.

A row of a slowly changing dimension stands from its own time until it is closed, an image of a change-data feed until a later
change of the same row is known. Where no row of a key outlives a later one, as it should be, both borders ascend and the answer
is the last row that has begun, unless it has ended. Keys with rows that overlap otherwise are swept.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Booleans = npt.NDArray[np.bool_]

FOREVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Segments:
    """Who answers from when: key ``k`` has segments ``offsets[k]`` up to ``offsets[k + 1]``, ascending in ``since``.

    ``rows`` are places among the rows given, -1 where nothing stands.
    """

    offsets: Integers
    since: Integers
    rows: Integers


def standing_segments(offsets: Integers, since: Integers, *, until: Integers) -> Segments:
    """Segments of rows that are grouped by key and in their order, the last the greatest.

    Parameters
    ----------
    since, until
        A row stands from the first until just before the second.

    Examples
    --------
    >>> made = standing_segments(np.array([0, 2]), np.array([1, 5]), until=np.array([100, 7]))
    >>> made.since.tolist(), made.rows.tolist()
    ([1, 5, 7, 100], [0, 1, 0, -1])
    """
    keys = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    ever = np.flatnonzero(since < until)
    keys, begins, ends = keys[ever], since[ever], until[ever]
    same = keys[1:] == keys[:-1]
    tangled = np.unique(keys[1:][same & ((begins[1:] < begins[:-1]) | (ends[1:] < ends[:-1]))])
    plain = ~np.isin(keys, tangled)
    places = np.flatnonzero(plain)
    after = np.full(len(places), FOREVER, dtype=np.int64)  # where the next row of the key begins
    follows = keys[places][1:] == keys[places][:-1]
    after[:-1][follows] = begins[places][1:][follows]
    lapse = places[ends[places] < after]
    parts = [
        (keys[places], begins[places], ever[places]),
        (keys[lapse], ends[lapse], np.full(len(lapse), -1, dtype=np.int64)),
        *_swept(tangled, keys, begins, ends, ever),
    ]
    owner, moments, rows = (np.concatenate([part[column] for part in parts]) for column in range(3))
    # of a row that begins where another one has lapsed the row counts: it stands behind, and the last one is found
    order = np.lexsort((rows, moments, owner))
    return Segments(np.searchsorted(owner[order], np.arange(len(offsets))).astype(np.int64), moments[order], rows[order])


def _swept(
    tangled: Integers, keys: Integers, begins: Integers, ends: Integers, rows: Integers
) -> list[tuple[Integers, Integers, Integers]]:
    """Segments of the keys whose rows outlive each other: at each border the greatest row that stands, by a heap."""
    parts = []
    for key in tangled.tolist():
        low, high = np.searchsorted(keys, [key, key + 1])
        mine = range(int(low), int(high))
        starting = sorted(mine, key=lambda place: begins[place])
        borders = sorted({int(begins[place]) for place in mine} | {int(ends[place]) for place in mine if ends[place] < FOREVER})
        standing: list[int] = []
        moments, found, next_one = [], [], 0
        for border in borders:
            while next_one < len(starting) and begins[starting[next_one]] <= border:
                heapq.heappush(standing, -starting[next_one])
                next_one += 1
            while standing and ends[-standing[0]] <= border:
                heapq.heappop(standing)
            moments.append(border)
            found.append(int(rows[-standing[0]]) if standing else -1)
        parts.append((np.full(len(borders), key, dtype=np.int64), np.array(moments), np.array(found)))
    return parts


def replaced_until(offsets: Integers, ts: Integers, *, known: Integers, until: Integers) -> Integers:
    """Until when each row stands, if a later row of its key and time replaces it from its being known.

    Parameters
    ----------
    offsets
        Rows grouped by key; in each group in their order.

    Examples
    --------
    >>> forever = np.full(2, FOREVER)
    >>> replaced_until(np.array([0, 2]), np.array([5, 5]), known=np.array([5, 9]), until=forever).tolist() == [9, FOREVER]
    True
    """
    made = until.copy()
    same = ts[1:] == ts[:-1]
    inner = offsets[1:-1]
    same[inner[(inner > 0) & (inner < len(ts))] - 1] = False
    least = FOREVER
    for place in np.flatnonzero(same)[::-1].tolist():  # rare: a row and the one that closes it
        following = place + 1
        if following >= len(same) or not same[following]:
            least = FOREVER
        least = min(least, int(known[following]))
        made[place] = min(int(made[place]), least)
    return made
