"""Materialisation in parts, resumed after kill -9, and reading no more than what arrived: the store is that of one run."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.features.online_world import World, clock, online_source, same_bits

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.lmdb.online_store import LmdbOnlineStore
from tidewheel.backends.memory.online_store import MemoryOnlineStore
from tidewheel.clock import DAY, HOUR, MINUTE, Micros
from tidewheel.database.open import Database
from tidewheel.features.definition import FeatureView, count, entity, features, lookup, mean, service, sum, view_of
from tidewheel.features.gather import find_bounds, gather
from tidewheel.features.keys import KeyCodec
from tidewheel.features.materialize import Materializer, MaterializeReport
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.changes import changes
from tidewheel.sources.definition import source

NUMBER = itertools.count()
USER = entity("user", uid=int)
NOON = clock("12:00")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database, store = Database.open("sqlite://"), MemoryOnlineStore()
    with DuckDB() as engine:
        made = World(tmp_path, store, database, engine, lateness=2 * HOUR)
        yield made
        made.close()
    database.close()


def events(rows: Sequence[tuple[object, int, float | None]], kind: pa.DataType | None = None) -> pa.Table:
    uids, times, xs = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {"uid": pa.array(uids, kind or pa.int64()), "ts": pa.array(times, pa.int64()), "x": pa.array(xs, pa.float64())}
    return pa.table(columns)


def draw_events(seed: int, many: int, users: int, *, start: int, end: int) -> list[tuple[object, int, float | None]]:
    draw = random.Random(seed)
    return [(draw.randrange(users), draw.randrange(start, end), draw.choice([None, draw.gauss(0, 1e8)])) for _ in range(many)]


def make_view(of: str, *, windows: bool = True, key: type = int, looked: bool = True) -> FeatureView:
    made: dict[str, object] = {"x": lookup("x"), "known": lookup("x", fill="last_known")} if looked else {}
    if windows:
        made |= {"n": count("3h", hop="1h"), "total": sum("x", "6h", hop="1h"), "ever": mean("x", "forever", hop="1h")}
    return view_of(features(online_source(of), by=entity(f"user_{key.__name__}", uid=key))(type("View", (), made)))


def run(world: World, view: FeatureView, *, until: int = NOON, memory_bytes: int, full: bool = False) -> MaterializeReport:
    sources = (world.sources, world.store, world.database)
    worker = Materializer(*sources, lambda: world.now, lateness=world.lateness, memory_bytes=memory_bytes)
    return worker.materialize(view, until=Micros(until), full=full)


def agrees(world: World, view: FeatureView, keys: Sequence[object], at: Sequence[int]) -> bool:
    inputs = service(f"s{next(NUMBER)}", view)
    asked = [({"uid": key}, moment) for key in keys for moment in at]
    requests, moments = [one for one, _ in asked], [moment for _, moment in asked]
    return same_bits(world.answer(inputs, requests, moments).values, world.offline(inputs, requests, moments))


def contents(world: World, number: int) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """What the store holds of a view, without the number of the run that wrote it."""
    prefix = number.to_bytes(4, "big")
    return {key: row[8:] for key, row in world.store.scan(prefix)}, dict(world.store.scan_sets(prefix))


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", [int, str])
def test_a_source_in_parts_makes_the_store_of_one_in_memory(world: World, key: type) -> None:
    name = f"parts{next(NUMBER)}"
    rows = [*draw_events(1, 600, 40, start=clock("01:00"), end=NOON), (None, NOON - 5, 1.0)]
    kind = pa.string() if key is str else pa.int64()
    table = events([(None if uid is None else key(uid), ts, x) for uid, ts, x in rows], kind)
    for number in range(3):
        world.file(f"{name}-{number}.parquet", table.slice(number * 200, 201 if number == 2 else 200))
    view = make_view(name, key=key)
    whole = run(world, view, memory_bytes=1 << 30)
    before = contents(world, whole.number)
    for key_, _ in list(world.store.scan(b"")):
        world.store.delete(key_)
    world.store.delete(whole.number.to_bytes(4, "big"))
    parts = run(world, view, memory_bytes=4_000)
    assert (whole.parts, parts.parts > 4) == (1, True)
    assert contents(world, parts.number) == before
    assert (parts.keys, parts.rows_open, parts.null_keys, parts.rows_read) == (
        whole.keys,
        whole.rows_open,
        1,
        len(rows),
    )
    assert not list((world.root / "parts").glob("*")), "files of parts have no names"
    assert agrees(world, view, [key(uid) for uid in range(41)], [NOON, NOON + 90 * MINUTE])


def test_keys_are_cut_where_rows_are() -> None:
    codec = KeyCodec(1, Schema((Field("city", DataType.STRING), Field("zone", DataType.INT64))))
    rows = pa.table({"city": ["b"] * 90 + ["a"] * 10, "zone": [*range(90), *range(9), None]})
    bounds = find_bounds([rows], codec, row_bytes=10, part_bytes=250)
    assert [codec.decode(key) for key in bounds] == [("b", 15), ("b", 40), ("b", 65)]


def test_one_key_is_one_part_however_many_rows_it_has(tmp_path: Path) -> None:
    codec = KeyCodec(1, Schema((Field("uid", DataType.INT64),)))
    rows = pa.table({"uid": [7] * 100})
    with gather([rows], lambda: [rows], codec, folder=tmp_path, memory_bytes=80) as gathered:
        assert [part.take().num_rows for part in gathered.parts()] == [100]


# ── resumed ──────────────────────────────────────────────────────────────────────────────────────

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.features.test_materialize_parts import killed_world, make_view, run
world, left = killed_world(Path(sys.argv[1])), [int(sys.argv[2])]
write = world.store.write
def write_some(rows, items=()):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(rows, items)
world.store.write = write_some
run(world, make_view("killed"), memory_bytes=int(sys.argv[3]))
"""


