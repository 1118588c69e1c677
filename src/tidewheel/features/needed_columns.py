"""Which columns of a source some features need. Pure, and below the views, whose version it is a part of."""

from __future__ import annotations

from collections.abc import Sequence

from tidewheel.features.feature import Feature


def columns_of_lookups(features: Sequence[Feature]) -> tuple[str, ...]:
    """Columns that look-ups among some features read, sorted.

    Examples
    --------
    >>> from tidewheel.features.feature import lookup
    >>> columns_of_lookups([lookup("b"), lookup("a"), lookup("b")])
    ('a', 'b')
    """
    return tuple(sorted({one.column for one in features if one.kind == "lookup" and one.column is not None}))


def columns_of_windows(features: Sequence[Feature], event_id: str | None) -> tuple[str, ...]:
    """Columns that windows among some features fold or are conditioned by: event id, then the rest sorted.

    Examples
    --------
    >>> from tidewheel.features.aggregations.sum import sum
    >>> columns_of_windows([sum("x", "1d", where="ok AND a > 1")], "id")
    ('id', 'a', 'ok', 'x')
    """
    windows = [one for one in features if one.kind == "window"]
    if not windows:
        return ()
    folded = [one for window in windows for one in window.inputs]
    found = {one.column for one in folded if one.column is not None}
    found |= {name for one in folded if one.where is not None for name in _condition_columns(one.where)}
    return (*((event_id,) if event_id is not None else ()), *sorted(found - {event_id}))


def _condition_columns(where: str) -> tuple[str, ...]:
    from tidewheel.features.condition import parse_condition  # brings Arrow along

    return parse_condition(where).columns
