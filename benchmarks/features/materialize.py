"""Materialisation of look-ups, beside the same load written by hand, a bare loop that puts, and Feast, in one run.

One row per entity, 20 float features, from a seed, in Parquet; each contender in a process of its own. Ours reads the file,
puts it in order, encodes it and writes it durably. By hand: PyArrow reads the same file, NumPy finds the newest row of each key
and packs its values big-endian, and py-lmdb appends keys in order in transactions of 50,000, then syncs: the raw load. The bare
loop has our keys and values ready in memory and only puts them, in transactions of 1,000, then syncs. Feast (an environment
made on demand outside of the tree; left out when it cannot be installed) materialises a part of the entities, since it takes
about half a millisecond for each. Printed: rows a second, CPU seconds, most memory of each process.

``--redis`` fills a Redis of its own as well, by ours and by Feast, and ``--postgres URL`` a PostgreSQL, which is emptied again;
what servers spend themselves is in the wall time alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import FEAST, ensure_environment

DAY = 86_400_000_000
START = 1_577_836_800_000_000
NOW = START + 10 * DAY
FEATURES = 20
BATCH = 1_000
NAMES = [f"f{number:02}" for number in range(FEATURES)]

BY_FEAST = """
import json, resource, sys, time
from datetime import datetime, timedelta, timezone
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
folder, count = sys.argv[1], int(sys.argv[2])
online = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {"type": "sqlite", "path": folder + "/online.db"}
config = RepoConfig(project="bench", provider="local", registry=folder + "/registry.db", entity_key_serialization_version=3,
    offline_store={"type": "duckdb"}, online_store=online)
store = FeatureStore(config=config)
driver = Entity(name="driver", join_keys=["driver"], value_type=ValueType.INT64)
source = FileSource(path=folder + "/part.parquet", timestamp_field="ts")
fields = [Field(name=f"f{n:02}", dtype=Float64) for n in range(20)]
view = FeatureView(name="d", entities=[driver], ttl=timedelta(days=3650), schema=fields, source=source)
store.apply([driver, view])
began, cpu = time.perf_counter(), time.process_time()
store.materialize(datetime(2019, 12, 1, tzinfo=timezone.utc), datetime(2020, 2, 1, tzinfo=timezone.utc))
spent = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": count, "seconds": spent, "cpu": time.process_time() - cpu, "peak": peak}))
"""


def make_data(folder: Path, entities: int, part: int) -> None:
    """One row of each entity, in the order of their times, over eight days."""
    draw = np.random.default_rng(7)
    times = START + np.sort(draw.integers(0, 8 * 86_400_000, entities)) * 1000
    columns: dict[str, object] = {
        "driver": draw.permutation(entities).astype(np.int64),
        "ts": pa.array(times, pa.timestamp("us", "UTC")),
    }
    table = pa.table(columns | {name: draw.normal(size=entities) for name in NAMES})
    pq.write_table(table, folder / "drivers.parquet")
    pq.write_table(table.slice(0, part), folder / "part.parquet")
    (folder / "tidewheel.toml").write_text('project = "bench"\n')


def measured(rows: int, work: Callable[[], object]) -> dict[str, float]:
    """What a piece of work took, in this process; ``own`` is memory without pages of files, such as LMDB's map."""
    own, done = 0.0, threading.Event()

    def look() -> None:
        nonlocal own
        while not done.wait(0.02):
            told = Path("/proc/self/status").read_text()
            own = max(own, int(told.partition("RssAnon:")[2].split()[0]) / 1024)

    looker = threading.Thread(target=look)
    looker.start()
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    done.set()
    looker.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "peak": peak, "own": own}


def ours(folder: Path, memory_mib: int, online: str = "") -> dict[str, float]:
    """Materialise the view into the workspace's store, or into another one, which is emptied again."""
    import tidewheel as tw
    from tidewheel.clock import Micros
    from tidewheel.features.definition import view_of
    from tidewheel.project.open import open_workspace

    rows = pq.read_metadata(folder / "drivers.parquet").num_rows
    source = tw.source("drivers", "drivers.parquet", time="ts")
    made = type("Driver", (), {name: tw.lookup(name) for name in NAMES})
    view = view_of(tw.features(source, by=tw.entity("driver", driver=int))(made))
    if online:
        (folder / "tidewheel.toml").write_text(f'project = "bench"\n[workspace.local]\nonline = "{online}"\n')
    with open_workspace(folder, clock=lambda: Micros(NOW)) as workspace:
        worker = workspace.materializer
        worker.memory_bytes = memory_mib << 20
        pa.array([0])  # the first array that Arrow makes imports pandas where it is installed: no part of the work

        def work() -> None:
            worker.materialize(view, until=Micros(NOW))
            if not online:
                workspace.online.close()

        found = measured(rows, work)
        if online:
            workspace.online.delete(b"")
        return found


def bare(folder: Path, _: int) -> dict[str, float]:
    """Put what ours has written into an LMDB of its own, by a loop."""
    held = next(folder.rglob("online.lmdb"))
    with lmdb.open(str(held), max_dbs=2, readonly=True) as environment, environment.begin() as transaction:
        pairs = [(bytes(key), bytes(value)) for key, value in transaction.cursor(environment.open_db(b"rows", transaction))]
    with lmdb.open(str(folder / "bare.lmdb"), map_size=8 << 30, max_dbs=2, sync=False, readahead=False) as environment:
        rows = environment.open_db(b"rows")

        def work() -> None:
            for low in range(0, len(pairs), BATCH):
                with environment.begin(write=True) as transaction:
                    for key, value in pairs[low : low + BATCH]:
                        transaction.put(key, value, db=rows)
            environment.sync(True)

        return measured(len(pairs), work)


