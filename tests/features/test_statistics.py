"""Statistics of columns against NumPy, whole and in parts, and of views as rows arrive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.database.open import Database
from tidewheel.features.definition import count, entity, features, lookup, view_of
from tidewheel.features.record_statistics import Statistics
from tidewheel.features.statistics import ERROR, ColumnStatistics, describe_column, merge
from tidewheel.sources import source
from tidewheel.sources.read import Sources

NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(0.0)), max_size=60)


def check(found: ColumnStatistics, values: Sequence[float | None]) -> None:
    numbers = np.array([value for value in values if value is not None])
    assert (found.count, found.nulls) == (len(numbers), len(values) - len(numbers))
    if not len(numbers):
        assert found.quantile(0.5) is None
        return
    assert found.mean == pytest.approx(numbers.mean(), rel=1e-9, abs=1e-9)
    assert (found.least, found.greatest) == (numbers.min(), numbers.max())
    if len(numbers) > 1:
        assert found.std == pytest.approx(numbers.std(ddof=1), rel=1e-6, abs=1e-6)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        exact = np.quantile(numbers, share, method="lower")
        assert found.quantile(share) == pytest.approx(exact, rel=ERROR * 1.01, abs=1e-300)


@given(one=NUMBERS, two=NUMBERS, three=NUMBERS)
def test_parts_give_the_whole_as_numpy_does(
    one: list[float | None], two: list[float | None], three: list[float | None]
) -> None:
    parts = [describe_column(pa.array(values, pa.float64())) for values in (one, two, three)]
    whole = merge(merge(parts[0], parts[1]), parts[2])
    check(whole, one + two + three)
    other = merge(parts[2], merge(parts[1], parts[0]))
    assert (whole.above, whole.below, whole.zeros, whole.count) == (other.above, other.below, other.zeros, other.count)
    assert merge(ColumnStatistics(), whole) == whole


def test_other_types_have_what_they_can() -> None:
    texts = describe_column(pa.array(["b", "a", None, "b"]))
    assert (texts.least, texts.greatest, texts.top, texts.whole) == ("a", "b", {"b": 2, "a": 1}, True)
    assert describe_column(pa.array([0, DAY], pa.timestamp("us", "UTC"))).greatest == "1970-01-02T00:00:00+00:00"
    assert describe_column(pa.array([True, None])).top == {"True": 1}
    assert describe_column(pa.array([[1.0], None])).nulls == 1
    assert describe_column(pa.array([9007199254740993])).greatest == 9007199254740993
    many = describe_column(pa.array(range(1000)))
    assert not many.whole
    assert describe_column(pa.array([float("inf"), 1.0])).finite == 1


def test_statistics_of_a_view_follow_what_arrives(tmp_path: Path) -> None:
    seen: dict[str, bytes] = {}
    database = Database.open("sqlite://")
    with DuckDB(threads=1) as engine:
        sources = Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, lambda: Micros(9 * DAY))
        rides = source("rides", "r-*.parquet", time="t")

        @features(rides, by=entity("zone", zone=int))
        class Pace:
            fare = lookup("fare")
            trips = count("1h")

        statistics = Statistics(database, sources, lambda: Micros(9 * DAY))
        view = view_of(Pace)

        def write(name: str, days: list[float], fares: list[float]) -> None:
            times = pa.array([int(day * DAY) for day in days], pa.int64())
            pq.write_table(pa.table({"t": times, "zone": [1] * len(days), "fare": fares}), tmp_path / f"r-{name}.parquet")

        write("1", [0.5, 0.6, 1.5], [1.0, 3.0, 10.0])
        assert statistics.record(view) == 2
        assert statistics.record(view) == 0
        write("2", [1.9, 3.1], [20.0, 5.0])
        assert statistics.record(view) == 2
        found = {start // DAY: columns["fare"] for start, columns in statistics.windows(view).items()}
        assert {day: (one.count, one.mean) for day, one in found.items()} == {0: (2, 2.0), 1: (2, 15.0), 3: (1, 5.0)}
        assert statistics.total(view, end=2 * DAY)["fare"].mean == 8.5
        write("1", [0.5], [7.0])
        assert statistics.record(view) == 3
        assert statistics.total(view)["fare"].count == 3
    database.close()


def test_features_have_statistics_by_day_as_plain_python_counts_them(tmp_path: Path) -> None:
    seen: dict[str, bytes] = {}
    database = Database.open("sqlite://")
    draw = np.random.default_rng(3)
    with DuckDB(threads=1) as engine:
        sources = Sources(tmp_path, engine, tmp_path / "pushes", seen.get, seen.__setitem__, lambda: Micros(99 * DAY))

        @features(source("rides", "r-*.parquet", time="t"), by=entity("zone", zone=int))
        class Pace:
            fare = lookup("fare")
            trips = count("2d")

        statistics, view = Statistics(database, sources, lambda: Micros(99 * DAY)), view_of(Pace)
        rows: list[tuple[int, int, float | None]] = []

        def write(name: str, days: tuple[int, int], count: int) -> None:
            made = [
                (int(t), int(zone), None if draw.random() < 0.1 else float(draw.integers(1, 50)))
                for t, zone in zip(draw.integers(days[0] * DAY, days[1] * DAY, count), draw.integers(0, 9, count), strict=True)
            ]
            rows.extend(made)
            columns = {"t": [t for t, _, _ in made], "zone": [z for _, z, _ in made], "fare": [f for _, _, f in made]}
            pq.write_table(pa.table(columns), tmp_path / f"r-{name}.parquet")

        def held_to_python() -> None:
            for start, columns in statistics.windows(view).items():
                at = start + DAY - 1
                zones = {zone for t, zone, _ in rows if start <= t < start + DAY}
                fares, trips = [], []
                for zone in sorted(zones):
                    fares.append(max((t, f) for t, z, f in rows if z == zone and t <= at)[1])
                    since = (at - 2 * DAY) // HOUR * HOUR
                    trips.append(len([t for t, z, _ in rows if z == zone and since <= t < at]))
                known = [fare for fare in fares if fare is not None]
                assert (columns["f.fare"].count, columns["f.fare"].nulls) == (len(known), len(fares) - len(known))
                assert columns["f.fare"].mean == pytest.approx(float(np.mean(known)))
                assert columns["f.trips"].top == {str(value): trips.count(value) for value in set(trips)}
            assert {t // DAY * DAY for t, _, _ in rows} == set(statistics.windows(view))

        write("1", (0, 6), 200)
        assert statistics.record(view) == 6
        held_to_python()
        write("2", (2, 3), 20)  # which windows of the next two days hold, too
        assert statistics.record(view) == 1
        held_to_python()
    database.close()
