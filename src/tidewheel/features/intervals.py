"""Rows that are visible for a while: which of those of a key that stand at an instant is the greatest.

A row of a slowly changing dimension stands from its own time until it is closed, an image of a change-data feed until a later
change of the same row is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import standing_kernel
from tidewheel.features.questions import Questions

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

FOREVER = (1 << 63) - 1


def find_standing(offsets: Integers, since: Integers, *, until: Integers, asked: Questions) -> Integers:
    """Of each question, in the spine's order, the greatest row that stands: its place, or -1.

    Parameters
    ----------
    offsets
        Rows grouped by key; in each group in their order, the last the greatest.
    since, until
        A row stands from the first until just before the second.

    Examples
    --------
    >>> from tidewheel.features.questions import order_questions
    >>> asked = order_questions(np.zeros(4, dtype=np.int64), np.array([1, 5, 7, 100]), keys=1)
    >>> find_standing(np.array([0, 2]), np.array([1, 5]), until=np.array([100, 7]), asked=asked).tolist()
    [0, 1, 0, -1]
    """
    found = np.full(len(asked.keys), -1, dtype=np.int64)
    begun = np.arange(len(since))
    keys = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if bool(np.any((since[1:] < since[:-1]) & (keys[1:] == keys[:-1]))):
        begun = np.lexsort((since, keys))
    places = np.empty(len(asked.order), dtype=np.int64)
    standing_kernel.stand(
        standing_kernel.Rows(offsets, np.ascontiguousarray(since), np.ascontiguousarray(until), begun),
        asked.offsets,
        asked.moments,
        heap=np.empty(int(np.diff(offsets).max(initial=0)) + 1, dtype=np.int64),
        found=places,
    )
    found[asked.order] = places
    return found


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
    standing_kernel.replace(offsets, np.ascontiguousarray(ts), known=np.ascontiguousarray(known), until=made)
    return made
