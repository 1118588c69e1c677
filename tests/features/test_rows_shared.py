"""Which changes of a view write its online rows anew, and what answers meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import World, clock, online_source, same_bits, world_on
from tests.servers import STORES

from tidewheel.clock import HOUR
from tidewheel.errors import NotMaterialized
from tidewheel.features.definition import FeatureView, entity, features, lookup, mean, service, sum, view_of
from tidewheel.features.prepare import PreparedFeatures

NUMBER = itertools.count()
USER = entity("user", uid=int)
NOON = clock("12:00")


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_on(request.param, tmp_path, lateness=2 * HOUR) as made:
        yield made


def view(of: str, *, ttl: str | None = None, **made: object) -> FeatureView:
    return view_of(features(online_source(of), by=USER, ttl=ttl)(type("View", (), made)))


def rows(xs: list[object], kind: pa.DataType) -> pa.Table:
    uids = [*range(len(xs))]
    return pa.table({"uid": uids, "ts": [NOON - 5 * HOUR] * len(xs), "x": pa.array(xs, kind), "y": uids})


def test_other_names_order_ttl_and_defaults_of_look_ups_share_the_rows(world: World) -> None:
    first = view(of := f"shared{next(NUMBER)}", x=lookup("x"), y=lookup("y"))
    world.file(f"{of}-1.parquet", rows([1, None, 3], pa.int64()))
    written = world.materialize(first, until=NOON)
    other = view(of, ttl="20h", again=lookup("y"), z=lookup("x", default=7), y=lookup("y"))
    report = world.materialize(other, until=NOON)
    assert other.version != first.version
    assert (report.number, report.full, report.keys, report.rows_read) == (written.number, False, 0, 0)
    for one, expected in ((first, [[1, 0], [None, 1], [3, 2], [None, None]]), (other, [[0, 1, 0], [1, 7, 1], [2, 3, 2]])):
        inputs = service(f"s{next(NUMBER)}", one)
        requests = [{"uid": uid} for uid in range(len(expected))]
        assert world.answer(inputs, requests, [NOON] * len(requests)).values == expected
        assert world.offline(inputs, requests, [NOON] * len(requests)) == expected


def test_a_column_more_is_a_view_of_its_own_beside_the_first(world: World) -> None:
    first = view(of := f"more{next(NUMBER)}", x=lookup("x"))
    world.file(f"{of}-1.parquet", pa.concat_tables([rows([1, 2], pa.int64()), rows([0, 5], pa.int64())]))
    wider = view(of, x=lookup("x"), y=lookup("y"))
    numbers = {world.materialize(one, until=NOON).number for one in (first, wider)}
    assert len(numbers) == 2
    for one in (first, wider):
        inputs, requests = service(f"s{next(NUMBER)}", one), [{"uid": 0}, {"uid": 1}]
        found = world.answer(inputs, requests, [NOON] * 2).values
        assert same_bits(found, world.offline(inputs, requests, [NOON] * 2))


class Watched:
    """A store that asks a question before and after each write."""

    def __init__(self, world: World, ask: object) -> None:
        self._store, self._ask = world.store, ask

    def write(self, *given: object) -> None:
        self._ask()  # type: ignore[operator]
        self._store.write(*given)  # type: ignore[arg-type]
        self._ask()  # type: ignore[operator]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_rows_of_two_types_are_never_mixed_for_a_reader(world: World) -> None:
    one = view(of := f"types{next(NUMBER)}", x=lookup("x"), total=sum("x", "20h", hop="1h"), middle=mean("x", "20h", hop="1h"))
    inputs = service(f"s{next(NUMBER)}", one)
    requests, at = [{"uid": uid} for uid in range(1_500)], [NOON] * 1_500
    world.file(f"{of}-1.parquet", rows([*range(1_500)], pa.int64()))
    before = world.materialize(one, until=NOON)
    serving: PreparedFeatures = world.prepare(inputs)
    held = serving.answer(requests, at=at).values
    world.file(f"{of}-1.parquet", rows([uid + 0.5 for uid in range(1_500)], pa.float64()))
    with pytest.raises(NotMaterialized, match="columns of other types"):
        world.answer(inputs, requests[:1], at[:1])  # who begins now, before they are written
    seen = []
    watched = Watched(world, lambda: seen.append(serving.answer(requests, at=at).values))
    after = world.materialize(one, until=NOON, store=watched)  # type: ignore[arg-type]
    assert (after.full, after.number != before.number) == (True, True)
    assert len(seen) > 4
    assert all(answer == held for answer in seen), "who began before goes on with what there was"
    assert serving.answer(requests, at=at).values == held
    fresh = world.answer(inputs, requests, at).values
    assert fresh[3] == [3.5, 3.5, 3.5]
    assert same_bits(fresh, world.offline(inputs, requests, at))
    world.push(one, [{"uid": 3, "ts": NOON - 1, "x": 0.25, "y": 1}])
    assert world.answer(inputs, [{"uid": 3}], [NOON]).values == [[0.25, 3.75, 1.875]]
    assert world.materialize(one, until=NOON).full is False
