"""Sources of every kind give the same rows on Spark as on DuckDB; what Spark does not read alike is refused by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from tidewheel.backends.delta import open_table_format
from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.spark import Spark
from tidewheel.clock import Micros
from tidewheel.errors import EngineCannot
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources import Source, source
from tidewheel.sources.fetch import Outside
from tidewheel.sources.location import query
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow
TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
ROWS = pa.table(
    {
        "id": [1, 2, 2, 3],
        "t": pa.array([TEN + timedelta(hours=n) for n in range(4)], pa.timestamp("us", "UTC")),
        "x": [1.5, float("nan"), None, -0.0],
        "note": ["a", None, "ä", "b"],
    }
)


@pytest.fixture
def engine(spark: Spark, tmp_path: Path) -> Iterator[Spark]:
    with Spark("local[2]", temporary=tmp_path / "spark") as engine:
        yield engine


def opened(engine: QueryEngine, root: Path) -> Sources:
    """With memories and a folder for what is fetched of its own."""
    seen: dict[str, bytes] = {}
    outside = Outside(root / engine.dialect, {}, open_table_format)
    return Sources(root, engine, root / "pushes", seen.get, seen.__setitem__, lambda: Micros(0), outside)


def parquet(root: Path) -> Source:
    pq.write_table(ROWS.slice(0, 2), root / "a.parquet")
    pq.write_table(ROWS.slice(2).drop_columns(["note"]), root / "b.parquet")
    return source("rides", "*.parquet", time="t", event_id="id", deleted="x < 0 OR x IS NULL")


def written(root: Path) -> Source:
    (root / "rides.csv").write_text("id,t,x,note\n1,2026-01-01 10:00:00,1.5,a\n2,2026-01-01 11:00:00,,\n")
    return source("rides", "rides.csv", time="t", select="SELECT *, substr(note, 1, 1) AS first FROM this")


def delta(root: Path) -> Source:
    write_deltalake(str(root / "rides"), ROWS, partition_by=["id"])
    return source("rides", "rides/", time="t")


def asked(root: Path) -> Source:
    with sqlite3.connect(root / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, t TEXT, x REAL, note TEXT)")
        held = [(row["id"], row["t"].strftime("%Y-%m-%d %H:%M:%S"), row["x"], row["note"]) for row in ROWS.to_pylist()]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", held)
    return source("rides", query("SELECT * FROM orders", "sqlite:///shop.db"), time="t")


def pushed(root: Path) -> Source:
    pq.write_table(ROWS.slice(0, 2), root / "a.parquet")
    rides = source("rides", "a.parquet", time="t")
    log = PushLog(root / "pushes" / "rides")
    log.append(rides, ROWS.slice(2))
    log.close()
    return rides


@pytest.mark.parametrize("declare", [parquet, written, delta, asked, pushed])
def test_a_scan_gives_the_same_rows_on_both(declare: Callable[[Path], Source], engine: Spark, tmp_path: Path) -> None:
    declared = declare(tmp_path)
    with DuckDB(threads=1) as duckdb:
        near, far = opened(duckdb, tmp_path), opened(engine, tmp_path)
        names = near.schema(declared).names
        assert far.schema(declared) == near.schema(declared)
        order = ["__ts", "id"]
        expected = near.scan(declared, names, order_by=order)
        found = far.scan(declared, names, order_by=order)
        assert found.schema == expected.schema
        assert str(found.to_pylist()) == str(expected.to_pylist())
        assert far.counts == near.counts
        assert far.snapshot(declared).content == near.snapshot(declared).content


def test_lines_of_json_are_refused_when_they_are_planned(engine: Spark, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": "2026-01-01T10:00:00Z", "x": 1}\n')
    with pytest.raises(EngineCannot, match="spark cannot read json files"):
        opened(engine, tmp_path).schema(source("rides", "a.jsonl", time="t"))


@pytest.mark.parametrize("condition", ["note", "x"])
def test_a_condition_that_is_not_plainly_true_or_false_is_refused(condition: str, engine: Spark, tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "a.parquet")
    with pytest.raises(EngineCannot, match="others are true"):
        opened(engine, tmp_path).schema(source("rides", "a.parquet", time="t", deleted=condition))
