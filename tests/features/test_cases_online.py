"""Case tables F and I of features.md, and the online halves of C10, D, E and G."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from tests.features.online_world import World, clock, online_source, same_bits
from tests.servers import STORES, any_store

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import DAY, HOUR, MINUTE
from tidewheel.database.open import Database
from tidewheel.errors import (
    FutureEvent,
    HistoryUnavailable,
    Invalid,
    KeyTypeMismatch,
    MissingColumns,
    MissingTime,
    NotMaterialized,
    TypeMismatch,
)
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
from tidewheel.features.online_view import Status
from tidewheel.features.push import PushReceipt
from tidewheel.ports.online_store import Key, OnlineStore
from tidewheel.ports.query_engine import QueryEngine

NUMBER = itertools.count()
USER = entity("user", uid=int)
NOON = clock("12:00")
RAW = pa.schema([("uid", pa.int64()), ("ts", pa.int64()), ("made", pa.int64()), ("x", pa.int64())])


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One for all: every test has views of its own."""
    database = Database.open("sqlite://")
    yield database
    database.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[QueryEngine]:
    engine = DuckDB()
    yield engine
    engine.close()


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path, database: Database, engine: QueryEngine) -> Iterator[World]:
    with any_store(request.param, tmp_path) as store:
        made = World(tmp_path, store, database, engine)
        yield made
        made.close()


def rows(*given: tuple[int | None, int, int | None], made: int = 0) -> list[dict[str, object]]:
    """Rows (uid, ts, x)."""
    return [{"uid": uid, "ts": ts, "made": ts + made, "x": x} for uid, ts, x in given]


def write(world: World, view: FeatureView, name: str, given: Sequence[Mapping[str, object]], schema: pa.Schema = RAW) -> None:
    world.file(f"{view.source.name}-{name}.parquet", pa.Table.from_pylist(list(given), schema=schema))


def lookups(world: World, *given: tuple[int | None, int, int | None], ttl: str | None = None, **options: object) -> FeatureView:
    """A view of the latest x, with a file of the rows given, materialised at noon."""

    @features(online_source(f"f{next(NUMBER)}", **options), by=USER, ttl=ttl)
    class F:
        x = lookup("x")

    view = view_of(F)
    write(world, view, "0", rows(*given))
    world.materialize(view, until=NOON)
    return view


def serve(*members: object) -> ServiceDefinition:
    return service(f"s{next(NUMBER)}", *members)  # type: ignore[arg-type]  # views, uses, transforms, requests


def ask(world: World, view: FeatureView, at: int, uid: int = 1) -> object:
    return world.answer(serve(view), [{"uid": uid}], [at]).values[0][0]


# ── F: write and read ────────────────────────────────────────────────────────────────────────────


def test_f1_an_older_row_pushed_later_loses(world: World) -> None:
    view = lookups(world)
    world.push(view, rows((1, NOON, 50)))
    world.push(view, rows((1, clock("05:00"), 5)))
    assert ask(world, view, NOON) == 50


@pytest.mark.parametrize("order", [1, -1])
def test_f2_order_inside_a_batch_does_not_matter(world: World, order: int) -> None:
    view = lookups(world)
    world.push(view, rows((1, NOON, 50), (1, clock("05:00"), 5))[::order])
    assert ask(world, view, NOON) == 50


def test_f3_materialising_an_older_row_changes_nothing(world: World) -> None:
    view = lookups(world)
    world.push(view, rows((1, NOON, 50)))
    write(world, view, "1", rows((1, clock("08:00"), 1)))
    world.materialize(view, until=clock("09:00"))
    assert ask(world, view, NOON) == 50
    assert ask(world, view, clock("11:00")) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_f4_a_correction_wins_in_any_order(world: World, order: int) -> None:
    view = lookups(world, created="made")
    first, correction = rows((1, NOON, 50)), rows((1, NOON, 51), made=HOUR)
    for batch in [first, correction][::order]:
        world.push(view, batch)
    assert ask(world, view, NOON) == 51


