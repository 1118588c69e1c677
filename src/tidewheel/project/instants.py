"""Instants at which a view is compared online and offline, so that each tile that it holds is read at one of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidewheel.clock import Micros
from tidewheel.features.feature import Feature
from tidewheel.features.windows import FOREVER

MOST = 16
"""Instants of one view; a question of each is asked for every key."""


def choose_instants(windows: Sequence[Feature], *, closed: int, until: int, now: int) -> list[Micros]:
    """When to ask, in order.

    As of now and of the newest row, all but the newest tiles of a window that lies in the past go unread, and a wrong tile may
    hide behind the others of a long one. So each window is also put where it ends with the newest hop, where it begins with it
    (and so reads little else), and off the border of a hop; one that lies in the past is led over what came since. These
    instants are in the future, where the answer is decided by what is there: both sides must give the same.

    Parameters
    ----------
    windows
        Those that fold tiles; of a ratio, the two that it is made of.
    closed
        Tiles before it are closed; the answer is known from then on, as far as look-ups go back.
    until
        Of the newest row.

    Examples
    --------
    >>> from tidewheel.clock import HOUR
    >>> from tidewheel.features.aggregations.sum import sum
    >>> hour = sum("amount", "3h", hop="1h")
    >>> [at / HOUR for at in choose_instants([hour], closed=9 * HOUR, until=10 * HOUR, now=20 * HOUR)]
    [9.0, 10.0, 11.0, 12.500000000277778, 13.0, 20.0]
    """
    newest = min(until, now)
    found = dict.fromkeys((newest, now, min(closed, newest)))
    shapes = list(dict.fromkeys((one.window, one.hop, one.offset) for one in windows))
    turns = [list(_placed(*shape, newest)) for shape in shapes]
    for turn in range(max(map(len, turns), default=0)):  # a first one of each before a second one of any
        found.update(dict.fromkeys(placed[turn] for placed in turns if turn < len(placed)))
    return sorted(Micros(at) for at in list(found)[:MOST])


def _placed(window: int, hop: int, offset: int, newest: int) -> Iterator[int]:
    """Where to put one window, the most telling first."""
    border = newest // hop * hop + hop
    yield border + offset
    if window >= FOREVER:
        return
    yield border + offset + window - hop
    yield border + offset + window // (2 * hop) * hop + hop // 2 + 1
    since = border + window
    while since < border + offset:
        yield since
        since += window
