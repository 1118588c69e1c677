"""E19, E20: whatever arrives, in whatever order, whenever it is materialised, online answers have the bits of offline ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import dear
from tests.features.online_world import NEW_YEAR, World, online_source, same_bits, world_on
from tests.servers import EMBEDDED, SERVERS, STORES

from tidewheel.clock import HOUR, MINUTE
from tidewheel.errors import HistoryUnavailable
from tidewheel.features.definition import (
    FeatureView,
    ServiceDefinition,
    count,
    entity,
    features,
    last,
    lookup,
    max,
    mean,
    min,
    on_request,
    request,
    service,
    std,
    std_pop,
    sum,
    use,
    view_of,
)

pytestmark = pytest.mark.slow

NUMBER = itertools.count()
SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us", tz="UTC")),
        ("made", pa.timestamp("us", tz="UTC")),
        ("known", pa.timestamp("us", tz="UTC")),
        ("id", pa.int64()),
        ("uid", pa.int64()),
        ("zone", pa.string()),
        ("x", pa.float64()),
        ("n", pa.int64()),
        ("s", pa.string()),
    ]
)


@dataclass(frozen=True)
class Event:
    ts: int
    made: int
    delay: int
    id: int
    uid: int | None
    zone: str
    x: float | None
    n: int | None
    s: str | None

    def row(self) -> dict[str, object]:
        return {
            "ts": self.ts,
            "made": self.ts + self.made,
            "known": self.ts + self.delay,
            "id": self.id,
            "uid": self.uid,
            "zone": self.zone,
            "x": self.x,
            "n": self.n,
            "s": self.s,
        }


MOMENTS = st.integers(0, 24 * 12).map(lambda five: NEW_YEAR + five * 5 * MINUTE) | st.integers(0, 24 * 60 * 60).map(
    lambda second: NEW_YEAR + second * 1_000_000 + 1
)
EVENTS = st.builds(
    Event,
    ts=MOMENTS,
    made=st.sampled_from([0, 1, MINUTE, HOUR]),
    delay=st.sampled_from([0, 1, 20 * MINUTE, 5 * HOUR]),
    id=st.integers(0, 5) | st.integers(0, 10**9),
    uid=st.sampled_from([1, 1, 2, 3, None]),
    zone=st.sampled_from(["a", "b"]),
    x=st.none() | st.floats(-1e16, 1e16) | st.sampled_from([0.1, 0.2, 1e16, -1e16, -0.0]),
    n=st.none() | st.integers(-(2**55), 2**55),
    s=st.none() | st.sampled_from(["", "a", "longer than eight bytes", "longer than eight bytez"]),
)
BATCHES = st.lists(EVENTS, max_size=6)
STEPS = st.one_of(
    st.tuples(st.just("push"), BATCHES),
    st.tuples(st.just("file"), BATCHES),
    st.tuples(st.just("materialize"), st.integers(0, 30).map(lambda hour: NEW_YEAR + hour * HOUR)),
    st.tuples(st.just("full"), st.integers(0, 30).map(lambda hour: NEW_YEAR + hour * HOUR)),
)
OPTIONS = st.sampled_from(
    [
        {},
        {"created": "made"},
        {"after": "15m"},
        {"available": "known"},
        {"available": "known", "created": "made"},
        {"event_id": "id", "created": "made"},
        {"event_id": "id", "created": "made", "after": "15m"},
    ]
)


def make_view(options: dict[str, object], ttl: str | None, composite: bool, numbers: bool) -> FeatureView:
    name = f"events{next(NUMBER)}"
    by = entity("user", uid=int, zone=str) if composite else entity("user", uid=int)
    if numbers:  # takes the way of :mod:`tidewheel.features.key_fold`

        @features(online_source(name, **options), by=by)
        class Numbers:
            count_1h = count("1h")
            count_x_10m = count("x", "10m", hop="5m")
            sum_3h = sum("x", "3h")
            latest_s = count("n", "1d", default=-1)
            sum_n_12h = sum("n", "12h", hop="1h")
            mean_n_12h = mean("n", "12h", hop="1h")
            mean_1d = mean("x", "1d")
            min_x = min("x", "6h")
            max_n = max("n", "1d", default=7)
            std_5h = std("x", "5h", default=0.5)
            std_n = std_pop("n", "12h", hop="1h")
            last_x = last("x", "1d")
            last_n = last("n", "1h")

        return view_of(Numbers)

    @features(online_source(name, **options), by=by, ttl=ttl)
    class View:
        latest_x = lookup("x")
        latest_s = lookup("s", fill="last_known")
        latest_n = lookup("n", default=-1)
        count_1h = count("1h")
        count_x_10m = count("x", "10m", hop="5m")
        sum_3h = sum("x", "3h")
        sum_n_12h = sum("n", "12h", hop="1h")
        mean_1d = mean("x", "1d", where="n > 0 OR s IS NOT NULL")
        min_s = min("s", "6h")
        max_x = max("x", "1d")
        std_5h = std("x", "5h", default=0.5)
        last_s = last("s", "1d")

    return view_of(View)


def make_service(view: FeatureView, composite: bool) -> ServiceDefinition:
    @on_request
    def ratio(sum_3h: float, distance: float, latest_s: str | None) -> float:  # a number in the view of numbers
        return sum_3h / distance if latest_s else 0.0

    members: list[object] = [view, ratio, request(distance=float)]
    if not composite:
        members.append(use(view, prefix="other_", keys={"uid": "other"}))
    return service(f"inputs{next(NUMBER)}", *members)  # type: ignore[arg-type]  # views, uses and transforms


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(request.param, tmp_path_factory.mktemp("world"), lateness=2 * HOUR) as made:
        yield made


class Story:
    """One source, one view, and what has happened to them."""

    def __init__(
        self, world: World, options: dict[str, object], ttl: str | None, *, composite: bool, numbers: bool = False
    ) -> None:
        self.world, self.composite = world, composite
        self.view = make_view(options, ttl, composite, numbers)
        self.service = make_service(self.view, composite)
        self.files = itertools.count()
        self.behind = True  # something has arrived that only a materialisation brings online
        self.places: dict[int, set[tuple[int | None, str, int]]] = {}  # keys and times that events of each id have had
        self.until: int = NEW_YEAR
        self.file([])

    def moves(self, events: list[Event]) -> bool:
        """Whether a correction among the events moves one that is closed: the next materialisation sees to that."""
        moved = False
        for event in events:
            places = self.places.setdefault(event.id, set())
            places.add((event.uid, event.zone, event.ts))
            moved |= len(places) > 1 and any(ts < self.until - 2 * HOUR for _, _, ts in places)
        return moved and self.view.source.event_id is not None

    def file(self, events: list[Event]) -> None:
        table = pa.Table.from_pylist([event.row() for event in events], schema=SCHEMA)
        self.world.file(f"{self.view.source.name}-{next(self.files)}.parquet", table)
        self.behind = True
        self.moves(events)

    def step(self, verb: str, what: object) -> None:
        if verb in ("push", "file"):
            assert isinstance(what, list)
            if verb == "file":
                self.file(what)
            else:
                receipt = self.world.push(self.view, [event.row() for event in what])
                self.behind |= any(receipt.late.values()) | self.moves(what)
        else:
            assert isinstance(what, int)
            self.materialize(what, full=verb == "full")

    def materialize(self, until: int, full: bool = False) -> None:
        self.world.materialize(self.view, until=until, full=full)
        self.until = until if full or until > self.until else self.until  # a run that goes less far opens nothing again
        self.behind = False

    def check(self, at: list[int]) -> None:
        """Every key at every instant: bits as offline, or an open refusal; no refusal from the last materialisation on."""
        if self.behind:
            self.materialize(self.until)
        keys = (
            [(uid, zone) for uid in (1, 2, 3, 4) for zone in ("a", "b")] if self.composite else [(n, "") for n in (1, 2, 3, 4)]
        )
        asked = [
            ({"uid": uid, "zone": zone, "other": 1 + uid % 3, "distance": 2.5}, moment) for uid, zone in keys for moment in at
        ]
        requests, moments = [one for one, _ in asked], [moment for _, moment in asked]
        expected = self.world.offline(self.service, requests, moments)
        prepared = self.world.prepare(self.service)
        for one, moment, row in zip(requests, moments, expected, strict=True):
            try:
                answer = prepared.answer([one], at=[moment])  # type: ignore[list-item]  # microseconds
            except HistoryUnavailable:
                assert moment < self.until, "refused although not in the past"
                continue
            assert same_bits(answer.values, [row]), (
                one,
                moment,
                dict(zip(self.service.names, zip(answer.values[0], row, strict=True), strict=True)),
            )
        future = [place for place, moment in enumerate(moments) if moment >= self.until]
        if future:
            batch = prepared.answer([requests[i] for i in future], at=[moments[i] for i in future])  # type: ignore[misc]  # microseconds
            assert same_bits(batch.values, [expected[i] for i in future])


stories = given(
    options=OPTIONS,
    ttl=st.sampled_from([None, "2h"]),
    composite=st.booleans(),
    numbers=st.booleans(),
    steps=st.lists(STEPS, max_size=6),
    at=st.lists(st.integers(0, 27 * 12).map(lambda five: NEW_YEAR + five * 5 * MINUTE) | MOMENTS, min_size=1, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("world", EMBEDDED, indirect=True)
@stories
def test_online_answers_have_the_bits_of_offline_ones(
    world: World,
    options: dict[str, object],
    ttl: str | None,
    composite: bool,
    numbers: bool,
    steps: list[tuple[str, object]],
    at: list[int],
) -> None:
    story = Story(world, options, ttl, composite=composite, numbers=numbers)
    story.materialize(NEW_YEAR)
    for verb, what in steps:
        story.step(verb, what)
    story.check(at)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=dear(8))
@pytest.mark.parametrize("world", SERVERS, indirect=True)
@stories
def test_online_answers_of_servers_have_the_bits_of_offline_ones(
    world: World,
    options: dict[str, object],
    ttl: str | None,
    composite: bool,
    numbers: bool,
    steps: list[tuple[str, object]],
    at: list[int],
) -> None:
    story = Story(world, options, ttl, composite=composite, numbers=numbers)
    story.materialize(NEW_YEAR)
    for verb, what in steps:
        story.step(verb, what)
    story.check(at)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=dear(6))
@given(events=st.lists(EVENTS, min_size=2, max_size=12), numbers=st.booleans(), data=st.data())
def test_e20_order_of_arrival_does_not_matter(world: World, events: list[Event], numbers: bool, data: st.DataObject) -> None:
    at = NEW_YEAR + 26 * HOUR
    answers = []
    for arrival in (events, data.draw(st.permutations(events))):
        story = Story(world, {"created": "made"}, None, composite=False, numbers=numbers)
        story.materialize(NEW_YEAR)
        for event in arrival:
            story.step("push", [event])
        story.check([at, NEW_YEAR + 12 * HOUR])
        requests = [{"uid": uid, "zone": "a", "other": 1, "distance": 2.5} for uid in (1, 2, 3)]
        answers.append(world.answer(story.service, requests, [at] * 3).values)
    assert same_bits(*answers)
