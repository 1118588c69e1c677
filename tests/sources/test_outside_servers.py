"""Sources on real servers: a query over PostgreSQL, files by the S3 protocol, an Iceberg table by its catalog."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.iceberg import open_table_format
from tidewheel.clock import system_clock
from tidewheel.errors import NotFound, Unavailable
from tidewheel.features.arrivals import find_arrivals
from tidewheel.sources import Source, source
from tidewheel.sources.fetch import Outside
from tidewheel.sources.location import location, query
from tidewheel.sources.read import Sources

SECRETS = {"SHOP_KEY": "s3cret-words"}


@pytest.fixture
def outside(engine: DuckDB, tmp_path: Path) -> Sources:
    seen: dict[str, bytes] = {}
    reach = Outside(tmp_path / "kept", SECRETS, open_table_format)
    return Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, system_clock, reach)


def xs(sources: Sources, declared: Source) -> list[int]:
    found: list[int] = sources.scan(declared, ["x"], order_by=["x"])["x"].to_pylist()
    return found


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────


def test_types_of_postgresql_arrive_as_they_are(outside: Sources, postgres_url: str) -> None:
    engine = sa.create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE orders AS SELECT n AS x, TIMESTAMPTZ '2026-01-01 10:00:00+00' + n * INTERVAL '1 s' AS t, "
                "(n / 4.0)::numeric(12, 2) AS price, n % 2 = 0 AS even, DATE '2026-01-01' AS day, 'n' || n AS name, "
                "CASE WHEN n > 49990 THEN n::float8 END AS late, gen_random_uuid() AS id "
                "FROM generate_series(1::bigint, 50000) AS n"
            )
        )
    engine.dispose()
    orders = source("orders", query("SELECT *, x::int AS small FROM orders WHERE name LIKE 'n%'", postgres_url), time="t")
    found = outside.scan(orders, ["x", "price", "even", "day", "late", "name", "small"], order_by=["x"])
    assert found.num_rows == 50_000
    assert [str(found.schema.field(name).type) for name in ("x", "price", "even", "day", "late")] == [
        "int64",
        "decimal128(38, 9)",
        "bool",
        "date32[day]",
        "double",
    ]
    assert found["__ts"][0].as_py() == 1_767_261_601_000_000
    assert found["late"][-1].as_py() == 50_000.0
    assert str(found["price"][2].as_py()) == "0.750000000"
    assert outside.snapshot(orders).content == outside.snapshot(orders).content


def test_a_wrong_user_is_told_without_the_password(outside: Sources, postgres_url: str) -> None:
    url = make_url(postgres_url).set(username="nobody_of_that_name", password="WORDS", drivername="postgresql")
    text = url.render_as_string(hide_password=False).replace("WORDS", "${SHOP_KEY}")
    with pytest.raises(Unavailable) as caught:
        outside.snapshot(source("orders", query("SELECT 1 AS x", text), time="x"))
    assert SECRETS["SHOP_KEY"] not in str(caught.value)
    assert "nobody_of_that_name" in str(caught.value)


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────


class Bucket(BaseHTTPRequestHandler):
    """As much of the S3 protocol as a reader needs: listing, head and get, refused to who does not sign."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    got: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/rides").lstrip("/")
        if "Signature=" not in self.headers.get("Authorization", ""):
            self.answer(403, b"<Error><Code>AccessDenied</Code><Message>who are you</Message></Error>")
        elif not path:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            listed = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
                f"<ETag>{self.tag(key)}</ETag><Size>{len(data)}</Size></Contents>"
                for key, data in sorted(self.objects.items())
                if key.startswith(prefix)
            )
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())
        elif path in self.objects:
            if self.command == "GET":
                self.got.append(path)
            self.answer(200, self.objects[path], self.tag(path))
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def tag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key]).hexdigest()}"'

    def answer(self, status: int, body: bytes, tag: str = '"x"') -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", tag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def s3() -> Iterator[tuple[str, type[Bucket]]]:
    handler = type("Mine", (Bucket,), {"objects": {}, "got": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def parquet(*values: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"t": pa.array(values, pa.timestamp("us", "UTC")), "x": values}), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_objects_come_by_the_s3_protocol_each_once(outside: Sources, s3: tuple[str, type[Bucket]]) -> None:
    endpoint, bucket = s3
    bucket.objects |= {"in/a.parquet": parquet(1), "in/b c.parquet": parquet(2), "out/z.parquet": parquet(9)}
    place = location(
        "s3://rides/in/*.parquet",
        endpoint=endpoint,
        region="here",
        access_key_id="${SHOP_KEY}",
        secret_access_key="${SHOP_KEY}",
    )
    rides = source("rides", place, time="t")
    first = outside.snapshot(rides)
    assert xs(outside, rides) == [1, 2]
    bucket.objects |= {"in/a.parquet": parquet(1, 5), "in/d.parquet": parquet(4)}
    second = outside.snapshot(rides)
    assert find_arrivals(first, second) is None
    assert xs(outside, rides) == [1, 2, 4, 5]
    assert sorted(bucket.got) == ["in/a.parquet", "in/a.parquet", "in/b c.parquet", "in/d.parquet"]
    assert outside.scan(rides, ["x"], snapshot=first, order_by=["x"])["x"].to_pylist() == [1, 2]


def test_a_bucket_that_refuses_says_to_check_the_credentials(outside: Sources, s3: tuple[str, type[Bucket]]) -> None:
    place = location("s3://rides/in/*.parquet", endpoint=s3[0], region="here", skip_signature="true")
    with pytest.raises(Unavailable) as caught:
        outside.snapshot(source("rides", place, time="t"))
    assert caught.value.fix == "check the credentials"


# ── Iceberg ──────────────────────────────────────────────────────────────────────────────────────


def test_an_iceberg_table_by_its_catalog(outside: Sources, tmp_path: Path) -> None:
    from pyiceberg.catalog import load_catalog

    options = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/warehouse"}
    catalog = load_catalog("shop", **options)
    catalog.create_namespace("sales")
    rows = pa.table({"t": pa.array([1, 2], pa.timestamp("us", "UTC")), "x": pa.array([1, 2], pa.int64())})
    table = catalog.create_table("sales.rides", schema=rows.schema)
    rides = source("rides", location("iceberg://shop/sales.rides", **options), time="t")
    empty = outside.snapshot(rides)
    assert xs(outside, rides) == []
    table.append(rows)
    first = outside.snapshot(rides)
    table.append(rows.slice(1))
    second = outside.snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert outside.scan(rides, ["x"], snapshot=arrived)["x"].to_pylist() == [2]
    assert xs(outside, rides) == [1, 2, 2]
    table.delete("x = 2")
    assert find_arrivals(second, outside.snapshot(rides)) is None
    assert xs(outside, rides) == [1]
    assert outside.scan(rides, ["x"], snapshot=second, order_by=["x"])["x"].to_pylist() == [1, 2, 2]
    assert outside.scan(rides, ["x"], snapshot=empty).num_rows == 0
    with pytest.raises(NotFound, match=r"sales\.nothing"):
        outside.snapshot(source("rides", location("iceberg://shop/sales.nothing", **options), time="t"))
