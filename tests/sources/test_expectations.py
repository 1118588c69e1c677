"""Expectations: what is counted, told, put aside and refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros, parse_instant
from tidewheel.errors import ExpectationFailed, Invalid, UnknownFeature
from tidewheel.sources import source
from tidewheel.sources.changes import changes
from tidewheel.sources.expectation import Expectation, expect, fresh
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

NAN = float("nan")


def rides(*fares: float | None) -> pa.Table:
    return pa.table(
        {
            "t": pa.array(range(1, len(fares) + 1), pa.int64()),
            "fare": pa.array(fares, pa.float64()),
            "zone": pa.array([n % 3 for n in range(len(fares))], pa.int64()),
        }
    )


def failed(sources: Sources, table: pa.Table, *expectations: Expectation) -> dict[str, int]:
    verdict = sources.verdict(source("rides", table, time="t", expect=expectations))
    return {one.rule: one.failed for one in verdict.findings}


def test_each_kind_of_rule_counts_what_fails_it(sources: Sources) -> None:
    table = pa.table(
        {
            "t": [1, 2, 3, 4],
            "fare": [-1.0, NAN, None, 600.0],
            "kind": ["a", "b", None, "it's"],
            "day": [date(2026, 1, 1), date(2025, 1, 1), None, date(2026, 2, 1)],
            "id": [7, 7, 8, None],
        }
    )
    found = failed(
        sources,
        table,
        expect("fare", between=(0, 500)),
        expect("fare", between=(None, 500.5)),
        expect("fare", null=False),
        expect("kind", among=["a", "it's"]),
        expect("day", between=(date(2026, 1, 1), None)),
        expect("id", unique=True),
        expect("id", type=int),
        expect("kind", type="int32"),
        expect("fare < 0 OR kind IS NOT NULL"),
    )
    assert found == {
        "fare is between 0 and 500": 2,
        "fare is at most 500.5": 1,
        "fare is not null": 2,
        "kind is one of a, it's": 1,
        "day is at least 2026-01-01": 1,
        "id is unique": 1,
        "id is int64": 0,
        "kind is int32": 1,
        "fare < 0 OR kind IS NOT NULL": 0,
    }


def test_a_rule_that_stops_names_rule_count_share_examples_and_file(sources: Sources, tmp_path: Path) -> None:
    for name, fares in (("a", [1.0, 2.0]), ("b", [-3.0, 4.0]), ("c", [5.0, -6.0])):
        pq.write_table(pa.table({"t": [1, 2], "fare": fares}), tmp_path / f"{name}.parquet")
    declared = source("rides", "*.parquet", time="t", expect=[expect("fare", between=(0, None))])
    with pytest.raises(ExpectationFailed) as caught:
        sources.guard(declared)
    text = str(caught.value)
    assert "2 of 6 rows (33.3 %) fail 'fare is at least 0', such as fare=-" in text
    assert "b.parquet" in text
    assert caught.value.fix


def test_a_share_that_is_tolerated_stops_nothing_and_a_warning_is_told(sources: Sources) -> None:
    table = rides(1, -1, 2, 3)
    assert sources.guard(source("rides", table, time="t", expect=[expect("fare >= 0", tolerate=0.25)])) == ()
    with pytest.raises(ExpectationFailed):
        sources.guard(source("rides", table, time="t", expect=[expect("fare >= 0", tolerate=0.2)]))
    (told,) = sources.guard(source("rides", table, time="t", expect=[expect("fare >= 0", otherwise="warn")]))
    assert "1 of 4 rows (25 %) fail 'fare >= 0', such as fare=-1.0" in told


def test_freshness_follows_the_clock(sources: Sources, now: Micros) -> None:
    table = pa.table({"t": [parse_instant("2026-01-01T20:00:00Z")]})
    assert sources.guard(source("rides", table, time="t", expect=[fresh("4h")])) == ()
    with pytest.raises(ExpectationFailed, match=r"at most 3h old.*2026-01-01"):
        sources.guard(source("rides", table, time="t", expect=[fresh("3h")]))


def test_rows_in_quarantine_are_left_out_kept_and_counted(sources: Sources, tmp_path: Path) -> None:
    pq.write_table(rides(1, -1, None, 700, NAN), tmp_path / "1.parquet")
    rules = [
        expect("fare", between=(0, 500), otherwise="quarantine"),
        expect("zone <> 0 OR fare < 0.5 OR fare > 600", otherwise="quarantine"),
        expect("fare <= 500"),
    ]
    declared = source("rides", "1.parquet", time="t", expect=rules)
    verdict = sources.verdict(declared)
    assert verdict.quarantined == 3
    assert [one.failed for one in verdict.findings] == [2, 1, 0]
    assert verdict.kept is not None
    kept = pq.read_table(verdict.kept)
    assert sorted(zip(kept["fare"].to_pylist(), kept["__reason"].to_pylist(), strict=True)) == [
        (-1.0, "fare is between 0 and 500"),
        (1.0, "zone <> 0 OR fare < 0.5 OR fare > 600"),
        (700.0, "fare is between 0 and 500"),
    ]
    assert sources.scan(declared, ["fare"], order_by=["__ts"])["fare"].to_pylist() == [None, None]
    assert sources.guard(declared) == ()


def test_a_verdict_is_remembered_with_its_snapshot(sources: Sources, tmp_path: Path) -> None:
    pq.write_table(rides(1, -1), tmp_path / "1.parquet")
    declared = source("rides", "1.parquet", time="t", expect=[expect("fare > 0", otherwise="quarantine")])
    snapshot = sources.snapshot(declared)
    first = sources.verdict(declared, snapshot)
    assert sources.verdict(declared, snapshot) == first
    assert first.kept is not None
    first.kept.unlink()
    again = sources.verdict(declared, snapshot)
    assert again.kept == first.kept
    assert pq.read_table(str(again.kept)).num_rows == 1


def test_quarantine_is_part_of_what_the_rows_are_and_stopping_is_not() -> None:
    plain = source("rides", rides(1), time="t")
    assert source("rides", rides(1), time="t", expect=[expect("fare > 0"), fresh("1d")]).version == plain.version
    aside = source("rides", rides(1), time="t", expect=[expect("fare > 0", otherwise="quarantine")])
    assert aside.version != plain.version
    assert aside.version == source("rides", rides(1), time="t", expect=[expect("fare > 0", otherwise="quarantine")]).version


def test_a_push_that_fails_a_rule_that_stops_is_refused(sources: Sources, now: Micros) -> None:
    declared = source(
        "rides",
        rides(1),
        time="t",
        select="SELECT *, fare * 2 AS twice FROM this",
        expect=[expect("twice", between=(0, 10), null=False)],
    )
    good = {"t": 5, "fare": 2.0, "zone": 1}
    assert sources.validate(declared, [good], now=now).num_rows == 1
    with pytest.raises(ExpectationFailed, match=r"row 1 .*twice is between 0 and 10") as caught:
        sources.validate(declared, [good, good | {"fare": 9.0}], now=now)
    assert caught.value.where == "rows[1]"
    with pytest.raises(ExpectationFailed, match="twice is not null"):
        sources.validate(declared, [good | {"fare": None}], now=now)


def test_what_cannot_be_expected_is_refused(sources: Sources) -> None:
    aside = expect("fare > 0", otherwise="quarantine")
    wrongs: list[Callable[[], object]] = [
        lambda: expect("id", unique=True, otherwise="quarantine"),
        lambda: fresh("1d", otherwise="quarantine"),
        lambda: expect("count(*) > 3"),
        lambda: expect("fare", between=(None, None)),
        lambda: expect("fare > 0", otherwise="ignore"),  # type: ignore[arg-type]
        lambda: expect("fare > 0", tolerate=2),
        lambda: source("f", rides(1), time="t", event_id="zone", changes=changes("op"), expect=[aside]),
    ]
    for wrong in wrongs:
        with pytest.raises(Invalid):
            wrong()
    with pytest.raises(UnknownFeature, match="did you mean fare"):
        sources.verdict(source("rides", rides(1), time="t", expect=[expect("faer", unique=True)]))


VALUES = st.lists(st.one_of(st.none(), st.sampled_from([NAN, 0.0, -0.0]), st.floats(-3, 3, width=32)), max_size=8)


@settings(max_examples=15)
@given(files=VALUES, pushed=VALUES)
def test_a_file_and_a_push_are_judged_alike(
    files: Sequence[float | None], pushed: Sequence[float | None], engine: DuckDB, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("judged")
    pq.write_table(rides(*files), root / "1.parquet")
    seen: dict[str, bytes] = {}
    sources = Sources(root, engine, root / "pushes", seen.get, seen.__setitem__, lambda: Micros(9))
    rules = [expect("fare", between=(-1, 1), otherwise="quarantine"), expect("zone <> 2", otherwise="quarantine")]
    declared = source("rides", "1.parquet", time="t", expect=rules)
    log = PushLog(root / "pushes/rides")
    log.append(declared, rides(*pushed))
    log.close()

    def good(table: pa.Table) -> list[tuple[int, float | None]]:
        rows = zip(table["t"].to_pylist(), table["fare"].to_pylist(), table["zone"].to_pylist(), strict=True)
        clean = [(t, None if fare is None or fare != fare else fare, zone) for t, fare, zone in rows]
        return [(t, fare) for t, fare, zone in clean if (fare is None or -1 <= fare <= 1) and zone != 2]

    found = sources.scan(declared, ["fare"])
    expected = good(rides(*files)) + good(rides(*pushed))
    assert sorted(zip(found["__ts"].to_pylist(), found["fare"].to_pylist(), strict=True), key=repr) == sorted(
        expected, key=repr
    )
    assert sources.verdict(declared).quarantined == len(files) + len(pushed) - len(expected)
    if pushed:
        moved = sources.transform(declared, rides(*pushed))
        assert sorted(moved["__ts"].to_pylist()) == sorted(t for t, _ in good(rides(*pushed)))
        assert len(sources.aside(declared, rides(*pushed))) == len(pushed) - moved.num_rows


def test_local_times_in_a_rule_are_as_they_stand_in_the_file(sources: Sources) -> None:
    table = pa.table({"t": [datetime(2026, 1, 1, 8), datetime(2026, 1, 1, 9)]})
    rule = expect("t", between=(datetime(2026, 1, 1, 9), None), otherwise="quarantine")
    declared = source("rides", table, time="t", timezone="America/New_York", expect=[rule])
    assert sources.scan(declared, [])["__ts"].to_pylist() == [parse_instant("2026-01-01T14:00:00Z")]


@pytest.mark.parametrize(
    "select", [None, "SELECT t, 2 * fare AS fare, zone FROM this WHERE fare IS NULL OR fare <> 9", "SELECT * FROM this"]
)
def test_a_push_names_every_row_that_fails_and_why(sources: Sources, select: str | None) -> None:
    rules = [
        expect("fare", between=(0, None), otherwise="quarantine"),
        expect("zone", null=False, otherwise="quarantine"),
        expect("fare", between=(None, 500)),
        expect("zone", unique=True),
    ]
    table = pa.table({"t": [1, 1, 1, 1], "fare": [1.0, -1.0, 9.0, None], "zone": [1, None, 1, 3]})
    declared = source("rides", table.slice(0, 1), time="t", select=select, expect=rules)
    (aside,) = sources.aside(declared, table)
    assert (aside.row, aside.rules) == (1, ("fare is at least 0", "zone is not null"))
    if select is None or "<> 9" not in select:
        with pytest.raises(ExpectationFailed, match=r"1 of 4 rows .* row 2 fails 'zone is unique'") as caught:
            sources.refuse(declared, table)
        assert caught.value.where == "rows[2]"
    sources.refuse(declared, table.slice(0, 2))
    bad = pa.table({"t": [1, 1, 1], "fare": [1.0, 700.0, 800.0], "zone": [1, 2, 3]})
    with pytest.raises(ExpectationFailed, match=r"2 of 3 rows of the push to rides .*row 1 fails.*at most 500'; row 2 fails"):
        sources.refuse(declared, bad)


def test_a_push_of_what_is_tolerated_is_taken(sources: Sources) -> None:
    declared = source("rides", rides(1, 2), time="t", expect=[expect("fare >= 0", tolerate=0.5)])
    sources.refuse(declared, rides(-1))