def test_f5_the_same_row_twice_is_one_row(world: World) -> None:
    view = lookups(world)
    for _ in range(2):
        world.push(view, rows((1, NOON, 50)))
    assert ask(world, view, NOON) == 50
    assert sum_of_sizes(world.store) == 2  # for a look-up, the item and nothing else beside the mark


def sum_of_sizes(store: OnlineStore) -> int:
    return len(list(store.scan(b""))) + len([item for _, items in store.scan_sets(b"") for item in items])


def test_f7_a_row_is_served_to_the_end_of_its_ttl(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5), ttl="2h")
    inputs = serve(view)
    fresh = world.answer(inputs, [{"uid": 1}], [clock("10:00")])
    assert (fresh.values, fresh.statuses, fresh.event_times) == ([[5]], [[Status.PRESENT]], [[clock("08:00")]])
    old = world.answer(inputs, [{"uid": 1}], [clock("10:00") + 1])
    assert (old.values, old.statuses) == ([[None]], [[Status.OUTSIDE_MAX_AGE]])


def test_f8_statuses_tell_nulls_apart(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), None), (2, clock("08:00"), 7))
    answer = world.answer(serve(view), [{"uid": uid} for uid in (1, 2, 3)], [NOON] * 3)
    assert answer.values == [[None], [7], [None]]
    assert answer.statuses == [[Status.NULL_VALUE], [Status.PRESENT], [Status.NOT_FOUND]]


def test_f9_repeated_keys_are_answered_in_the_order_asked(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5), (1, clock("09:00"), 6), (2, clock("08:00"), 7))
    answer = world.answer(serve(view), [{"uid": uid} for uid in (1, 1, 2)], [NOON, clock("08:30"), NOON])
    assert answer.values == [[6], [5], [7]]


def test_f10_outputs_come_in_the_order_of_the_service(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5))
    inputs = serve(request(z=int), use(view, prefix="b_"), request(a=int), use(view, prefix="a_", keys={"uid": "other"}))
    prepared = world.prepare(inputs)
    assert prepared.names == prepared.schema.names == ("z", "b_x", "a", "a_x")
    assert world.answer(inputs, [{"other": 2, "a": 1, "uid": 1, "z": 0}], [NOON]).values == [[0, 5, 1, None]]


def test_f13_a_future_push_is_refused_and_leaves_nothing(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5))
    world.now = NOON
    with pytest.raises(FutureEvent, match="ts"):
        world.push(view, rows((1, NOON, 6), (1, NOON + HOUR, 7)))
    assert ask(world, view, NOON + 2 * HOUR) == 5
    assert world.sources.snapshot(view.source).pushes == ()


@pytest.mark.parametrize(
    ("row", "error", "named"),
    [
        ({"uid": 1, "made": 0, "x": 1}, MissingColumns, "ts"),
        ({"uid": 1, "ts": None, "made": 0, "x": 1}, MissingTime, "ts"),
        ({"uid": "1", "ts": 0, "made": 0, "x": 1}, TypeMismatch, "uid"),
        ({"uid": 1, "ts": 0, "made": 0, "x": 1.5}, TypeMismatch, "x"),
    ],
)
def test_j8_a_bad_push_names_the_column_and_writes_nothing(
    world: World, row: dict[str, object], error: type[Invalid], named: str
) -> None:
    view = lookups(world)
    with pytest.raises(error, match=named):
        world.push(view, [*rows((1, NOON, 6)), row])
    assert ask(world, view, NOON) is None


# ── availability, ties, history ──────────────────────────────────────────────────────────────────


def test_c10_a_delayed_source_is_delayed_online_too(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 1), (1, clock("08:50"), 2), after="15m")
    assert [ask(world, view, at) for at in (clock("09:00"), clock("09:05") - 1, clock("09:05"))] == [1, 1, 2]


def test_c5_a_row_counts_from_when_it_was_known(world: World) -> None:
    view = lookups(world, available="made")
    world.push(view, rows((1, clock("10:00"), 4), made=2 * HOUR) + rows((1, clock("10:00"), 6), made=38 * HOUR))
    assert [ask(world, view, clock("10:00", day)) for day in ("2026-01-01", "2026-01-02", "2026-01-03")] == [None, 4, 6]


