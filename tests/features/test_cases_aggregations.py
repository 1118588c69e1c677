"""Aggregations that keep more than a number, offsets, windows without a start and ratios, as tables; and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, memory, table, view
from tests.features.test_cases_windows import TYPES, UID, Rows, fold

from tidewheel.digest import digest
from tidewheel.errors import BadWindow, Invalid, TypeMismatch, UnboundedState
from tidewheel.features.aggregations.approx_distinct import approx_distinct
from tidewheel.features.aggregations.count import count
from tidewheel.features.aggregations.distinct import distinct
from tidewheel.features.aggregations.first import first
from tidewheel.features.aggregations.first_k import first_k
from tidewheel.features.aggregations.histogram import histogram
from tidewheel.features.aggregations.last_k import last_k
from tidewheel.features.aggregations.mean import mean
from tidewheel.features.aggregations.quantile import quantile
from tidewheel.features.aggregations.ratio import ratio
from tidewheel.features.aggregations.sum import sum
from tidewheel.features.aggregations.top_k import top_k
from tidewheel.features.aggregations.var import var
from tidewheel.features.aggregations.var_pop import var_pop
from tidewheel.features.definition import Feature

pytestmark = pytest.mark.usefixtures("on_every_engine")

EVENTS = [(1, "00:01", 10), (1, "00:06", 3), (1, "00:07", None), (1, "00:11", 4), (1, "00:11:30", 3)]
ALL: dict[str, Feature] = {
    "first": first("x", "10m", hop="5m"),
    "var": var("x", "10m", hop="5m"),
    "var_pop": var_pop("x", "10m", hop="5m"),
    "first_2": first_k("x", "10m", k=2, hop="5m"),
    "last_2": last_k("x", "10m", k=2, hop="5m"),
    "distinct": distinct("x", "10m", hop="5m"),
    "about": approx_distinct("x", "10m", hop="5m"),
    "median": quantile("x", "10m", q=0.5, hop="5m"),
    "top": top_k("x", "10m", k=2, hop="5m"),
    "cuts": histogram("x", "10m", edges=[3, 4.5], hop="5m"),
    "named": histogram("x", "10m", buckets=[3, 10], hop="5m"),
    "share": ratio(sum("x", "10m", hop="5m", where="x > 3"), sum("x", "10m", hop="5m")),
}
EMPTY: dict[str, object] = dict.fromkeys(("first", "var", "var_pop", "median", "share"))
EMPTY |= {"first_2": [], "last_2": [], "top": [], "distinct": 0, "about": 0, "cuts": [0, 0, 0], "named": [0, 0, 0]}


def test_every_aggregation_of_a_few_events() -> None:
    found = fold(ALL, EVENTS, [(1, "00:12"), (1, "00:40"), (2, "00:12"), (None, "00:12")])
    full = found[0]
    assert math.isclose(full.pop("median") or 0, 3, rel_tol=1 / 128)  # type: ignore[arg-type]  # a number
    wanted = {"first": 10, "var": 34 / 3, "var_pop": 8.5, "first_2": [10, 3], "last_2": [4, 3], "distinct": 3}
    wanted |= {"about": 3, "top": [3, 4], "cuts": [0, 3, 1], "named": [2, 1, 1], "share": 0.7}
    assert full["var"] == pytest.approx(34 / 3)
    assert {**full, "var": 0} == {**wanted, "var": 0}
    assert found[1:3] == [EMPTY, EMPTY]
    assert set(found[3].values()) == {None}


def test_an_offset_is_the_window_before_in_whole_hops() -> None:
    made = {"now": sum("x", "10m", hop="5m"), "before": sum("x", "10m", hop="5m", offset="10m")}
    found = fold(made, EVENTS, [(1, "00:12"), (1, "00:15"), (1, "00:20"), (1, "00:24:59"), (1, "00:31")])
    assert [one["before"] for one in found] == [0, 10, 13, 13, 7]
    assert [one["now"] for one in found] == [20, 10, 7, 7, 0]
    weeks: Rows = [(1, f"2026-01-{day:02d}T12:00", day) for day in range(1, 22)]
    two = {"last": sum("x", "7d", hop="1d"), "one": sum("x", "7d", hop="1d", offset="7d")}
    assert fold(two, weeks, [(1, "2026-01-22T00:00")]) == [{"last": 15 + 16 + 17 + 18 + 19 + 20 + 21, "one": 77}]


def test_what_was_not_known_at_the_time_asked_is_not_in_a_window_that_lies_before_it() -> None:
    made = {"before": count("5m", hop="5m", offset="5m")}
    types = {**TYPES, "seen": INSTANT}
    late: Rows = [(1, "00:01", 1, "00:01"), (1, "00:02", 1, "00:11"), (1, "00:03", 1, "00:30")]
    found = fold(made, late, [(1, "00:10"), (1, "00:11"), (1, "00:14:59")], types=types, available="seen")
    assert found == [{"before": 1}, {"before": 2}, {"before": 2}]


@pytest.mark.parametrize("window", ["forever", None])
def test_a_window_without_a_start_holds_every_event_before(window: str | None) -> None:
    made = {"n": count(), "all": sum("x", window) if window else sum("x"), "first": first("x")}
    long_ago: Rows = [(1, "1931-05-01T00:00", 1), *EVENTS]
    found = fold(made, long_ago, [(1, "00:06:30"), (1, "2030-01-01T00:00"), (1, "1931-05-01T00:00")])
    assert found == [{"n": 3, "all": 14, "first": 1}, {"n": 6, "all": 21, "first": 1}, {"n": 0, "all": 0, "first": None}]


def test_a_ratio_over_nothing_is_null_or_its_default() -> None:
    never = count("10m", hop="5m", where="x > 99")
    made = {"none": ratio(count("10m", hop="5m"), never), "zero": ratio(never, count("10m", hop="5m"), default=-1.0)}
    assert fold(made, EVENTS, [(1, "00:12"), (2, "00:12")]) == [{"none": None, "zero": 0.0}, {"none": None, "zero": -1.0}]


@pytest.mark.parametrize(
    ("kind", "given", "top", "different"),
    [
        (pa.string(), ["b", "a", "b", None, "c", "a", "b"], ["b", "a"], 3),
        (pa.binary(), [b"b", b"a", b"b", b"\0"], [b"b", b"\0"], 3),
        (pa.bool_(), [True, False, True], [True, False], 2),
        (INSTANT, [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 2)], [datetime(2026, 1, 2, tzinfo=UTC)], 2),
    ],
)
def test_values_of_any_type_are_kept_and_counted(
    kind: pa.DataType, given: list[object], top: list[object], different: int
) -> None:
    rows: Rows = [(1, f"00:0{place}", one) for place, one in enumerate(given)]
    made = {
        "top": top_k("x", "1h", k=2),
        "n": distinct("x", "1h"),
        "about": approx_distinct("x", "1h"),
        "k": last_k("x", "1h", k=2),
    }
    (found,) = fold(made, rows, [(1, "00:30")], types={**TYPES, "x": kind})
    told = found["top"]
    assert isinstance(told, list) and told[: len(top)] == top
    assert (found["n"], found["about"]) == (different, different)
    assert found["k"] == [one for one in given if one is not None][-2:]


def test_nan_that_is_kept_is_one_value_above_all_and_zeros_are_one() -> None:
    types = {**TYPES, "x": pa.float64()}
    rows: Rows = [
        (1, "00:01", math.nan),
        (1, "00:02", -0.0),
        (1, "00:03", 0.0),
        (1, "00:04", math.nan),
        (1, "00:05", -math.inf),
    ]
    made = {"n": distinct("x", "1h"), "about": approx_distinct("x", "1h"), "top": quantile("x", "1h", q=1.0)}
    made |= {"low": quantile("x", "1h", q=0.0), "cuts": histogram("x", "1h", edges=[0.0])}
    (found,) = fold(made, rows, [(1, "00:30")], types=types, nan="keep")
    assert (found["n"], found["about"], found["low"], found["cuts"]) == (3, 3, -math.inf, [1, 4])
    assert math.isnan(found["top"])  # type: ignore[arg-type]  # a number


def test_a_limit_counts_up_to_it() -> None:
    rows: Rows = [(1, f"00:{minute:02d}", minute % 7) for minute in range(30)]
    made = {"all": distinct("x", "1h"), "some": distinct("x", "1h", limit=5), "year": distinct("x", "365d", limit=9)}
    assert fold(made, rows, [(1, "00:30")]) == [{"all": 7, "some": 5, "year": 7}]


@pytest.mark.parametrize(
    ("build", "refusal", "told"),
    [
        (lambda: distinct("x", "365d"), UnboundedState, "approx_distinct"),
        (lambda: distinct("x"), UnboundedState, "all time"),
        (lambda: top_k("x", "32d", k=3), UnboundedState, "histogram"),
        (lambda: sum("x", "10m", hop="5m", offset="7m"), BadWindow, "offset 7m"),
        (lambda: first_k("x", "1h", k=0), Invalid, "from 1 to 100"),
        (lambda: last_k("x", "1h", k=101), Invalid, "from 1 to 100"),
        (lambda: quantile("x", "1h", q=1.5), Invalid, "from 0 to 1"),
        (lambda: histogram("x", "1h"), Invalid, "edges or buckets"),
        (lambda: histogram("x", "1h", edges=[2, 1]), Invalid, "do not ascend"),
        (lambda: histogram("x", "1h", buckets=["a", "a"]), Invalid, "each once"),
        (lambda: distinct("x", "1h", limit=0), Invalid, "above 0"),
        (lambda: ratio(ratio(count("1h"), count("1h")), count("1h")), Invalid, "two windows"),
    ],
)
def test_what_has_no_answer_is_refused_when_it_is_written(
    build: Callable[[], Feature], refusal: type[Invalid], told: str
) -> None:
    with pytest.raises(refusal, match=told):
        build()


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        (top_k("x", "1h", k=2), pa.float64()),
        (quantile("x", "1h", q=0.5), pa.string()),
        (histogram("x", "1h", edges=[1]), pa.string()),
        (histogram("x", "1h", buckets=["a"]), pa.int64()),
        (first_k("x", "1h", k=2), pa.list_(pa.int64())),
        (distinct("x", "1h"), pa.list_(pa.int64())),
        (var("x", "1h"), pa.string()),
        (ratio(first("x", "1h"), count("1h")), pa.string()),
    ],
)
def test_a_column_that_an_aggregation_cannot_take_is_refused_by_name(feature: Feature, kind: pa.DataType) -> None:
    held = table([], {**TYPES, "x": kind})
    with pytest.raises(TypeMismatch):
        ask([view({"f": feature}, memory("f", held), UID)], table([], {"uid": pa.int64(), "t": INSTANT}))


def test_a_feature_that_uses_nothing_new_has_the_recipe_that_it_always_had() -> None:
    old = {"kind": "window", "column": "x", "aggregation": "mean", "window": 3_600_000_000, "hop": 60_000_000, "where": "x > 0"}
    plain = mean("x", "1h", where="x > 0", default=0.5)
    assert plain.parameters == {**old, "fill": None, "default": 0.5, "name": ""}
    assert digest(plain.parameters) != digest(mean("x", "1h", where="x > 0", default=0.5, offset="1h").parameters)
