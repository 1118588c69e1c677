"""The consumer: every event is taken once, refused once, and nothing stands in the way of what follows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.features.online_world import World, clock, online_source

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.memory import MemoryOnlineStore, MemoryTopic
from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.errors import MissingColumns, NotFound, Unavailable
from tidewheel.features.consume import Consumer
from tidewheel.features.definition import FeatureView, count, entity, features, service, sum, view_of
from tidewheel.features.take_again import take_again
from tidewheel.sources.quarantine import Quarantine

NOON = clock("12:00")


class Shop:
    """A source with a view of windows, and a topic of its events."""

    def __init__(self, root: Path, world: World) -> None:
        import pyarrow as pa

        self.world, self.topic = world, MemoryTopic()
        self.quarantine = Quarantine(root / "quarantine")
        source = online_source("orders", event_id="id")

        @features(source, by=entity("user", uid=int))
        class Lately:
            n = count("1d")
            total = sum("x", "1d")

        self.view: FeatureView = view_of(Lately)
        empty = {"uid": pa.array([], pa.int64()), "ts": pa.array([], pa.int64())}
        world.file("orders-0.parquet", pa.table(empty | {"x": pa.array([], pa.int64()), "id": pa.array([], pa.string())}))
        world.materialize(self.view, until=NOON)
        self.broken = 0

    def push(self, rows: Sequence[Mapping[str, object]]) -> None:
        self.world.push(self.view, rows)
        if self.broken:
            self.broken -= 1
            raise Unavailable("the line went dead")  # after the rows were kept

    def consumer(self) -> Consumer:
        return Consumer(
            "memory://orders", self.topic.open(), push=self.push, quarantine=self.quarantine, clock=lambda: Micros(NOON)
        )

    def online(self) -> list[object]:
        answer = self.world.answer(service(f"lately{id(self)}", self.view), [{"uid": 1}], [NOON])
        return list(answer.values[0])

    def offline(self) -> list[object]:
        return self.world.offline(service(f"off{id(self)}", self.view), [{"uid": 1}], [NOON])[0]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database, engine = Database.open("sqlite://"), DuckDB()
    world = World(tmp_path, MemoryOnlineStore(), database, engine)
    made = Shop(tmp_path, world)
    yield made
    made.quarantine.close()
    world.close()
    engine.close()
    database.close()


def order(number: int, **changed: object) -> bytes:
    row: dict[str, object] = {"id": f"o{number}", "uid": 1, "ts": clock("09:00") + number, "x": number}
    return json.dumps(row | changed).encode()


def test_events_reach_the_store_and_the_training_side(shop: Shop) -> None:
    shop.topic.publish([order(n) for n in range(10)])
    consumer = shop.consumer()
    assert consumer.step(limit=4, seconds=0) == 4
    assert consumer.measure() == 6
    while consumer.step(seconds=0):
        pass
    assert shop.online() == shop.offline() == [10, 45]
    assert (consumer.state.taken, consumer.state.refused, consumer.measure()) == (10, 0, 0)


def test_poison_is_kept_with_its_reason_and_blocks_nothing(shop: Shop) -> None:
    poison = [
        b"\xff",
        b"[1]",
        b"{",
        order(90, x="much"),
        order(91, ts=None),
        b'{"id": "o92"}',
        order(93, ts=NOON * 2),
        order(94, id=None),
    ]
    bodies = [order(n) for n in range(20)]
    for place, one in enumerate(poison):
        bodies.insert(2 * place + 1, one)
    shop.topic.publish(bodies)
    consumer = shop.consumer()
    while consumer.step(seconds=0):
        pass
    assert shop.online() == shop.offline() == [20, 190]
    held = shop.quarantine.list()
    assert {event.body for event in held} == set(poison)
    told = {event.body: event.code for event in held}
    assert [told[one] for one in poison] == [
        *("NotJson", "NotJson", "NotJson", "TypeMismatch", "MissingTime", "MissingColumns", "FutureEvent", "MissingColumns"),
    ]
    assert all(event.stream == "memory://orders" and event.error for event in held)
    assert consumer.measure() == 0


def test_what_a_dead_consumer_had_kept_counts_once(shop: Shop) -> None:
    shop.topic.publish([order(n) for n in range(5)] + [b"poison"])
    dead = shop.consumer()
    dead.stream.commit = lambda positions: (_ for _ in ()).throw(Unavailable("killed here"))  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        dead.step(seconds=0)
    dead.stream.close()
    consumer = shop.consumer()
    while consumer.step(seconds=0):
        pass
    assert shop.online() == shop.offline() == [5, 10]
    assert shop.quarantine.count() == 1


def test_trouble_is_waited_for_and_is_no_fault_of_the_event(shop: Shop) -> None:
    shop.topic.publish([order(n) for n in range(5)])
    consumer = shop.consumer()
    probed = []
    consumer.probe = lambda: probed.append(1)
    shop.broken = 2
    for _ in range(2):
        with pytest.raises(Unavailable):
            consumer.step(seconds=0)
    assert consumer.measure() == 5
    assert consumer.step(seconds=0) == 5
    assert shop.online() == shop.offline() == [5, 10]
    assert (consumer.state.taken, shop.quarantine.count(), len(probed)) == (5, 0, 2)


def test_an_error_that_is_not_the_events_is_raised(shop: Shop) -> None:
    shop.topic.publish([order(0)])
    consumer = shop.consumer()

    def lost(_: Sequence[Mapping[str, object]]) -> None:
        raise NotFound("the files of the source are gone")

    consumer.push = lost
    with pytest.raises(NotFound):
        consumer.step(seconds=0)
    assert shop.quarantine.count() == 0
    assert consumer.measure() == 1


def test_a_producer_that_sends_twice_counts_once(shop: Shop) -> None:
    shop.topic.publish([order(1), order(2), order(1)])
    shop.topic.publish([order(2), order(3)])
    consumer = shop.consumer()
    while consumer.step(limit=2, seconds=0):
        pass
    assert shop.online() == shop.offline() == [3, 6]


def test_missing_columns_are_named_in_quarantine(shop: Shop) -> None:
    shop.topic.publish([b'{"id": "a", "uid": 1, "ts": 0}'])
    shop.consumer().step(seconds=0)
    (held,) = shop.quarantine.list()
    assert held.code == MissingColumns.__name__
    assert "x" in held.error


def test_what_was_refused_is_taken_when_it_has_been_mended(shop: Shop) -> None:
    shop.topic.publish([order(1), order(2, x="much"), b"{", order(3, ts=None), order(4)])
    consumer = shop.consumer()
    while consumer.step(seconds=0):
        pass
    assert shop.online() == shop.offline() == [2, 5]
    held = shop.quarantine.list()
    unchanged = take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON + 1))
    assert (unchanged.taken, unchanged.dropped) == (0, 0)
    assert [(one.body, one.code) for one in unchanged.refused] == [(one.body, one.code) for one in held]
    assert {one.at for one in shop.quarantine.list()} == {NOON + 1}
    places = {one.body: (one.stream, one.position) for one in held}
    mended = {places[order(2, x="much")]: order(2), places[b"{"]: None}
    done = take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON), mended=mended)
    assert (done.taken, done.dropped, done.refused) == (1, 1, ())
    assert shop.online() == shop.offline() == [3, 7]
    assert [one.body for one in shop.quarantine.list()] == [order(3, ts=None)]
    with pytest.raises(NotFound, match="no event"):
        take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON), mended=mended)


def test_what_was_pushed_again_and_not_released_counts_once(shop: Shop) -> None:
    shop.topic.publish([order(1, x="much")])
    shop.consumer().step(seconds=0)
    (held,) = shop.quarantine.list()
    mended = {(held.stream, held.position): order(1)}
    shop.broken = 1  # dies between the push and the release
    with pytest.raises(Unavailable):
        take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON), mended=mended)
    assert shop.quarantine.count() == 1
    assert take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON), mended=mended).taken == 1
    assert shop.online() == shop.offline() == [1, 1]
    assert shop.quarantine.count() == 0


def test_an_event_refused_after_its_release_is_held_again(shop: Shop) -> None:
    shop.topic.publish([b"{"])
    shop.consumer().step(seconds=0)
    (held,) = shop.quarantine.list()
    take_again(shop.quarantine, push=shop.push, clock=lambda: Micros(NOON), mended={(held.stream, held.position): None})
    assert shop.quarantine.list() == ()
    shop.quarantine.keep([held])
    assert shop.quarantine.list() == (held,)
