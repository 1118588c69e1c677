"""Sources outside of the project: tables with versions, queries, objects; what is fetched, kept, travelled to, refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from obstore.store import MemoryStore, ObjectStore

from tidewheel.backends.delta import open_table_format
from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import parse_instant
from tidewheel.errors import Conflict, Denied, Invalid, NotFound, TidewheelError, Unavailable
from tidewheel.features.arrivals import find_arrivals
from tidewheel.sources import Source, source
from tidewheel.sources.fetch import Outside
from tidewheel.sources.location import location, query
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
SECRETS = {"ORDERS_KEY": "hunter2-s3cret"}
Open = Callable[[], Sources]


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def reopen(engine: DuckDB, tmp_path: Path, bucket: MemoryStore) -> Iterator[Open]:
    seen: dict[str, bytes] = {}

    def open_bucket(url: str, options: Mapping[str, str]) -> ObjectStore:
        return bucket

    outside = Outside(tmp_path / "kept", SECRETS, open_table_format, open_bucket)
    clock = lambda: parse_instant("2026-01-02T00:00:00Z")  # noqa: E731 - a clock that stands still
    yield lambda: Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, clock, outside)


@pytest.fixture
def outside(reopen: Open) -> Sources:
    return reopen()


def rows(*values: int) -> pa.Table:
    return pa.table({"t": pa.array([TEN] * len(values), pa.timestamp("us", "UTC")), "x": pa.array(values, pa.int64())})


def xs(sources: Sources, declared: Source, snapshot: Snapshot | None = None) -> list[int]:
    found: list[int] = sources.scan(declared, ["x"], snapshot=snapshot, order_by=["x"])["x"].to_pylist()
    return found


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────


def test_json_lines_have_types_and_may_be_packed(outside: Sources, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.jsonl").write_text(
        '{"t": "2026-01-01T10:00:00Z", "x": 9007199254740993, "tag": ["a"]}\n{"t": null, "x": 2}\n'
    )
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"t": "2026-01-01T10:00:00Z", "x": 3, "note": "late"}\n'))
    rides = source("rides", ["a.jsonl", "b.jsonl.gz"], time="t")
    found = outside.scan(rides, ["x", "note"], order_by=["x"])
    assert found["x"].to_pylist() == [3, 9007199254740993]
    assert found["note"].to_pylist() == ["late", None]
    assert outside.counts["rides"].null_time == 1


def test_a_broken_line_of_json_is_told_with_what_to_do(outside: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": "2026-01-01T10:00:00Z"}\n{"t": \n')
    with pytest.raises(TidewheelError) as caught:
        outside.scan(source("rides", "a.jsonl", time="t"), [])
    assert caught.value.fix


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("partitioned", [False, True])
def test_an_append_to_a_table_is_what_arrives_and_a_rewrite_is_everything(
    reopen: Open, tmp_path: Path, partitioned: bool
) -> None:
    by = ["x"] if partitioned else None
    write_deltalake(str(tmp_path / "rides"), rows(1, 2), partition_by=by)
    rides = source("rides", "rides/", time="t")
    outside = reopen()
    first = outside.snapshot(rides)
    assert xs(outside, rides, first) == [1, 2]
    write_deltalake(str(tmp_path / "rides"), rows(3), mode="append", partition_by=by)
    second = reopen().snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(reopen(), rides, arrived) == [3]
    assert (first.version, second.version) == ("0", "1")
    DeltaTable(str(tmp_path / "rides")).delete("x = 1")
    third = reopen().snapshot(rides)
    assert find_arrivals(second, third) is None
    assert [xs(reopen(), rides, one) for one in (first, second, third)] == [[1, 2], [1, 2, 3], [2, 3]]
    assert Snapshot.from_json(third.to_json()) == third


def test_the_same_rows_are_the_same_content_wherever_the_table_lies(reopen: Open, tmp_path: Path) -> None:
    for name in ("here", "there"):
        write_deltalake(str(tmp_path / name), rows(1, 2))
    one, two = (reopen().snapshot(source("rides", f"{name}/", time="t")) for name in ("here", "there"))
    assert one.content == two.content


def test_a_new_column_leaves_the_content_of_older_rows_alone(reopen: Open, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "rides"), rows(1, 2))
    rides = source("rides", "delta://rides", time="t")
    first = reopen().snapshot(rides)
    more = rows(3).append_column("y", pa.array([0.5]))
    write_deltalake(str(tmp_path / "rides"), more, mode="append", schema_mode="merge")
    outside = reopen()
    second = outside.snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert outside.scan(rides, ["x", "y"], snapshot=second, order_by=["x"])["y"].to_pylist() == [None, None, 0.5]
    assert outside.scan(rides, ["x", "y"], snapshot=first, order_by=["x"])["y"].to_pylist() == [None, None]
    assert outside.scan(rides, ["x", "y"], snapshot=arrived)["y"].to_pylist() == [0.5]


def test_a_version_that_was_vacuumed_away_is_a_conflict(reopen: Open, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "rides"), rows(1))
    rides = source("rides", "rides/", time="t")
    first = reopen().snapshot(rides)
    write_deltalake(str(tmp_path / "rides"), rows(2), mode="overwrite")
    table = DeltaTable(str(tmp_path / "rides"))
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(Conflict, match="rides"):
        xs(reopen(), rides, first)


def test_a_url_may_name_a_version_and_then_stays_there(reopen: Open, tmp_path: Path) -> None:
    for value in (1, 2, 3):
        write_deltalake(str(tmp_path / "rides"), rows(value), mode="append")
    assert xs(reopen(), source("rides", "delta://rides?version=1", time="t")) == [1, 2]
    with pytest.raises(NotFound, match="9"):
        reopen().snapshot(source("rides", "delta://rides?version=9", time="t"))


def test_pushes_stand_beside_a_table(outside: Sources, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "rides"), rows(1))
    rides = source("rides", "rides/", time="t")
    log = PushLog(tmp_path / "pushes/rides")
    log.append(rides, rows(5))
    assert xs(outside, rides) == [1, 5]
    log.close()


def test_a_table_that_is_not_there_is_not_found(outside: Sources) -> None:
    with pytest.raises(NotFound, match="no Delta table"):
        outside.snapshot(source("rides", "nowhere/", time="t"))


# ── queries ──────────────────────────────────────────────────────────────────────────────────────


def shop(path: Path, *statements: str) -> None:
    with sqlite3.connect(path / "shop.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


CREATE = "CREATE TABLE orders (id INTEGER, t TEXT, x INTEGER, price REAL, note TEXT)"


def insert(number: int, x: int, price: str = "1.5") -> str:
    return f"INSERT INTO orders VALUES ({number}, '2026-01-01T10:00:00Z', {x}, {price}, 'a:b %')"


def test_a_query_is_kept_as_it_was_and_in_an_order_of_its_own(reopen: Open, tmp_path: Path) -> None:
    shop(tmp_path, CREATE, insert(1, 10), insert(2, 20, "NULL"))
    orders = source("orders", query("SELECT * FROM orders WHERE note = 'a:b %'", "sqlite:///shop.db"), time="t")
    first = reopen().snapshot(orders)
    shop(tmp_path, "DELETE FROM orders", insert(2, 20, "NULL"), insert(1, 10))
    assert reopen().snapshot(orders).content == first.content
    shop(tmp_path, insert(3, 30))
    second = reopen().snapshot(orders)
    assert find_arrivals(first, second) is None
    assert [xs(reopen(), orders, one) for one in (first, second)] == [[10, 20], [10, 20, 30]]
    for kept in (tmp_path / "kept").iterdir():
        kept.unlink()
    assert xs(reopen(), orders, second) == [10, 20, 30]
    with pytest.raises(Conflict, match="query"):
        xs(reopen(), orders, first)


def test_a_query_with_since_asks_for_what_came_after(reopen: Open, tmp_path: Path) -> None:
    shop(tmp_path, CREATE, insert(1, 10), insert(2, 20))
    orders = source("orders", query("SELECT * FROM orders", "sqlite:///shop.db", since="id"), time="t")
    first = reopen().snapshot(orders)
    assert reopen().snapshot(orders) == first
    shop(tmp_path, "UPDATE orders SET x = 99 WHERE id = 1", insert(3, 30))
    second = reopen().snapshot(orders)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(reopen(), orders, arrived) == [30]
    assert xs(reopen(), orders, second) == [10, 20, 30]


def test_types_of_a_query_are_those_of_all_its_rows(outside: Sources, tmp_path: Path) -> None:
    shop(tmp_path, CREATE, *(insert(n, n, "NULL") for n in range(3)), insert(3, 3, "2"), insert(4, 4, "2.25"))
    orders = source("orders", query("SELECT * FROM orders ORDER BY id", "sqlite:///shop.db"), time="t")
    assert outside.scan(orders, ["price"], order_by=["price"])["price"].to_pylist() == [2.0, 2.25, None, None, None]
    empty = source("none", query("SELECT * FROM orders WHERE id > 99", "sqlite:///shop.db"), time="t")
    assert outside.scan(empty, []).num_rows == 0


def test_what_is_wrong_with_a_query_is_told(outside: Sources, tmp_path: Path) -> None:
    shop(tmp_path, CREATE, insert(1, 1))
    for sql, words in (("SELECT * FROM orderz", "orderz"), ("SELECT id, id FROM orders", "two columns"), ("SELEC", "SELEC")):
        with pytest.raises(Invalid, match=words):
            outside.snapshot(source("orders", query(sql, "sqlite:///shop.db"), time="t"))
    with pytest.raises(Invalid, match="no column zz"):
        outside.snapshot(source("orders", query("SELECT id FROM orders", "sqlite:///shop.db", since="zz"), time="t"))
    with pytest.raises(Unavailable):
        outside.snapshot(source("orders", query("SELECT 1", "sqlite:///no/where.db"), time="t"))


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_is_a_reference_and_is_never_shown(outside: Sources) -> None:
    url = "postgresql://reader:${ORDERS_KEY}@127.0.0.1:1/shop?connect_timeout=2"
    orders = source("orders", query("SELECT 1", url), time="t")
    assert "ORDERS_KEY" in str(orders.origin)
    with pytest.raises(Unavailable) as caught:
        outside.snapshot(orders)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRETS["ORDERS_KEY"] not in f"{chain!s} {chain!r}"
        chain = chain.__cause__
    with pytest.raises(NotFound, match="NOBODY_SET_THIS"):
        outside.snapshot(source("orders", query("SELECT 1", "postgresql://a:${NOBODY_SET_THIS}@h/d"), time="t"))


def test_a_secret_that_is_written_out_is_refused() -> None:
    with pytest.raises(Denied) as caught:
        query("SELECT 1", "postgresql://reader:hunter2@db/shop")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(Denied, match="secret_access_key"):
        location("s3://bucket/a.parquet", secret_access_key="hunter2")


# ── objects ──────────────────────────────────────────────────────────────────────────────────────


def put(store: MemoryStore, path: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    obstore.put(store, path, sink.getvalue().to_pybytes())


def test_objects_are_listed_by_pattern_and_fetched_once(reopen: Open, tmp_path: Path, bucket: MemoryStore) -> None:
    put(bucket, "rides/2026/a.parquet", rows(1))
    put(bucket, "rides/2026/b.parquet", rows(2))
    put(bucket, "rides/old.parquet", rows(9))
    put(bucket, "rides/2026/deep/c.parquet", rows(8))
    rides = source("rides", "s3://bucket/rides/2026/*.parquet", time="t")
    first = reopen().snapshot(rides)
    assert [file.path for file in first.files] == ["s3://bucket/rides/2026/a.parquet", "s3://bucket/rides/2026/b.parquet"]
    assert xs(reopen(), rides, first) == [1, 2]
    kept = sorted(path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir())
    put(bucket, "rides/2026/z.parquet", rows(3))
    second = reopen().snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(reopen(), rides, arrived) == [3]
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir())[: len(kept)] == kept
    assert xs(reopen(), source("rides", "s3://bucket/rides/**/*.parquet", time="t")) == [1, 2, 3, 8, 9]
    assert xs(reopen(), source("rides", "s3://bucket/rides/old.parquet", time="t")) == [9]


def test_an_object_that_changed_is_travelled_to_while_it_is_kept(reopen: Open, tmp_path: Path, bucket: MemoryStore) -> None:
    put(bucket, "a.parquet", rows(1))
    rides = source("rides", "gs://bucket/*.parquet", time="t")
    first = reopen().snapshot(rides)
    put(bucket, "a.parquet", rows(7))
    assert reopen().snapshot(rides).content != first.content
    assert xs(reopen(), rides, first) == [1]
    assert xs(reopen(), rides) == [7]
    for kept in (tmp_path / "kept").iterdir():
        kept.unlink()
    with pytest.raises(TidewheelError, match=r"a\.parquet"):
        xs(reopen(), rides, first)


def test_packed_lines_in_a_bucket_and_nothing_in_a_bucket(outside: Sources, bucket: MemoryStore) -> None:
    import gzip

    obstore.put(bucket, "a.ndjson.gz", gzip.compress(b'{"t": "2026-01-01T10:00:00Z", "x": 4}\n'))
    assert xs(outside, source("rides", "az://box/*.ndjson.gz", time="t")) == [4]
    for missing in ("s3://bucket/none/*.parquet", "s3://bucket/none.parquet"):
        with pytest.raises(NotFound, match="none"):
            outside.snapshot(source("rides", missing, time="t"))


def test_the_format_of_a_url_must_be_told() -> None:
    with pytest.raises(Invalid, match="format"):
        source("rides", "s3://bucket/rides", time="t")
