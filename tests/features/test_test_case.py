"""Users' unit tests of their features: the kernel on rows given inline."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.features.ask import memory, table, view
from tests.features.test_ends import CASES, UID, Rows

import tidewheel as tw
from tidewheel.errors import AmbiguousTime, Invalid, MissingColumns, MissingTime, TypeMismatch
from tidewheel.features.definition import count, entity, lookup, on_request, request, service, sum, use
from tidewheel.sources.changes import changes
from tidewheel.sources.definition import source


@pytest.mark.parametrize(("name", "options", "data", "asked", "expected"), CASES, ids=[case[0] for case in CASES])
def test_rows_that_end_something(
    name: str, options: dict[str, object], data: Rows, asked: Rows, expected: list[object]
) -> None:
    last = "until" if "valid_to" in options else "gone"
    of = source("f", "f.parquet", **options)  # type: ignore[arg-type]  # options of any case
    made = view({"fx": lookup("x")}, of, UID)
    day = "2026-01-01T"
    rows = [
        {"uid": uid, "ts": day + str(ts), "x": x, last: day + end if isinstance(end, str) else end} for uid, ts, x, end in data
    ]
    for (uid, at), value in zip(asked, expected, strict=True):
        assert tw.test_case(made, events=rows, at=day + str(at), given={"uid": uid}, expect={"fx": value}) == {"fx": value}


def test_a_service_over_two_sources_with_a_chain_and_a_transform() -> None:
    @on_request
    def share(total: int, amount: int) -> float:
        return amount / total

    buys = view({"shop": lookup("shop"), "total": sum("x", "1h")}, source("b", "b.parquet", time="ts"), UID, name="Buys")
    shops = view({"n": count("1d")}, source("s", "s.parquet", time="ts"), entity("shop", sid=int), name="Shops")
    both = service("both", buys, use(shops, keys={"sid": "shop"}), share, request(amount=int))
    rows = {"b": [{"uid": 1, "ts": 60_000_000, "shop": 7, "x": 4}], "s": [{"sid": 7, "ts": 1}, {"sid": 8, "ts": 2}]}
    found = tw.test_case(both, events=rows, at=3_600_000_000, given={"amount": 1}, expect={"n": 1, "share": 0.25})
    assert found == {"shop": 7, "total": 4, "n": 1, "share": 0.25, "amount": 1}


def test_changes_and_corrections() -> None:
    of = source("o", "o.parquet", time="ts", event_id="id", changes=changes("op"))
    made = view({"fx": lookup("x"), "n": count("1d", hop="1h")}, of, UID)
    rows = [{"op": "c", "id": 1, "uid": 1, "ts": 10, "x": 5}, {"op": "u", "id": 1, "uid": 1, "ts": 20, "x": 6}]
    tw.test_case(made, events=rows, at=15, expect={"fx": 5, "n": 0})
    tw.test_case(made, events=rows, at=30, expect={"fx": 6, "n": 1})
    tw.test_case(made, events=[*rows, {"op": "d", "id": 1, "uid": 1, "ts": 25}], at=30, expect={"fx": None, "n": 0})
    once = view({"n": count("1d", hop="1h")}, source("e", "e.parquet", time="ts", event_id="id"), UID)
    tw.test_case(once, events=[{"id": 1, "uid": 1, "ts": 5}, {"id": 1, "uid": 1, "ts": 5}], at=9, expect={"n": 1})


def test_a_failure_names_every_feature_that_is_otherwise() -> None:
    made = view({"fx": lookup("x"), "n": count("1d", hop="1h")}, memory("f", table([], {})), UID)
    with pytest.raises(AssertionError) as failed:
        tw.test_case(made, events=[{"uid": 1, "ts": 5, "x": 0.5}], at=9, expect={"fx": 0.25, "n": 2})
    assert (
        str(failed.value) == "F at 1970-01-01T00:00:00.000009Z, of uid=1:\n  fx: expected 0.25, is 0.5\n  n: expected 2, is 1"
    )


def test_what_a_case_lacks_is_named() -> None:
    made = view({"fx": lookup("x")}, memory("f", table([], {})), UID)
    with pytest.raises(MissingColumns, match=r"has no feature 'fy'.*known: fx"):
        tw.test_case(made, events=[], at=0, expect={"fy": 1})
    with pytest.raises(MissingColumns, match="nothing says what uid is"):
        tw.test_case(made, events=[], at=0, expect={})
    with pytest.raises(MissingTime, match="a row has no ts"):
        tw.test_case(made, events=[{"uid": 1}], at=0, expect={})
    with pytest.raises(TypeMismatch, match="column x holds values of float, str"):
        tw.test_case(made, events=[{"uid": 1, "ts": 1, "x": "a"}, {"uid": 1, "ts": 1, "x": 1.0}], at=0, expect={})
    with pytest.raises(Invalid, match="has no source 'g'"):
        tw.test_case(made, events={"g": []}, at=0, expect={})


def test_times_are_read_as_the_source_says() -> None:
    def first(**options: object) -> Callable[[object, str], object]:
        made = view({"fx": lookup("x")}, source("f", "f.parquet", time="ts", **options), UID)  # type: ignore[arg-type]
        return lambda ts, at: tw.test_case(made, events=[{"uid": 1, "ts": ts, "x": 7}], at=at, expect={})["fx"]

    for unit, number in (("s", 1_767_261_600), ("ms", 1_767_261_600_000), ("s", 1_767_261_600.0)):
        asked = first(time_unit=unit)
        assert [asked(number, f"2026-01-01T{at}") for at in ("09:59:59", "10:00")] == [None, 7]
    asked = first(timezone="America/New_York")
    assert [asked("2026-01-01T05:00", f"2026-01-01T{at}") for at in ("09:59:59", "10:00")] == [None, 7]
    assert asked("2026-01-01T05:00:00Z", "2026-01-01T05:00") == 7
    with pytest.raises(AmbiguousTime):
        asked("2026-11-01T01:30", "2026-11-02")
    with pytest.raises(TypeMismatch, match="not a time"):
        asked(True, "2026-11-02")


def test_rows_in_quarantine_are_left_out_and_nan_stays_where_it_is_kept() -> None:
    rules = [
        tw.expect("x", between=(0, 10), otherwise="quarantine"),
        tw.expect("kind", among=["a"], otherwise="quarantine"),
        tw.expect("length(kind) > 0", otherwise="quarantine"),
        tw.expect("x < 5"),
    ]
    made = view({"n": count("1d", hop="1h")}, source("f", "f.parquet", time="ts", expect=rules), UID)
    rows = [{"uid": 1, "ts": 5, "x": x} for x in (1, 11, None, 7)]
    tw.test_case(made, events=rows, at=9, expect={"n": 3})
    tw.test_case(made, events=[{"uid": 1, "ts": 5, "x": 1, "kind": kind} for kind in ("a", "b", None)], at=9, expect={"n": 2})
    kept = view({"fx": lookup("x")}, source("f", "f.parquet", time="ts", nan="keep"), UID)
    found = tw.test_case(kept, events=[{"uid": 1, "ts": 5, "x": float("nan")}], at=9, expect={})["fx"]
    assert found != found
