"""Rows that end something, online: whatever arrives, in whatever order, answers have the bits of offline ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import dear
from tests.features.online_world import NEW_YEAR, World, same_bits, world_on
from tests.servers import EMBEDDED, SERVERS, STORES

from tidewheel.clock import HOUR, MINUTE
from tidewheel.errors import HistoryUnavailable
from tidewheel.features.definition import FeatureView, count, entity, features, last, lookup, service, sum, view_of
from tidewheel.features.online_view import Status
from tidewheel.sources.changes import changes
from tidewheel.sources.definition import source

NUMBER = itertools.count()
INSTANT = pa.timestamp("us", tz="UTC")
USER = entity("user", uid=int)
IMAGE = pa.struct([("id", pa.int64()), ("uid", pa.int64()), ("x", pa.int64()), ("placed", INSTANT)])
FLAT = pa.schema(
    [("uid", pa.int64()), ("ts", INSTANT), ("made", pa.int64()), ("x", pa.int64()), ("gone", pa.bool_()), ("until", INSTANT)]
)
IMAGES = pa.schema([("op", pa.string()), ("ts", INSTANT), ("made", pa.int64()), ("before", IMAGE), ("after", IMAGE)])
CHANGES = {"event_id": "id", "changes": changes("op", before="before", after="after")}
KINDS: dict[str, tuple[pa.Schema, dict[str, object]]] = {
    "tombstones": (FLAT, {"time": "ts", "deleted": "gone"}),
    "delayed tombstones": (FLAT, {"time": "ts", "deleted": "gone", "after": "15m"}),
    "states": (FLAT, {"valid_from": "ts", "valid_to": "until"}),
    "changes": (IMAGES, {"time": "ts", **CHANGES}),
    "changes of a past": (IMAGES, {"time": "placed", "available": "ts", **CHANGES}),
}


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_on(request.param, tmp_path_factory.mktemp("ends"), lateness=2 * HOUR) as made:
        yield made


def make_view(name: str, kind: str) -> FeatureView:
    of = source(name, f"{name}-*.parquet", created="made", **KINDS[kind][1])  # type: ignore[arg-type]  # options of any kind
    if kind == "states":

        @features(of, by=USER)
        class States:
            fx = lookup("x")
            known = lookup("x", fill="last_known", default=-1)

        return view_of(States)

    @features(of, by=USER, ttl="6h")
    class View:
        fx = lookup("x")
        known = lookup("x", fill="last_known", default=-1)
        n = count("3h", hop="1h")
        total = sum("x", "3h", hop="1h")
        last_x = last("x", "12h", hop="1h")

    return view_of(View)


Drawn = tuple[int, int, int | None, bool, int, bool]


class Story:
    """One source of one kind, what has happened to it, and both ways to ask."""

    def __init__(self, world: World, kind: str) -> None:
        self.world, self.kind = world, kind
        self.name = f"ends{next(NUMBER)}"
        self.view = make_view(self.name, kind)
        self.service = service(f"{self.name}_inputs", self.view)
        self.files, self.serial = itertools.count(), itertools.count(1)
        self.table: dict[int, dict[str, object]] = {}
        self.times: dict[int, list[int]] = {}
        self.until: int = NEW_YEAR
        self.behind = True
        self.file([])
        self.materialize(NEW_YEAR)

    def row(self, drawn: Drawn) -> dict[str, object]:
        uid, minute, x, ends, more, blind = drawn
        at, made = NEW_YEAR + minute * MINUTE, next(self.serial)
        if "changes" not in self.kind:
            until = at + more * 20 * MINUTE if ends else None
            return {"uid": uid, "ts": at, "made": made, "x": x, "gone": ends, "until": until}
        before = self.table.get(more)
        placed = NEW_YEAR + (minute // 2) * MINUTE
        times = self.times.setdefault(more, [])
        # Where there is no image of what is closed to take away, the next materialisation does.
        self.behind |= (before is None or blind) and any(one < self.until - 2 * HOUR for one in times)
        times += [placed, at]
        if ends and before is not None:
            del self.table[more]
            return {"op": "d", "ts": at, "made": made, "before": before, "after": None}
        after: dict[str, object] = {"id": more, "uid": uid, "x": x, "placed": placed}
        self.table[more] = after
        return {
            "op": "c" if before is None else "u",
            "ts": at,
            "made": made,
            "before": None if blind else before,
            "after": after,
        }

    def file(self, rows: list[dict[str, object]]) -> None:
        self.world.file(f"{self.name}-{next(self.files)}.parquet", pa.Table.from_pylist(rows, schema=KINDS[self.kind][0]))
        self.behind = True

    def push(self, rows: list[dict[str, object]]) -> None:
        self.behind |= any(self.world.push(self.view, rows).late.values())

    def materialize(self, until: int, full: bool = False) -> None:
        self.world.materialize(self.view, until=until, full=full)
        self.until = until if full or until > self.until else self.until
        self.behind = False

    def check(self, moments: list[int]) -> None:
        if self.behind:
            self.materialize(self.until)
        asked = [({"uid": uid}, moment) for uid in (1, 2, 3) for moment in moments]
        expected = self.world.offline(self.service, [one for one, _ in asked], [moment for _, moment in asked])
        prepared = self.world.prepare(self.service)
        for (one, moment), row in zip(asked, expected, strict=True):
            try:
                answer = prepared.answer([one], at=[moment])  # type: ignore[list-item]  # microseconds
            except HistoryUnavailable:
                assert moment < self.until, "refused although not in the past"
                continue
            assert same_bits(answer.values, [row]), (self.kind, one, (moment - NEW_YEAR) / MINUTE, answer.values[0], row)


MINUTES = st.integers(0, 60 * 12)
DRAWN = st.tuples(
    st.sampled_from([1, 1, 2]), MINUTES, st.none() | st.integers(-4, 4), st.booleans(), st.integers(0, 3), st.booleans()
)
STEPS = st.one_of(
    st.tuples(st.just("push"), st.lists(DRAWN, min_size=1, max_size=4)),
    st.tuples(st.just("file"), st.lists(DRAWN, max_size=4)),
    st.tuples(st.sampled_from(["materialize", "full"]), st.integers(0, 15)),
)


def tell(world: World, kind: str, steps: list[tuple[str, object]], at: list[int]) -> None:
    story = Story(world, kind)
    for verb, what in steps:
        if isinstance(what, int):
            story.materialize(NEW_YEAR + what * HOUR, full=verb == "full")
            continue
        assert isinstance(what, list)
        rows = [story.row(one) for one in what]
        if verb == "push":
            story.push(rows)
        else:
            story.file(rows)
    story.check([NEW_YEAR + minute * MINUTE for minute in at])


stories = given(steps=st.lists(STEPS, max_size=6), at=st.lists(st.integers(0, 60 * 15), min_size=1, max_size=3))


@pytest.mark.slow
@pytest.mark.parametrize("world", EMBEDDED, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=dear(12))
@stories
def test_online_answers_have_the_bits_of_offline_ones(
    world: World, kind: str, steps: list[tuple[str, object]], at: list[int]
) -> None:
    tell(world, kind, steps, at)


@pytest.mark.parametrize("world", SERVERS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=dear(10))
@stories
def test_online_answers_of_servers_have_the_bits_of_offline_ones(
    world: World, kind: str, steps: list[tuple[str, object]], at: list[int]
) -> None:
    tell(world, kind, steps, at)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("kind", ["changes", "changes of a past"])
def test_a_push_that_changes_a_closed_event_is_told_as_late(world: World, kind: str, ends: bool) -> None:
    story = Story(world, kind)
    story.file([story.row((1, 60, 3, False, 1, False))])
    story.materialize(hour(4))
    receipt = world.push(story.view, [story.row((1, 180, 4, ends, 1, False))])
    assert list(receipt.late.values()) == [1]
    story.behind = True
    story.check([hour(3.5), hour(4)])
    receipt = world.push(
        story.view, [story.row((2, 190, 5, False, 2, False)), story.row((1, 191, 6, False, 2, False))]
    )  # both are open
    assert list(receipt.late.values()) == [0]
    story.check([hour(4)])


@pytest.mark.parametrize("kind", ["changes", "changes of a past"])
def test_an_update_without_the_image_before_takes_an_open_row_from_its_old_key(world: World, kind: str) -> None:
    story = Story(world, kind)
    story.push([story.row((1, 190, 3, False, 1, False)), story.row((1, 180, 5, False, 2, False))])
    story.push([story.row((2, 200, 4, False, 1, True))])
    story.behind = False  # the first file was empty
    story.check([hour(3.2), hour(3.5), hour(4)])
    story.push([story.row((2, 220, 4, True, 1, False))])
    story.push([story.row((1, 210, 9, False, 1, False))])  # created again, as of before it was deleted
    story.check([hour(3.2), hour(3.5), hour(4)])


def hour(number: float) -> int:
    return NEW_YEAR + int(number * HOUR)


def test_a_tombstone_is_not_found_until_a_later_row(world: World) -> None:
    story = Story(world, "tombstones")
    story.push([{"uid": 1, "ts": hour(1), "made": 0, "x": 5, "gone": False, "until": None}])
    story.push([{"uid": 1, "ts": hour(2), "made": 0, "x": None, "gone": True, "until": None}])
    prepared = world.prepare(story.service)
    found = prepared.answer([{"uid": 1}] * 2, at=[hour(1.5), hour(2.5)])  # type: ignore[list-item]  # microseconds
    assert [(row[0], status[0]) for row, status in zip(found.values, found.statuses, strict=True)] == [
        (5, Status.PRESENT),
        (None, Status.NOT_FOUND),
    ]
    story.materialize(hour(8))
    story.push([{"uid": 1, "ts": hour(1.5), "made": 0, "x": 6, "gone": False, "until": None}])  # late, and before the tombstone
    assert prepared.answer([{"uid": 1}], at=[hour(8)]).values[0][0] is None  # type: ignore[list-item]  # microseconds
    story.push([{"uid": 1, "ts": hour(7), "made": 0, "x": 7, "gone": False, "until": None}])
    assert prepared.answer([{"uid": 1}], at=[hour(8)]).values[0][0] == 7  # type: ignore[list-item]  # microseconds


def test_a_pushed_row_closes_a_materialised_one(world: World) -> None:
    story = Story(world, "states")
    story.file([{"uid": 1, "ts": hour(1), "made": 1, "x": 5, "gone": False, "until": None}])
    story.materialize(hour(8))
    story.push([{"uid": 1, "ts": hour(1), "made": 2, "x": 5, "gone": False, "until": hour(9)}])
    prepared = world.prepare(story.service)
    found = prepared.answer([{"uid": 1}] * 2, at=[hour(8.5), hour(9)])  # type: ignore[list-item]  # microseconds
    assert [row[0] for row in found.values] == [5, None]


def test_a_pushed_change_takes_the_row_from_its_old_key_and_a_deletion_brings_the_other_row_back(world: World) -> None:
    story = Story(world, "changes")
    one, two = ({"id": n, "uid": 1, "x": n, "placed": None} for n in (1, 2))
    story.file([{"op": "c", "ts": hour(n), "made": n, "before": None, "after": row} for n, row in ((1, one), (2, two))])
    story.materialize(hour(8))
    prepared = world.prepare(story.service)

    def values(uid: int) -> list[object]:
        return prepared.answer([{"uid": uid}], at=[hour(8)]).values[0][:2]  # type: ignore[list-item]  # microseconds

    moved = two | {"uid": 2}
    assert (values(1), values(2)) == ([2, 2], [None, -1])
    story.push([{"op": "u", "ts": hour(7), "made": 3, "before": one, "after": one | {"x": 4}}])
    assert values(1) == [4, 4]
    story.push([{"op": "u", "ts": hour(7.5), "made": 4, "before": two, "after": moved}])
    assert (values(1), values(2)) == ([4, 4], [2, 2])
    story.push([{"op": "d", "ts": hour(7.7), "made": 5, "before": moved, "after": None}])
    assert (values(1), values(2)) == ([4, 4], [None, -1])
    story.check([hour(8)])
