"""Unit tests of features: rows given inline, the very kernel, and what differs in words. No file, no engine, no store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from tidewheel.clock import format_instant
from tidewheel.errors import MissingColumns, near_miss
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use, outputs_of, view_of

Event = Mapping[str, object]
Instant = datetime | str | int


def test_case(
    asked: type | FeatureView | ServiceDefinition,
    *,
    events: Sequence[Event] | Mapping[str, Sequence[Event]],
    at: Instant,
    expect: Mapping[str, object],
    given: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Assert what features are at an instant, given some rows.

    Parameters
    ----------
    asked
        A view or a service.
    events
        Rows of the source as they are after its ``select``: values by column, times as ISO 8601, as ``datetime`` or as numbers,
        read as the source's ``timezone`` and ``time_unit`` say. For several sources, rows by the source's name. A column that
        no row has is null. Rows that a rule of the source puts in quarantine are left out, where it compares with plain values.
    expect
        Features and their values; floats may differ in the last bits. Features that are not named may be anything.
    given
        Keys and request values, by name. Keys may be left out where all rows have the same.

    Returns
    -------
    All features.

    Raises
    ------
    AssertionError
        Naming each feature that is otherwise, what it was expected to be and what it is.

    Examples
    --------
    >>> from tidewheel.features.definition import count, entity, features, mean
    >>> from tidewheel.sources.definition import source
    >>> @features(source("trips", "trips/*.parquet", time="ended"), by=entity("zone", zone=int))
    ... class Pace:
    ...     trips = count("1h")
    ...     minutes = mean("minutes", "1h")
    >>> rows = [{"zone": 4, "ended": f"2026-01-01T09:{m}", "minutes": x} for m, x in (("10", 5.0), ("40", 8.0))]
    >>> test_case(Pace, events=rows, at="2026-01-01T10:00", expect={"trips": 2})
    {'trips': 2, 'minutes': 6.5}
    >>> test_case(Pace, events=rows, at="2026-01-01T09:30", expect={"trips": 2})
    Traceback (most recent call last):
    AssertionError: Pace at 2026-01-01T09:30:00Z, of zone=4:
      trips: expected 2, is 1
    """
    service = asked if isinstance(asked, ServiceDefinition) else service_of_view(view_of(asked))
    unknown = [name for name in expect if name not in service.names]
    if unknown:
        fix = near_miss(unknown[0], service.names)
        raise MissingColumns(f"{service.name} has no feature {unknown[0]!r}", where=unknown[0], fix=fix)
    from tidewheel.features.inline_rows import InlineRows, read_moment  # brings Arrow, which a definition does without

    rows = InlineRows(service, events)
    moment = read_moment(at, "at")
    found, values = rows.answer(moment, given or {})
    wrong = [
        f"  {name}: expected {wanted!r}, is {found[name]!r}"
        for name, wanted in expect.items()
        if not _equal(found[name], wanted)
    ]
    if wrong:
        told = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise AssertionError("\n".join([f"{service.name} at {format_instant(moment)}, of {told or 'everything'}:", *wrong]))
    return found


test_case.__test__ = False  # type: ignore[attr-defined]  # no test itself, where pytest finds it imported


def service_of_view(view: FeatureView) -> ServiceDefinition:
    """A view alone, as a service."""
    use = Use(view)
    return ServiceDefinition(view.name, (use,), outputs_of(view.name, (use,)), (), ())


def _equal(found: object, wanted: object) -> bool:
    if isinstance(found, float) and isinstance(wanted, float) and not isinstance(wanted, bool):
        return found == wanted or math.isclose(found, wanted, rel_tol=1e-9)
    return bool(found == wanted)
