"""Files and tables read as they lie, against the engine reading the very same: same rows, types, counts and refusals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewheel.clock import Micros, parse_instant
from tidewheel.errors import AmbiguousTime
from tidewheel.ports.query_engine import Files, InMemory
from tidewheel.sources import source
from tidewheel.sources.definition import Source
from tidewheel.sources.read import Sources
from tidewheel.sources.read_direct import find_direct

FOLDERS = itertools.count()
START = parse_instant("2026-01-01T00:00:00Z")
TICKS = st.integers(-5, 5).map(lambda n: n * 86_400_000_000_000 + n * 700)
"""Nanoseconds, some of them finer than a microsecond."""

TIMES = [pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.timestamp("us"), pa.timestamp("us", "Europe/Paris"), pa.int64()]
VALUES: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    (pa.int32(), st.integers(-9, 9)),
    (pa.int8(), st.integers(-9, 9)),
    (pa.int64(), st.sampled_from([-(2**63), 0, 9007199254740993])),
    (pa.float64(), st.sampled_from([1.5, float("nan"), -0.0, float("inf")])),
    (pa.float32(), st.sampled_from([1.5, float("nan")])),
    (pa.string(), st.sampled_from(["", "a", "ä", "a\0b"])),
    (pa.large_string(), st.sampled_from(["", "a"])),
    (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["u", "v"])),
    (pa.binary(), st.sampled_from([b"", b"\0", b"a"])),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.sampled_from([date(1969, 1, 1), date(2026, 1, 1)])),
    (pa.decimal128(10, 2), st.sampled_from([Decimal("1.25"), Decimal("-7.00")])),
    (pa.timestamp("ns"), TICKS),
    (pa.timestamp("ms", "UTC"), st.integers(-9, 9)),
]


def moments(kind: pa.DataType, ticks: list[int | None]) -> pa.Array:
    fine = pa.array([None if tick is None else START * 1000 + tick for tick in ticks], pa.int64())
    if pa.types.is_int64(kind):
        return pa.array([None if tick is None else START + tick // 1000 for tick in ticks], pa.int64())
    unit = pa.timestamp("ns", kind.tz)
    return fine.cast(unit).cast(kind, safe=False)


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, Mapping[str, object]]:
    """Rows, and how their source is declared."""
    size = draw(st.integers(0, 12))
    times = {name: draw(st.sampled_from(TIMES)) for name in ("t", "made", "seen")}
    columns = {
        name: moments(kind, draw(st.lists(st.one_of(st.none(), TICKS), min_size=size, max_size=size)))
        for name, kind in times.items()
    }
    for place in range(draw(st.integers(1, 3))):
        kind, values = draw(st.sampled_from(VALUES))
        columns[f"x{place}"] = pa.array(draw(st.lists(st.one_of(st.none(), values), min_size=size, max_size=size)), kind)
    declared: dict[str, object] = {"time": "t", "nan": draw(st.sampled_from(["null", "keep"]))}
    if draw(st.booleans()):
        declared["created"] = "made"
    if draw(st.booleans()):
        declared["available"] = "seen"
    elif draw(st.booleans()):
        declared["after"] = "15m"
    declared["timezone"] = draw(st.sampled_from([None, "UTC", "Asia/Tokyo"]))
    return pa.table(columns), declared


def read(sources: Sources, of: Source, start: int | None, end: int | None) -> tuple[object, ...]:
    names = [name for name in sources.raw_schema(of).names if name.startswith("x")]
    bounds = {"start": None if start is None else Micros(start), "end": None if end is None else Micros(end)}
    sources.counts.clear()
    rows = sources.scan(of, names, start=bounds["start"], end=bounds["end"])
    batches = pa.concat_tables(sources.batches(of, names, start=bounds["start"], end=bounds["end"]))
    assert batches.equals(rows) or "nan" in str(rows.to_pylist())
    return rows.schema, sorted(map(str, rows.to_pylist())), sources.counts.get(of.name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.one_of(st.none(), TICKS), st.one_of(st.none(), TICKS), st.booleans())
def test_both_ways_read_the_same(
    sources: Sources,
    tmp_path: Path,
    made: tuple[pa.Table, Mapping[str, object]],
    start: int | None,
    end: int | None,
    files: bool,
) -> None:
    table, declared = made
    bounds = [None if bound is None else START + bound // 1000 for bound in (start, end)]
    if files:
        folder = tmp_path / str(next(FOLDERS))
        folder.mkdir()
        middle = table.num_rows // 2
        second = table.slice(middle)
        if len(table.column_names) > 4:  # a column that the second file does not have
            second = second.drop_columns([table.column_names[-1]])
        pq.write_table(table.slice(0, middle), folder / "1.parquet", row_group_size=3)
        pq.write_table(second, folder / "2.parquet", row_group_size=2, store_schema=middle % 2 == 0)
        data: object = f"{folder}/*.parquet"
    else:
        data = table
    direct = source("f", data, **declared)  # type: ignore[arg-type]  # drawn
    engine = replace(direct, select="SELECT * FROM this")
    assert read(sources, direct, *bounds) == read(sources, engine, *bounds)


def test_what_an_engine_must_convert_is_left_to_it(sources: Sources, tmp_path: Path) -> None:
    table = pa.table({"t": [datetime(2026, 1, 1, tzinfo=UTC)], "x": [1]})
    for path, held in (
        ("day=1/a.parquet", table),
        ("b.parquet", table),
        ("c.parquet", table.set_column(1, "x", pa.array([1], pa.int32()))),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        pq.write_table(held, tmp_path / path)

    def direct(*names: str, **declared: str) -> bool:
        files = Files("parquet", tuple(str(tmp_path / name) for name in names))
        described = sources.engine.schema("SELECT * FROM this", {"this": files})
        made = source("f", "f.parquet", time="t", **declared)  # type: ignore[arg-type]  # of the table of options
        return find_direct(made, described, relations=[files], columns=["x"]) is not None

    assert direct("b.parquet")
    assert not direct("b.parquet", select="SELECT * FROM this")
    assert not direct("b.parquet", event_id="x")
    assert not direct("day=1/a.parquet")
    assert not direct("b.parquet", "c.parquet")
    described = pa.schema([("t", pa.timestamp("us", "UTC")), ("x", pa.string())])
    assert find_direct(source("f", table, time="t"), described, relations=[InMemory(table)], columns=["x"]) is None


def test_row_groups_out_of_reach_are_not_decoded(sources: Sources, tmp_path: Path) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table({"t": [first + timedelta(days=day) for day in range(40)], "x": list(range(40))})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=10)
    made = source("f", "f.parquet", time="t")
    described = sources.raw_schema(made)
    direct = find_direct(made, described, relations=[Files("parquet", (str(tmp_path / "f.parquet"),))], columns=["x"])
    assert direct is not None
    begin = Micros(START + 15 * 86_400_000_000)
    assert [batch["x"][0].as_py() for batch in direct.batches(begin, Micros(begin + 86_400_000_000))] == [10]
    assert sum(batch.num_rows for batch in direct.batches(begin)) == 30
    assert sources.scan(made, ["x"], start=begin)["x"].to_pylist() == list(range(15, 40))


def test_a_local_time_that_comes_twice_is_refused_on_both_ways(sources: Sources, tmp_path: Path) -> None:
    table = pa.table({"t": [datetime(2025, 10, 26, 2, 30)], "x": [1]})
    pq.write_table(table, tmp_path / "f.parquet")
    for select in (None, "SELECT * FROM this"):
        with pytest.raises(AmbiguousTime, match="1 local times"):
            sources.scan(source("f", "f.parquet", time="t", timezone="Europe/Paris", select=select), ["x"])
