"""One answer from each online store, beside the store alone and its own client for the same bytes, in one run.

A service of the taxi example: two views of windows (zone, route), nine features, asked for 1, 10 and 100 requests at once.
40,000 trips over ten days from a seed; the last day's are open. Then 20,000 rows are written in batches of 1,000. Wall
microseconds of a call, the median of all; the servers are real ones on this machine, started here unless
TIDEWHEEL_TEST_REDIS and TIDEWHEEL_TEST_POSTGRES name some.

"client" is what one writes with the library: for Redis a pipeline of MGET and one ZRANGE for each set, for PostgreSQL two
SELECTs with = ANY, for LMDB gets and a cursor in one transaction.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lmdb
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

import tidewheel as tw
from tidewheel.clock import Micros
from tidewheel.features.definition import view_of
from tidewheel.features.kernel import COMPILED
from tidewheel.features.materialize import Materializer
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.ports.online_store import OnlineStore
from tidewheel.project.backend import load_backend
from tidewheel.project.open import open_workspace

ROOT = Path(__file__).resolve().parents[2]
ZONES, TRIPS, DAYS = 120, 40_000, 10
DAY = 86_400_000_000
START = 1_577_836_800_000_000
NOW = Micros(START + DAYS * DAY)
SIZES = (1, 10, 100)
SECONDS, LEAST_CALLS = 1.5, 30
ROWS, BATCH = 20_000, 1_000
SUFFIX = 20  # of an entry of a set in LMDB

Read = tuple[list[bytes], list[bytes]]


class Recorded:
    """A store that remembers what it was asked for."""

    def __init__(self, store: OnlineStore) -> None:
        self._store, self.asked = store, ([], [])

    def read(self, rows: Sequence[bytes], sets: Sequence[bytes] = (), *, newest: int | None = None) -> object:
        self.asked = (list(rows), list(sets))
        return self._store.read(rows, sets, newest=newest)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """URLs of Redis and PostgreSQL."""
    redis, postgres = os.environ.get("TIDEWHEEL_TEST_REDIS"), os.environ.get("TIDEWHEEL_TEST_POSTGRES")
    if redis and postgres:
        yield redis, postgres
        return
    script = str(ROOT / ".ci" / "servers.sh")
    told = subprocess.run([script, "start"], check=True, capture_output=True, text=True).stdout
    found = dict(re.findall(r"export (\w+)=(.*)", told))
    try:
        yield found["TIDEWHEEL_TEST_REDIS"], found["TIDEWHEEL_TEST_POSTGRES"]
    finally:
        subprocess.run([script, "stop"], check=False, env=os.environ | found, capture_output=True)


def make_trips(folder: Path) -> None:
    """Trips over ten days between busy zones and quiet ones."""
    draw = np.random.default_rng(7)
    zones = (ZONES * draw.random((TRIPS, 2)) ** 2).astype(np.int64)
    times = START + np.sort(draw.choice(DAYS * 86_400_000, TRIPS, replace=False)) * 1000
    table = {"pickup_zone": zones[:, 0], "dropoff_zone": zones[:, 1], "ts": pa.array(times, pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(table | {"minutes": draw.gamma(2, 6, TRIPS)}), folder / "trips.parquet")


def declare() -> tuple[list[type], object]:
    """The views and the service."""
    zone = tw.entity("zone", pickup_zone=int)
    route = tw.entity("route", pickup_zone=int, dropoff_zone=int)
    trips = tw.source("trips", "trips.parquet", time="ts")

    @tw.features(trips, by=zone)
    class ZonePace:
        trips_1h = tw.count("1h")
        trips_1d = tw.count("1d")
        minutes_1d = tw.mean("minutes", "1d")
        minutes_7d = tw.mean("minutes", "7d")
        minutes_std_7d = tw.std("minutes", "7d")

    @tw.features(trips, by=route)
    class RoutePace:
        trips_7d = tw.count("7d")
        minutes_7d = tw.mean("minutes", "7d")
        minutes_max_7d = tw.max("minutes", "7d")
        minutes_min_7d = tw.min("minutes", "7d")

    return [ZonePace, RoutePace], tw.service("eta", tw.use(ZonePace, prefix="zone_"), tw.use(RoutePace, prefix="route_"))


def median(work: Callable[[int], object]) -> float:
    """Wall microseconds of a call."""
    work(0)
    spent: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(spent) < LEAST_CALLS or time.perf_counter() < until:
        start = time.perf_counter()
        work(len(spent))
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e6


def by_redis(url: str, namespace: str) -> Callable[[Read], object]:
    client = Redis.from_url(url)
    start = namespace.encode()

    def read(asked: Read) -> object:
        with client.pipeline(transaction=True) as pipeline:
            pipeline.mget([start + b":r:" + key for key in asked[0]])
            for key in asked[1]:
                pipeline.zrange(start + b":s:" + key, 0, -1)
            return pipeline.execute()

    return read


def by_psycopg(url: str, namespace: str) -> Callable[[Read], object]:
    connection = psycopg.connect(url, autocommit=True)
    rows = f"SELECT key, value FROM {namespace}.rows WHERE key = ANY(%s)"
    items = f"SELECT key, item FROM {namespace}.items WHERE key = ANY(%s)"

    def read(asked: Read) -> object:
        with connection.cursor(binary=True) as cursor:
            return cursor.execute(rows, (asked[0],)).fetchall(), cursor.execute(items, (asked[1],)).fetchall()

    return read


def by_lmdb(path: Path) -> Callable[[Read], object]:
    """The environment is the store's own: LMDB opens a path once in a process."""
    from tidewheel.backends.lmdb import online_store

    shared = online_store._open[path]

    def read(asked: Read) -> object:
        env: lmdb.Environment = shared.env
        found = []
        with env.begin() as transaction, transaction.cursor(shared.items) as cursor:
            rows = [transaction.get(key, db=shared.rows) for key in asked[0]]
            for key in asked[1]:
                held = []
                if cursor.set_range(key):
                    for entry, item in cursor.iternext():
                        if not entry.startswith(key):
                            break
                        if len(entry) == len(key) + SUFFIX:
                            held.append(item)
                found.append(held)
        return rows, found

    return read


