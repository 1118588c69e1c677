"""Sources over a temporary directory, on DuckDB, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros, parse_instant
from tidewheel.sources.read import Sources

NOW = parse_instant("2026-01-02T00:00:00Z")


@pytest.fixture(scope="session")
def engine() -> Iterator[DuckDB]:
    with DuckDB(threads=1, memory_limit=512_000_000) as engine:
        yield engine


@pytest.fixture
def now() -> Micros:
    return NOW


@pytest.fixture
def open_sources(engine: DuckDB, tmp_path: Path) -> Callable[[], Sources]:
    """Opens sources again: what it remembers stays, what it holds in memory does not."""
    seen: dict[str, bytes] = {}
    return lambda: Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, lambda: NOW)


@pytest.fixture
def sources(open_sources: Callable[[], Sources]) -> Sources:
    return open_sources()
