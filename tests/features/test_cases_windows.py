"""Case E of the normative semantics: window aggregates, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, table, view

from tidewheel.errors import BadWindow, FeatureOverflow, Invalid, TypeMismatch
from tidewheel.features.definition import Feature, count, entity, last, max, mean, min, std, std_pop, sum

pytestmark = pytest.mark.usefixtures("on_every_engine")

UID = entity("user", uid=int)
TYPES: Mapping[str, pa.DataType] = {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64()}
Rows = Sequence[tuple[object, ...]]

EVENTS = [(1, "00:01", 10), (1, "00:06", 3), (1, "00:11", 4)]
ALL = {
    "sum": sum("x", "10m", hop="5m"),
    "count": count("10m", hop="5m"),
    "max": max("x", "10m", hop="5m"),
    "min": min("x", "10m", hop="5m"),
    "mean": mean("x", "10m", hop="5m"),
    "std": std("x", "10m", hop="5m"),
    "std_pop": std_pop("x", "10m", hop="5m"),
    "last": last("x", "10m", hop="5m"),
}
EMPTY: dict[str, object] = {
    "sum": 0,
    "count": 0,
    "max": None,
    "min": None,
    "mean": None,
    "std": None,
    "std_pop": None,
    "last": None,
}


def fold(
    made: Mapping[str, Feature],
    data: Rows,
    asked: Rows,
    *,
    types: Mapping[str, pa.DataType] = TYPES,
    **options: str,
) -> list[dict[str, object]]:
    of = memory("f", table([dict(zip(types, row, strict=True)) for row in data], types), **options)
    keyed = {"uid": types["uid"], "t": INSTANT}
    spine = table([dict(zip(keyed, row, strict=True)) for row in asked], keyed)
    found: list[dict[str, object]] = ask([view(made, of, UID)], spine).table.to_pylist()
    return found


CASES: list[tuple[str, str, dict[str, object]]] = [
    ("E1", "00:11:00", {"sum": 13, "count": 2, "max": 10, "min": 3, "mean": 6.5, "std": 4.949747468305833, "last": 3}),
    ("E2", "00:11:01", {"sum": 17, "count": 3, "last": 4}),
    ("E3", "00:15:00", {"sum": 7, "count": 2, "max": 4, "min": 3, "mean": 3.5, "std": 0.7071067811865476}),
    ("E4", "00:21:00", {"sum": 4, "count": 1, "mean": 4.0, "std": None, "std_pop": 0.0}),
    ("E5", "00:25:00", EMPTY),
    ("E5 before everything", "00:00:00", EMPTY),
]


@pytest.mark.parametrize(("name", "time", "expected"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("order", [1, -1])
def test_window(name: str, time: str, expected: dict[str, object], order: int) -> None:
    (found,) = fold(ALL, EVENTS[::order], [(1, time)])
    assert {key: found[key] for key in expected} == expected


def test_e6_an_unknown_key_has_empty_windows_and_a_null_key_has_none() -> None:
    assert fold(ALL, EVENTS, [(2, "00:11"), (None, "00:11")]) == [EMPTY, dict.fromkeys(ALL)]


def test_an_exact_tail_starts_the_window_at_its_length_before_the_time_asked() -> None:
    exact = {
        "ends": sum("x", "10m", tail="exact"),
        "hop": sum("x", "10m", hop="5m"),
        "both": sum("x", "10m", hop="5m", tail="exact"),
    }
    data = [(1, "00:01:00", 1), (1, "00:01:30", 10), (1, "00:11:00", 100)]
    asked = [(1, "00:11:00"), (1, "00:11:00.000001"), (1, "00:11:30"), (1, "00:11:31")]
    found = fold(exact, data, asked)
    assert [one["ends"] for one in found] == [11, 110, 110, 100]
    assert [one["hop"] for one in found] == [11, 111, 111, 111]
    assert [one["both"] for one in found] == [one["ends"] for one in found]
    with pytest.raises(BadWindow, match="tail is 'soft'"):
        sum("x", "10m", tail="soft")  # type: ignore[arg-type]


def test_e8_means_and_deviations_of_tiles_merge() -> None:
    data = [(1, "00:01", 10), (1, "00:02", 20), (1, "00:03", 30), (1, "00:06", 100)]
    (found,) = fold(ALL, data, [(1, "00:10")])
    assert found["mean"] == 40
    assert found["std"] == pytest.approx(40.8248, abs=1e-4)
    assert found["std"] ** 2 == pytest.approx(1666.667, abs=1e-3)  # type: ignore[operator]  # it is a float


def test_e9_a_large_value_that_left_the_window_leaves_nothing_behind() -> None:
    types = {**TYPES, "x": pa.float64()}
    assert fold({"s": sum("x", "10m", hop="5m")}, [(1, "00:01", 1e16), (1, "00:16", 1.0)], [(1, "00:20")], types=types) == [
        {"s": 1.0}
    ]


def test_a_float_sum_loses_nothing_to_cancellation() -> None:
    types = {**TYPES, "x": pa.float64()}
    data = [(1, "00:01", 1e16), (1, "00:02", 1.0), (1, "00:06", -1e16), (1, "00:07", 1.0)]
    assert fold({"s": sum("x", "10m", hop="5m")}, data, [(1, "00:10")], types=types) == [{"s": 2.0}]


def test_e10_large_integers_are_exact() -> None:
    large = 9007199254740993
    (found,) = fold(ALL, [(large, "00:01", large)], [(large, "00:10")])
    assert (found["sum"], found["max"], found["last"]) == (large, large, large)


def test_e10_a_mean_of_large_integers_is_rounded_once() -> None:
    values = [2**62 + 1, 2**62 + 3, 2**61]
    data = [(1, f"00:0{minute}", value) for minute, value in enumerate(values)]
    (found,) = fold({"m": mean("x", "10m", hop="5m")}, data, [(1, "00:10")])
    exact = values[0] + values[1] + values[2]
    assert found["m"] == exact / 3


def test_d18_an_integer_sum_that_does_not_fit_is_refused() -> None:
    data = [(1, "00:01", 2**63 - 1), (1, "00:02", 1)]
    with pytest.raises(FeatureOverflow, match="9223372036854775808 does not fit int64"):
        fold({"s": sum("x", "10m", hop="5m")}, data, [(1, "00:10")])


def test_an_integer_sum_may_pass_beyond_the_range_on_its_way() -> None:
    data = [(1, "00:01", 2**63 - 1), (1, "00:02", 1), (1, "00:03", -5)]
    assert fold({"s": sum("x", "10m", hop="5m")}, data, [(1, "00:10")]) == [{"s": 2**63 - 5}]


def test_e12_nulls_are_skipped_and_counted_apart() -> None:
    values = {1: [100, None, 300, 400, 500], 2: [None, 700, 800], 3: [None, 1000]}
    data = [(uid, f"00:0{place}", value) for uid, some in values.items() for place, value in enumerate(some)]
    made = {
        "n": count("10m", hop="5m"),
        "nx": count("x", "10m", hop="5m"),
        **{k: ALL[k] for k in ("sum", "min", "max", "mean")},
    }
    found = fold(made, data, [(1, "00:10"), (2, "00:10"), (3, "00:10")])
    assert [list(row.values()) for row in found] == [
        [5, 4, 1300, 100, 500, 325],
        [3, 2, 1500, 700, 800, 750],
        [2, 1, 1000, 1000, 1000, 1000],
    ]


def test_e13_a_condition_chooses_events() -> None:
    types = {**TYPES, "status": pa.string()}
    data = [(1, "00:01", 10, "ok"), (1, "00:02", 20, "bad"), (1, "00:03", 30, "ok"), (1, "00:04", 50, None)]
    made = {
        "sum_ok": sum("x", "10m", hop="5m", where="status = 'ok'"),
        "count_ok": count("10m", hop="5m", where="status = 'ok'"),
        "other": count("10m", hop="5m", where="NOT status = 'ok' OR x > 40"),
        "all": count("10m", hop="5m"),
    }
    assert fold(made, data, [(1, "00:10")], types=types) == [{"sum_ok": 40, "count_ok": 2, "other": 2, "all": 4}]


@pytest.mark.parametrize("where", ["x >", "sum(x) > 1", "x IN (SELECT 1)", "x + 1 > 2", ""])
def test_a_condition_that_says_too_much_is_refused(where: str) -> None:
    with pytest.raises(Invalid, match="where"):
        fold({"n": count("10m", hop="5m", where=where)}, EVENTS, [(1, "00:10")])


def test_a_condition_that_compares_unlike_things_is_refused() -> None:
    with pytest.raises(TypeMismatch, match="where"):
        fold({"n": count("10m", hop="5m", where="x = 'one'")}, EVENTS, [(1, "00:10")])


def test_e20_the_order_of_arrival_does_not_matter_even_at_one_instant() -> None:
    types = {**TYPES, "x": pa.float64()}
    data = [(1, "00:01", value) for value in (1e16, 1.0, -1e16, 3.0, 0.1)]
    made = {name: ALL[name] for name in ("sum", "mean", "std", "last")}
    answers = {tuple(fold(made, data[turn:] + data[:turn], [(1, "00:10")], types=types)[0].values()) for turn in range(5)}
    assert len(answers) == 1


def test_e20_equal_times_are_in_the_order_of_the_event_id() -> None:
    types = {**TYPES, "id": pa.string()}
    data = [(1, "00:01", 7, "b"), (1, "00:01", 9, "a")]
    assert fold({"l": last("x", "10m", hop="5m")}, data, [(1, "00:10")], types=types, event_id="id") == [{"l": 7}]


def test_e29_the_row_being_scored_does_not_count() -> None:
    data = [(1, "00:01", 1), (1, "00:02", 1), (1, "00:02", 1)]
    found = fold({"n": count("1h")}, data, [(uid, time) for uid, time, _ in data])
    assert [row["n"] for row in found] == [0, 1, 1]


def test_a_delayed_event_counts_only_once_it_is_known() -> None:
    data = [(1, "00:01", 10), (1, "00:06", 3)]
    asked = [(1, "00:10"), (1, "00:15:59"), (1, "00:16"), (1, "00:21")]
    found = fold({"s": sum("x", "20m", hop="5m")}, data, asked, after="15m")
    assert [row["s"] for row in found] == [0, 0, 10, 13]


def test_a_closed_tile_is_folded_from_the_events_that_were_known() -> None:
    types = {**TYPES, "seen": INSTANT}
    data = [(1, "00:01", 10, "00:01"), (1, "00:02", 100, "02:00"), (1, "00:03", 1, "00:03")]
    made = {"s": sum("x", "1d", hop="5m"), "l": last("x", "1d", hop="5m"), "n": count("1d", hop="5m")}
    found = fold(made, data, [(1, "01:00"), (1, "02:00")], types=types, available="seen")
    assert found == [{"s": 11, "l": 1, "n": 2}, {"s": 111, "l": 1, "n": 3}]


def test_a_default_stands_in_for_an_empty_window() -> None:
    made = {
        "s": sum("x", "10m", hop="5m", default=-1),
        "m": mean("x", "10m", hop="5m", default=0.5),
        "n": count("10m", hop="5m", default=9),
    }
    found = fold(made, EVENTS, [(1, "00:25"), (1, "00:11"), (None, "00:11")])
    assert found == [{"s": -1, "m": 0.5, "n": 9}, {"s": 13, "m": 6.5, "n": 2}, {"s": None, "m": None, "n": None}]


def test_windows_before_1970_are_floored_and_not_truncated() -> None:
    data = [(1, "1969-12-31T23:59", 5), (1, "1969-12-31T23:49", 7)]
    asked = [(1, "1969-12-31T23:59:30"), (1, "1970-01-01T00:00:01")]
    assert [row["s"] for row in fold({"s": sum("x", "10m", hop="5m")}, data, asked)] == [12, 5]


def test_kept_nan_is_seen_and_infinity_is_a_number() -> None:
    types = {**TYPES, "x": pa.float64()}
    made = {name: ALL[name] for name in ("sum", "mean", "min", "max")}
    (found,) = fold(
        made, [(1, "00:01", 1.0), (1, "00:02", math.nan), (1, "00:06", 2.0)], [(1, "00:10")], types=types, nan="keep"
    )
    assert all(isinstance(value, float) and math.isnan(value) for value in found.values())
    (found,) = fold(made, [(1, "00:01", math.inf), (1, "00:06", 2.0)], [(1, "00:10")], types=types)
    assert found == {"sum": math.inf, "mean": math.inf, "min": 2.0, "max": math.inf}


SELECTED = [
    (pa.string(), ["b", "a", "c"], "a", "c"),
    (pa.binary(), [b"b", b"a\x00", b"c"], b"a\x00", b"c"),
    (pa.bool_(), [True, False, True], False, True),
    (pa.float32(), [1.5, 0.25, 2.5], 0.25, 2.5),
    (pa.int32(), [2, -1, 3], -1, 3),
    (INSTANT, [at("02:00"), at("01:00"), at("03:00")], at("01:00"), at("03:00")),
    (pa.date32(), [at("02:00").date()] * 3, at("02:00").date(), at("02:00").date()),
    (pa.decimal128(38, 9), [Decimal("2"), Decimal("-1.5"), Decimal("3")], Decimal("-1.5"), Decimal("3")),
]


@pytest.mark.parametrize(("kind", "values", "least", "greatest"), SELECTED, ids=[str(case[0]) for case in SELECTED])
def test_min_max_and_last_take_any_type(kind: pa.DataType, values: list[object], least: object, greatest: object) -> None:
    data = [(1, f"00:0{3 * place}", value) for place, value in enumerate(values)]
    made = {"min": min("x", "10m", hop="5m"), "max": max("x", "10m", hop="5m"), "last": last("x", "10m", hop="5m")}
    found = fold(made, data, [(1, "00:10"), (2, "00:10")], types={**TYPES, "x": kind})
    assert found == [{"min": least, "max": greatest, "last": values[-1]}, {"min": None, "max": None, "last": None}]


def test_decimals_sum_exactly() -> None:
    values = [Decimal("12345678901234567890123456789.123456789"), Decimal("-0.000000001"), Decimal("7")]
    data = [(1, f"00:0{3 * place}", value) for place, value in enumerate(values)]
    made = {"s": sum("x", "10m", hop="5m"), "m": mean("x", "10m", hop="5m")}
    (found,) = fold(made, data, [(1, "00:10")], types={**TYPES, "x": pa.decimal128(38, 9)})
    assert found["s"] == Decimal("12345678901234567890123456796.123456788")
    assert found["m"] == float(Decimal("12345678901234567890123456796.123456788") / 3)


def test_decimals_that_do_not_fit_are_refused() -> None:
    data = [(1, "00:01", Decimal("99999999999999999999999999999")), (1, "00:02", Decimal(1))]
    with pytest.raises(FeatureOverflow, match="decimal128"):
        fold({"s": sum("x", "10m", hop="5m")}, data, [(1, "00:10")], types={**TYPES, "x": pa.decimal128(38, 9)})


@pytest.mark.parametrize("made", [sum("x", "1h"), mean("x", "1h"), std("x", "1h")])
def test_a_sum_of_strings_is_refused(made: Feature) -> None:
    with pytest.raises(TypeMismatch, match="of string means nothing"):
        fold({"s": made}, [(1, "00:01", "a")], [(1, "00:10")], types={**TYPES, "x": pa.string()})


@pytest.mark.parametrize(("window", "hop"), [("10m", "3m"), ("10m", "0s"), ("0s", None), ("21m", "7m"), ("90s", None)])
def test_a_window_that_hops_do_not_fill_is_refused(window: str, hop: str | None) -> None:
    with pytest.raises(BadWindow):
        count(window, hop=hop)