def write_redis(url: str) -> Callable[[Iterable[tuple[bytes, bytes]]], object]:
    client = Redis.from_url(url)

    def write(rows: Iterable[tuple[bytes, bytes]]) -> object:
        with client.pipeline(transaction=True) as pipeline:
            for key, value in rows:
                pipeline.set(b"bench:raw:" + key, value)
            return pipeline.execute()

    return write


def write_psycopg(url: str, namespace: str) -> Callable[[Iterable[tuple[bytes, bytes]]], object]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(f"CREATE TABLE {namespace}.raw (key bytea PRIMARY KEY, value bytea)")
    upsert = f"INSERT INTO {namespace}.raw VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    def write(rows: Iterable[tuple[bytes, bytes]]) -> object:
        with connection.transaction(), connection.cursor() as cursor:
            return cursor.executemany(upsert, list(rows))

    return write


def main() -> None:
    """Print microseconds and ratios."""
    folder = Path(tempfile.mkdtemp())
    make_trips(folder)
    (folder / "tidewheel.toml").write_text('project = "bench"\n')
    views, service = declare()
    namespace = f"bench_{os.getpid()}"
    draw = np.random.default_rng(11)
    places = (ZONES * draw.random((1000, 2)) ** 2).astype(np.int64).tolist()
    requests = [{"pickup_zone": one, "dropoff_zone": other} for one, other in places]
    print(
        f"two views, nine windows a request; kernel {'compiled' if COMPILED else 'interpreted'}; load {os.getloadavg()[0]:.1f}"
    )
    with ExitStack() as stack:
        redis, postgres = stack.enter_context(servers())
        home = folder / "online.lmdb"
        urls = {"memory": "memory://", "lmdb": f"lmdb://{home}", "redis": redis, "postgres": postgres}
        for name, url in urls.items():
            workspace = stack.enter_context(open_workspace(folder, clock=lambda: NOW))
            store: OnlineStore = load_backend("online_store", name)(url, namespace=namespace)
            for view in map(view_of, views):
                Materializer(workspace.sources, store, workspace.database, workspace.clock).materialize(view, until=NOW)
            recorded = Recorded(store)
            schemas = {"trips": workspace.sources.schema(view_of(views[0]).source)}
            numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
            prepared = prepare(service, store=recorded, view_ids=numbers, schemas=schemas)
            clients = {
                "lmdb": lambda: by_lmdb(home),
                "redis": lambda: by_redis(redis, namespace),
                "postgres": lambda: by_psycopg(postgres, namespace),
            }
            client = clients[name]() if name in clients else None
            for size in SIZES:
                measure(name, size, prepared=prepared, store=recorded, client=client, requests=requests)
            measure_write(
                name, store, {"redis": lambda: write_redis(redis), "postgres": lambda: write_psycopg(postgres, namespace)}
            )
            store.delete(b"")
            store.close()
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute(f"DROP SCHEMA {namespace} CASCADE")
        Redis.from_url(redis).delete(*[b"bench:raw:%08d" % n for n in range(ROWS)])


def measure(name, size, *, prepared, store, client, requests) -> None:  # type: ignore[no-untyped-def]
    """One line: the whole answer, the store's read alone, the client's."""
    batches = [requests[at : at + size] for at in range(0, len(requests) - size + 1, size)]
    answer = median(lambda n: prepared.answer(batches[n % len(batches)], at=[NOW] * size))
    asked = []
    for batch in batches[:50]:
        prepared.answer(batch, at=[NOW] * size)
        asked.append(store.asked)
    alone = median(lambda n: store.read(*asked[n % len(asked)]))
    line = f"{name:9}{size:4} requests: answer {answer:7.0f} us, the store's read {alone:7.0f} us"
    if client is not None:
        raw = median(lambda n: client(asked[n % len(asked)]))
        line += f", client {raw:7.0f} us; answer / client {answer / raw:.2f}, read / client {alone / raw:.2f}"
    print(line, flush=True)


def measure_write(name, store, raw) -> None:  # type: ignore[no-untyped-def]
    """Rows a second into the store, by conditional writes, and by the client without conditions."""
    value = os.urandom(200)
    batches = [[(b"%08d" % n, value) for n in range(low, low + BATCH)] for low in range(0, ROWS, BATCH)]
    speeds = []
    for write in (store.write, *((raw[name](),) if name in raw else ())):
        start = time.perf_counter()
        for batch in batches:
            write(batch)
        speeds.append(ROWS / (time.perf_counter() - start))
    line = f"{name:9}{ROWS} rows of 200 bytes: {speeds[0]:8.0f} rows/s written on condition"
    print(line + (f", {speeds[1]:8.0f} by the client; ratio {speeds[0] / speeds[1]:.2f}" if speeds[1:] else ""), flush=True)


if __name__ == "__main__":
    main()
