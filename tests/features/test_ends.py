"""Rows that end something: tombstones, slowly changing dimensions, changes of a table. By cases, and by a plain oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features import oracle_ends as oracle
from tests.features.ask import INSTANT, ask, table, view
from tests.features.oracle_ends import Row

from tidewheel.errors import Invalid
from tidewheel.features.definition import count, entity, lookup, sum
from tidewheel.sources.changes import changes
from tidewheel.sources.definition import Source, source

UID = entity("user", uid=int)
MINUTE = 60_000_000
on_every_engine = pytest.mark.usefixtures("on_every_engine")
Rows = Sequence[tuple[object, ...]]
IMAGE = pa.struct([("id", pa.int64()), ("uid", pa.int64()), ("x", pa.int64()), ("placed", INSTANT)])

CASES: list[tuple[str, dict[str, object], Rows, Rows, list[object]]] = [
    (
        "a tombstone hides what was before, until a later row",
        {"time": "ts", "deleted": "gone"},
        [(1, "08:00", 5, False), (1, "09:00", None, True), (1, "10:00", 7, False)],
        [(1, "08:30"), (1, "09:00"), (1, "09:30"), (1, "10:00")],
        [5, None, None, 7],
    ),
    (
        "a tombstone is greater than a row of its own time",
        {"time": "ts", "deleted": "gone"},
        [(1, "08:00", 5, True), (1, "08:00", 6, False)],
        [(1, "08:00")],
        [None],
    ),
    (
        "a late row from before a tombstone stays hidden",
        {"time": "ts", "deleted": "x < 0 OR gone"},
        [(1, "09:00", -1, False), (1, "08:00", 6, False), (2, "08:00", 6, None)],
        [(1, "10:00"), (2, "10:00")],
        [None, 6],
    ),
    (
        "a row is valid from its start until just before its end",
        {"valid_from": "ts", "valid_to": "until"},
        [(1, "08:00", 5, "09:00"), (1, "10:00", 6, None)],
        [(1, "07:59"), (1, "08:00"), (1, "08:59:59.999999"), (1, "09:00"), (1, "10:00"), (1, "23:00")],
        [None, 5, 5, None, 6, 6],
    ),
    (
        "of rows that overlap the greater counts, and the lesser one again behind it",
        {"valid_from": "ts", "valid_to": "until"},
        [(1, "08:00", 5, "20:00"), (1, "10:00", 6, "11:00")],
        [(1, "09:00"), (1, "10:30"), (1, "11:00"), (1, "20:00")],
        [5, 6, 5, None],
    ),
    (
        "a row that closes another replaces it",
        {"valid_from": "ts", "valid_to": "until"},
        [(1, "08:00", 5, None), (1, "08:00", 5, "09:00")],
        [(1, "08:30"), (1, "09:00")],
        [5, None],
    ),
]
TYPES = {"gone": pa.bool_(), "until": INSTANT}


@on_every_engine
@pytest.mark.parametrize(("name", "options", "data", "asked", "expected"), CASES, ids=[case[0] for case in CASES])
def test_lookup(name: str, options: dict[str, object], data: Rows, asked: Rows, expected: list[object]) -> None:
    last = "until" if "valid_to" in options else "gone"
    types = {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64(), last: TYPES[last]}
    of = source("f", table([dict(zip(types, row, strict=True)) for row in data], types), **options)  # type: ignore[arg-type]  # options of any case
    spine = table([dict(zip(("uid", "t"), row, strict=True)) for row in asked], {"uid": pa.int64(), "t": INSTANT})
    assert ask([view({"fx": lookup("x")}, of, UID)], spine).table.column("fx").to_pylist() == expected


def change(op: str, at: str, before: tuple[object, ...] | None, after: tuple[object, ...] | None) -> dict[str, object]:
    images = {
        name: None if image is None else dict(zip(("id", "uid", "x"), image, strict=True)) | {"placed": None}
        for name, image in (("before", before), ("after", after))
    }
    return {"op": op, "ts": at, **images}


ORDERS = [
    change("r", "08:00", None, (1, 1, 10)),
    change("c", "08:10", None, (2, 1, 20)),
    change("u", "09:00", (2, 1, 20), (2, 1, 21)),
    change("u", "09:30", (2, 1, 21), (2, 2, 22)),
    change("d", "10:00", (2, 2, 22), None),
    change("t", "11:00", None, None),
]


def orders(data: Sequence[dict[str, object]]) -> Source:
    held = table(data, {"op": pa.string(), "ts": INSTANT, "before": IMAGE, "after": IMAGE})
    return source("o", held, time="ts", created="ts", event_id="id", changes=changes("op", before="before", after="after"))


@on_every_engine
def test_changes_are_looked_up_as_they_were_known_and_folded_as_they_are_by_now() -> None:
    made = view({"fx": lookup("x"), "n": count("1d", hop="1h"), "total": sum("x", "1d", hop="1h")}, orders(ORDERS), UID)
    asked = [(1, "08:05"), (1, "08:30"), (1, "09:00"), (1, "09:30"), (2, "09:30"), (2, "10:00"), (1, "12:00")]
    spine = table([{"uid": uid, "t": t} for uid, t in asked], {"uid": pa.int64(), "t": INSTANT})
    found = ask([made], spine).table
    assert found.column("fx").to_pylist() == [10, 20, 21, 10, 22, None, 10]
    assert found.column("n").to_pylist() == [1, 1, 1, 1, 0, 0, 1]
    assert found.column("total").to_pylist() == [10, 10, 10, 10, 0, 0, 10]


@on_every_engine
def test_changes_without_images_carry_their_columns() -> None:
    types = {"op": pa.string(), "ts": INSTANT, "id": pa.int64(), "uid": pa.int64(), "x": pa.int64()}
    data = [("I", "08:00", 1, 1, 5), ("U", "09:00", 1, 1, 6), ("D", "10:00", 1, 1, 6)]
    held = table([dict(zip(types, row, strict=True)) for row in data], types)
    of = source("g", held, time="ts", event_id="id", changes=changes("op", writes=["I", "U"], deletes=["D"]))
    spine = table([{"uid": 1, "t": t} for t in ("08:00", "09:00", "10:00")], {"uid": pa.int64(), "t": INSTANT})
    assert ask([view({"fx": lookup("x")}, of, UID)], spine).table.column("fx").to_pylist() == [5, 6, None]


NOTHING = pa.table({"ts": pa.array([], INSTANT), "op": pa.array([], pa.string())})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no time"),
        ({"time": "ts", "valid_from": "ts", "valid_to": "u"}, "both time and valid_from"),
        ({"valid_from": "ts"}, "has one of valid_from and valid_to"),
        ({"time": "ts", "deleted": "gone", "event_id": "i", "changes": changes("op")}, "deleted and changes"),
        ({"time": "ts", "changes": changes("op")}, "no event_id"),
        ({"time": "ts", "changes": changes("op"), "event_id": "i", "select": "SELECT * FROM this WHERE a > 0"}, "filters"),
        ({"valid_from": "ts", "valid_to": "u", "event_id": "i"}, "valid_to and event_id"),
        ({"time": "ts", "deleted": "count(*) > 1"}, "looks at other rows"),
    ],
)
def test_a_source_says_in_one_way_what_ends_a_row(options: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        source("f", NOTHING, **options)  # type: ignore[arg-type]  # options of any case


def test_windows_over_states_are_refused() -> None:
    of = source("f", NOTHING, valid_from="ts", valid_to="until")
    with pytest.raises(Invalid, match="whose rows have a valid_to"):
        view({"n": count("1h")}, of, UID)


moments = st.integers(0, 20).map(lambda number: number * MINUTE)
asked_rows = st.lists(st.tuples(st.integers(0, 2), moments), min_size=1, max_size=12)


def drawn(ends: str) -> st.SearchStrategy[list[Row]]:
    """Rows, no two of one created time: what ties at all times has no order of its own to be compared with."""
    value = st.none() | st.integers(-3, 3)
    made = st.builds(
        Row,
        key=st.integers(0, 1),
        ts=moments,
        created=st.just(0),
        known=st.sampled_from([0, 0, 2, 9]),
        value=value,
        gone=st.just(False) if ends == "until" else st.booleans(),
        until=st.none() | moments if ends == "until" else st.none(),
        id=st.integers(0, 2),
    )

    def numbered(rows: list[Row]) -> list[Row]:
        return [
            Row(r.key, r.ts, number, r.ts + r.known * MINUTE, r.value, r.gone, r.until, r.id) for number, r in enumerate(rows)
        ]

    return st.lists(made, max_size=14).map(numbered)


def found_of(rows: Sequence[Row], asked: Sequence[tuple[int, int]], *, ttl: int | None, options: dict[str, object]) -> pa.Table:
    held = pa.table(
        {
            "uid": pa.array([r.key for r in rows], pa.int64()),
            "ts": pa.array([r.ts for r in rows], pa.int64()),
            "made": pa.array([r.created for r in rows], pa.int64()),
            "known": pa.array([r.known for r in rows], pa.int64()),
            "x": pa.array([r.value for r in rows], pa.int64()),
            "gone": pa.array([r.gone for r in rows], pa.bool_()),
            "until": pa.array([r.until for r in rows], pa.int64()),
            "id": pa.array([r.id for r in rows], pa.int64()),
            "op": pa.array(["d" if r.gone else "u" for r in rows], pa.string()),
        }
    )
    of = source("f", held, created="made", available="known", **options)  # type: ignore[arg-type]  # options of any case
    made = {"now": lookup("x"), "known": lookup("x", fill="last_known")}
    if "valid_to" not in options:
        made |= {"n": count("x", "10m", hop="5m"), "total": sum("x", "10m", hop="5m")}
    spine = pa.table({"uid": pa.array([k for k, _ in asked], pa.int64()), "t": pa.array([t for _, t in asked], pa.int64())})
    return ask([view(made, of, UID, ttl=None if ttl is None else f"{ttl // MINUTE}m")], spine).table


Oracle = Callable[..., int | None]
KINDS: list[tuple[str, dict[str, object], Oracle]] = [
    ("gone", {"time": "ts", "deleted": "gone"}, oracle.tombstoned),
    ("until", {"valid_from": "ts", "valid_to": "until"}, oracle.dimension),
    ("id", {"time": "ts", "event_id": "id", "changes": changes("op")}, oracle.changed),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ends", "options", "plain"), KINDS, ids=[kind[0] for kind in KINDS])
@given(data=st.data(), asked=asked_rows, ttl=st.sampled_from([None, 6 * MINUTE]))
def test_answers_are_those_of_the_oracle(
    ends: str, options: dict[str, object], plain: Oracle, data: st.DataObject, asked: list[tuple[int, int]], ttl: int | None
) -> None:
    rows = data.draw(drawn(ends))
    found = found_of(rows, asked, ttl=ttl, options=options)
    assert found.column("now").to_pylist() == [plain(rows, key, t, ttl=ttl) for key, t in asked]
    assert found.column("known").to_pylist() == [plain(rows, key, t, ttl=ttl, last_known=True) for key, t in asked]
    if ends == "until":
        return
    counted = rows if ends == "id" else [Row(r.key, r.ts, n, r.known, r.value, r.gone, id=n) for n, r in enumerate(rows)]
    folded = [oracle.events(counted, key, t, start=(t - 10 * MINUTE) // (5 * MINUTE) * 5 * MINUTE) for key, t in asked]
    assert found.column("n").to_pylist() == [len(values) for values in folded]
    assert found.column("total").to_pylist() == [int_sum(values) for values in folded]


def int_sum(values: Sequence[int]) -> int:
    total = 0
    for value in values:
        total += value
    return total