@pytest.mark.parametrize("order", [1, -1])
def test_c3_of_rows_that_tie_the_larger_is_served(world: World, order: int) -> None:
    view = lookups(world, *[(1, clock("08:00"), 1), (1, clock("08:00"), 2)][::order])
    assert ask(world, view, NOON) == 2


def test_an_instant_before_the_history_that_is_kept_is_refused(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 1))
    world.materialize(view, until=NOON + 3 * DAY)
    assert ask(world, view, NOON) == 1, "nothing came after it, so it is still known"
    write(world, view, "1", rows((1, NOON + DAY, 2)))
    world.materialize(view, until=NOON + 3 * DAY)
    with pytest.raises(HistoryUnavailable, match="2026-01-01T12:00:00Z"):
        ask(world, view, NOON)
    assert ask(world, view, NOON + DAY) == 2


# ── E: windows ───────────────────────────────────────────────────────────────────────────────────


def windows(world: World, schema: pa.Schema = RAW, **options: object) -> FeatureView:
    @features(online_source(f"w{next(NUMBER)}", **options), by=USER)
    class W:
        total = sum("x", "10m", hop="5m")
        n = count("10m", hop="5m")
        top = max("x", "10m", hop="5m")
        low = min("x", "10m", hop="5m")
        average = mean("x", "10m", hop="5m")
        spread = std("x", "10m", hop="5m")
        spread_pop = std_pop("x", "10m", hop="5m")
        latest = last("x", "10m", hop="5m")

    view = view_of(W)
    write(world, view, "0", [], schema)
    world.materialize(view, until=clock("00:00"))
    return view


EVENTS = ((1, clock("00:01"), 10), (1, clock("00:06"), 3), (1, clock("00:11"), 4))
EMPTY = [0, 0, None, None, None, None, None, None]


@pytest.mark.parametrize("arrival", ["pushed", "materialised", "closed"])
def test_e1_to_e6_windows_online(world: World, arrival: str) -> None:
    view = windows(world)
    if arrival == "pushed":
        for event in reversed(EVENTS):
            world.push(view, rows(event))
    else:
        write(world, view, "1", rows(*EVENTS))
        world.lateness = DAY if arrival == "materialised" else 0
        world.materialize(view, until=clock("00:11"))
    inputs = serve(view)
    at = [clock("00:11:00"), clock("00:11:01"), clock("00:15:00"), clock("00:21:00"), clock("00:25:00")]
    answer = world.answer(inputs, [{"uid": 1}] * 5 + [{"uid": 2}], [*at, at[0]])
    first = [[13, 2, 10, 3], [17, 3, 10, 3], [7, 2, 4, 3], [4, 1, 4, 4], EMPTY[:4], EMPTY[:4]]
    assert [row[:4] for row in answer.values] == first
    assert [row[4] for row in answer.values] == [6.5, 17 / 3, 3.5, 4.0, None, None]
    assert [row[7] for row in answer.values] == [3, 4, 4, 4, None, None]
    assert answer.values[0][5] == pytest.approx(4.949747, abs=1e-6)
    assert answer.values[2][5] == pytest.approx(0.7071068, abs=1e-7)
    assert (answer.values[3][5], answer.values[3][6]) == (None, 0.0)
    assert Status.NOT_FOUND not in answer.statuses[5]


def test_e11_windows_decay_without_new_events(world: World) -> None:
    view = windows(world)
    world.push(view, rows(*EVENTS))
    assert world.answer(serve(view), [{"uid": 1}] * 2, [clock("00:25"), clock("00:25") + DAY]).values == [EMPTY, EMPTY]


def test_equal_events_are_as_many_events_as_there_are(world: World) -> None:
    view = windows(world)
    write(world, view, "1", rows(EVENTS[0], EVENTS[0]))
    world.push(view, rows(EVENTS[0]))
    world.materialize(view, until=clock("00:02"))
    world.push(view, rows(EVENTS[0]))
    assert ask(world, view, clock("00:05")) == 40
    world.materialize(view, until=clock("00:02"))
    world.lateness = 0
    assert ask(world, view, clock("00:05")) == 40
    world.materialize(view, until=clock("00:05"))
    assert ask(world, view, clock("00:05")) == 40


