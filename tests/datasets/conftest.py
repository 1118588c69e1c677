"""Sources over a temporary directory and artifacts in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import parse_instant
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.read import Sources

NOW = parse_instant("2026-02-01T00:00:00Z")


@pytest.fixture(scope="session")
def engine() -> Iterator[DuckDB]:
    with DuckDB(threads=1, memory_limit=512_000_000) as engine:
        yield engine


@pytest.fixture
def sources(engine: QueryEngine, tmp_path: Path) -> Sources:
    seen: dict[str, bytes] = {}
    return Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, lambda: NOW)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(f"file://{tmp_path / 'artifacts'}")