def by_hand(folder: Path, _: int) -> dict[str, float]:
    """Read, keep the newest row of each key, pack and put: nothing but the libraries, columns at a time."""
    pa.array([0])
    layout = np.dtype([("ts", ">i8"), *((name, ">f8") for name in NAMES)])

    def work() -> None:
        table = pq.read_table(folder / "drivers.parquet")
        keys, ts = table["driver"].to_numpy(), table["ts"].cast(pa.int64()).to_numpy()
        order = np.lexsort((ts, keys))
        last = order[np.append(keys[order][1:] != keys[order][:-1], True)]
        packed = np.empty(len(last), layout)
        packed["ts"] = ts[last]
        for name in NAMES:
            packed[name] = table[name].to_numpy()[last]
        names, values = (keys[last].astype(np.uint64) ^ np.uint64(1 << 63)).astype(">u8").tobytes(), packed.tobytes()
        size = layout.itemsize
        pairs = [(names[8 * n : 8 * n + 8], values[size * n : size * n + size]) for n in range(len(last))]
        with lmdb.open(str(folder / "hand.lmdb"), map_size=8 << 30, max_dbs=2, sync=False, readahead=False) as environment:
            rows = environment.open_db(b"rows")
            for low in range(0, len(pairs), 50_000):
                with environment.begin(write=True) as transaction, transaction.cursor(rows) as cursor:
                    cursor.putmulti(pairs[low : low + 50_000], append=True)
            environment.sync(True)

    return measured(pq.read_metadata(folder / "drivers.parquet").num_rows, work)


def child(*command: str) -> dict[str, float] | None:
    """Run a contender; ``None``, said on stderr, when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"left out: {done.stderr[-1_500:]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def on_redis(folder: Path, itself: tuple[str, ...], feast: Path | None, rows: int) -> dict[str, dict[str, float] | None]:
    """Ours and Feast into a Redis that was started for it."""
    from online_lookups import redis_server

    with redis_server(folder) as address:
        if address is None:
            print("left out: no redis-server is installed", file=sys.stderr)
            return {}
        found = {"Tidewheel into Redis": child(*itself, "ours", "--online", f"redis://{address}/0")}
        if feast is not None:
            online = json.dumps({"type": "redis", "connection_string": f"{address},db=1"})
            found["Feast into Redis"] = child(str(feast), "-c", BY_FEAST, str(folder), str(rows), online)
    return found


CONTENDERS = {"ours": ours, "hand": by_hand, "bare": bare}


def main() -> None:
    """Print rows a second of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--feast-entities", type=int, default=2_000, help="0 leaves Feast out")
    parser.add_argument("--memory-mib", type=int, default=256, help="rows that ours holds at once; more go through files")
    parser.add_argument("--only-ours", action="store_true", help="for the memory that larger sizes take")
    parser.add_argument("--redis", action="store_true", help="fill a Redis as well")
    parser.add_argument("--postgres", help="URL of a PostgreSQL to fill as well")
    parser.add_argument("--online", default="", help=argparse.SUPPRESS)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        work = CONTENDERS[options.contender]
        more = (options.online,) if options.online else ()
        print(json.dumps(work(options.folder, options.memory_mib, *more)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder, options.entities, options.feast_entities)
        itself = (sys.executable, __file__, "--folder", str(folder), "--memory-mib", str(options.memory_mib), "--contender")
        results = {"Tidewheel into LMDB": child(*itself, "ours")}
        if not options.only_ours:
            results |= {"LMDB by hand": child(*itself, "hand"), "LMDB, bare loop": child(*itself, "bare")}
        python = ensure_environment("feast", FEAST) if options.feast_entities and not options.only_ours else None
        if python is not None:
            results["Feast into SQLite"] = child(str(python), "-c", BY_FEAST, name, str(options.feast_entities))
        shutil.rmtree(folder / ".tidewheel")
        if options.redis:
            results |= on_redis(folder, itself, python, options.feast_entities)
            shutil.rmtree(folder / ".tidewheel", ignore_errors=True)
        if options.postgres:
            url = f"{options.postgres}?namespace=materialize-bench"
            results["Tidewheel into PostgreSQL"] = child(*itself, "ours", "--online", url)
    print(f"{options.entities:,} entities, {FEATURES} look-ups each")
    for label, one in results.items():
        first = results["Tidewheel into Redis" if label.endswith("Redis") else "Tidewheel into LMDB"]
        if one is None or first is None:
            continue
        speed, ratio = one["rows"] / one["seconds"], first["rows"] / first["seconds"] / (one["rows"] / one["seconds"])
        cpu = (first["cpu"] / first["rows"]) / (one["cpu"] / one["rows"])
        print(
            f"{label:25} {speed:10,.0f} rows/s, {one['seconds']:6.2f} s, {one['cpu']:6.2f} CPU-s, {one['peak']:5.0f} MiB"
            f"{', {:.0f} of its own'.format(one['own']) if 'own' in one else ''}; "
            f"Tidewheel is {ratio:.2f} times as quick, and takes {cpu:.2f} times its CPU a row"
        )


if __name__ == "__main__":
    main()
