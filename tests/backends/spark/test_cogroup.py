"""Buckets of keys, and stretches of time of hot ones, answer what one table answers: to the row, to the bit, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.spark import Spark
from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.errors import FeatureOverflow
from tidewheel.features.definition import FeatureView, count, entity, features, last, lookup, mean, service, std, sum, view_of
from tidewheel.features.retrieve import Retrieved, retrieve
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.definition import Source, source
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow
START = 1_767_225_600_000_000
OPTIONS = [{}, {"created": "made"}, {"available": "known"}, {"after": "3h", "created": "made"}]


@pytest.fixture
def cutting(spark: Spark, tmp_path: Path) -> Iterator[Spark]:
    """An engine for which everything is large: buckets of 150 rows, answers in files, streamed by partitions."""
    with Spark("local[2]", temporary=tmp_path, small_bytes=0, bucket_rows=150) as engine:
        yield engine


def events(folder: Path) -> Path:
    """1,500 events, half of them of one key; ties, nulls, null keys, late and corrected ones among them."""
    draw = np.random.default_rng(5)
    uid = np.where(draw.random(1_500) < 0.5, 1, draw.integers(2, 40, 1_500))
    ts = START + draw.integers(0, 4_000, 1_500) * 60_000_000
    made = ts + draw.choice([0, HOUR, DAY], 1_500)
    known = ts + draw.choice([0, 1, 5 * HOUR, 2 * DAY], 1_500)
    x = draw.normal(size=1_500).round(1)
    times = {name: pa.array(one, pa.timestamp("us", "UTC")) for name, one in {"ts": ts, "made": made, "known": known}.items()}
    table = pa.table(
        {"uid": pa.array(uid, mask=draw.random(1_500) < 0.05), **times, "x": pa.array(x, mask=draw.random(1_500) < 0.2)}
    )
    pq.write_table(table, folder / "events.parquet")
    return folder / "events.parquet"


def spine() -> pa.Table:
    draw = np.random.default_rng(6)
    uid = np.where(draw.random(1_000) < 0.6, 1, draw.integers(1, 60, 1_000))
    times = START + draw.integers(-100, 5_000, 1_000) * 60_000_000
    return pa.table({"uid": pa.array(uid, mask=draw.random(1_000) < 0.05), "t": pa.array(times, pa.timestamp("us", "UTC"))})


def views(of: Source) -> list[FeatureView]:
    user = entity("user", uid=int)
    latest = {"x": lookup("x"), "filled": lookup("x", fill="last_known")}
    lately = {"n": count("6h"), "s": sum("x", "6h"), "m": mean("x", "1d"), "d": std("x", "6h"), "l": last("x", "1d")}
    return [
        view_of(features(of, by=user)(type("Latest", (), latest))),
        view_of(features(of, by=user, ttl="5h")(type("Fresh", (), {"fresh": lookup("x")}))),
        view_of(features(of, by=user)(type("Lately", (), lately))),
    ]


def answer(made: list[FeatureView], asked: pa.Table, engine: QueryEngine, root: Path) -> Retrieved:
    seen: dict[str, bytes] = {}
    reader = Sources(root, engine, root / "pushes", seen.get, seen.__setitem__, lambda: Micros(0))
    return retrieve(service("s", *made), asked, time="t", sources=reader, measure=["Latest"])


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
