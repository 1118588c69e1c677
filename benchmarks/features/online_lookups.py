"""Twenty look-ups answered in process for 1, 10 and 100 entities, on LMDB and Redis, beside loops by hand and Feast.

Two loops read LMDB by hand: keys packed, one transaction, a get for each. *Doubles* is the least that an answer can be: twenty
plain doubles unpacked; neither names, nor types, times, nulls, open rows. *Rows* holds rows with version, schema, times and
null bitmap, which it looks at: a ``struct`` for each row or a NumPy structure over all of them, whichever is quicker.

Feast (an environment made on demand outside of the tree; left out when it cannot be had) answers ``get_online_features`` of one
view from the same rows, on SQLite and on Redis. Redis is a server of its own, left out where none is installed. Beside it the
limit of one round trip: packets made ahead, which ask for as many rows and whether there are sets, as one transaction, on a
bare socket; hiredis takes the replies apart, and nobody looks at them.

On LMDB and SQLite CPU microseconds of a call, the best of several rounds. On Redis wall microseconds: of each request the best
of four rounds, and of those the median.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import hiredis
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.clock import Micros
from tidewheel.features.definition import view_of
from tidewheel.features.kernel import COMPILED
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.project.open import open_workspace

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import FEAST, ensure_environment

DAY = 86_400_000_000
START = 1_577_836_800_000_000
NOW = Micros(START + 10 * DAY)
NAMES = [f"f{number:02}" for number in range(20)]
SIZES = (1, 10, 100)
KEY, VALUES = struct.Struct(">Q"), struct.Struct("<20d")
ROW = struct.Struct("<BBIqq3s20d")
ROWS = np.dtype([("head", "V6"), ("ts", "<i8"), ("created", "<i8"), ("present", "V3"), ("values", "<f8", 20)])
HEAD, WHOLE = (1, 0, 77), b"\xff\xff\xf0"

T = TypeVar("T")
Request = dict[str, object]
Measure = Callable[[Callable[[list[Request]], object], Sequence[list[Request]]], float]

BY_FEAST = """
import json, sys, time
from datetime import datetime, timedelta, timezone
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
folder, asked, online = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
watch = time.process_time if online["type"] == "sqlite" else time.perf_counter
config = RepoConfig(project="bench", provider="local", registry=folder + "/registry-" + online["type"] + ".db",
    entity_key_serialization_version=3, offline_store={"type": "duckdb"}, online_store=online)
