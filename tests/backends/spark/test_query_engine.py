"""Spark passes the contract of the query engine port, and that of its optional ability."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.backends.spark import Spark
from tidewheel.ports.query_engine import InMemory
from tidewheel.testing.query_engine import QueryEngineContract

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("small_bytes", [1 << 20, 0], ids=["through the driver", "through files"])
class TestSpark(QueryEngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path, spark: Spark, small_bytes: int) -> Iterator[Spark]:
        with Spark("local[2]", temporary=tmp_path / "spill", small_bytes=small_bytes) as engine:
            yield engine

    def test_every_type_comes_back_as_it_went(self, engine: Spark) -> None:
        table = pa.table(
            {
                "n": pa.array([1, None], pa.int32()),
                "f": pa.array([1.111, None], pa.float32()),
                "d": pa.array([-0.0, float("nan")]),
                "s": ["a\u00e4", None],
                "b": [b"\x00\xff", None],
                "t": pa.array([1, None], pa.timestamp("us", "UTC")),
                "u": pa.array([1, None], pa.timestamp("us")),
                "l": pa.array([[1.5, None], None], pa.list_(pa.float64())),
                "r": pa.array([{"x": 1, "y": ["z"]}, None], pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))])),
            }
        )
        answer = engine.stream("SELECT * FROM t", {"t": InMemory(table)}, order_by=["n"]).read_all()
        assert answer.schema == table.schema
        assert str(answer.to_pylist()) == str(table.to_pylist())

    def test_nothing_is_left_of_an_answer_that_was_read(self, engine: Spark, tmp_path: Path) -> None:
        engine.stream("SELECT a FROM t", {"t": InMemory(pa.table({"a": [2, 1]}))}, order_by=["a"]).read_all()
        assert not list((tmp_path / "spill").rglob("part-*"))
        engine.close()
        assert not list((tmp_path / "spill").iterdir())
