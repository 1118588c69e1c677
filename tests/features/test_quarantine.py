"""Rows in quarantine are seen by nobody: not offline, not by a materialisation, not by a push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import World, clock, online_source

from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.database.open import Database
from tidewheel.errors import ExpectationFailed
from tidewheel.features.definition import count, entity, features, lookup, service, sum, view_of
from tidewheel.features.push import Pusher
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.expectation import expect


@pytest.fixture
def world(tmp_path: Path, every_engine: Callable[[], QueryEngine]) -> Iterator[World]:
    database, engine = Database.open("sqlite://"), every_engine()
    made = World(tmp_path, MemoryOnlineStore(), database, engine)
    yield made
    made.close()
    engine.close()
    database.close()


def test_offline_and_online_leave_out_the_same_rows(world: World) -> None:
    rides = online_source("rides", expect=[expect("x", between=(0, 100), otherwise="quarantine")])

    @features(rides, by=entity("rider", uid=int))
    class All:
        n = count("1h")
        total = sum("x", "1h")
        latest = lookup("x")

    @features(rides, by=entity("rider", uid=int), expect=[expect("x <> 5", otherwise="quarantine")])
    class NoFives:
        n5 = count("1h")
        latest5 = lookup("x")

    asked = service("asked", All, NoFives)
    times = [clock("08:00"), clock("08:10"), clock("08:20"), clock("08:30")]
    world.file("rides-1.parquet", pa.table({"ts": pa.array(times[:3]), "uid": [1, 1, 1], "x": [5, 900, 7]}))
    world.now = clock("08:40")
    for view in (view_of(All), view_of(NoFives)):
        world.materialize(view, until=clock("08:25"))
    pusher: Pusher = world.pusher(view_of(All), view_of(NoFives))
    receipt = pusher.push(rides, [{"ts": times[3], "uid": 1, "x": 5}, {"ts": times[3] + 1, "uid": 1, "x": -1}])
    assert (receipt.accepted, receipt.quarantined) == (2, 1)
    assert receipt.applied == {"All": 1, "NoFives": 0}
    moments = [clock("08:15"), clock("08:35")]
    requests = [{"uid": 1}] * 2
    offline = world.offline(asked, requests, moments)
    assert offline == [[1, 5, 5, 0, None], [3, 17, 5, 1, 7]]
    online = world.answer(asked, requests[1:], moments[1:])
    assert [list(row) for row in online.values] == offline[1:]
    for view in (view_of(All), view_of(NoFives)):
        world.materialize(view, until=clock("08:40"), full=True)
    assert [list(row) for row in world.answer(asked, requests[1:], moments[1:]).values] == offline[1:]


def test_a_materialisation_stops_before_it_writes(world: World) -> None:
    rides = online_source("rides")

    @features(rides, by=entity("rider", uid=int), expect=[expect("x", null=False)])
    class Latest:
        x = lookup("x")

    world.file("rides-1.parquet", pa.table({"ts": [1, 2], "uid": [1, 1], "x": [None, 2]}))
    with pytest.raises(ExpectationFailed, match=r"1 of 2 rows.*x is not null.*rides-1\.parquet"):
        world.materialize(view_of(Latest), until=5)
    assert list(world.store.scan(b"")) == []


def test_view_recipes_hold_what_they_put_aside() -> None:
    from tidewheel.ledger.definition import collecting

    rides = online_source("rides")

    def declared(*expected: object) -> tuple[object, object]:
        with collecting() as found:

            @features(rides, by=entity("rider", uid=int), expect=expected)  # type: ignore[arg-type]
            class Latest:
                x = lookup("x")

        return found[0].parameters, view_of(Latest).version

    plain, stops, aside = declared(), declared(expect("x > 0")), declared(expect("x > 0", otherwise="quarantine"))
    assert plain == stops
    assert plain[0] != aside[0]
    assert plain[1] != aside[1]
