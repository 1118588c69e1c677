"""Keys that another view gives, several entities under aliases, and features of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, table, view
from tests.features.online_world import World, same_bits, world_on
from tests.servers import STORES

from tidewheel.clock import to_micros
from tidewheel.errors import CyclicGraph, Invalid, KeyTypeMismatch, UnknownFeature
from tidewheel.features.definition import FeatureView, count, entity, lookup, on_request, service, sum, use
from tidewheel.features.online_view import Status
from tidewheel.sources.definition import source

pytestmark = pytest.mark.usefixtures("on_every_engine")

USER, SHOP = entity("user", uid=int), entity("shop", sid=int)
BUYS = table(
    [
        {"uid": 1, "ts": "08:00", "shop": 7, "x": 1},
        {"uid": 1, "ts": "09:00", "shop": 8, "x": 2},
        {"uid": 2, "ts": "08:30", "shop": None, "x": 4},
    ],
    {"uid": pa.int64(), "ts": INSTANT, "shop": pa.int64(), "x": pa.int64()},
)
SHOPS = table(
    [
        {"sid": 7, "ts": "07:00", "rating": 1.0, "owner": 2},
        {"sid": 8, "ts": "07:00", "rating": 2.0, "owner": 1},
        {"sid": 8, "ts": "10:00", "rating": 3.0, "owner": 1},
    ],
    {"sid": pa.int64(), "ts": INSTANT, "rating": pa.float64(), "owner": pa.int64()},
)


def last() -> FeatureView:
    return view({"shop": lookup("shop")}, memory("buys", BUYS), USER, name="Last")


def shop() -> FeatureView:
    return view({"rating": lookup("rating"), "owner": lookup("owner")}, memory("shops", SHOPS), SHOP, name="Shop")


def spine(*rows: tuple[int, str]) -> pa.Table:
    return table([{"uid": uid, "t": t} for uid, t in rows], {"uid": pa.int64(), "t": INSTANT})


def test_a_feature_of_one_view_is_the_key_of_the_next_at_the_same_time() -> None:
    one, two = last(), shop()
    chained = service("s", use(two, keys={"sid": one["shop"]}), one)
    assert [key.name for key in chained.keys] == ["uid"]
    found = ask(chained, spine((1, "08:30"), (1, "09:30"), (1, "10:30"), (2, "10:30"), (3, "10:30"), (1, "07:30"))).table
    assert found.column("rating").to_pylist() == [1.0, 2.0, 3.0, None, None, None]
    assert found.column("shop").to_pylist() == [7, 8, 8, None, None, None]


def test_chains_may_be_longer_and_come_back_to_a_view_under_an_alias() -> None:
    one, two = last(), shop()
    again = use(one, prefix="owners_", keys={"uid": "owner"})
    chained = service("s", one, use(two, keys={"sid": "shop"}), again)
    assert [[each.view.name for each in uses] for uses in chained.rounds] == [["Last"], ["Shop"], ["Last"]]
    found = ask(chained, spine((1, "08:45"), (1, "09:30"))).table
    assert found.column("owners_shop").to_pylist() == [None, 8]
    assert ["use", "Last", "owners_", [["uid", "owner"]]] in chained.parameters["members"]  # type: ignore[operator]  # a list of lists


def test_keys_that_need_each_other_are_refused() -> None:
    one, two = last(), shop()
    with pytest.raises(CyclicGraph, match="Last -> Shop -> Last"):
        service("s", use(one, keys={"uid": "owner"}), use(two, keys={"sid": "shop"}))


def test_a_chain_to_what_the_service_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownFeature, match="no view of it has"):
        service("s", use(shop(), keys={"sid": last()["shop"]}))
    one = last()
    with pytest.raises(UnknownFeature, match=r"several of its views have.*a_shop, b_shop"):
        service("s", use(one, prefix="a_"), use(one, prefix="b_"), use(shop(), keys={"sid": one["shop"]}))


def test_a_transform_is_no_key() -> None:
    @on_request
    def other(rating: float) -> int:
        return int(rating)

    with pytest.raises(Invalid, match="transform other for a key"):
        service("s", shop(), other, use(last(), keys={"uid": "other"}))


def test_a_chained_key_has_the_type_of_the_key() -> None:
    one, two = last(), shop()
    with pytest.raises(KeyTypeMismatch, match="uid: got float64, declared int64"):
        ask(
            service("s", two, use(one, keys={"uid": "rating"})),
            table([{"sid": 7, "t": "10:00"}], {"sid": pa.int64(), "t": INSTANT}),
        )


def test_features_of_everything_have_one_answer_for_all() -> None:
    made = view(
        {"n": count("1d", hop="1h"), "total": sum("x", "1d", hop="1h"), "latest": lookup("x")}, memory("buys", BUYS), None
    )
    found = ask([made, last()], spine((1, "08:15"), (2, "08:45"), (3, "09:30"))).table
    assert found.column("n").to_pylist() == [1, 2, 3]
    assert found.column("total").to_pylist() == [1, 5, 7]
    assert found.column("latest").to_pylist() == [1, 4, 2]
    alone = ask([made], table([{"t": "09:30"}], {"t": INSTANT})).table
    assert alone.column("n").to_pylist() == [3]
    assert ask([made], table([], {"t": INSTANT})).table.num_rows == 0


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_on(request.param, tmp_path) as made:
        yield made


def test_chains_and_features_of_everything_have_the_same_answers_online(world: World) -> None:
    world.file("buys-0.parquet", BUYS)
    world.file("shops-0.parquet", SHOPS)
    buys, shops = (source(name, f"{name}-*.parquet", time="ts") for name in ("buys", "shops"))
    one = view({"shop": lookup("shop"), "spent": sum("x", "1d", hop="1h")}, buys, USER, name="Last")
    two = view(
        {"rating": lookup("rating", default=-1.0), "owner": lookup("owner"), "n": count("1d", hop="1h")},
        shops,
        SHOP,
        name="Shop",
    )
    every = view({"total": sum("x", "1d", hop="1h"), "latest": lookup("x")}, buys, None, name="Every")
    again = use(one, prefix="owners_", keys={"uid": "owner"})
    chained = service("s", use(two, keys={"sid": one["shop"]}), again, one, every)
    for made in (one, two, every):
        world.materialize(made, until=to_micros(at("09:15")))
    asked = [{"uid": uid} for uid in (1, 2, 3)]
    for text in ("08:45", "09:30", "10:30"):
        moments = [to_micros(at(text))] * len(asked)
        assert same_bits(world.answer(chained, asked, moments).values, world.offline(chained, asked, moments))
    world.push(every, [{"uid": 9, "ts": "2026-01-01T10:00:00Z", "shop": 7, "x": 100}])
    moments = [to_micros(at("10:30"))] * len(asked)
    assert same_bits(world.answer(service("e", every), [{}] * 3, moments).values, [[107, 100]] * 3)
    assert world.answer(chained, asked, moments).statuses[2][0] is Status.NOT_FOUND
