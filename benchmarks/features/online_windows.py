"""Answers of windows in process for 1, 10 and 100 entities, on LMDB, beside a loop by hand and Feast.

A view has nine aggregates over three windows: 27 features. Four services ask for it: alone (*windows*), with a transform of two
of them (*transform*), by a key that another view gives (*chained*), and, of a view of its own, with conditions, offsets, ratios
and strings beside (*mixed*). 300 keys, 50,000 events over ten days from a seed, the last minutes of which are open.

*By hand* gets the same rows and items from LMDB by Python and folds them in C, compiled here; it checks nothing, and its
numbers are those of the service, but for the last bits of sums. Feast (an environment made on demand; left out when it cannot
be had) does not fold when it is asked: it looks up 27 doubles that a batch job has put there, on SQLite. That is less work, and
all that it can do. CPU microseconds per call; the best of several rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.clock import HOUR, Micros
from tidewheel.features.definition import FeatureView, ServiceDefinition, view_of
from tidewheel.features.kernel import COMPILED
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import plan_windows
from tidewheel.features.prepare import PreparedFeatures, prepare
from tidewheel.features.register import OnlineViews
from tidewheel.project.open import Workspace, open_workspace

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import FEAST, ensure_environment

KEYS, EVENTS, DAYS = 300, 50_000, 10
DAY = 86_400_000_000
START = 1_577_836_800_000_000
NOW = Micros(START + DAYS * DAY)
SIZES, REPEATS, CALLS = (1, 10, 100), 7, 300
AGGREGATES = ("count", "sum", "mean", "min", "max", "std", "var", "first", "last")
STATES = ("count", "sum", "std", "min", "max", "first", "last")  # what the nine are made of
WINDOWS = {"1h": HOUR, "1d": DAY, "7d": 7 * DAY}

Request = dict[str, object]

BY_FEAST = """
import json, sys, time
from datetime import datetime, timedelta, timezone
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
folder, asked, names = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
config = RepoConfig(project="bench", provider="local", registry=folder + "/registry.db",
    entity_key_serialization_version=3, offline_store={"type": "duckdb"},
    online_store={"type": "sqlite", "path": folder + "/feast.db"})
store = FeatureStore(config=config)
zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.INT64)
source = FileSource(path=folder + "/folded.parquet", timestamp_field="ts")
schema = [Field(name=name, dtype=Float64) for name in names]
view = FeatureView(name="d", entities=[zone], ttl=timedelta(days=36500), schema=schema, source=source)
store.apply([zone, view])
store.materialize(datetime(2019, 12, 1, tzinfo=timezone.utc), datetime(2020, 2, 1, tzinfo=timezone.utc))
spent = {}
for size in (1, 10, 100):
    batches = [[{"zone": key} for key in asked[at : at + size]] for at in range(0, min(len(asked), 20 * size), size)]
    rounds = []
    for _ in range(4):
        begun = time.process_time()
        for batch in batches:
            store.get_online_features(features=["d:" + name for name in names], entity_rows=batch).to_dict()
        rounds.append((time.process_time() - begun) / len(batches))
    spent[size] = min(rounds) * 1e6
