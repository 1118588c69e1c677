"""One feature: a column of the latest row, or an aggregate over a window of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tidewheel.clock import Micros, parse_duration
from tidewheel.errors import Invalid
from tidewheel.features.windows import check_window, choose_hop

Duration = str | timedelta
Scalar = bool | int | float | str | bytes | None
_NONE = Micros(0)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a view, as declared; the view's decorator gives it its name.

    Parameters
    ----------
    kind
        ``lookup`` reads a column of the latest visible row; ``window`` folds visible events.
    column
        Column of the source; ``None`` for a count of events.
    aggregation
        Name of a module in ``features/aggregations``; empty for look-ups.
    window, hop
        Microseconds; 0 for look-ups.
    where
        Condition on the source's columns that an event must meet to be folded.
    fill
        ``last_known``: the latest visible row in which the column is not null.
    default
        Stands in for null (and for the 0 of an empty count or sum).

    Examples
    --------
    >>> mean("minutes", "1d").aggregation
    'mean'
    """

    kind: Literal["lookup", "window"]
    column: str | None
    aggregation: str = ""
    window: Micros = _NONE
    hop: Micros = _NONE
    where: str | None = None
    fill: Literal["last_known"] | None = None
    default: Scalar = None
    name: str = ""

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of a recipe, as plain values."""
        return {field: getattr(self, field) for field in self.__dataclass_fields__}


def lookup(column: str, *, fill: Literal["last_known"] | None = None, default: Scalar = None) -> Feature:
    """A column of the latest row that was visible at the time asked.

    Parameters
    ----------
    fill
        ``"last_known"`` skips rows in which the column is null; by default the latest row's null is the answer.
    default
        What stands in for null: no visible row, a row older than ``ttl``, or a null in it.

    Examples
    --------
    >>> lookup("rating", default=0.0).default
    0.0
    """
    if fill not in (None, "last_known"):
        raise Invalid(f"fill is {fill!r}", where=column, fix='omit fill, or write fill="last_known"')
    return Feature("lookup", column, fill=fill, default=default)


def _window(
    aggregation: str,
    column: str | None,
    window: Duration,
    *,
    hop: Duration | None,
    where: str | None,
    default: Scalar,
) -> Feature:
    span = parse_duration(window)
    step = choose_hop(span) if hop is None else parse_duration(hop)
    check_window(span, step, where=f"{aggregation}({column or ''})")
    if where is not None and not where.strip():
        raise Invalid("where is empty", where=f"{aggregation}({column or ''})", fix="omit it, or write a condition")
    return Feature("window", column, aggregation, span, step, where, default=default)


def count(
    column: Duration,
    window: Duration | None = None,
    *,
    hop: Duration | None = None,
    where: str | None = None,
    default: Scalar = None,
) -> Feature:
    """How many events: ``count("1h")`` of all, ``count("x", "1h")`` of those in which ``x`` is not null.

    Examples
    --------
    >>> count("1h").column is None, count("amount", "1h").column
    (True, 'amount')
    """
    if window is None:
        return _window("count", None, column, hop=hop, where=where, default=default)
    if not isinstance(column, str):
        raise Invalid(f"{column!r} is not a column", where="count", fix='write count("column", "1h") or count("1h")')
    return _window("count", column, window, hop=hop, where=where, default=default)


def sum(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Sum of a column: exact for integers and decimals, compensated for floats; 0 when there is none.

    Examples
    --------
    >>> sum("amount", "7d").hop
    3600000000
    """
    return _window("sum", column, window, hop=hop, where=where, default=default)


def mean(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Arithmetic mean of a column; null when there is none.

    Examples
    --------
    >>> mean("minutes", "1d", where="minutes < 600").where
    'minutes < 600'
    """
    return _window("mean", column, window, hop=hop, where=where, default=default)


def min(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Least value of a column; null when there is none.

    Examples
    --------
    >>> min("amount", "1d").aggregation
    'min'
    """
    return _window("min", column, window, hop=hop, where=where, default=default)


def max(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Greatest value of a column; null when there is none.

    Examples
    --------
    >>> max("amount", "1d").aggregation
    'max'
    """
    return _window("max", column, window, hop=hop, where=where, default=default)


def std(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Standard deviation of the sample (divisor n - 1); null below two values.

    Examples
    --------
    >>> std("amount", "1d").aggregation
    'std'
    """
    return _window("std", column, window, hop=hop, where=where, default=default)


def std_pop(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """Standard deviation of the population (divisor n); 0 for one value, null for none.

    Examples
    --------
    >>> std_pop("amount", "1d").aggregation
    'std_pop'
    """
    return _window("std_pop", column, window, hop=hop, where=where, default=default)


def last(
    column: str, window: Duration, *, hop: Duration | None = None, where: str | None = None, default: Scalar = None
) -> Feature:
    """The latest value of a column that is not null; null when there is none.

    Examples
    --------
    >>> last("merchant", "30d").hop
    86400000000
    """
    return _window("last", column, window, hop=hop, where=where, default=default)
