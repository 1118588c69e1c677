"""A request is one round trip to the store, over any number of views, keys and windows; counted on the wire, and by Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from redis import Redis
from tests.features.online_world import World, clock, online_source
from tests.servers import REDIS, postgres_store, redis_store, server_url

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.postgres import open_online_store as open_postgres
from tidewheel.backends.redis import open_online_store as open_redis
from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.features.definition import (
    FeatureView,
    ServiceDefinition,
    count,
    entity,
    features,
    lookup,
    service,
    sum,
    use,
    view_of,
)
from tidewheel.ports.online_store import OnlineStore
from tidewheel.testing.served_store import PATIENCE_SECONDS, Turns

pytestmark = pytest.mark.slow

NOON = clock("12:00")
USERS = 60
STORES: dict[str, tuple[Callable[[], AbstractContextManager[str]], Callable[[str], OnlineStore]]] = {
    "redis": (redis_store, open_redis),
    "postgres": (postgres_store, open_postgres),
}


@pytest.fixture(params=STORES)
def turns(request: pytest.FixtureRequest) -> Iterator[tuple[Turns, OnlineStore]]:
    make, open_ = STORES[request.param]
    with make() as url, Turns(url) as counted:
        store = open_(counted.url)
        yield counted, store
        store.close()


@pytest.fixture
def world(turns: tuple[Turns, OnlineStore], tmp_path: Path) -> Iterator[World]:
    database, engine = Database.open("sqlite://"), DuckDB()
    made = World(tmp_path, turns[1], database, engine)
    yield made
    made.close()
    engine.close()
    database.close()


def make_views(world: World, many: int) -> list[FeatureView]:
    views = []
    for number in range(many):
        of = online_source(f"trip{number}")
        made = {f"x{number}": lookup("x"), f"n{number}": count("1d"), f"total{number}": sum("x", "6h", hop="1h")}
        view = view_of(features(of, by=entity("user", uid=int))(type(f"View{number}", (), made)))
        ts = pa.array([clock("08:00") + uid for uid in range(USERS)], pa.int64())
        world.file(f"trip{number}-0.parquet", pa.table({"uid": range(USERS), "ts": ts, "x": range(USERS)}))
        world.materialize(view, until=NOON)
        world.push(view, [{"uid": uid, "ts": NOON, "x": 1} for uid in range(0, USERS, 3)])
        views.append(view)
    return views


def chained(views: list[FeatureView]) -> ServiceDefinition:
    return service("chained", views[0], use(views[1], keys={"uid": views[0]["x0"]}))


@contextmanager
def measured(turns: Turns) -> Iterator[list[int]]:
    """Is given the number of turns."""
    took: list[int] = []
    before, turns.patience_seconds = turns.count, PATIENCE_SECONDS
    yield took
    took.append(turns.count - before)
    turns.patience_seconds = 0.0


def test_a_request_is_one_round_trip_over_any_number_of_views_and_keys(world: World, turns: tuple[Turns, OnlineStore]) -> None:
    counted, _ = turns
    views = make_views(world, 5)
    for many in (1, 5):
        prepared = world.prepare(service(f"trips{many}", *views[:many]))
        for requests in (1, 100):
            asked = [{"uid": n % USERS} for n in range(requests)]
            at = [Micros(NOON + 1)] * requests
            answer = prepared.answer(asked, at=at)  # a statement may be prepared
            with measured(counted) as took:
                assert prepared.answer(asked, at=at).values == answer.values
            assert took == [1]
            assert [row[:2] for row in answer.values] == [
                [1 if uid % 3 == 0 else uid, 2 if uid % 3 == 0 else 1] for uid in (one["uid"] for one in asked)
            ]
    prepared = world.prepare(chained(views))
    with measured(counted) as took:
        prepared.answer([{"uid": 3}, {"uid": 4}], at=[Micros(NOON + 1)] * 2)
    assert took == [2]  # one more for the link


def test_redis_itself_counts_one_read_for_a_request(tmp_path: Path) -> None:
    database, engine = Database.open("sqlite://"), DuckDB()
    with redis_store() as url, Redis.from_url(server_url(REDIS)) as admin:
        store = open_redis(url)
        world = World(tmp_path, store, database, engine)
        prepared = world.prepare(service("trips", *make_views(world, 4)))
        asked = [{"uid": n} for n in range(USERS)]
        prepared.answer(asked, at=[Micros(NOON)] * USERS)
        with admin.monitor() as monitor:
            prepared.answer(asked, at=[Micros(NOON)] * USERS)
            admin_name = url.rpartition("=")[2]
            commands: list[str] = []
            while not commands or commands[-1] != "EXEC":
                seen = monitor.next_command()
                told = str(seen["command"])
                by_script = seen["client_type"] == "lua"
                if not by_script and (admin_name in told or told in ("MULTI", "EXEC")):
                    commands.append(told)
        world.close()
        store.close()
    engine.close()
    database.close()
    assert [one.split()[0] for one in commands] == ["MULTI", "MGET", "EVAL", "EXEC"]