def test_events_with_one_id_are_one_event_and_the_last_correction_counts(world: World) -> None:
    view = windows(world, event_id="made", created="ts")
    world.push(view, [{"uid": 1, "ts": clock("00:01"), "made": 7, "x": 10}])
    world.push(view, [{"uid": 1, "ts": clock("00:02"), "made": 7, "x": 30}])
    world.push(view, [{"uid": 1, "ts": clock("00:01"), "made": 7, "x": 10}])
    assert ask(world, view, clock("00:05")) == 30
    world.materialize(view, until=clock("00:05"))
    assert ask(world, view, clock("00:05")) == 30


def test_a_second_file_of_the_same_content_is_as_many_events_again(world: World) -> None:
    view = windows(world)
    for name in ("1", "2"):
        write(world, view, name, rows(*EVENTS))
        world.materialize(view, until=clock("00:15"))
    assert ask(world, view, clock("00:15")) == 14


@pytest.mark.parametrize("closed", [None, False, True])
@pytest.mark.parametrize(
    "moved",
    [
        *({"uid": 2}, {"ts": clock("00:03")}, {"ts": clock("00:09")}, {"uid": 2, "ts": clock("00:03")}),
        *({"uid": None}, {"uid": None, "ts": clock("00:09")}),  # to no key at all
        {"ts": clock("00:00", "2025-12-01")},  # to before everything that the next run reads
    ],
)
def test_a_correction_takes_its_event_from_where_it_was(world: World, moved: dict[str, object], closed: bool | None) -> None:
    view = windows(world, RAW.append(pa.field("id", pa.string())), event_id="id", created="made")
    world.lateness = 0
    one = {"uid": 1, "ts": clock("00:06"), "made": 1, "x": 10, "id": "one"}
    world.push(view, [one, {"uid": 1, "ts": clock("00:07"), "made": 1, "x": 1, "id": "two"}])
    if closed is not None:
        world.materialize(view, until=clock("00:10") if closed else clock("00:05"))
    receipt = world.push(view, [one | {"made": 2} | moved, one])
    if not closed and not any(receipt.late.values()):  # then it counts as offline at once
        both = serve(view), [{"uid": uid} for uid in (1, 2)], [clock("00:15")] * 2
        assert same_bits(world.answer(*both).values, world.offline(*both))
    report = world.materialize(view, until=clock("00:05"))
    assert not report.full
    inputs, users = serve(view), [{"uid": uid} for uid in (1, 2)]
    at = [clock("00:15")] * 2
    online = world.answer(inputs, users, at).values
    nowhere = "uid" in moved and moved["uid"] is None
    assert sum_of(online) == (1 if nowhere or moved.get("ts") in (clock("00:03"), clock("00:00", "2025-12-01")) else 11)
    assert same_bits(online, world.offline(inputs, users, at))


@pytest.mark.parametrize("uid", [2, None])
def test_an_event_that_has_moved_does_not_come_back_by_a_version_delivered_again(world: World, uid: int | None) -> None:
    view = windows(world, RAW.append(pa.field("id", pa.string())), event_id="id", created="made")
    one = {"uid": 1, "ts": clock("00:06"), "made": 1, "x": 10, "id": "one"}
    for row in (one, one | {"made": 2, "uid": uid}, one):
        assert not any(world.push(view, [row]).late.values())
    asked = serve(view), [{"uid": 1}, {"uid": 2}], [clock("00:15")] * 2
    assert same_bits(world.answer(*asked).values, world.offline(*asked))
    assert sum_of(world.answer(*asked).values) == (0 if uid is None else 10)


def test_versions_that_tie_at_two_keys_wait_for_the_next_materialisation(world: World) -> None:
    view = windows(world, RAW.append(pa.field("id", pa.string())), event_id="id", created="made")
    one = {"uid": 1, "ts": clock("00:06"), "made": 1, "x": 10, "id": "one"}
    assert [sum_late(world.push(view, [row])) for row in (one, one | {"uid": 2})] == [0, 1]
    world.materialize(view, until=clock("00:05"))
    asked = serve(view), [{"uid": 1}, {"uid": 2}], [clock("00:15")] * 2
    assert same_bits(world.answer(*asked).values, world.offline(*asked))


