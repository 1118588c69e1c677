"""Buckets of keys, and stretches of time of hot ones, answer what one table answers: to the row, to the bit, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.backends.spark.worlds import START, answer, events, spine, views

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.spark import Spark
from tidewheel.clock import HOUR
from tidewheel.errors import FeatureOverflow
from tidewheel.features.definition import entity, features, sum, view_of
from tidewheel.sources.definition import source

pytestmark = pytest.mark.slow
OPTIONS = [{}, {"created": "made"}, {"available": "known"}, {"after": "3h", "created": "made"}]


@pytest.fixture
def cutting(spark: Spark, tmp_path: Path) -> Iterator[Spark]:
    """An engine for which everything is large: buckets of 150 rows, answers in files, streamed by partitions."""
    with Spark("local[2]", temporary=tmp_path, small_bytes=0, bucket_rows=150) as engine:
        yield engine


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_cut_into_stretches_or_whole_the_answers_are_the_same(options: dict[str, str], cutting: Spark, tmp_path: Path) -> None:
    of = source("events", str(events(tmp_path)), time="ts", **options)  # type: ignore[arg-type]  # options are checked there
    with DuckDB(threads=1) as duckdb:
        expected = answer(views(of), spine(), duckdb, tmp_path)
    found = answer(views(of), spine(), cutting, tmp_path)
    assert found.table.equals(expected.table)
    assert found.contents == expected.contents
    for one, other in zip(found.views, expected.views, strict=True):
        told = ("rows", "null_keys", "late", "found", "too_old", "unknown", "delays")
        assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]


def test_an_error_in_a_worker_is_the_error_that_it_is(cutting: Spark, tmp_path: Path) -> None:
    ts = pa.array([START, START + 1], pa.timestamp("us", "UTC"))
    of = source("large", pa.table({"uid": [1, 1], "ts": ts, "x": [2**63 - 1, 1]}), time="ts")
    made = view_of(features(of, by=entity("user", uid=int))(type("Latest", (), {"s": sum("x", "1h")})))
    asked = pa.table({"uid": [1], "t": pa.array([START + HOUR // 2], pa.timestamp("us", "UTC"))})
    with pytest.raises(FeatureOverflow, match="9223372036854775808 does not fit int64"):
        answer([made], asked, cutting, tmp_path)
