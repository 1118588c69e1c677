"""Asks views about rows in memory, through the real sources and the real engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros
from tidewheel.features.definition import (
    Entity,
    Feature,
    FeatureView,
    Request,
    ServiceDefinition,
    Transform,
    Use,
    features,
    service,
    view_of,
)
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.definition import Source, source
from tidewheel.sources.read import Sources

INSTANT = pa.timestamp("us", tz="UTC")


def at(text: str) -> datetime:
    """``08:00`` of 2026-01-01, or a whole ISO instant; UTC."""
    whole = text if "T" in text else f"2026-01-01T{text}"
    return datetime.fromisoformat(whole).replace(tzinfo=UTC)


engine_of: ContextVar[Callable[[], QueryEngine]] = ContextVar("engine_of", default=DuckDB)
"""Makes the engine to ask with; the fixture ``every_engine`` sets it."""


def sources() -> Sources:
    """Sources without files; each call has an engine of its own."""
    seen: dict[str, bytes] = {}
    return Sources(Path("/nowhere"), engine_of.get()(), Path("/nowhere"), seen.get, seen.__setitem__, lambda: Micros(0))


def table(rows: Sequence[Mapping[str, object]], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows as a table of these columns; strings of instants are read by :func:`at`."""
    columns = {
        name: pa.array(
            [
                at(value) if pa.types.is_timestamp(kind) and isinstance(value, str) else value
                for value in (row.get(name) for row in rows)
            ],
            kind,
        )
        for name, kind in types.items()
    }
    return pa.table(columns)


def view(
    made: Mapping[str, Feature], of: Source, by: Entity | None, *, name: str = "F", ttl: str | None = None, strict: bool = False
) -> FeatureView:
    """A view from features by name."""
    return view_of(features(of, by=by, ttl=ttl, strict_ties=strict)(type(name, (), dict(made))))


def ask(
    members: Sequence[FeatureView | Use | Transform | Request] | ServiceDefinition, spine: pa.Table, *, time: str = "t"
) -> Retrieved:
    """Retrieve for a spine."""
    wanted = members if isinstance(members, ServiceDefinition) else service("asked", *members)
    reader = sources()
    try:
        return retrieve(wanted, spine, time=time, sources=reader)
    finally:
        reader.engine.close()


def memory(name: str, data: pa.Table, **options: str) -> Source:
    """A source in memory whose time is ``ts``."""
    return source(name, data, time="ts", **options)  # type: ignore[arg-type]  # options are checked by the call itself