def killed_world(root: Path) -> World:
    """A world on disk, which several processes can enter one after the other."""
    store, database = LmdbOnlineStore(root / "online.lmdb"), Database.open(f"sqlite:///{root}/db.sqlite")
    return World(root, store, database, DuckDB(), lateness=2 * HOUR)


def leave(world: World) -> None:
    world.close()
    world.store.close()
    world.sources.engine.close()
    world.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("memory_bytes", [6_000, 1 << 30])
def test_i3_a_run_that_was_killed_is_finished_by_the_next_one(tmp_path: Path, memory_bytes: int) -> None:
    rows = draw_events(2, 900, 60, start=clock("01:00"), end=NOON)
    pq.write_table(events(rows), tmp_path / "killed-1.parquet")
    for writes in (0, 5, 9):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(writes if memory_bytes < 1 << 20 else 0), str(memory_bytes)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        assert done.returncode == -9, done.stderr
    world = killed_world(tmp_path)
    view = make_view("killed")
    try:
        assert world.views.find_bookmark(view) is None, "the bookmark moves at the end alone"
        pq.write_table(events([(3, NOON - 1, 5.5), (99, clock("02:00"), 6.5)]), tmp_path / "killed-2.parquet")
        report = run(world, view, until=NOON, memory_bytes=memory_bytes)
        assert (report.resumed > 3) == (memory_bytes < 1 << 20), "parts that were written are not written again"
        assert agrees(world, view, [*range(60), 99], [NOON, NOON + HOUR])
        assert world.views.find_bookmark(view) is not None
        again = run(world, view, until=NOON, memory_bytes=memory_bytes)
        assert (again.full, again.keys, again.rows_read, again.resumed) == (False, 0, 0, 0)
    finally:
        leave(world)


