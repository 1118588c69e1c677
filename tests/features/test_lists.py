"""Columns that hold lists: looked up offline and online to the bit, pushed, asked for, and refused where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, table, view
from tests.features.online_world import World, bits, clock, online_source, world_on
from tests.servers import STORES

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.datasets.handle import Split
from tidewheel.errors import TypeMismatch, UnsupportedKeyType
from tidewheel.features.definition import count, entity, last, lookup, on_request, request, service
from tidewheel.schema import DataType

pytestmark = pytest.mark.usefixtures("on_every_engine")

UID = entity("user", uid=int)
VECTORS = pa.list_(pa.float32(), 2)


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_on(request.param, tmp_path) as made:
        yield made


def test_a_list_is_looked_up_as_it_was_then_with_its_nulls() -> None:
    rows = [
        {"uid": 1, "ts": "08:00", "x": [1.111, None]},
        {"uid": 1, "ts": "09:00", "x": None},
        {"uid": 1, "ts": "09:30", "x": []},
    ]
    held = table(rows, {"uid": pa.int64(), "ts": INSTANT, "x": pa.large_list(pa.float32())})
    spine = table([{"uid": 1, "t": t} for t in ("07:00", "08:30", "09:00", "10:00")], {"uid": pa.int64(), "t": INSTANT})
    made = {"x": lookup("x"), "known": lookup("x", fill="last_known"), "n": count("x", "1h")}
    found = ask([view(made, memory("f", held), UID)], spine).table
    short = pa.scalar(1.111, pa.float32()).as_py()
    assert found.column("x").to_pylist() == [None, [short, None], None, []]
    assert found.column("known").to_pylist() == [None, [short, None], [short, None], []]
    assert found.column("n").to_pylist() == [0, 1, 1, 1]
    assert found.column("x").type == pa.list_(pa.float32())


def test_of_lists_that_tie_the_larger_wins_whatever_came_first() -> None:
    lists = [[1.0, 2.0], [1.0, 3.0], [1.0]]
    for order in (lists, lists[::-1]):
        rows = [{"uid": 1, "ts": "08:00", "x": one} for one in order]
        held = table(rows, {"uid": pa.int64(), "ts": INSTANT, "x": pa.list_(pa.float64())})
        found = ask(
            [view({"x": lookup("x")}, memory("f", held), UID)],
            table([{"uid": 1, "t": "09:00"}], {"uid": pa.int64(), "t": INSTANT}),
        )
        assert found.table.column("x").to_pylist() == [[1.0, 3.0]]
        assert found.views[0].ambiguous == 1


def test_instants_in_lists_are_in_the_sources_zone_and_rounded_up() -> None:
    local = pa.array([[datetime(2026, 1, 1, 3, 30), None], None], pa.list_(pa.timestamp("us")))
    held = pa.table({"uid": [1, 2], "ts": pa.array([at("08:00")] * 2, INSTANT), "x": local})
    spine = table([{"uid": 1, "t": "09:00"}, {"uid": 2, "t": "09:00"}], {"uid": pa.int64(), "t": INSTANT})
    found = ask([view({"x": lookup("x")}, memory("f", held, timezone="America/New_York"), UID)], spine).table
    assert found.column("x").to_pylist() == [[datetime(2026, 1, 1, 8, 30, tzinfo=UTC), None], None]


def test_lists_are_the_same_offline_and_online_files_and_pushes_alike(world: World) -> None:
    source = online_source("f")
    made = view({"x": lookup("x"), "tags": lookup("tags"), "known": lookup("x", fill="last_known")}, source, UID)
    types = {"uid": pa.int64(), "ts": INSTANT, "x": pa.list_(pa.float32()), "tags": pa.list_(pa.string())}
    rows = [
        {"uid": 1, "ts": "08:00", "x": [0.1, None, -0.0], "tags": ["a", "", None]},
        {"uid": 1, "ts": "08:00", "x": [0.1, None, 0.0], "tags": []},
        {"uid": 2, "ts": "08:10", "x": None, "tags": None},
    ]
    world.file("f-1.parquet", table(rows, types))
    world.materialize(made, until=clock("09:00"))
    world.push(made, [{"uid": 2, "ts": "2026-01-01T09:10:00", "x": [2, None], "tags": ["z"]}])
    asked = service("asked", made)
    requests = [{"uid": uid} for uid in (1, 2, 3)] * 2
    times = [clock("09:05")] * 3 + [clock("10:00")] * 3
    online = world.answer(asked, requests, times).values
    offline = world.offline(asked, requests, times)
    assert [[bits(one) for one in _flat(row)] for row in online] == [[bits(one) for one in _flat(row)] for row in offline]
    assert online[4][1] == ["z"]


def _flat(row: list[object]) -> list[object]:
    return [part for one in row for part in (one if isinstance(one, list) else [one])]


def test_a_push_whose_list_holds_another_type_is_refused_by_row_and_column(world: World) -> None:
    made = view({"x": lookup("x")}, online_source("f"), UID)
    world.file("f-1.parquet", table([], {"uid": pa.int64(), "ts": INSTANT, "x": pa.list_(pa.float32())}))
    world.materialize(made, until=clock("09:00"))
    for wrong in ("1", ["1"], 1.0):
        with pytest.raises(TypeMismatch, match=r"row 0 .* x is .*an array"):
            world.push(made, [{"uid": 2, "ts": "2026-01-01T09:10:00", "x": wrong}])


def test_a_transform_takes_lists_and_gives_them() -> None:
    @on_request
    def product(x: list[float], query: list[float]) -> float:
        return sum(a * b for a, b in zip(x, query, strict=True))

    @on_request
    def doubled(x: list[float | None]) -> list[float]:
        return [2 * (one or 0.0) for one in x]

    held = table([{"uid": 1, "ts": "08:00", "x": [1.0, 2.0]}], {"uid": pa.int64(), "ts": INSTANT, "x": pa.list_(pa.float64())})
    spine = pa.table({"uid": [1], "t": pa.array([at("09:00")], INSTANT), "query": pa.array([[3.0, 4.0]], VECTORS)})
    found = ask([view({"x": lookup("x")}, memory("f", held), UID), product, doubled, request(query=list[float])], spine).table
    assert (found.column("product").to_pylist(), found.column("doubled").to_pylist()) == ([11.0], [[2.0, 4.0]])


def test_lists_are_no_keys_and_have_no_last() -> None:
    with pytest.raises(UnsupportedKeyType, match="list<int64>"):
        entity("user", uid=list[int])
    held = table([], {"uid": pa.int64(), "ts": INSTANT, "x": pa.list_(pa.float64())})
    spine = table([], {"uid": pa.int64(), "t": INSTANT})
    with pytest.raises(TypeMismatch, match="last of list<float64> means nothing"):
        ask([view({"x": last("x", "1h")}, memory("f", held), UID)], spine)


def test_a_models_matrix_refuses_lists_by_name() -> None:
    held = pa.table({"t": [1], "x": pa.array([[1.0]], DataType.LIST_FLOAT64.arrow()), "y": [1.0]})
    split = Split(Table.write(ArtifactStore.open("memory:///"), held), features=("x",), label="y", time="t")
    with pytest.raises(TypeMismatch, match=r"column x is list<.*transform"):
        _ = split.x