store = FeatureStore(config=config)
driver = Entity(name="driver", join_keys=["driver"], value_type=ValueType.INT64)
source = FileSource(path=folder + "/drivers.parquet", timestamp_field="ts")
names = [f"f{n:02}" for n in range(20)]
schema = [Field(name=name, dtype=Float64) for name in names]
view = FeatureView(name="d", entities=[driver], ttl=timedelta(days=36500), schema=schema, source=source)
store.apply([driver, view])
store.materialize(datetime(2019, 12, 1, tzinfo=timezone.utc), datetime(2020, 2, 1, tzinfo=timezone.utc))
wanted = ["d:" + name for name in names]
spent = {}
for size in (1, 10, 100):
    batches = [[{"driver": key} for key in asked[at : at + size]] for at in range(0, min(len(asked), 20 * size), size)]
    calls, rounds = [1e9] * len(batches), []
    for _ in range(4):
        begun = watch()
        for place, batch in enumerate(batches):
            start = watch()
            answer = store.get_online_features(features=wanted, entity_rows=batch).to_dict()
            calls[place] = min(calls[place], watch() - start)
        rounds.append((watch() - begun) / len(batches))
    assert all(value is not None for value in answer["f00"])
    spent[size] = (min(rounds) if online["type"] == "sqlite" else sorted(calls)[len(calls) // 2]) * 1e6
print(json.dumps(spent))
"""


def make_data(folder: Path, entities: int) -> pa.Table:
    """One row of each entity, over eight days."""
    draw = np.random.default_rng(7)
    times = START + np.sort(draw.integers(0, 8 * 86_400_000, entities)) * 1000
    columns: dict[str, object] = {
        "driver": draw.permutation(entities).astype(np.int64),
        "ts": pa.array(times, pa.timestamp("us", "UTC")),
    }
    table = pa.table(columns | {name: draw.normal(size=entities) for name in NAMES})
    pq.write_table(table, folder / "drivers.parquet")
    (folder / "tidewheel.toml").write_text('project = "bench"\n')
    return table


def middle(work: Callable[[T], object], batches: Sequence[T]) -> float:
    """Wall microseconds of a call: the best of four rounds of each, and of those the median."""
    spent = [1e9] * len(batches)
    for _ in range(4):
        for place, batch in enumerate(batches):
            start = time.perf_counter()
            work(batch)
            spent[place] = min(spent[place], time.perf_counter() - start)
    return sorted(spent)[len(spent) // 2] * 1e6


def best(work: Callable[[list[Request]], object], batches: Sequence[list[Request]]) -> float:
    """Least CPU microseconds of a call, over several rounds of all batches."""
    spent = []
    for _ in range(7):
        start = time.process_time()
        for batch in batches:
            work(batch)
        spent.append(time.process_time() - start)
    return min(spent) / len(batches) * 1e6


def by_hand(folder: Path, table: pa.Table, batches: dict[int, list[list[Request]]]) -> list[dict[int, float]]:
    """Twenty doubles under each key, and whole rows."""
    values = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    with lmdb.open(str(folder / "bare.lmdb"), map_size=4 << 30, max_dbs=3, sync=False, readahead=False) as environment:
        doubles, rows = environment.open_db(b"doubles"), environment.open_db(b"rows")
        with environment.begin(write=True) as transaction:
            for key, row in zip(table["driver"].to_pylist(), values, strict=True):
                transaction.put(KEY.pack(key), row.tobytes(), db=doubles)
                transaction.put(KEY.pack(key), ROW.pack(*HEAD, START, 0, WHOLE, *row), db=rows)

        def read(batch: list[Request]) -> list[tuple[object, ...]]:
            with environment.begin() as transaction:
                get, pack, unpack = transaction.get, KEY.pack, VALUES.unpack
                return [unpack(get(pack(request["driver"]), None, doubles)) for request in batch]

        def read_rows(batch: list[Request]) -> list[object]:
            found = []
            with environment.begin() as transaction:
                get, pack, unpack = transaction.get, KEY.pack, ROW.unpack
                for request in batch:
                    row = unpack(get(pack(request["driver"]), None, rows))
                    assert row[:3] == HEAD and row[5] == WHOLE and row[3] <= NOW
                    found.append(list(row[6:]))
            return found

        def read_array(batch: list[Request]) -> object:
            with environment.begin() as transaction:
                get, pack = transaction.get, KEY.pack
                data = b"".join([get(pack(request["driver"]), None, rows) for request in batch])
            held = np.frombuffer(data, ROWS)
            assert (held["head"] == np.void(ROW.pack(*HEAD, 0, 0, b"", *[0.0] * 20)[:6])).all()
            assert (held["present"] == np.void(WHOLE)).all() and (held["ts"] <= NOW).all()
            return held["values"].tolist()

        least = {size: best(read, calls) for size, calls in batches.items()}
        return [least, {size: min(best(read_rows, calls), best(read_array, calls)) for size, calls in batches.items()}]


def by_us(folder: Path, batches: dict[int, list[list[Request]]], name: str, measure: Measure) -> dict[int, float]:
    """The service's answer, in a workspace."""
    made = type("Driver", (), {name: tw.lookup(name) for name in NAMES})
    view = view_of(tw.features(tw.source("drivers", "drivers.parquet", time="ts"), by=tw.entity("driver", driver=int))(made))
    service = tw.service("drivers", view)
    with open_workspace(folder, name, clock=lambda: NOW) as workspace:
        workspace.materializer.materialize(view, until=NOW)
        numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
        schemas = {"drivers": workspace.sources.schema(view.source)}
        prepared = prepare(service, store=workspace.online, view_ids=numbers, schemas=schemas)
        return {
            size: measure(lambda batch: prepared.answer(batch, at=[NOW] * len(batch)), calls) for size, calls in batches.items()
        }


def by_feast(folder: Path, asked: list[int], online: dict[str, str]) -> dict[int, float]:
    """Feast's answer from an online store, in a process of its own; empty when it cannot be had."""
    python = ensure_environment("feast", FEAST)
    if python is None:
        return {}
    command = [str(python), "-c", BY_FEAST, str(folder), json.dumps(asked), json.dumps(online)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Feast is left out: {done.stderr[-1_500:]}", file=sys.stderr)
        return {}
    return {int(size): spent for size, spent in json.loads(done.stdout.splitlines()[-1]).items()}


@contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """Address of a Redis server of its own that keeps nothing on disk; ``None`` where none is installed."""
    command = shutil.which("redis-server")
    if command is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([command, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def bare_redis(address: str, table: pa.Table, batches: dict[int, list[list[Request]]]) -> dict[int, float]:
    """A round trip for each batch, with nothing beside it."""
    host, _, port = address.partition(":")
    pack, more = hiredis.pack_command, object()
    reader, buffer = hiredis.Reader(notEnoughData=more), bytearray(1 << 16)
    values = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(packet: bytes, count: int) -> object:
            connection.sendall(packet)
            while True:
                reply = reader.gets(False)
                if reply is more:
                    reader.feed(buffer, 0, connection.recv_into(buffer))
                elif count > 1:
                    count -= 1
                else:
                    return reply

        for key, row in zip(table["driver"].to_pylist(), values, strict=True):
            ask(pack((b"SET", b"hand:%d" % key, ROW.pack(*HEAD, START, 0, WHOLE, *row))), 1)
        spent = {}
        for size, calls in batches.items():
            packets = []
            for batch in calls:
                keys = [b"hand:%d" % request["driver"] for request in batch]
                asked = pack((b"MGET", b"hand", *keys)) + pack((b"EXISTS", *[b"set:" + key for key in keys]))
                packets.append(pack((b"MULTI",)) + asked + pack((b"EXEC",)))
            spent[size] = middle(lambda packet: ask(packet, 4), packets)
        return spent


def on_redis(folder: Path, table: pa.Table, batches: dict[int, list[list[Request]]], asked: list[int], *, feast: bool) -> None:
    """Print ours and Feast's on one server."""
    with redis_server(folder) as address:
        if address is None:
            print("Redis is left out: no redis-server is installed")
            return
        with (folder / "tidewheel.toml").open("a") as configuration:
            configuration.write(f'[workspace.redis]\nonline = "redis://{address}/0"\n')
        ours, bare = by_us(folder, batches, "redis", middle), bare_redis(address, table, batches)
        theirs = by_feast(folder, asked, {"type": "redis", "connection_string": address}) if feast else {}
    for size in SIZES:
        told = f", Feast {theirs[size]:8.0f} us, {theirs[size] / ours[size]:.1f} times ours" if theirs else ""
        print(f"{size:4} entities on Redis, wall: Tidewheel {ours[size]:6.0f} us, bare round trip {bare[size]:6.0f} us{told}")


def main() -> None:
    """Print microseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=5_000)
    parser.add_argument("--no-feast", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_data(folder, options.entities)
        asked = np.random.default_rng(11).integers(0, options.entities, 2_000).tolist()
        requests: list[Request] = [{"driver": key} for key in asked]
        batches = {size: [requests[at : at + size] for at in range(0, len(requests), size)] for size in SIZES}
        (doubles, rows), ours = by_hand(folder, table, batches), by_us(folder, batches, "local", best)
        sqlite = {"type": "sqlite", "path": str(folder / "online.db")}
        feast = {} if options.no_feast else by_feast(folder, asked, sqlite)
        print(f"20 look-ups of {options.entities:,} entities; kernel {'compiled' if COMPILED else 'interpreted'}")
        for size in SIZES:
            told = f", Feast on SQLite {feast[size]:8.0f} us, {feast[size] / ours[size]:.0f} times ours" if feast else ""
            print(
                f"{size:4} entities, CPU: Tidewheel {ours[size]:6.1f} us, LMDB and rows by hand {rows[size]:6.1f} us, "
                f"ratio {ours[size] / rows[size]:.2f}, LMDB and doubles by hand {doubles[size]:6.1f} us, "
                f"ratio {ours[size] / doubles[size]:.2f} (below 1 is quicker){told}"
            )
        on_redis(folder, table, batches, asked, feast=not options.no_feast)


if __name__ == "__main__":
    main()
