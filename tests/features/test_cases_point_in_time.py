"""Cases A to D of the normative semantics, as tables: rows of a view, rows of a spine, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, table, view

from tidewheel.errors import (
    AmbiguousRows,
    BadTtl,
    KeyTypeMismatch,
    MissingColumns,
    MissingTime,
    NameCollision,
    TypeMismatch,
    UnsupportedKeyType,
)
from tidewheel.features.definition import Feature, entity, features, lookup, service, use

pytestmark = pytest.mark.usefixtures("on_every_engine")

UID = entity("user", uid=int)
TYPES: Mapping[str, pa.DataType] = {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64()}
CREATED = {**TYPES, "created": INSTANT}

Rows = Sequence[tuple[object, ...]]


def rows(data: Rows, types: Mapping[str, pa.DataType] = TYPES) -> pa.Table:
    return table([dict(zip(types, row, strict=True)) for row in data], types)


def spine(data: Rows, key: pa.DataType | None = None) -> pa.Table:
    return rows(data, {"uid": key or pa.int64(), "t": INSTANT})


def answers(
    data: Rows,
    asked: Rows,
    *,
    feature: Feature | None = None,
    ttl: str | None = None,
    strict: bool = False,
    types: Mapping[str, pa.DataType] = TYPES,
    **options: str,
) -> list[object]:
    of = memory("f", rows(data, types), **options)
    made = view({"fx": feature or lookup("x")}, of, UID, ttl=ttl, strict=strict)
    found: list[object] = ask([made], spine(asked)).table.column("fx").to_pylist()
    return found


B3 = [(1, "08:00", 1)]
B4 = [(1, "07:00", 5), (1, "08:00", 6), (1, "12:00", 7)]

CASES = [
    ("A1 rows of the future do not count", [(1, "11:00", 1)], [(1, "10:00"), (2, "10:00")], None, [None, None]),
    ("A2 too old", [(1, "01:00", 1)], [(1, "10:00")], "2h", [None]),
    ("A3 a spine row twice", [(1, "08:00", 1)], [(1, "10:00"), (1, "10:00")], None, [1, 1]),
    ("A4 the spine's order", [(1, "08:00", 1), (2, "08:00", 2)], [(2, "12:00"), (1, "10:00"), (2, "11:00")], None, [2, 1, 2]),
    ("A6 an empty spine", [(1, "08:00", 1)], [], None, []),
    ("A7 three identical spine rows", [(1, "08:00", 1)], [(1, "10:00")] * 3, None, [1, 1, 1]),
    ("A8 five identical rows", [(1, "08:00", 1)] * 5, [(1, "10:00")], None, [1]),
    ("B1 a row at the very time counts", [(1, "10:00", 1)], [(1, "10:00")], None, [1]),
    ("B2 a microsecond later does not", [(1, "10:00:00.000001", 1)], [(1, "10:00")], None, [None]),
    ("B3 ttl is inclusive", B3, [(1, "10:00"), (1, "10:00:00.000001")], "2h", [1, None]),
    ("B4 the latest row", B4, [(1, "07:30"), (1, "08:00"), (1, "11:59"), (1, "12:00")], None, [5, 6, 6, 7]),
    ("B4 whatever the order of rows", B4[::-1], [(1, "07:30"), (1, "08:00"), (1, "11:59")], None, [5, 6, 6]),
    ("D1 the latest row's null", [(1, "07:00", 5), (1, "08:00", None)], [(1, "10:00")], None, [None]),
    ("D3 a null key in the spine", B4, [(None, "10:00"), (1, "10:00")], None, [None, 6]),
]


@pytest.mark.parametrize(("name", "data", "asked", "ttl", "expected"), CASES, ids=[case[0] for case in CASES])
def test_lookup(name: str, data: Rows, asked: Rows, ttl: str | None, expected: list[object]) -> None:
    assert answers(data, asked, ttl=ttl) == expected


def test_a5_one_view_without_a_row_does_not_lose_the_other() -> None:
    one = view({"f_x": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID, name="F")
    two = view({"g_x": lookup("x")}, memory("g", rows([(1, "11:00", 9)])), UID, name="G")
    assert ask([one, two], spine([(1, "10:00")])).table.to_pylist() == [{"f_x": 1, "g_x": None}]


def test_a6_an_empty_spine_has_the_full_schema() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    found = ask([made], spine([])).table
    assert found.schema.equals(pa.schema([pa.field("fx", pa.int64())]))


def test_a9_two_features_of_one_name_are_refused_naming_both_views() -> None:
    one = view({"x": lookup("x")}, memory("f", rows([])), UID, name="F")
    two = view({"x": lookup("x")}, memory("g", rows([])), UID, name="G")
    with pytest.raises(NameCollision, match=r"view:F and view:G both make 'x'.*alias"):
        service("s", one, two)


def test_a10_a_column_of_the_spine_is_never_overwritten() -> None:
    made = view({"x": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    asked = spine([(1, "10:00")]).append_column("x", pa.array([0]))
    with pytest.raises(NameCollision, match="'x', which view:F makes"):
        ask([made], asked)


def test_a12_a_spine_without_any_match_is_no_error_and_coverage_says_so() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    many = pa.table({"uid": pa.array(range(10, 1_010)), "t": pa.array([at("10:00")] * 1_000, INSTANT)})
    found = ask([made], many)
    assert (found.table.num_rows, found.coverage, found.views[0].unknown) == (1_000, {"fx": 0}, 1_000)


def test_b6_a_ttl_of_zero_is_refused() -> None:
    with pytest.raises(BadTtl, match="ttl must be > 0 or omitted"):
        features(memory("f", rows([])), by=UID, ttl="0s")


def test_b7_each_view_has_its_own_ttl() -> None:
    data = rows([(1, "08:00", 1)])
    short = view({"a": lookup("x")}, memory("f", data), UID, name="F", ttl="1h")
    long = view({"b": lookup("x")}, memory("g", data), UID, name="G", ttl="1d")
    assert ask([short, long], spine([(1, "10:00")])).table.to_pylist() == [{"a": None, "b": 1}]


def test_b9_composite_keys_never_run_together() -> None:
    types = {"a": pa.string(), "b": pa.string(), "ts": INSTANT, "x": pa.int64()}
    data = rows([("1", "11", "08:00", 100), ("11", "1", "08:00", 200)], types)
    made = view({"fx": lookup("x")}, memory("f", data), entity("pair", a=str, b=str))
    asked = rows(
        [("1", "11", "10:00"), ("11", "1", "10:00"), ("11", "11", "10:00")], {"a": pa.string(), "b": pa.string(), "t": INSTANT}
    )
    assert ask([made], asked).table.column("fx").to_pylist() == [100, 200, None]


def test_b10_one_view_under_two_aliases() -> None:
    types = {"loc": pa.int64(), "ts": INSTANT, "x": pa.int64()}
    made = view({"t": lookup("x")}, memory("f", rows([(1, "08:00", 10), (2, "08:00", 20)], types)), entity("loc", loc=int))
    asked = rows([(1, 2, "10:00")], {"origin": pa.int64(), "dest": pa.int64(), "at": INSTANT})
    twice = [use(made, prefix="origin_", keys={"loc": "origin"}), use(made, prefix="dest_", keys={"loc": "dest"})]
    assert ask(twice, asked, time="at").table.to_pylist() == [{"origin_t": 10, "dest_t": 20}]


C1 = [(1, "08:00", 2, "09:00"), (1, "08:00", 1, "08:30")]


@pytest.mark.parametrize("data", [C1, C1[::-1]])
def test_c1_the_later_created_row_wins_in_any_order(data: Rows) -> None:
    assert answers(data, [(1, "10:00")], types=CREATED, created="created") == [2]


@pytest.mark.parametrize("data", [[(1, "08:00", 2), (1, "08:00", 1)], [(1, "08:00", 1), (1, "08:00", 2)]])
def test_c3_a_tie_is_broken_by_value_in_any_order_and_counted(data: Rows) -> None:
    made = view({"fx": lookup("x")}, memory("f", rows(data)), UID)
    found = ask([made], spine([(1, "10:00")]))
    assert (found.table.column("fx").to_pylist(), found.views[0].ambiguous) == ([2], 1)


def test_c4_a_tie_is_refused_under_strict_ties() -> None:
    with pytest.raises(AmbiguousRows, match=r"uid=1 at 2026-01-01T08:00:00Z"):
        answers([(1, "08:00", 1), (1, "08:00", 2)], [(1, "10:00")], strict=True)


def test_c4_identical_rows_are_no_tie() -> None:
    assert answers([(1, "08:00", 1), (1, "08:00", 1)], [(1, "10:00")], strict=True) == [1]


C5 = [(1, "2026-01-01T10:00", 4, "2026-01-01T12:00"), (1, "2026-01-01T10:00", 6, "2026-01-03T00:00")]


def test_c5_as_it_was_known_or_as_it_is_known_now() -> None:
    asked = [(1, "2026-01-02T00:00")]
    assert answers(C5, asked, types=CREATED, created="created", available="created") == [4]
    assert answers(C5, asked, types=CREATED, created="created") == [6]


def test_c9_a_delay_of_the_source() -> None:
    data = [(1, "08:00", 1), (1, "08:50", 2)]
    asked = [(1, "09:00"), (1, "09:04:59.999999"), (1, "09:05")]
    assert answers(data, asked, after="15m") == [1, 1, 2]


def test_d1_the_last_known_value() -> None:
    data = [(1, "07:00", 5), (1, "08:00", None), (2, "08:00", None)]
    asked = [(1, "10:00"), (1, "06:00"), (2, "10:00")]
    assert answers(data, asked, feature=lookup("x", fill="last_known")) == [5, None, None]


def test_d1_the_last_known_value_is_bound_by_ttl_too() -> None:
    assert answers([(1, "07:00", 5), (1, "08:00", None)], [(1, "10:00")], feature=lookup("x", fill="last_known"), ttl="2h") == [
        None
    ]


def test_a_default_stands_in_for_every_null_but_not_for_a_null_key() -> None:
    data = [(1, "07:00", 5), (2, "07:00", None)]
    asked = [(1, "10:00"), (2, "10:00"), (3, "10:00"), (None, "10:00")]
    assert answers(data, asked, feature=lookup("x", default=-1)) == [5, -1, -1, None]


def test_a_default_of_another_type_is_refused() -> None:
    with pytest.raises(TypeMismatch, match="default 'none' is no int64"):
        answers([(1, "07:00", 5)], [(1, "10:00")], feature=lookup("x", default="none"))


def test_d2_large_integers_stay_integers_beside_nulls() -> None:
    data, asked = [(1, "08:00", 9007199254740993)], [(1, "10:00"), (2, "10:00")]
    made = view({"fx": lookup("x")}, memory("f", rows(data)), UID)
    found = ask([made], spine(asked)).table.column("fx")
    assert (found.to_pylist(), found.type) == ([9007199254740993, None], pa.int64())


def test_d3_source_rows_with_a_null_key_are_ignored_and_counted() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(None, "08:00", 3), (1, "08:00", 1)])), UID)
    found = ask([made], spine([(None, "10:00"), (1, "10:00")]))
    assert (found.table.column("fx").to_pylist(), found.views[0].null_keys) == ([None, 1], 1)


def test_d4_a_string_is_no_integer_key() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    with pytest.raises(KeyTypeMismatch, match="uid: got string, declared int64"):
        ask([made], spine([("1", "10:00")], pa.string()))


def test_d4_a_float_is_no_integer_key() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    with pytest.raises(KeyTypeMismatch, match="uid: got float64, declared int64"):
        ask([made], spine([(1.0, "10:00")], pa.float64()))


def test_d4_a_narrower_integer_key_is_taken() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1)])), UID)
    assert ask([made], spine([(1, "10:00")], pa.int32())).table.column("fx").to_pylist() == [1]


@pytest.mark.parametrize("kind", [float, int | None])
def test_floats_and_optional_values_are_no_keys(kind: object) -> None:
    with pytest.raises(UnsupportedKeyType):
        entity("user", uid=kind)


def test_d5_a_naive_time_is_utc() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows(B4)), UID)
    naive = pa.table({"uid": [1], "t": pa.array([datetime(2026, 1, 1, 10)], pa.timestamp("us"))})
    assert ask([made], naive).table.column("fx").to_pylist() == [6]


def test_d6_a_time_in_another_zone_is_the_same_instant() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", 1), (1, "09:00", 2)])), UID)
    zoned = pa.table(
        {"uid": [1], "t": pa.array([datetime(2026, 1, 1, 8, 30, tzinfo=UTC)], pa.timestamp("us", tz="America/New_York"))}
    )
    assert ask([made], zoned).table.column("fx").to_pylist() == [1]


def test_d10_nanoseconds_never_leak() -> None:
    moment = int(at("10:00").timestamp()) * 1_000_000_000
    fine = pa.table({"uid": [1], "ts": pa.array([moment + 900], pa.timestamp("ns", tz="UTC")), "x": [1]})
    made = view({"fx": lookup("x")}, memory("f", fine), UID)
    asked = pa.table({"uid": [1, 1], "t": pa.array([moment, moment + 1_999], pa.timestamp("ns", tz="UTC"))})
    assert ask([made], asked).table.column("fx").to_pylist() == [None, 1]


def test_d12_nan_is_null_unless_kept() -> None:
    data = rows([(1, "08:00", float("nan"))], {**TYPES, "x": pa.float64()})
    assert ask([view({"fx": lookup("x")}, memory("f", data), UID)], spine([(1, "10:00")])).table.column("fx").null_count == 1
    kept = ask([view({"fx": lookup("x")}, memory("f", data, nan="keep"), UID)], spine([(1, "10:00")])).table.column("fx")
    assert (kept.null_count, str(kept[0].as_py())) == (0, "nan")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.float32(), 1.1109999418258667),
        (pa.string(), "Häuser"),
        (pa.binary(), b"\x00\xff"),
        (pa.bool_(), True),
        (INSTANT, at("07:00")),
        (pa.date32(), at("07:00").date()),
        (pa.int32(), -7),
    ],
    ids=str,
)
def test_d13_every_type_comes_back_as_it_was(kind: pa.DataType, value: object) -> None:
    made = view({"fx": lookup("x")}, memory("f", rows([(1, "08:00", value)], {**TYPES, "x": kind})), UID)
    found = ask([made], spine([(1, "10:00"), (2, "10:00")])).table.column("fx")
    assert (found.type, found.to_pylist()) == (kind, [value, None])


def test_a_spine_without_a_key_or_a_time_is_refused() -> None:
    made = view({"fx": lookup("x")}, memory("f", rows(B3)), UID)
    with pytest.raises(MissingColumns, match="'uid'"):
        ask([made], spine([(1, "10:00")]).drop(["uid"]))
    with pytest.raises(MissingTime, match="row 1"):
        ask([made], spine([(1, "10:00"), (1, None)]))


def test_a_view_of_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(MissingColumns, match=r"view F reads 'y'.*f"):
        ask([view({"fy": lookup("y")}, memory("f", rows(B3)), UID)], spine([(1, "10:00")]))
