"""One answer online, beside LMDB by hand: the same rows got and taken apart into numbers, with no fold, in one run.

A service asks one view of seven windows under two names, for 1, 10 and 100 requests at once. 300 keys, 50,000 events over ten
days from a seed; the last day's events are open. CPU microseconds per call; the best of several rounds.
"""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.clock import Micros
from tidewheel.features.definition import view_of
from tidewheel.features.kernel import COMPILED
from tidewheel.features.keys import KeyCodec
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.project.open import open_workspace
from tidewheel.schema import Schema

KEYS, EVENTS, DAYS = 300, 50_000, 10
DAY = 86_400_000_000
START = 1_577_836_800_000_000
NOW = Micros(START + DAYS * DAY)
REPEATS, CALLS = 7, 300
ITEM = struct.Struct(">QQBBIB2Q")  # times, version, flags, schema, presence, two floats

Request = dict[str, object]


def make_data(folder: Path) -> None:
    """Events over ten days, busy keys and quiet ones."""
    draw = np.random.default_rng(7)
    keys = (KEYS * draw.random(EVENTS) ** 2).astype(np.int64)
    times = START + np.sort(draw.choice(DAYS * 86_400_000, EVENTS, replace=False)) * 1000
    table = {"zone": keys, "ts": pa.array(times, pa.timestamp("us", "UTC")), "pace": draw.gamma(2, 3, EVENTS)}
    pq.write_table(pa.table(table | {"miles": draw.gamma(1, 2, EVENTS)}), folder / "trips.parquet")


def best(work: Callable[[list[Request]], object], batches: Sequence[list[Request]]) -> float:
    """Least CPU microseconds of a call, over several rounds of all batches."""
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        for batch in batches:
            work(batch)
        spent.append(time.process_time() - start)
    return min(spent) / len(batches) * 1e6


def by_hand(environment: lmdb.Environment, codec: KeyCodec) -> Callable[[list[Request]], None]:
    """Get what is held of each key, as numbers."""
    rows, items = environment.open_db(b"rows"), environment.open_db(b"items")

    def read(batch: list[Request]) -> None:
        with environment.begin() as transaction, transaction.cursor(items) as cursor:
            for request in batch:
                for name in ("zone", "other"):
                    key = codec.encode((request[name],))
                    row = transaction.get(key, db=rows)
                    if row is not None:
                        np.frombuffer(row, "<i8", offset=len(row) % 8).tolist()
                    if cursor.set_range(key):
                        for entry, item in cursor.iternext():
                            if not entry.startswith(key):
                                break
                            ITEM.unpack_from(item)

    return read


def main() -> None:
    """Print microseconds and ratios."""
    folder = Path(tempfile.mkdtemp())
    make_data(folder)
    (folder / "tidewheel.toml").write_text('project = "bench"\n')
    zone = tw.entity("zone", zone=int)

    @tw.features(tw.source("trips", "trips.parquet", time="ts"), by=zone)
    class Pace:
        trips_1h = tw.count("1h")
        trips_1d = tw.count("1d")
        pace_6h = tw.mean("pace", "6h")
        pace_1d = tw.mean("pace", "1d")
        pace_7d = tw.mean("pace", "7d")
        pace_std_7d = tw.std("pace", "7d")
        miles_7d = tw.mean("miles", "7d")

    service = tw.service("pace", Pace, tw.use(Pace, prefix="other_", keys={"zone": "other"}))
    draw = np.random.default_rng(11)
    zones = (KEYS * draw.random((CALLS, 2)) ** 2).astype(np.int64).tolist()
    requests: list[Request] = [{"zone": one, "other": other} for one, other in zones]
    batches = {size: [requests[at : at + size] for at in range(0, CALLS, size)] for size in (1, 10, 100)}
    with open_workspace(folder, clock=lambda: NOW) as workspace:
        view = view_of(Pace)
        workspace.materializer.materialize(view, until=NOW)
        numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
        schemas = {"trips": workspace.sources.schema(view.source)}
        prepared = prepare(service, store=workspace.online, view_ids=numbers, schemas=schemas)
        ours = {
            size: best(lambda batch: prepared.answer(batch, at=[NOW] * len(batch)), calls) for size, calls in batches.items()
        }
        home = workspace.home
    codec = KeyCodec(numbers[view.online_version], Schema(view.keys))
    with lmdb.open(str(home / "online.lmdb"), max_dbs=2, readonly=True, readahead=False) as environment:
        raw = {size: best(by_hand(environment, codec), calls) for size, calls in batches.items()}
    print(f"two uses of one view, 14 windows a request; kernel {'compiled' if COMPILED else 'interpreted'}")
    for size in batches:
        print(
            f"{size:4} requests: Tidewheel {ours[size]:7.0f} us, LMDB get and decode {raw[size]:7.0f} us, "
            f"ratio {ours[size] / raw[size]:.2f} (below 1 is quicker)"
        )


if __name__ == "__main__":
    main()
