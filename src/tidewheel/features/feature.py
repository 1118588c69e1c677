"""One feature: a column of the latest row, or an aggregate over a window of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tidewheel.clock import Micros, parse_duration
from tidewheel.errors import BadWindow, Invalid
from tidewheel.features.windows import EXACT, FOREVER, check_offset, check_window, choose_hop

Duration = str | timedelta
Scalar = bool | int | float | str | bytes | None
Tail = Literal["exact"]
Options = tuple[tuple[str, Scalar | tuple[Scalar, ...]], ...]
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
        Microseconds; 0 for look-ups. A window of :data:`tidewheel.features.windows.FOREVER` has no start.
    where
        Condition on the source's columns that an event must meet to be folded.
    fill
        ``last_known``: the latest visible row in which the column is not null.
    default
        Stands in for null (and for the 0 of an empty count or sum).
    offset
        Microseconds by which the window lies in the past; then it ends on a border of a hop.
    options
        What else the aggregation was told, by name.
    parts
        The two windows that this one is made from.

    Examples
    --------
    >>> window_feature("mean", "minutes", "1d").aggregation
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
    offset: Micros = _NONE
    options: Options = ()
    parts: tuple[Feature, ...] = ()

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of a recipe, as plain values; what came later than the first recipes only where it is used."""
        made: dict[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in _LATER}
        if self.offset:
            made["offset"] = self.offset
        if self.options:
            made["options"] = [[name, list(value) if isinstance(value, tuple) else value] for name, value in self.options]
        if self.parts:
            made["parts"] = [one.parameters for one in self.parts]
        return made

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """The windows that are folded for it: its parts, or itself."""
        return self.parts or (self,)

    def option(self, name: str) -> Scalar | tuple[Scalar, ...]:
        """What the aggregation was told under a name; ``None`` for nothing.

        Examples
        --------
        >>> window_feature("quantile", "x", "1d", options=(("q", 0.5),)).option("q")
        0.5
        """
        return dict(self.options).get(name)


_LATER = ("offset", "options", "parts")


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


def grain(hop: Duration | None, tail: Tail | None) -> Duration | None:
    """The hop of a window as declared: ``tail="exact"`` makes it a microsecond, whatever else is said.

    Such a window starts at ``t - window`` itself, not at the border of a hop before it, and one with an offset ends at
    ``t - offset``. It keeps a state for every instant that has an event, in place of one a hop.

    Raises
    ------
    BadWindow
        For another tail.

    Examples
    --------
    >>> grain("1h", None), grain("1h", "exact")
    ('1h', datetime.timedelta(microseconds=1))
    """
    if tail not in (None, "exact"):
        raise BadWindow(f"tail is {tail!r}", where="tail", fix='omit tail, or write tail="exact"')
    return hop if tail is None else timedelta(microseconds=EXACT)


def window_feature(
    aggregation: str,
    column: str | None,
    window: Duration = "forever",
    *,
    hop: Duration | None = None,
    where: str | None = None,
    default: Scalar = None,
    offset: Duration | None = None,
    options: Options = (),
) -> Feature:
    """A feature that folds a window of events: what every aggregation's constructor makes.

    Parameters
    ----------
    window
        A duration, or ``"forever"``: everything before the time asked.
    hop
        Grain of the window's start; chosen by its length by default (1d for ever).
    offset
        How far the window lies in the past: ``window="7d", offset="7d"`` is the week before the last one. Such a window ends on
        a border of a hop: ``[floor(t - offset - window, hop), floor(t - offset, hop))``, of what is known at ``t``.

    Raises
    ------
    BadWindow
        When window, offset and hop do not fit.

    Examples
    --------
    >>> window_feature("sum", "amount", "7d", offset="7d").hop
    3600000000
    """
    where_told = f"{aggregation}({column or ''})"
    span = FOREVER if window == "forever" else parse_duration(window)
    step = choose_hop(span) if hop is None else parse_duration(hop)
    check_window(span, step, where=where_told)
    shift = _NONE if offset is None else parse_duration(offset)
    check_offset(shift, step, where=where_told)
    if where is not None and not where.strip():
        raise Invalid("where is empty", where=where_told, fix="omit it, or write a condition")
    return Feature("window", column, aggregation, span, step, where, default=default, offset=shift, options=options)
