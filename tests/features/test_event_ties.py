"""Two rows of one event id that tie in every time: offline and online let the same one count, however they arrived."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import World, clock, online_source, same_bits

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.memory.online_store import MemoryOnlineStore
from tidewheel.database.open import Database
from tidewheel.features.definition import entity, features, lookup, service, sum, view_of

NUMBER = itertools.count()
USER = entity("user", uid=int)
NOON = clock("12:00")
SCHEMA = pa.schema([("id", pa.int64()), ("uid", pa.int64()), ("ts", pa.int64()), ("b", pa.float64()), ("a", pa.int64())])
PAIRS = [
    ({"a": 1, "b": 5.0}, {"a": 2, "b": 1.0}),
    ({"a": None, "b": 5.0}, {"a": 1, "b": None}),
    ({"a": 1, "b": float("nan")}, {"a": 1, "b": -5.0}),
    ({"a": 1, "b": None}, {"a": 1, "b": float("inf")}),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Database, DuckDB]]:
    database, engine = Database.open("sqlite://"), DuckDB()
    yield database, engine
    engine.close()
    database.close()


@pytest.mark.parametrize("pair", PAIRS, ids=["two columns", "nulls", "nan", "infinity"])
@pytest.mark.parametrize("kind", ["windows", "look-ups"])
def test_of_two_rows_that_tie_the_same_one_counts_on_both_sides(
    shared: tuple[Database, DuckDB], tmp_path: Path, pair: tuple[dict[str, object], dict[str, object]], kind: str
) -> None:
    told = []
    for turn, arrival in enumerate([(0, 1), (1, 0)]):
        for pushed in (1, 2):
            (tmp_path / f"{turn}{pushed}").mkdir()
            world = World(tmp_path / f"{turn}{pushed}", MemoryOnlineStore(), *shared)
            made = {"a": sum("a", "1d"), "b": sum("b", "1d")} if kind == "windows" else {"a": lookup("a"), "b": lookup("b")}
            of = online_source(f"tied{next(NUMBER)}", event_id="id")
            view = view_of(features(of, by=USER)(type("Tied", (), made)))
            rows = [{"id": 1, "uid": 7, "ts": NOON - 60_000_000, **pair[place]} for place in arrival]
            world.file(f"{of.name}-0.parquet", pa.Table.from_pylist(rows[: 2 - pushed], SCHEMA))
            world.materialize(view, until=NOON - 30_000_000)
            for row in rows[2 - pushed :]:
                world.push(view, [row])
            inputs = service(f"tied_inputs{next(NUMBER)}", view)
            online = world.answer(inputs, [{"uid": 7}], [NOON]).values
            assert same_bits(online, world.offline(inputs, [{"uid": 7}], [NOON]))
            told.append(online)
            world.close()
    assert all(same_bits(one, told[0]) for one in told)