def sum_late(receipt: PushReceipt) -> int:
    return next(iter(receipt.late.values()))


def sum_of(answers: list[list[object]]) -> int:
    total = 0
    for row in answers:
        assert isinstance(row[0], int)
        total += row[0]
    return total


def test_a_late_push_is_reported_and_healed_by_the_next_materialisation(world: World) -> None:
    view = windows(world)
    world.lateness = 0
    world.push(view, rows(EVENTS[0]))
    world.materialize(view, until=clock("00:05"))
    receipt = world.push(view, rows((1, clock("00:02"), 5), (1, clock("00:06"), 1)))
    assert (receipt.accepted, list(receipt.late.values()), list(receipt.applied.values())) == (2, [1], [2])
    assert ask(world, view, clock("00:10")) == 11
    world.materialize(view, until=clock("00:05"))
    assert ask(world, view, clock("00:10")) == 16


def test_a_window_before_what_is_closed_is_refused(world: World) -> None:
    view = windows(world)
    world.lateness = 0
    world.materialize(view, until=clock("01:00"))
    with pytest.raises(HistoryUnavailable):
        ask(world, view, clock("00:59"))
    assert ask(world, view, clock("01:00")) == 0


# ── G and requests ───────────────────────────────────────────────────────────────────────────────


def test_g1_transforms_give_the_same_online_and_offline(world: World) -> None:
    @on_request
    def total(x: int, value: float) -> float:
        return x + value

    @on_request
    def twice(total: float) -> float:
        return total * 2

    view = lookups(world, (1, clock("08:00"), 5))
    inputs = serve(view, twice, total, request(value=float))
    requests = [{"uid": uid, "value": value} for uid, value in ((1, 0.5), (2, 0.5), (1, -1.25))]
    online = world.answer(inputs, requests, [NOON] * 3).values
    assert online == [[5, 11.0, 5.5, 0.5], [None, None, None, 0.5], [5, 7.5, 3.75, -1.25]]
    assert same_bits(online, world.offline(inputs, requests, [NOON] * 3))


def test_g3_a_transform_that_fails_is_null_and_counted(world: World) -> None:
    @on_request
    def inverse(value: float) -> float:
        return 1 / value

    view = lookups(world, (1, clock("08:00"), 5))
    answer = world.answer(serve(view, inverse), [{"uid": 1, "value": value} for value in (0.0, 2.0)], [NOON] * 2)
    assert answer.values == [[5, None], [5, 0.5]]
    assert answer.transform_errors == {"inverse": 1}


@pytest.mark.parametrize(
    ("asked", "error", "named"),
    [
        ({"distance": 1.0}, MissingColumns, "uid"),
        ({"uid": 1}, MissingColumns, "distance"),
        ({"uid": "1", "distance": 1.0}, KeyTypeMismatch, "uid"),
        ({"uid": 1.0, "distance": 1.0}, KeyTypeMismatch, "uid"),
        ({"uid": None, "distance": 1.0}, KeyTypeMismatch, "uid"),
        ({"uid": 1, "distance": "far"}, TypeMismatch, "distance"),
        ({"uid": 1, "distance": True}, TypeMismatch, "distance"),
        ({"uid": 1, "distance": float("nan")}, TypeMismatch, "distance"),
        ({"uid": 1, "distance": None}, TypeMismatch, "distance"),
        ({"uid": 1, "distance": 10**400}, TypeMismatch, "distance"),
    ],
)
def test_a_bad_request_names_its_field(world: World, asked: dict[str, object], error: type[Invalid], named: str) -> None:
    view = lookups(world, (1, clock("08:00"), 5))
    with pytest.raises(error) as caught:
        world.answer(serve(view, request(distance=float)), [asked], [NOON])
    assert caught.value.where == named


def test_no_requests_are_no_answers_and_instants_must_match(world: World) -> None:
    view = lookups(world)
    assert world.answer(serve(view), [], []).values == []
    with pytest.raises(Invalid, match="1 requests and 2 instants"):
        world.answer(serve(view), [{"uid": 1}], [NOON, NOON])


