"""Readers while a view is materialised, and keys with thousands of open rows: what is read, and that answers stay the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import World, clock, online_source, world_on
from tests.servers import STORES

from tidewheel.clock import MINUTE, Micros
from tidewheel.features.definition import FeatureView, count, entity, features, lookup, service, sum, view_of
from tidewheel.ports.online_store import Key, OnlineStore
from tidewheel.sources.changes import changes

NUMBER = itertools.count()
USER = entity("user", uid=int)
NOON = clock("12:00")
SCHEMA = pa.schema([("uid", pa.int64()), ("ts", pa.int64()), ("x", pa.int64())])


class Watched:
    """A store that tells how many items it hands out, and calls back after each change."""

    def __init__(self, store: OnlineStore, changed: Callable[[], None] = lambda: None) -> None:
        self._store, self.changed = store, changed
        self.items = 0
        self.delete, self.scan, self.scan_sets, self.close = store.delete, store.scan, store.scan_sets, store.close

    def write(self, rows: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        self._store.write(rows, items)
        self.changed()

    def read(
        self, rows: Sequence[Key], sets: Sequence[Key] = (), *, newest: int | None = None
    ) -> tuple[list[bytes | None], list[list[bytes]]]:
        found = self._store.read(rows, sets, newest=newest)
        self.items += len([item for one in found[1] for item in one])
        return found

    def prune(self, bounds: Iterable[tuple[Key, bytes]], items: Iterable[tuple[Key, bytes]] = ()) -> None:
        self._store.prune(bounds, items)
        self.changed()


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_on(request.param, tmp_path) as made:
        made.store = Watched(made.store)
        yield made


def make_view(world: World, *, windows: bool = True) -> FeatureView:
    made = {"x": lookup("x")} | ({"n": count("2d", hop="1h"), "total": sum("x", "2d", hop="1h")} if windows else {})
    return view_of(features(online_source(f"work{next(NUMBER)}"), by=USER)(type("View", (), made)))


def write(world: World, view: FeatureView, number: int, *rows: tuple[int, int, int]) -> None:
    table = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
    world.file(f"{view.source.name}-{number}.parquet", pa.Table.from_pylist(table, schema=SCHEMA))


def test_a_reader_never_sees_less_while_a_full_run_is_at_work(world: World) -> None:
    view = make_view(world)
    early = [(uid, clock("01:00"), 1) for uid in range(3)]
    late = [(uid, NOON - MINUTE * uid - 1, 2) for uid in range(3)]
    write(world, view, 1, *early, *early, *late, *late)
    world.materialize(view, until=NOON)
    world.push(view, [{"uid": 1, "ts": NOON - 5, "x": 3}])
    prepared = world.prepare(service(f"s{next(NUMBER)}", view))

    def ask() -> list[list[object]]:
        return prepared.answer([{"uid": uid} for uid in range(3)], at=[NOON] * 3).values

    seen: list[list[list[object]]] = []
    assert isinstance(world.store, Watched)
    world.store.changed = lambda: seen.append(ask())
    world.lateness = 60 * MINUTE  # closes more than the run before
    world.materialize(view, until=NOON, full=True)
    assert seen
    assert all(one == [[2, 4, 6], [3, 5, 9], [2, 4, 6]] for one in seen)


def test_a_full_run_drops_what_is_gone_and_keeps_what_is_pushed_meanwhile(world: World) -> None:
    view = make_view(world)
    write(world, view, 1, (1, NOON - 9, 5), (2, NOON - 9, 5), (3, clock("01:00", "2025-12-30"), 5))
    write(world, view, 2, (1, NOON - 8, 7))
    world.materialize(view, until=NOON)
    (world.root / f"{view.source.name}-1.parquet").unlink()
    pushes = iter([[{"uid": 1, "ts": NOON - 7, "x": 70}, {"uid": 4, "ts": NOON - 7, "x": 80}]])
    assert isinstance(world.store, Watched)
    store = world.store

    def push_once() -> None:
        store.changed = lambda: None
        for rows in pushes:
            world.push(view, rows)

    store.changed = push_once
    assert world.materialize(view, until=NOON).full
    prepared = world.prepare(service(f"s{next(NUMBER)}", view))
    answered = prepared.answer([{"uid": uid} for uid in (1, 2, 3, 4)], at=[NOON] * 4).values
    assert answered == [[70, 2, 77], [None, 0, 0], [None, 0, 0], [80, 1, 80]]


def test_a_row_that_moves_while_a_full_run_is_at_work_has_moved_afterwards(world: World) -> None:
    name = f"moves{next(NUMBER)}"
    of = online_source(name, event_id="id", created="made", changes=changes("op"))
    view = view_of(features(of, by=USER)(type("View", (), {"x": lookup("x"), "n": count("2d", hop="1h")})))
    row = {"uid": 1, "ts": NOON - 9, "x": 5, "id": 1, "made": 1, "op": "c"}
    world.file(f"{name}-1.parquet", pa.Table.from_pylist([row, row | {"id": 2, "x": 6, "ts": NOON - 8}]))
    world.materialize(view, until=NOON)
    assert isinstance(world.store, Watched)
    store = world.store

    def move() -> None:
        store.changed = lambda: None
        assert not any(
            world.push(view, [row | {"uid": 2, "id": 2, "x": 7, "ts": NOON - 7, "made": 2, "op": "u"}]).late.values()
        )

    store.changed = move
    assert world.materialize(view, until=NOON, full=True).full
    prepared = world.prepare(service(f"s{next(NUMBER)}", view))
    assert prepared.answer([{"uid": 1}, {"uid": 2}], at=[NOON] * 2).values == [[5, 1], [7, 1]]


def test_a_busy_key_is_read_by_its_newest_rows(world: World) -> None:
    view = make_view(world, windows=False)
    assert isinstance(world.store, Watched)
    rows = [(1, NOON - 10 * n, n) for n in range(2_000)]
    write(world, view, 1, *rows)
    world.materialize(view, until=NOON)
    prepared = world.prepare(service(f"s{next(NUMBER)}", view))
    world.store.items = 0
    assert prepared.answer([{"uid": 1}], at=[NOON]).values == [[0]]
    assert world.store.items < 20
    for back in (0, 1, 9, 10, 11, 140, 149, 150, 151, 155, 160, 161, 1_005, 19_989):
        assert prepared.answer([{"uid": 1}, {"uid": 1}], at=[NOON, Micros(NOON - back)]).values == [[0], [-(-back // 10)]]


def test_a_push_to_a_busy_key_reads_few_rows_and_counts_equal_ones(world: World) -> None:
    view = make_view(world)
    assert isinstance(world.store, Watched)
    write(world, view, 1, *((1, NOON - 10 * n, 1) for n in range(1, 2_000)))
    world.materialize(view, until=NOON)
    world.store.items = 0
    world.push(view, [{"uid": 1, "ts": NOON - 1, "x": 1}] * 2)
    assert world.store.items < 20
    for x in (1, 1, 2):
        world.push(view, [{"uid": 1, "ts": NOON - 15_000, "x": x}])  # far back: a third and a fourth that equal one there
    world.push(view, [{"uid": 1, "ts": NOON - 1, "x": 1}])
    prepared = world.prepare(service(f"s{next(NUMBER)}", view))
    assert prepared.answer([{"uid": 1}], at=[NOON]).values == [[1, 2_005, 2_006]]
