"""Keys closed in buckets, wherever that is, are the bytes that closing all of them at once gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.features.ask import memory, view
from tests.features.bucket_engine import BucketEngine
from tests.features.online_world import World

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.clock import HOUR, Micros
from tidewheel.database.open import Database
from tidewheel.features.close_by_engine import Tally, close_by_engine
from tidewheel.features.closing import Closing, key_rows
from tidewheel.features.definition import FeatureView, count, entity, last, lookup, mean, sum
from tidewheel.features.online import OnlineLayout
from tidewheel.features.run import Reading
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.definition import Source, source
from tidewheel.sources.read import Sources

pytestmark = pytest.mark.slow

UNTIL = Micros(30 * HOUR)


@pytest.fixture(params=["buckets", pytest.param("spark", marks=pytest.mark.slow)])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], QueryEngine]:
    if request.param == "buckets":
        return BucketEngine
    request.getfixturevalue("spark")
    from tidewheel.backends.spark import Spark

    return lambda: Spark("local[2]", temporary=tmp_path / "spark", small_bytes=0, bucket_rows=300)


def rows(size: int) -> pa.Table:
    """Half of one key, some of none; late ones too."""
    draw = np.random.default_rng(4)
    uid = np.where(draw.random(size) < 0.5, 1, draw.integers(2, 30, size))
    ts = draw.integers(0, 40 * 60, size) * 60_000_000
    return pa.table(
        {
            "uid": pa.array(uid, mask=draw.random(size) < 0.05),
            "ts": ts,
            "seen": ts + draw.choice([0, HOUR // 2], size),
            "x": pa.array(draw.normal(size=size).round(2), mask=draw.random(size) < 0.1),
            "w": [f"w{n}" for n in draw.integers(0, 9, size)],
        }
    )


def views(of: Source) -> list[FeatureView]:
    user = entity("user", uid=int)
    windows = {"n": count("6h"), "s": sum("x", "6h"), "m": mean("x", "1d"), "l": last("w", "6h")}
    latest = {"x": lookup("x"), "known": lookup("x", fill="last_known")}
    return [view(windows, of, user, name="Lately"), view(latest, of, user, name="Latest"), view({"n": count("6h")}, of, None)]


def rows_of_none() -> pa.Table:
    raise AssertionError("a full run takes nothing over")


def reader(engine: QueryEngine) -> Sources:
    seen: dict[str, bytes] = {}
    return Sources(Path("/nowhere"), engine, Path("/nowhere"), seen.get, seen.__setitem__, lambda: Micros(0))


@pytest.mark.parametrize("options", [{}, {"available": "seen"}], ids=["at once", "late"])
def test_in_buckets_or_at_once_the_bytes_are_the_same(options: dict[str, str], far: Callable[[], QueryEngine]) -> None:
    engine = far()
    for made in views(memory("f", rows(1_500), **options)):
        with DuckDB(threads=1) as duckdb:
            near = reader(duckdb)
            layout = OnlineLayout(made, 1, near.schema(made.source))
            names = tuple(dict.fromkeys((*layout.keys.schema.names, *layout.columns)))
            table = key_rows(layout, near.scan(made.source, names))
            closing = Closing(layout, table, revision=3, until=UNTIL)
            piece = closing.piece(0, len(table.keys))
        sources, tally = reader(engine), Tally()
        reading = Reading(sources.snapshot(made.source), None)
        pieces = close_by_engine(layout, sources, reading, held=rows_of_none, revision=3, until=UNTIL, tally=tally)
        assert pieces is not None
        found = list(pieces)
        assert [row for one in found for row in one.rows] == piece.rows
        assert sorted(item for one in found for item in one.items) == sorted(piece.items)
        assert [mark for one in found for mark in one.marks] == list(piece.marks)
        told = (tally.rows_open, tally.null_keys, tally.rows_read)
        assert told == (closing.open_rows, table.null_keys, 1_500)
    engine.close()


def test_a_store_that_workers_fill_holds_the_same_bytes(far: Callable[[], QueryEngine], tmp_path: Path) -> None:
    """A first run, one of what arrived since, and everything again when half of it is gone."""
    held, told = [], []
    for name, engine in (("near", DuckDB(threads=1)), ("far", far())):
        root = tmp_path / name
        root.mkdir()
        world = World(root, MemoryOnlineStore(), Database.open("sqlite://"), engine, lateness=0)
        world.now = Micros(0)
        mine = []
        made = views(source("f", "f-*.parquet", time="ts", available="seen"))
        world.file("f-1.parquet", rows(800))
        mine += [world.materialize(one, until=UNTIL) for one in made]
        world.file("f-2.parquet", rows(900).slice(800))
        mine += [world.materialize(one, until=UNTIL + HOUR) for one in made]
        (root / "f-1.parquet").unlink()
        mine += [world.materialize(one, until=UNTIL + HOUR, full=True) for one in made]
        held.append((list(world.store.scan(b"")), list(world.store.scan_sets(b""))))
        told.append([(one.full, one.keys, one.rows_open, one.null_keys) for one in mine])
        world.close()
        engine.close()
    assert held[0] == held[1]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    [
        {"time": "ts", "available": "seen"},
        {"time": "ts", "deleted": "x > 1"},
        {"valid_from": "ts", "valid_to": "seen"},
        {"time": "ts", "after": "2h", "created": "seen"},
    ],
    ids=lambda options: list(options)[1],
)
def test_runs_of_what_has_arrived_are_closed_by_workers(options: dict[str, str], tmp_path: Path) -> None:
    """Old and new keys, late rows and rows without a key, again and again, on top of what the store holds by then."""
    held, told, engines = [], [], (DuckDB(threads=1), BucketEngine())
    for name, engine in zip(("near", "far"), engines, strict=True):
        root = tmp_path / name
        root.mkdir()
        world = World(root, MemoryOnlineStore(), Database.open("sqlite://"), engine, lateness=HOUR)
        world.now = Micros(0)
        of, user = source("f", "f-*.parquet", **options), entity("user", uid=int)  # type: ignore[arg-type]  # checked there
        made = [view({"x": lookup("x"), "known": lookup("x", fill="last_known")}, of, user, name="Latest")]
        if "valid_to" not in options:
            ever = {"ever": sum("x"), "w": last("w"), "m": mean("x", "6h"), "x": lookup("x")}
            made += [view(ever, of, user), view({"n": count("6h")}, of, None)]
        mine = []
        for number, until in enumerate((10 * HOUR, 30 * HOUR, 33 * HOUR, 33 * HOUR)):
            world.file(f"f-{number}.parquet", rows(900).slice(200 * number, 150 if number else 200))
            mine += [world.materialize(one, until=until) for one in made]
        mine += [world.materialize(one, until=50 * HOUR) for one in made]  # nothing arrived, and everything closes
        held.append((list(world.store.scan(b"")), list(world.store.scan_sets(b""))))
        told.append([(one.full, one.keys, one.rows_open, one.null_keys) for one in mine])
        world.close()
        engine.close()
    assert held[0] == held[1]
    assert told[0] == told[1]
    assert engines[1].calls == len([keys for _, keys, *_ in told[1] if keys])


def test_an_engine_without_workers_says_so() -> None:
    with DuckDB(threads=1) as duckdb:
        made = views(memory("f", rows(10)))[0]
        layout = OnlineLayout(made, 1, reader(duckdb).schema(made.source))
        reading = Reading(reader(duckdb).snapshot(made.source), None)
        told = close_by_engine(layout, reader(duckdb), reading, held=rows_of_none, revision=1, until=0, tally=Tally())
        assert told is None
