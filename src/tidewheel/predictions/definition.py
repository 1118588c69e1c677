"""Labels as values, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidewheel.clock import Micros, parse_duration
from tidewheel.errors import Invalid

if TYPE_CHECKING:
    from tidewheel.sources.definition import Source


_AT_ONCE = Micros(0)


@dataclass(frozen=True, slots=True)
class Label:
    """What really happened, for one prediction.

    Names its prediction either by id, or by the keys and the time (``at`` of the prediction) that were asked about.

    Parameters
    ----------
    value
        The truth, in the unit of the prediction; finite.
    at
        When the label became true or was corrected, microseconds UTC. Of several labels for one prediction the one with the
        latest ``at`` holds, and at the same ``at`` the one that arrived last. ``None`` means: when it arrives.
    prediction_id
        The prediction's id, or ``None``.
    keys, time
        Inputs of the prediction (any subset that identifies it), and its ``at`` in microseconds UTC.

    Raises
    ------
    Invalid
        When it names no prediction, or names it in both ways, or the value is not finite.

    Examples
    --------
    >>> Label(value=11.0, prediction_id="p1").prediction_id
    'p1'
    >>> Label(value=11.0)
    Traceback (most recent call last):
    tidewheel.errors.Invalid: a label names no prediction (at id). Fix: give "id", or "keys" and "time"
    """

    value: float
    at: Micros | None = None
    prediction_id: str | None = None
    keys: Mapping[str, object] | None = None
    time: Micros | None = None

    def __post_init__(self) -> None:
        if self.prediction_id is None and (not self.keys or self.time is None):
            raise Invalid("a label names no prediction", where="id", fix='give "id", or "keys" and "time"')
        if self.prediction_id is not None and (self.keys is not None or self.time is not None):
            raise Invalid("a label names its prediction twice", where="id", fix='give either "id", or "keys" and "time"')
        if not _is_finite(self.value):
            raise Invalid(f"a label must be a finite number, not {self.value!r}", where="value", fix="send a number")


@dataclass(frozen=True, slots=True)
class LabelSource:
    """A source whose rows are labels.

    Parameters
    ----------
    source
        The source; a label counts from the source's own time.
    value
        Column with the truth.
    by
        Columns that match the prediction's inputs of the same names; empty when ``id`` is given.
    time
        Column with the instant the prediction was asked for.
    id
        Column with the prediction's id, instead of keys and time.
    """

    source: Source
    value: str
    by: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    delay: Micros = _AT_ONCE


def labels(
    source: Source,
    *,
    value: str,
    by: tuple[str, ...] | list[str] = (),
    time: str | None = None,
    id: str | None = None,
    delay: str = "0s",
) -> LabelSource:
    """Say that the rows of a source are the labels of a deployment's predictions.

    Parameters
    ----------
    value
        Column with the truth.
    by, time
        Key columns and the column with the instant that was asked for: together they find the prediction.
    id
        Or the column with the prediction's id.
    delay
        How long after a prediction its label may be missing. Performance of a window is judged only when this span has passed,
        because quick outcomes arrive first and would flatter it.

    Examples
    --------
    >>> import tidewheel as tw
    >>> trips = tw.source("trips", "data/*.parquet", time="dropoff_time")  # doctest: +SKIP
    >>> tw.labels(trips, value="minutes", by=["pickup_zone"], time="pickup_time", delay="6h")  # doctest: +SKIP
    """
    if (id is None) == (time is None or not by):
        raise Invalid(
            f"labels of source {source.name!r} need exactly one way to find the prediction",
            where="labels",
            fix='give id="column", or by=["key", ...] and time="column"',
        )
    return LabelSource(source, value, tuple(by), time, id, parse_duration(delay))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
