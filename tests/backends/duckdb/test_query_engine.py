"""DuckDB passes the contract of the query engine port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.backends.duckdb import DuckDB
from tidewheel.errors import Invalid
from tidewheel.ports.query_engine import Files, Relation
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


def test_whole_numbers_of_json_are_64_bits_wide_with_a_sign_too(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"n": -1, "s": [1, -2], "r": {"m": -3}, "HUGEINT": -4}, {"n": 2**63 - 1, "s": [], "r": None, "HUGEINT": 5}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with DuckDB() as engine:
        this: dict[str, Relation] = {"this": Files("json", (str(file),))}
        found = engine.stream("SELECT * FROM this", this).read_all()
        assert found.to_pylist() == rows
        whole = pa.int64()
        assert found.schema.types == [whole, pa.list_(whole), pa.struct([("m", whole)]), whole]
        file.write_text('{"n": -1}\n{"n": 18446744073709551615}\n')
        with pytest.raises(Invalid, match="18446744073709551615"):
            engine.stream("SELECT n FROM this", this).read_all()


def test_values_of_several_types_in_json_are_strings_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"x": 5, "l": [1, "b"]}, {"x": 'a "b" é', "l": ["c"]}, {"x": None, "l": None}, {"x": {"k": 1}, "l": []}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with DuckDB() as engine:
        found = engine.stream("SELECT * FROM this", {"this": Files("json", (str(file),))}).read_all()
    assert found["x"].to_pylist() == ["5", 'a "b" é', None, '{"k":1}']
    assert found["l"].to_pylist() == [["1", "b"], ["c"], None, []]
