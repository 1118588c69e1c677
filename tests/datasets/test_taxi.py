"""The real trips: dirt, a daylight saving change, and 120,000 rows a year. Skipped where the data is not there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros, parse_instant
from tidewheel.datasets import build_training_set, by_time, spine, training_set
from tidewheel.errors import AmbiguousTime
from tidewheel.features.definition import count, entity, features, mean, on_request, request, service
from tidewheel.schema import Timestamp
from tidewheel.sources import Source, source
from tidewheel.sources.read import Sources

TRIPS = Path(__file__).resolve().parents[3] / "shared" / "datasets" / "nyc_taxi"  # beside the checkout
NOW = parse_instant("2020-01-01T05:00:00Z")
SELECT = (
    "SELECT *, epoch(dropoff_time - pickup_time) / 60 AS minutes FROM this "
    "WHERE dropoff_time > pickup_time AND trip_distance BETWEEN 0.1 AND 100"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TRIPS.is_dir(), reason=f"the taxi trips are not in {TRIPS}"),
]


def taxi(**options: str) -> Source:
    zone: dict[str, str] = {"time": "dropoff_time", "timezone": "America/New_York", "select": SELECT}
    return source("trips", "20*.parquet", **(zone | options))  # type: ignore[arg-type]  # plain options


@pytest.fixture
def trips(engine: DuckDB, tmp_path: Path) -> Sources:
    seen: dict[str, bytes] = {}
    return Sources(TRIPS, engine, tmp_path / "pushes", seen.get, seen.__setitem__, lambda: Micros(NOW))


def test_the_hour_that_november_shows_twice_is_refused_until_one_is_chosen(trips: Sources) -> None:
    with pytest.raises(AmbiguousTime, match="2018-11-04"):
        trips.scan(taxi(), ["minutes"])
    assert trips.scan(taxi(ambiguous="later"), ["minutes"]).num_rows == 296_292


def test_a_year_of_trips_by_local_time_is_what_plain_sql_says(trips: Sources) -> None:
    start, end = parse_instant("2019-01-01T05:00:00Z"), NOW
    found = trips.scan(taxi(ambiguous="later"), ["minutes"], start=start, end=end)
    this = f"read_parquet('{TRIPS}/20*.parquet')"
    query = (
        f"SELECT count(*), sum(minutes) FROM ({SELECT.replace('this', this)}) "
        "WHERE dropoff_time >= TIMESTAMP '2019-01-01' AND dropoff_time < TIMESTAMP '2020-01-01'"
    )
    with duckdb.connect() as connection:
        (told,) = connection.execute(query).fetchall()
    assert found.num_rows == told[0] == 118_661
    assert sum(found["minutes"].to_pylist()) == pytest.approx(told[1])


def test_a_training_set_of_a_year(trips: Sources, tmp_path: Path) -> None:
    rides = taxi(ambiguous="later")

    @features(rides, by=entity("zone", pickup_zone=int))
    class ZonePace:
        trips_1h = count("1h")
        minutes_1d = mean("minutes", "1d")

    @on_request
    def hour_of_week(pickup_time: Timestamp) -> int:
        return pickup_time.weekday() * 24 + pickup_time.hour

    inputs = service("eta_inputs", ZonePace, hour_of_week, request(trip_distance=float))
    definition = training_set(
        "rides",
        spine=spine(rides, time="pickup_time", last="365d"),
        label="minutes",
        features=inputs,
        split=by_time(test="30d"),
    )
    artifacts = ArtifactStore.open(f"file://{tmp_path / 'artifacts'}")
    dataset = build_training_set(definition, sources=trips, artifacts=artifacts)
    assert 110_000 < dataset.train.num_rows + dataset.test.num_rows < 120_000
    assert dataset.features == ("trips_1h", "minutes_1d", "hour_of_week", "trip_distance")
    assert dataset.report.leaks == ()
    assert min(one.coverage for one in dataset.report.features) > 0.9
    assert dataset.train.times.max() < dataset.test.times.min()
    again = build_training_set(definition, sources=trips, artifacts=artifacts)
    assert again.content == dataset.content
