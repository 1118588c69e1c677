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
        with DuckDB(temporary=tmp_path / "spill", memory_limit=512_000_000, threads=1) as engine:
            yield engine


def test_a_sort_of_more_than_the_limit_spills_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spill"
    with DuckDB(temporary=folder, memory_limit=40_000_000, threads=1) as engine:
        sql = "SELECT range AS n, hash(range)::VARCHAR AS text FROM range(600000) ORDER BY text"
        batches = engine.stream(sql, {}, batch_rows=10_000)
        assert next(iter(batches)).num_rows == 10_000
        assert any(folder.iterdir())
        assert sum(batch.num_rows for batch in batches) == 590_000
    assert not folder.exists() or not any(folder.iterdir())