print(json.dumps(spent))
"""


def make_data(folder: Path) -> None:
    """Events over ten days, busy keys and quiet ones, and one zone for each of as many cars."""
    draw = np.random.default_rng(7)
    keys = (KEYS * draw.random(EVENTS) ** 2).astype(np.int64)
    times = START + np.sort(draw.choice(DAYS * 86_400_000, EVENTS, replace=False)) * 1000
    table = {"zone": keys, "ts": pa.array(times, pa.timestamp("us", "UTC")), "pace": draw.gamma(2, 3, EVENTS)}
    table |= {"miles": draw.gamma(1, 2, EVENTS), "kind": draw.choice(["taxi", "van", "bus"], EVENTS)}
    pq.write_table(pa.table(table), folder / "trips.parquet")
    cars = {"car": np.arange(KEYS), "ts": pa.array(np.full(KEYS, START), pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(cars | {"zone": draw.permutation(KEYS)}), folder / "cars.parquet")
    (folder / "tidewheel.toml").write_text('project = "bench"\n')


def services() -> dict[str, ServiceDefinition]:
    """What is asked."""
    zone, car = tw.entity("zone", zone=int), tw.entity("car", car=int)
    trips, cars = (tw.source(name, f"{name}.parquet", time="ts") for name in ("trips", "cars"))
    made = {
        f"{one}_{span}": tw.count(span) if one == "count" else getattr(tw, one)("pace", span)
        for span in WINDOWS
        for one in AGGREGATES
    }
    pace = view_of(tw.features(trips, by=zone)(type("Pace", (), made)))

    @tw.on_request
    def hurry(mean_1h: float | None, mean_7d: float) -> float:
        return 0.0 if mean_1h is None else mean_1h / mean_7d

    @tw.features(cars, by=car)
    class Car:
        zone = tw.lookup("zone")

    @tw.features(trips, by=zone)
    class Mixed:
        trips_1h = tw.count("1h")
        pace_mean_1d = tw.mean("pace", "1d")
        pace_std_7d = tw.std("pace", "7d")
        vans_1d = tw.count("1d", where="kind = 'van'")
        far_mean_7d = tw.mean("pace", "7d", where="miles > 2")
        pace_before = tw.mean("pace", "1d", offset="1d")
        share_vans = tw.ratio(tw.count("1d", where="kind = 'van'"), tw.count("1d"))
        last_kind = tw.last("kind", "7d")
        kinds_7d = tw.distinct("kind", "7d")

    return {
        "windows": tw.service("windows", pace),
        "transform": tw.service("transform", pace, hurry),
        "chained": tw.service("chained", Car, pace),
        "mixed": tw.service("mixed", Mixed),
    }


def best(work: Callable[[list[Request]], object], batches: Sequence[list[Request]]) -> float:
    """Least CPU microseconds of a call, over several rounds of all batches."""
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        for batch in batches:
            work(batch)
        spent.append(time.process_time() - start)
    return min(spent) / len(batches) * 1e6


def by_hand(environment: lmdb.Environment, layout: OnlineLayout, view: FeatureView) -> Callable[[list[Request]], object]:
    """Rows and items by Python, their fold in C."""
    rows, items = environment.open_db(b"rows"), environment.open_db(b"items")
    fold = _library().fold
    fold.restype = None
    plan = plan_windows(view, layout.schema)
    size, slot = layout.codec.size + 4, layout.codec.slot(layout.columns.index("pace")).offset
    groups = np.array([(one.hop, one.state.floats) for one in plan.groups], dtype=np.int64)
    of = {one.feature.name: one.group for one in plan.windows}
    places = np.array([[of[f"{one}_{span}"] for one in STATES] for span in WINDOWS], dtype=np.int64)
    windows = np.array(list(WINDOWS.values()), dtype=np.int64)
    start, prefix = layout.tiles_start, layout.keys.prefix

    def answer(batch: list[Request]) -> object:
        ends, held, blobs = [0], [], []
        with environment.begin() as transaction, transaction.cursor(items) as cursor:
            for request in batch:
                key = prefix + (request["zone"] + (1 << 63)).to_bytes(8, "big")  # type: ignore[operator]
                held.append(transaction.get(key, None, rows))
                own = []
                if cursor.set_range(key):
                    for entry, item in cursor.iternext():
                        if not entry.startswith(key):
                            break
                        own.append(item)
                own.sort()
                blobs += own
                ends.append(len(blobs))
        marks = [-(1 << 62) if row is None else int.from_bytes(row[16:24], "big") - (1 << 64) * (row[16] >> 7) for row in held]
        count = len(batch)
        made = np.empty((count, len(WINDOWS) * len(AGGREGATES)))
        arrays = [
            (ctypes.c_int64 * len(one))(*one) for one in ([0 if row is None else start(row) for row in held], ends, marks)
        ]
        bytes_of = (ctypes.c_char_p * count)(*held)
        pointers = [ctypes.c_void_p(one.ctypes.data) for one in (groups, windows, places, made)]
        numbers = [ctypes.c_int64(one) for one in (size, slot)]
        ends_of_keys, asked = arrays[1:], [ctypes.c_int64(one) for one in (NOW, len(groups))]
        fold(
            ctypes.c_int64(count),
            bytes_of,
            arrays[0],
            b"".join(blobs),
            ends_of_keys[0],
            *numbers,
            ends_of_keys[1],
            *asked,
            *pointers,
        )
        return made.tolist()

    return answer


def _library() -> ctypes.CDLL:
    """The loop in C, compiled."""
    built = Path(tempfile.mkdtemp()) / "by_hand.so"
    source = Path(__file__).with_name("online_windows_peers") / "by_hand.c"
    subprocess.run(["cc", "-O2", "-march=native", "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    return ctypes.CDLL(str(built))


def by_feast(folder: Path, asked: list[int], folded: list[list[object]], names: Sequence[str]) -> dict[int, float]:
    """Feast's answer with what the windows were folded to beforehand; empty when it cannot be had."""
    python = ensure_environment("feast", FEAST)
    if python is None:
        return {}
    times = pa.array(np.full(KEYS, NOW), pa.timestamp("us", "UTC"))
    columns = zip(names, zip(*folded, strict=True), strict=True)
    table = {"zone": np.arange(KEYS), "ts": times} | {name: pa.array(column, pa.float64()) for name, column in columns}
    pq.write_table(pa.table(table), folder / "folded.parquet")
    command = [str(python), "-c", BY_FEAST, str(folder), json.dumps(asked), json.dumps(list(names))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Feast is left out: {done.stderr[-1_500:]}", file=sys.stderr)
        return {}
    return {int(size): spent for size, spent in json.loads(done.stdout.splitlines()[-1]).items()}


def prepare_all(workspace: Workspace, asked: dict[str, ServiceDefinition]) -> dict[str, PreparedFeatures]:
    """Materialise every view, and prepare every service."""
    views = {view.name: view for one in asked.values() for view in one.views}
    for view in views.values():
        workspace.materializer.materialize(view, until=NOW)
    numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
    schemas = {view.source.name: workspace.sources.schema(view.source) for view in views.values()}
    return {name: prepare(one, store=workspace.online, view_ids=numbers, schemas=schemas) for name, one in asked.items()}


def main() -> None:
    """Print microseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-feast", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        zones = (KEYS * np.random.default_rng(11).random(CALLS) ** 2).astype(np.int64).tolist()
        requests: list[Request] = [{"zone": one, "car": one} for one in zones]
        batches = {size: [requests[at : at + size] for at in range(0, CALLS, size)] for size in SIZES}
        asked = services()
        ours: dict[str, dict[int, float]] = {}
        with open_workspace(folder, clock=lambda: NOW) as workspace:
            ready = prepare_all(workspace, asked)
            for service, one in ready.items():
                ours[service] = {
                    size: best(lambda batch, one=one: one.answer(batch, at=[NOW] * len(batch)), calls)  # type: ignore[misc]
                    for size, calls in batches.items()
                }
            every: list[Request] = [{"zone": zone} for zone in range(KEYS)]
            folded = ready["windows"].answer(every, at=[NOW] * KEYS).values
            home = workspace.home
            view = asked["windows"].views[0]
            number = OnlineViews(workspace.database, workspace.clock).list_ids()[view.online_version]
            layout = OnlineLayout(view, number, workspace.sources.schema(view.source))
        with lmdb.open(str(home / "online.lmdb"), max_dbs=2, readonly=True, readahead=False) as environment:
            fold = by_hand(environment, layout, view)
            for row, other in zip(folded, fold(every), strict=True):  # type: ignore[call-overload]
                same = [
                    math.isclose(b, math.nan if a is None else a, rel_tol=1e-9) or (a is None and b != b)
                    for a, b in zip(row, other, strict=True)
                ]
                assert all(same), (row, other)
            raw = {size: best(fold, calls) for size, calls in batches.items()}
        feast = {} if options.no_feast else by_feast(folder, zones, folded, ready["windows"].names)
    print(f"27 windows of {KEYS} keys; kernel {'compiled' if COMPILED else 'interpreted'}")
    for size in SIZES:
        told = (
            f", Feast (looked up) {feast[size]:8.0f} us, {feast[size] / ours['windows'][size]:.1f} times ours" if feast else ""
        )
        print(
            f"{size:4} entities: windows {ours['windows'][size]:7.0f} us, by hand {raw[size]:7.0f} us, "
            f"ratio {ours['windows'][size] / raw[size]:.2f} (below 1 is quicker){told}"
        )
    for service in list(ours)[1:]:
        print(f"{service:>9}: " + ", ".join(f"{size} entities {ours[service][size]:7.0f} us" for size in SIZES))


if __name__ == "__main__":
    main()
