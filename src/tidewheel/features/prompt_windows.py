"""Windows of floats whose events are known at once: which they are, and their states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features import prompt_sweep_kernel
from tidewheel.features.feature import Feature
from tidewheel.features.questions import Questions
from tidewheel.features.state import COUNT, Fold, State

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_BITS = {Fold.SUM: 1, Fold.MOMENTS: 2, Fold.LEAST_FLOAT: 4, Fold.GREATEST_FLOAT: 8}
_NONE: Floats = np.empty(0)
_TILE_FLOATS = 6
_MANY = 512
"""Tiles in a window, above which extremes are sooner found by themselves."""


def is_prompt(state: State, feature: Feature) -> bool:
    """Whether a window's fold is one of those that :func:`sweep_prompt` knows, and it has no better way.

    Examples
    --------
    >>> from tidewheel.features.aggregations.count import count
    >>> from tidewheel.features.state import EXACT, MOMENTS
    >>> hour, earlier = count("1h"), count("1h", offset="1h")
    >>> is_prompt(COUNT, hour), is_prompt(MOMENTS, hour), is_prompt(MOMENTS, earlier), is_prompt(EXACT, hour)
    (True, True, False, False)
    """
    if feature.offset != 0 or (state != COUNT and state.fold not in _BITS):
        return False
    return not keeps_events(state) or feature.window <= _MANY * feature.hop


def keeps_events(state: State) -> bool:
    """Whether a state is some of the events that it was folded from: which they are is told without tiles.

    Examples
    --------
    >>> from tidewheel.features.state import EXACT
    >>> keeps_events(State(Fold.LAST, "integer", 2, 0)), keeps_events(EXACT)
    (True, False)
    """
    return state.fold not in (Fold.TOTAL, Fold.SUM, Fold.MOMENTS)


def sweep_prompt(
    events: tuple[Integers, Integers, Floats], questions: Questions, wanted: Sequence[tuple[int, State]], *, hop: int
) -> list[tuple[Integers, Floats]]:
    """States of windows for every question, as :func:`tidewheel.features.tiles.fold` has them.

    Parameters
    ----------
    events
        Offsets of keys, times and values; all are known at their times.
    wanted
        Length and state of each window.

    Returns
    -------
    For each window the integers and floats of its states; windows of one length share their integers.

    Examples
    --------
    >>> from tidewheel.features.questions import order_questions
    >>> from tidewheel.features.state import SUM
    >>> questions = order_questions(np.array([0]), np.array([9]), keys=1)
    >>> events = np.array([0, 2]), np.array([1, 9]), np.array([2.5, 4.0])
    >>> ((ints, floats),) = sweep_prompt(events, questions, [(20, SUM)], hop=5)
    >>> ints.tolist(), floats.tolist()
    ([[1]], [[2.5, 0.0]])
    """
    offsets, ts, values = events
    asked, folds = len(questions.keys), dict.fromkeys(length for length, _ in wanted)
    count = {length: np.zeros((asked, 1), dtype=np.int64) for length in folds}
    floats = {(length, state.fold): np.zeros((asked, state.floats)) for length, state in wanted}
    spans = [
        prompt_sweep_kernel.Span(
            length,
            count[length].reshape(-1),
            total=floats.get((length, Fold.SUM), _NONE).reshape(-1),
            moments=floats.get((length, Fold.MOMENTS), _NONE).reshape(-1),
            least=floats.get((length, Fold.LEAST_FLOAT), _NONE).reshape(-1),
            greatest=floats.get((length, Fold.GREATEST_FLOAT), _NONE).reshape(-1),
        )
        for length in sorted(folds, reverse=True)
    ]
    prompt_sweep_kernel.sweep(
        prompt_sweep_kernel.Events(offsets, ts, values, questions=(questions.offsets, questions.moments, questions.order)),
        spans,
        _room(offsets, ts, questions, hop),
        hop=hop,
        folds=sum(_BITS[fold] for fold in {state.fold for _, state in wanted if state != COUNT}),
    )
    return [(count[length], floats[length, state.fold]) for length, state in wanted]


def _room(offsets: Integers, ts: Integers, questions: Questions, hop: int) -> prompt_sweep_kernel.Room:
    """Room for the tiles and the questions of any key."""
    tiles, most = most_tiles(offsets, ts, hop), int(np.diff(questions.offsets).max(initial=0))
    places = [np.empty(size, dtype=np.int64) for size in (tiles, tiles, most, most, most, most)]
    return prompt_sweep_kernel.Room(places[0], places[1], np.empty(_TILE_FLOATS * tiles), questions=places[2:])


def most_tiles(offsets: Integers, ts: Integers, hop: int) -> int:
    """How many tiles a key can have at most.

    Examples
    --------
    >>> most_tiles(np.array([0, 2, 3]), np.array([1, 7, 8]), 5)
    2
    """
    if not len(ts):
        return 0
    hops = (int(ts.max()) - int(ts.min())) // hop + 2
    return min(hops, int(np.diff(offsets).max()))