def test_a_view_that_was_never_materialised_is_not_served(world: World) -> None:
    @features(online_source(f"f{next(NUMBER)}"), by=USER)
    class Never:
        x = lookup("x")

    write(world, view_of(Never), "0", [])
    with pytest.raises(NotMaterialized, match="Never"):
        world.prepare(serve(Never))


def test_a_view_that_is_gone_from_the_store_is_not_served(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5))
    prepared = world.prepare(serve(view))
    world.store.delete(b"")
    with pytest.raises(NotMaterialized, match="F"):
        prepared.answer([{"uid": 1}], at=[NOON])
    report = world.materialize(view, until=NOON)
    assert report.full
    assert prepared.answer([{"uid": 1}], at=[NOON]).values == [[5]]


# ── I: materialise ───────────────────────────────────────────────────────────────────────────────


def test_i1_a_late_row_in_a_new_file_reaches_online(world: World) -> None:
    view = lookups(world, (1, clock("11:00"), 1), (2, clock("11:00"), 2))
    world.lateness = 0
    world.materialize(view, until=NOON)
    write(world, view, "late", rows((3, clock("07:00"), 3), (1, clock("07:00"), 9)))
    report = world.materialize(view, until=NOON + HOUR)
    assert not report.full
    assert report.keys == 2, "only keys of what arrived"
    assert [ask(world, view, NOON + HOUR, uid) for uid in (1, 2, 3)] == [1, 2, 3]


def test_nothing_new_is_nothing_read(world: World) -> None:
    view = lookups(world, (1, clock("11:00"), 1))
    world.lateness = 0
    world.materialize(view, until=NOON)
    report = world.materialize(view, until=NOON)
    assert (report.full, report.keys, report.rows_read) == (False, 0, 0)


class Breaking:
    """A store that breaks down after some writes."""

    def __init__(self, store: OnlineStore, writes: int) -> None:
        self._store, self._left = store, writes
        self.read, self.prune, self.delete = store.read, store.prune, store.delete
        self.scan, self.scan_sets, self.close = store.scan, store.scan_sets, store.close

    def write(self, rows: Sequence[tuple[Key, bytes]], items: Sequence[tuple[Key, bytes]] = ()) -> None:
        self._left -= 1
        if self._left < 0:
            raise ConnectionError("gone")
        self._store.write(rows, items)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_i3_a_failure_half_way_leaves_the_bookmark_and_a_rerun_completes(world: World, writes: int) -> None:
    view = windows(world)
    users = range(1500)
    write(
        world, view, "1", rows(*((uid, clock("00:01"), uid) for uid in users), *((uid, clock("00:01"), uid) for uid in users))
    )
    before = world.views.find_bookmark(view)
    with pytest.raises(ConnectionError):
        world.materialize(view, until=clock("00:05"), store=Breaking(world.store, writes))  # type: ignore[arg-type]  # its write takes sequences
    assert world.views.find_bookmark(view) == before
    world.materialize(view, until=clock("00:05"))
    values = world.answer(serve(view), [{"uid": uid} for uid in users], [clock("00:05")] * 1500).values
    assert [row[0] for row in values] == [2 * uid for uid in users]


def test_a_file_that_was_removed_is_forgotten(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 1))
    write(world, view, "1", rows((1, clock("09:00"), 5), (2, clock("09:00"), 6)))
    world.materialize(view, until=NOON)
    assert [ask(world, view, NOON, uid) for uid in (1, 2)] == [5, 6]
    (world.root / f"{view.source.name}-1.parquet").unlink()
    report = world.materialize(view, until=NOON)
    assert report.full
    assert [ask(world, view, NOON, uid) for uid in (1, 2)] == [1, None]


def test_pushes_that_never_reached_the_store_are_brought_there(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 1))
    world.push(view, rows((1, clock("09:00"), 5), (None, clock("09:00"), 6)))
    for key, _ in list(world.store.scan_sets(b"")):
        world.store.prune([(key, b"\xff" * 17)])  # as if the process had died between journal and store
    assert ask(world, view, NOON) is None
    report = world.materialize(view, until=NOON)
    assert (report.full, report.keys) == (False, 1)
    assert ask(world, view, NOON) == 5


