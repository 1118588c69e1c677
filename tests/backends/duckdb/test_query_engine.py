"""DuckDB passes the contract of the query engine port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.backends.duckdb import DuckDB
from tidewheel.testing.query_engine import QueryEngineContract


class TestDuckDB(QueryEngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[DuckDB]:
        with DuckDB(temporary=tmp_path / "spill", memory_limit="512MB", threads=1) as engine:
            yield engine
