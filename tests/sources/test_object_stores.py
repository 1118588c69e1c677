"""Sources on an object store that others wrote: objects, a Delta table and an Iceberg table, over the S3 protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as IcebergTable
from tests.servers import S3, new_bucket, server_url

from tidewheel.backends.delta import open_table_format as open_delta
from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.iceberg import open_table_format as open_iceberg
from tidewheel.clock import system_clock
from tidewheel.errors import NotFound, TidewheelError, Unavailable
from tidewheel.features.arrivals import find_arrivals
from tidewheel.ports.table_format import TableFormat
from tidewheel.sources import Source, source
from tidewheel.sources.fetch import Outside
from tidewheel.sources.fetch_objects import open_object_store
from tidewheel.sources.location import location
from tidewheel.sources.read import Sources
from tidewheel.sources.snapshot import Snapshot

pytestmark = pytest.mark.slow

TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
SECRETS = {"SHOP_ID": "shop", "SHOP_KEY": "s3cret-words"}
SIGNED = {"access_key_id": "${SHOP_ID}", "secret_access_key": "${SHOP_KEY}", "region": "us-east-1"}


class Bucket:
    """An empty bucket on the real server."""

    def __init__(self) -> None:
        self.endpoint, self.name = server_url(S3), new_bucket()
        self.plain = {"access_key_id": SECRETS["SHOP_ID"], "secret_access_key": SECRETS["SHOP_KEY"], "region": "us-east-1"}
        self._store = open_object_store(f"s3://{self.name}", {"endpoint": self.endpoint, **self.plain})

    def put(self, name: str, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        obstore.put(self._store, name, sink.getvalue().to_pybytes())

    def delete(self, name: str) -> None:
        obstore.delete(self._store, name)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def outside(engine: DuckDB, tmp_path: Path) -> Sources:
    seen: dict[str, bytes] = {}
    reach = Outside(tmp_path / "kept", SECRETS, open_table)
    return Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, system_clock, reach)


def open_table(url: str, options: Mapping[str, str]) -> TableFormat:
    return open_delta(url, options) if url.startswith("delta") else open_iceberg(url, options)


def rows(*values: int) -> pa.Table:
    return pa.table({"t": pa.array([TEN] * len(values), pa.timestamp("us", "UTC")), "x": pa.array(values, pa.int64())})


def xs(sources: Sources, declared: Source, snapshot: Snapshot | None = None) -> list[int]:
    found: list[int] = sources.scan(declared, ["x"], snapshot=snapshot, order_by=["x"])["x"].to_pylist()
    return found


def test_objects_that_were_added_changed_and_removed(outside: Sources, bucket: Bucket) -> None:
    bucket.put("in/a.parquet", rows(1))
    bucket.put("in/day=2026-01-02/b c+d.parquet", rows(2))
    bucket.put("out/z.parquet", rows(9))
    rides = source("rides", location(f"s3://{bucket.name}/in/**/*.parquet", endpoint=bucket.endpoint, **SIGNED), time="t")
    first = outside.snapshot(rides)
    assert xs(outside, rides) == [1, 2]
    bucket.put("in/e.parquet", rows(3))
    second = outside.snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(outside, rides, arrived) == [3]
    bucket.put("in/a.parquet", rows(1, 5))
    assert find_arrivals(second, outside.snapshot(rides)) is None
    assert xs(outside, rides) == [1, 2, 3, 5]
    bucket.delete("in/e.parquet")
    assert find_arrivals(second, outside.snapshot(rides)) is None
    assert (xs(outside, rides), xs(outside, rides, second)) == ([1, 2, 5], [1, 2, 3])
    nothing = location(f"s3://{bucket.name}/nothing/*.parquet", endpoint=bucket.endpoint, **SIGNED)
    with pytest.raises(NotFound, match="no object matches"):
        outside.snapshot(source("rides", nothing, time="t"))
    absent = location("s3://no-such-bucket/*.parquet", endpoint=bucket.endpoint, **SIGNED)
    with pytest.raises(TidewheelError, match="no-such-bucket") as caught:
        outside.snapshot(source("rides", absent, time="t"))
    assert isinstance(caught.value, NotFound | Unavailable)
    assert SECRETS["SHOP_KEY"] not in str(caught.value)


def test_a_listing_of_several_pages_is_read_to_its_end(outside: Sources, bucket: Bucket) -> None:
    for number in range(45):  # the server is told to list twenty at a time
        bucket.put(f"in/{number:02}.parquet", rows(number))
    rides = source("rides", location(f"s3://{bucket.name}/in/*.parquet", endpoint=bucket.endpoint, **SIGNED), time="t")
    assert xs(outside, rides) == list(range(45))


def test_a_delta_table_in_a_bucket(outside: Sources, bucket: Bucket) -> None:
    place = f"s3://{bucket.name}/tables/rides"
    options = {"endpoint": bucket.endpoint, "allow_http": "true", **bucket.plain}
    write_deltalake(place, rows(1, 2), storage_options=options)
    signed = {"endpoint": bucket.endpoint, "allow_http": "true", **SIGNED}
    rides = source("rides", location(f"delta+{place}", **signed), time="t")
    first = outside.snapshot(rides)
    assert xs(outside, rides) == [1, 2]
    write_deltalake(place, rows(3), mode="append", storage_options=options)
    second = outside.snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(outside, rides, arrived) == [3]
    DeltaTable(place, storage_options=options).delete("x = 1")
    assert find_arrivals(second, outside.snapshot(rides)) is None
    assert (xs(outside, rides), xs(outside, rides, first)) == ([2, 3], [1, 2])
    with pytest.raises(NotFound):
        outside.snapshot(source("rides", location(f"delta+s3://{bucket.name}/tables/none", **signed), time="t"))


def catalog_of(bucket: Bucket, folder: Path) -> tuple[SqlCatalog, dict[str, str]]:
    files = {
        "s3.endpoint": bucket.endpoint,
        "s3.region": "us-east-1",
        "s3.access-key-id": SECRETS["SHOP_ID"],
        "s3.secret-access-key": SECRETS["SHOP_KEY"],
    }
    made = SqlCatalog("shop", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"s3://{bucket.name}/warehouse", **files)
    made.create_namespace("sales")
    return made, files | {"s3.access-key-id": "${SHOP_ID}", "s3.secret-access-key": "${SHOP_KEY}"}


def check_iceberg(outside: Sources, table: IcebergTable, rides: Source) -> None:
    table.append(rows(1, 2))
    first = outside.snapshot(rides)
    assert xs(outside, rides) == [1, 2]
    table.append(rows(3))
    second = outside.snapshot(rides)
    arrived = find_arrivals(first, second)
    assert arrived is not None
    assert xs(outside, rides, arrived) == [3]
    table.delete("x = 1")
    assert find_arrivals(second, outside.snapshot(rides)) is None
    assert (xs(outside, rides), xs(outside, rides, first)) == ([2, 3], [1, 2])


def test_an_iceberg_table_in_a_bucket(outside: Sources, bucket: Bucket, tmp_path: Path) -> None:
    catalog, options = catalog_of(bucket, tmp_path)
    options |= {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"s3://{bucket.name}/warehouse"}
    table = catalog.create_table("sales.rides", schema=rows().schema)
    check_iceberg(outside, table, source("rides", location("iceberg://shop/sales.rides", **options), time="t"))


@contextmanager
def rest_catalog(catalog: SqlCatalog, token: str) -> Iterator[str]:
    """As much of the Iceberg REST protocol as a reader needs, over another catalog: there is no server of it for Python."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if self.headers.get("Authorization") != f"Bearer {token}":
                error = {"message": "Not authorized", "type": "NotAuthorizedException", "code": 401}
                self.answer(401, {"error": error})
            elif path == "/v1/config":
                self.answer(200, {"defaults": {}, "overrides": {}})
            else:
                namespace, name = path.removeprefix("/v1/namespaces/").split("/tables/")
                try:
                    table = catalog.load_table((namespace, name))
                except NoSuchTableError as error:
                    self.answer(404, {"error": {"message": str(error), "type": "NoSuchTableException", "code": 404}})
                    return
                metadata = json.loads(table.metadata.model_dump_json())
                self.answer(200, {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}})

        def answer(self, status: int, told: object) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_iceberg_table_by_a_rest_catalog(outside: Sources, bucket: Bucket, tmp_path: Path) -> None:
    catalog, options = catalog_of(bucket, tmp_path)
    table = catalog.create_table("sales.rides", schema=rows().schema)
    with rest_catalog(catalog, SECRETS["SHOP_KEY"]) as url:
        options |= {"type": "rest", "uri": url, "token": "${SHOP_KEY}"}
        check_iceberg(outside, table, source("rides", location("iceberg://shop/sales.rides", **options), time="t"))
        with pytest.raises(NotFound, match=r"sales\.none"):
            outside.snapshot(source("rides", location("iceberg://shop/sales.none", **options), time="t"))
        wrong = options | {"token": "${SHOP_ID}"}
        with pytest.raises(Unavailable) as caught:
            outside.snapshot(source("rides", location("iceberg://shop/sales.rides", **wrong), time="t"))
        assert caught.value.fix == "check the credentials"