def test_two_versions_of_a_view_that_differ_in_what_is_read_share_their_rows(world: World) -> None:
    source = online_source(f"f{next(NUMBER)}")

    def version(ttl: str | None) -> FeatureView:
        @features(source, by=USER, ttl=ttl)
        class F:
            x = lookup("x")

        return view_of(F)

    one, two = version(None), version("1h")
    write(world, one, "0", rows((1, clock("08:00"), 1)))
    assert world.materialize(one, until=NOON).number == world.materialize(two, until=NOON).number
    world.pusher(one, two).push(source, rows((1, clock("09:00"), 2)))
    assert [ask(world, view, clock("09:30")) for view in (one, two)] == [2, 2]
    assert [ask(world, view, NOON) for view in (one, two)] == [2, None]


def test_a_column_of_another_type_is_materialised_anew_and_one_more_column_changes_nothing(world: World) -> None:
    view = lookups(world, (1, clock("08:00"), 5), (2, clock("08:00"), 6))
    world.push(view, rows((2, NOON, 7)))
    more = RAW.append(pa.field("more", pa.string()))
    write(world, view, "1", [{**rows((3, clock("09:00"), 8))[0], "more": "a"}], more)
    assert [ask(world, view, NOON, uid) for uid in (1, 2)] == [5, 7]
    assert not world.materialize(view, until=NOON).full
    assert [ask(world, view, NOON, uid) for uid in (1, 2, 3)] == [5, 7, 8]
    real = RAW.set(3, pa.field("x", pa.float64()))
    write(world, view, "2", [{**rows((1, clock("09:00"), None))[0], "x": 0.5}], real)
    with pytest.raises(NotMaterialized, match="columns of other types"):
        ask(world, view, NOON)
    assert world.materialize(view, until=NOON).full
    assert [ask(world, view, NOON, uid) for uid in (1, 2, 3)] == [0.5, 7.0, 8.0]
    assert not world.materialize(view, until=NOON).full


def test_progress_is_told_by_keys(world: World) -> None:
    from tidewheel.features.materialize import Materializer

    view = windows(world)
    write(world, view, "1", rows(*((uid, clock("00:01"), uid) for uid in range(2500))))
    told: list[tuple[int, int]] = []
    worker = Materializer(world.sources, world.store, world.database, lambda: NOON, progress=lambda n, m: told.append((n, m)))
    report = worker.materialize(view, until=clock("00:05"))
    assert told[0] == (1000, 2500) and told[-1] == (2500, 2500)
    assert told == sorted(told)
    assert (report.keys, report.rows_open) == (2500, 2500)


def test_a_window_reaches_from_closed_tiles_into_open_events(world: World) -> None:
    @features(online_source(f"w{next(NUMBER)}"), by=USER)
    class Long:
        total = sum("x", "1h")
        day = count("1d")

    view = view_of(Long)
    write(world, view, "0", rows(*((1, clock("00:00") + n * 7 * MINUTE, n) for n in range(24))))
    world.lateness = 90 * MINUTE
    world.materialize(view, until=clock("02:30"))
    inputs = serve(view)
    at = [clock("01:00") + n * 13 * MINUTE for n in range(12)]
    online = world.answer(inputs, [{"uid": 1}] * 12, at).values
    assert same_bits(online, world.offline(inputs, [{"uid": 1}] * 12, at))


def test_a_batch_whose_instants_run_backwards_sees_each_as_it_was(world: World) -> None:
    @features(online_source(f"w{next(NUMBER)}", available="made"), by=USER)
    class Delayed:
        n = count("1d")

    view = view_of(Delayed)
    write(world, view, "0", rows((1, clock("07:20"), 1), made=5 * HOUR))
    world.materialize(view, until=clock("00:00"))
    at = [clock("19:25"), clock("11:25"), clock("12:19:59"), clock("12:20")]
    assert world.answer(serve(view), [{"uid": 1}] * 4, at).values == [[1], [0], [0], [1]]
