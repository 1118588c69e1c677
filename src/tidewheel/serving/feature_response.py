"""The JSON of an answer of features: one row per row asked, or one column per feature, as the request was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from tidewheel.clock import Micros, format_instant, to_datetime
from tidewheel.features.float_kernel import shorten_places
from tidewheel.serving.served_features import FeatureValues
from tidewheel.serving.shared_response import write_shared

_ENCODER = msgspec.json.Encoder()

Shown = Sequence[Sequence[object]]


class _Rows(msgspec.Struct, omit_defaults=True):
    service: str
    names: Sequence[str]
    at: str | list[str]
    values: Shown
    statuses: Shown | None = None
    event_times: Shown | None = None
    lag_seconds: Shown | None = None
    materialized: Mapping[str, str] | None = None


class _Column(msgspec.Struct, omit_defaults=True):
    values: Sequence[object]
    statuses: Sequence[object] | None = None
    event_times: Sequence[object] | None = None
    lag_seconds: Sequence[object] | None = None


class _Columns(msgspec.Struct, omit_defaults=True):
    service: str
    at: str | list[str]
    columns: Mapping[str, _Column]
    materialized: Mapping[str, str] | None = None


def status_names(answer: FeatureValues) -> list[list[str]]:
    """Statuses as they are written: ``PRESENT``, ``NULL_VALUE``, ``NOT_FOUND``, ``OUTSIDE_MAX_AGE``."""
    # The attribute behind Enum.name, which is four times as quick; there are as many statuses as values.
    return [[one._name_ for one in row] for row in answer.statuses]


def event_instants(times: Sequence[Sequence[int | None]]) -> list[list[datetime | None]]:
    """Event times as instants; features of one row share theirs, so each is made once."""
    made: dict[int | None, datetime | None] = {None: None}
    rows: list[list[datetime | None]] = []
    for row in times:
        first = row[0] if row else None
        if first not in made:
            made[first] = to_datetime(first)  # type: ignore[arg-type]  # None is made already
        if row.count(first) == len(row):
            rows.append([made[first]] * len(row))
        else:
            made.update((one, to_datetime(one)) for one in row if one is not None and one not in made)
            rows.append([made[one] for one in row])
    return rows


def lags(times: Sequence[Sequence[int | None]], at: Sequence[Micros]) -> list[list[float | None]]:
    """Seconds from a looked-up row's event to the instant asked; ``None`` where no row was looked up.

    Examples
    --------
    >>> lags([[1_000_000, None]], [Micros(2_500_000)])
    [[1.5, None]]
    """
    return [[None if ts is None else (now - ts) / 1e6 for ts in row] for row, now in zip(times, at, strict=True)]


def write_features(
    service: str,
    names: Sequence[str],
    *,
    answer: FeatureValues,
    at: Sequence[Micros],
    include: Sequence[str],
    columnar: bool,
    places: Sequence[int] | None = None,
    materialized: Mapping[str, Micros] | None = None,
) -> bytes:
    """Bytes of an answer; nothing is rounded: whole numbers are exact, floats have the fewest digits that read back the same.

    Parameters
    ----------
    places
        Outputs wanted, by place; ``None`` for all. ``names`` are theirs.
    """
    shared = answer.shared if places is None and "lag" not in include else None
    if shared is not None and all(None not in one.statuses for one in shared):
        return write_shared(
            service, tuple(names), values=answer.values, shared=shared, at=at, include=include, columnar=columnar
        )
    parts: dict[str, Shown] = {"values": answer.values}
    if "statuses" in include:
        parts["statuses"] = answer.statuses
    if "event_times" in include or "lag" in include:
        times = answer.event_times
        if "event_times" in include:
            parts["event_times"] = event_instants(times)
        if "lag" in include:
            parts["lag_seconds"] = lags(times, at)
    if places is not None:
        parts = {part: [[row[place] for place in places] for row in rows] for part, rows in parts.items()}
    told = None if materialized is None else {view: format_instant(until) for view, until in materialized.items()}
    instants = _instants(at)
    if not columnar:
        return _ENCODER.encode(_Rows(service, names, instants, materialized=told, **parts))
    turned = {part: list(zip(*rows, strict=True)) or [()] * len(names) for part, rows in parts.items()}
    columns = {name: _Column(**{part: held[i] for part, held in turned.items()}) for i, name in enumerate(names)}
    return _ENCODER.encode(_Columns(service, instants, columns, told))


def _instants(at: Sequence[Micros]) -> str | list[str]:
    if not at:
        return []
    first = at[0]
    if at.count(first) == len(at):
        return format_instant(first)
    return [format_instant(one) for one in at]


def shorten(answer: FeatureValues, narrow: tuple[int, ...]) -> FeatureValues:
    """The answer with its 32-bit floats as they print shortest; its values are changed in place."""
    if narrow:
        shorten_places(answer.values, narrow)
    return answer