class Failing:
    """A store that fails at some write."""

    def __init__(self, world: World, writes: int) -> None:
        self.store, self.left = world.store, writes
        self.read, self.prune, self.delete = self.store.read, self.store.prune, self.store.delete
        self.scan, self.scan_sets, self.close = self.store.scan, self.store.scan_sets, self.store.close

    def write(self, rows: Sequence[tuple[bytes, bytes]], items: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("gone")
        self.store.write(rows, items)


def fail(world: World, view: FeatureView, writes: int, *, memory_bytes: int) -> None:
    whole = world.store
    world.store = Failing(world, writes)  # type: ignore[assignment]  # its write takes sequences
    with pytest.raises(ConnectionError):
        run(world, view, memory_bytes=memory_bytes)
    world.store = whole


def test_a_store_that_was_emptied_meanwhile_gets_all_parts_again(world: World) -> None:
    view = make_view(name := f"emptied{next(NUMBER)}")
    world.file(f"{name}-1.parquet", events(draw_events(3, 300, 30, start=clock("01:00"), end=NOON)))
    fail(world, view, 3, memory_bytes=3_000)
    world.store.delete(world.views.ensure(view).to_bytes(4, "big"))
    report = run(world, view, memory_bytes=3_000)
    assert report.resumed == 0
    assert agrees(world, view, range(30), [NOON])


def test_a_run_whose_files_were_changed_meanwhile_is_not_finished(world: World) -> None:
    view = make_view(name := f"changed{next(NUMBER)}")
    world.file(f"{name}-1.parquet", events(draw_events(4, 300, 30, start=clock("01:00"), end=NOON)))
    fail(world, view, 3, memory_bytes=3_000)
    world.file(f"{name}-1.parquet", events(draw_events(5, 300, 30, start=clock("01:00"), end=NOON)))
    report = run(world, view, memory_bytes=3_000)
    assert (report.full, report.resumed) == (True, 0)
    assert agrees(world, view, range(30), [NOON])


# ── incremental ──────────────────────────────────────────────────────────────────────────────────


def test_a_look_up_reads_only_the_files_that_arrived(world: World) -> None:
    view = make_view(name := f"few{next(NUMBER)}", windows=False)
    world.file(f"{name}-1.parquet", events(draw_events(6, 5_000, 50, start=clock("00:00", "2025-12-01"), end=NOON)))
    assert run(world, view, memory_bytes=1 << 30).rows_read == 5_000
    world.file(f"{name}-2.parquet", events([(3, NOON + 5, 1.5), (4, clock("01:00"), 2.5), (77, NOON, None)]))
    report = run(world, view, until=NOON + 3 * HOUR, memory_bytes=1 << 30)
    assert (report.full, report.rows_read) == (False, 3)
    assert agrees(world, view, [*range(50), 77], [NOON + 3 * HOUR])


FEW: dict[str, dict[str, object]] = {
    "events": {"time": "ts", "event_id": "id", "created": "made"},
    "changes": {"time": "ts", "event_id": "id", "created": "made", "changes": changes("op")},
    "states": {"valid_from": "ts", "valid_to": "until"},
}


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("key", [int, str])
def test_a_correction_reads_the_rows_of_the_keys_and_events_that_it_touches(world: World, kind: str, key: type) -> None:
    name = f"few{next(NUMBER)}"
    made = {"x": lookup("x"), "n": count("forever", hop="1h")} if kind != "states" else {"x": lookup("x")}
    of = source(name, f"{name}-*.parquet", **FEW[kind])  # type: ignore[arg-type]  # options of any kind
    view = view_of(features(of, by=entity(f"one_{key.__name__}", uid=key))(type("View", (), made)))
    draw = random.Random(9)
    rows = [
        {"id": n, "uid": key(draw.randrange(300)), "ts": draw.randrange(NOON - DAY, NOON - 3 * HOUR), "made": 0, "x": float(n)}
        for n in range(3_000)
    ]
    told = {"op": "c", "until": None}
    kinds = {"id": pa.int64(), "uid": pa.int64() if key is int else pa.string(), "made": pa.int64(), "x": pa.float64()}
    schema = pa.schema({**kinds, "ts": pa.timestamp("us", "UTC"), "op": pa.string(), "until": pa.timestamp("us", "UTC")})
    world.file(f"{name}-1.parquet", pa.Table.from_pylist([row | told for row in rows], schema))
    assert run(world, view, memory_bytes=1 << 30).rows_read == 3_000
    fresh = [rows[5] | {"made": 1, "uid": key(7)}, rows[6] | {"id": 9_000, "uid": key(8)}, rows[7] | {"uid": None, "made": 1}]
    world.file(f"{name}-2.parquet", pa.Table.from_pylist([row | told for row in fresh], schema))
    report = run(world, view, until=NOON + HOUR, memory_bytes=1 << 30)
    assert (report.full, report.rows_read < 100) == (False, True)
    assert agrees(world, view, [key(n) for n in range(300)], [NOON + HOUR])


def by_day(world: World, name: str, days: int) -> int:
    """A file a day up to noon of the last one, each event's row group that of its own hours; how many rows a day has."""
    for day in range(days):
        start = clock("00:00") - (days - 1 - day) * DAY
        rows = sorted(
            draw_events(day, 480, 8, start=start, end=start + DAY if day < days - 1 else NOON), key=lambda row: row[1]
        )
        pq.write_table(events(rows), world.root / f"{name}-{day:03}.parquet", row_group_size=20)
    return 480


@pytest.mark.parametrize("looked", [True, False])
def test_a_window_reads_what_arrived_and_what_is_open_also_one_without_a_start(world: World, looked: bool) -> None:
    view = make_view(name := f"days{next(NUMBER)}", looked=looked)
    by_day(world, name, 12)
    first = run(world, view, memory_bytes=1 << 30)
    assert first.rows_read == 12 * 480
    fresh = sorted(draw_events(50, 100, 8, start=NOON, end=NOON + 2 * HOUR), key=lambda row: row[1])
    world.file(f"{name}-100.parquet", events(fresh))
    report = run(world, view, until=NOON + 3 * HOUR, memory_bytes=1 << 30)
    assert report.full is False
    day_of_reach = 480  # statistics of a row group are read with two days to spare, since zones move times by hours
    assert report.rows_read <= 100 + 3 * day_of_reach, "not the nine days before"
    assert agrees(world, view, range(8), [NOON + 3 * HOUR, NOON + 5 * HOUR])


def test_a_late_event_is_folded_with_the_events_of_its_tile_and_old_tiles_are_one(world: World) -> None:
    view = make_view(name := f"late{next(NUMBER)}")
    by_day(world, name, 12)
    first = run(world, view, memory_bytes=1 << 30)
    sizes = [len(row) for _, row in world.store.scan(first.number.to_bytes(4, "big"))]
    assert max(sizes) < 1_500, "288 hours of tiles for a window without a start are about a dozen"
    world.file(f"{name}-100.parquet", events([(1, NOON - 4 * HOUR, 0.125), (2, NOON - 5 * HOUR, 1e16)]))  # tiles that are apart
    report = run(world, view, until=NOON, memory_bytes=1 << 30)
    assert report.keys == 2
    assert report.rows_read <= 3 * 480
    assert agrees(world, view, range(8), [NOON, NOON + HOUR])
    world.file(f"{name}-101.parquet", events([(1, NOON - 9 * DAY, 7.5)]))  # into what is one tile by now
    report = run(world, view, until=NOON + HOUR, memory_bytes=1 << 30)
    assert report.rows_read == 12 * 480 + 3
    assert agrees(world, view, range(8), [NOON + HOUR, NOON + 2 * HOUR])


@pytest.mark.parametrize("looked", [True, False])
def test_backfills_in_any_order_give_the_same_store(world: World, looked: bool) -> None:
    days = [draw_events(day, 150, 6, start=NOON - (5 - day) * DAY, end=NOON - (4 - day) * DAY) for day in range(5)]
    found = []
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]):
        view = make_view(name := f"order{next(NUMBER)}", looked=looked)
        for place, day in enumerate(order):
            world.file(f"{name}-{place}.parquet", events(days[day]))
            report = run(world, view, until=NOON - (4 - place) * DAY, memory_bytes=1 << 30)
            assert report.full is (place == 0)
        rows, sets = contents(world, report.number)
        found.append(({key[4:]: row for key, row in rows.items()}, {key[4:]: items for key, items in sets.items()}))
        assert agrees(world, view, range(6), [NOON, NOON + 3 * HOUR])
    assert found[0] == found[1] == found[2]


def test_a_run_compacts_finished_pushes_and_the_next_one_reads_none_of_them(world: World) -> None:
    view = make_view(name := f"pushed{next(NUMBER)}")
    world.file(f"{name}-1.parquet", events([(1, clock("02:00"), 1.5)]))
    run(world, view, memory_bytes=1 << 30)
    for number in range(17):
        world.push(view, [{"uid": number % 3, "ts": NOON - number * MINUTE, "x": float(number)}] * 2)
        world._logs.pop(name).close()
    report = run(world, view, memory_bytes=1 << 30)
    folder = world.root / "pushes" / name
    assert (report.full, report.keys) == (False, 3)
    assert [len(list(folder.glob(kind))) for kind in ("*.sealed", "*.parquet")] == [0, 1]
    again = run(world, view, memory_bytes=1 << 30)
    assert (again.full, again.keys, again.rows_read) == (False, 0, 0)
    assert agrees(world, view, range(3), [NOON, NOON + HOUR])
    world.push(view, [{"uid": 1, "ts": NOON - 1, "x": 0.25}])
    assert run(world, view, memory_bytes=1 << 30).keys == 1
    assert agrees(world, view, range(3), [NOON, NOON + HOUR])
