"""Vectors as features: a look-up of a list of floats whose width is declared."""

from __future__ import annotations

from tidewheel.errors import Invalid
from tidewheel.features.feature import Feature

_WIDTH = "width"


def vector(column: str, width: int) -> Feature:
    """A list of floats of the latest row that was visible, always of one width.

    Rows whose list is of another width, or has a null in it, are refused where they come in: in a training set, when the view
    is materialised, and when they are pushed. A null in place of the list is no vector, and allowed.

    Parameters
    ----------
    width
        How many numbers there are.

    Examples
    --------
    >>> width_of(vector("embedding", 384))
    384
    """
    if width <= 0:
        raise Invalid(f"a vector has {width} numbers", where=column, fix='give its width: tw.vector("embedding", 384)')
    return Feature("lookup", column, options=((_WIDTH, width),))


def width_of(feature: Feature) -> int | None:
    """How many numbers a feature's list must have; ``None`` where it says nothing.

    Examples
    --------
    >>> from tidewheel.features.feature import lookup
    >>> width_of(lookup("x")) is None
    True
    """
    width = feature.option(_WIDTH) if feature.kind == "lookup" else None
    return width if isinstance(width, int) else None
