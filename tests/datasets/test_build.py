"""Training sets: which rows, which split, and what their content is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import DAY, HOUR, Micros, parse_instant
from tidewheel.datasets import Dataset, TrainingSet, build_training_set, by_time, spine, training_set
from tidewheel.errors import FutureLeak, Invalid, MissingColumns, NameCollision, TypeMismatch
from tidewheel.features.definition import count, entity, features, lookup, mean, on_request, request, service
from tidewheel.ledger.definition import collecting
from tidewheel.schema import Timestamp
from tidewheel.sources import source
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

START = datetime(2026, 1, 1)
START_MICROS = parse_instant("2026-01-01T00:00:00Z")


def trips(rows: int = 240) -> pa.Table:
    """A trip an hour; each takes between 10 and 19 minutes."""
    started = [START + timedelta(hours=index) for index in range(rows)]
    minutes = [10.0 + index % 10 for index in range(rows)]
    return pa.table(
        {
            "started": started,
            "ended": [start + timedelta(minutes=took) for start, took in zip(started, minutes, strict=True)],
            "zone": pa.array([index % 3 for index in range(rows)], pa.int32()),
            "miles": [float(index % 7) for index in range(rows)],
            "fare": [index * 1.5 for index in range(rows)],
            "driver": [f"d{index % 5}" for index in range(rows)],
        }
    )


def write(folder: Path, table: pa.Table, **options: str) -> None:
    pq.write_table(table, folder / "trips.parquet", **options)


def define(**options: object) -> TrainingSet:
    rides = source(
        "trips",
        "trips.parquet",
        time="ended",
        select="SELECT *, epoch(ended - started) / 60 AS minutes FROM this",
    )
    drivers = source("drivers", "drivers.parquet", time="seen")

    @features(rides, by=entity("zone", zone=int))
    class ZonePace:
        trips_1d = count("1d")
        minutes_1d = mean("minutes", "1d")

    @features(drivers, by=entity("driver", driver=str))
    class Driver:
        rating = lookup("rating")

    @on_request
    def hour(started: Timestamp) -> int:
        return started.hour

    inputs = service("inputs", ZonePace, Driver, hour, request(miles=float))
    made: dict[str, object] = {"spine": spine(rides, time="started"), "label": "minutes", "split": by_time(test="3d")}
    return training_set("rides", features=inputs, **(made | options))  # type: ignore[arg-type]  # what each test changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, trips())
    drivers(tmp_path)
    return tmp_path


def drivers(folder: Path, rating: float = 4.5) -> None:
    seen = pa.array([START] * 2, pa.timestamp("us"))
    pq.write_table(pa.table({"seen": seen, "driver": ["d0", "d1"], "rating": [rating, 3.0]}), folder / "drivers.parquet")


def build(sources: Sources, artifacts: ArtifactStore, **options: object) -> Dataset:
    return build_training_set(define(**options), sources=sources, artifacts=artifacts)


def test_every_trip_is_a_row_with_what_was_known_at_its_start(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    dataset = build(sources, artifacts)
    assert dataset.features == ("trips_1d", "minutes_1d", "rating", "hour", "miles")
    assert (dataset.train.num_rows, dataset.test.num_rows) == (168, 72)
    table = pa.concat_tables([dataset.train.arrow(), dataset.test.arrow()])
    raw = trips().to_pylist()
    for index, row in enumerate(table.to_pylist()):
        start = index - 24  # an hour is the hop of a day's window, and no trip is shorter than 10 minutes
        before = [one for one in raw[max(start, 0) : index] if one["zone"] == row["zone"]]
        assert row["trips_1d"] == len(before)
        took = [(one["ended"] - one["started"]).seconds / 60 for one in before]
        assert row["minutes_1d"] == (pytest.approx(float(np.mean(took)), rel=1e-14) if took else None)
        assert row["hour"] == index % 24
        assert row["rating"] == {0: 4.5, 1: 3.0}.get(index % 5)
        assert row["started"] == raw[index]["started"].replace(tzinfo=UTC)


def test_arrays_for_models(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    dataset = build(sources, artifacts)
    train = dataset.train
    assert train.x.shape == (168, 5)
    assert train.x.dtype == np.float64
    assert np.isnan(train.x[2, 2])
    assert train.y[:3].tolist() == [10.0, 11.0, 12.0]
    assert train.times[0] == START_MICROS
    assert dataset.cut == dataset.test.times[0] == START_MICROS + 168 * HOUR
    assert len(train.pandas()) == len(train.polars()) == 168


def test_a_string_feature_has_no_array(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    rides = source("trips", "trips.parquet", time="ended")
    inputs = service("inputs", request(driver=str, miles=float))
    made = training_set("rides", spine=spine(rides, time="started"), label="fare", features=inputs)
    dataset = build_training_set(made, sources=sources, artifacts=artifacts)
    with pytest.raises(TypeMismatch, match="driver"):
        _ = dataset.train.x
    assert dataset.train.arrow(["driver"]).num_rows == 240


def test_handles_open_again_elsewhere(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    dataset = build(sources, artifacts)
    again = Dataset.from_json(artifacts, dataset.to_json())
    assert again.content == dataset.content == again.report.fingerprint
    assert again.report == dataset.report
    assert np.array_equal(again.test.x, dataset.test.x, equal_nan=True)


def test_content_does_not_depend_on_the_bytes_of_files(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    one = build(sources, artifacts)
    write(folder, trips(), compression="gzip", version="1.0")
    two = build(sources, artifacts)
    assert sources.snapshot(define().spine.source).content != ""
    write(folder, trips().take(list(range(239, -1, -1))))
    three = build(sources, artifacts)
    assert one.content == two.content == three.content


def test_k4_one_changed_source_row_changes_the_content_and_names_the_view(
    folder: Path, sources: Sources, artifacts: ArtifactStore
) -> None:
    first = build(sources, artifacts)
    assert build(sources, artifacts).content == first.content
    drivers(folder, rating=4.6)
    second = build_training_set(define(), sources=sources, artifacts=artifacts, previous=first)
    assert second.content != first.content
    assert second.report.changed == ("Driver",)
    assert "Driver" in second.report.render()
    changed = trips().to_pylist()
    changed[239]["ended"] += timedelta(minutes=1)  # after every row of the spine: no feature sees it
    write(folder, pa.Table.from_pylist(changed, schema=trips().schema))
    third = build_training_set(define(), sources=sources, artifacts=artifacts, previous=second)
    assert third.content != second.content
    assert third.report.changed == ("ZonePace",)


def test_pushed_rows_are_rows_of_the_source(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    before = build(sources, artifacts)
    rides = define().spine.source
    log = PushLog(folder / "pushes/trips")
    row = trips().slice(239).to_pylist()[0] | {"started": "2026-01-11T00:00:00", "ended": "2026-01-11T00:05:00"}
    log.append(rides, sources.validate(rides, [row], now=sources.clock()))
    log.close()
    after = build(sources, artifacts)
    assert after.train.num_rows + after.test.num_rows == 241
    assert after.content != before.content
    assert after.test.y[-1] == 5.0


def test_labels_that_are_not_known_yet_are_left_out(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    now = Micros(START_MICROS + 100 * HOUR)
    early = Sources(folder, sources.engine, sources.pushes, sources.recall, sources.remember, lambda: now)
    dataset = build(early, artifacts, split=None)
    assert dataset.train.num_rows == 100
    assert dataset.report.dropped["label not known yet"] == 140
    assert dataset.test.num_rows == 0
    assert dataset.test.arrow().schema == dataset.train.arrow().schema


def test_the_last_span_before_the_newest_label(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    rides = define().spine.source
    dataset = build(sources, artifacts, spine=spine(rides, time="started", last="2d"), split=by_time(test="1d"))
    assert dataset.train.num_rows + dataset.test.num_rows == 48
    assert dataset.report.end == START_MICROS + 239 * HOUR
    assert dataset.test.num_rows == 24


def test_where_and_columns(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    rides = define().spine.source
    only = spine(rides, time="started", where="zone = 1 AND minutes < 15", columns=["fare"])
    dataset = build(sources, artifacts, spine=only, split=None)
    table = dataset.train.arrow(["zone", "fare", "minutes"])
    assert set(table["zone"].to_pylist()) == {1}
    assert max(table["minutes"].to_pylist()) < 15
    assert "fare" not in dataset.features


def test_rows_without_a_label_or_a_time_are_left_out_and_counted(
    folder: Path, sources: Sources, artifacts: ArtifactStore
) -> None:
    rows = trips().to_pylist()
    rows[3]["started"] = None
    rows[4]["ended"] = None
    write(folder, pa.Table.from_pylist(rows, schema=trips().schema))
    report = build(sources, artifacts).report
    assert report.rows == 238
    assert report.dropped["no label"] == 1
    assert report.counts["rows of the source without a time"] == 1


def test_the_report_tells_of_overlap_and_suspicion(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    rides = define().spine.source
    inputs = service("inputs", request(fare=float, miles=float))
    late = source("trips", "trips.parquet", time="ended", select="SELECT *, fare * 2 AS double FROM this", after="2h")
    assert late.version != rides.version
    made = training_set("r", spine=spine(late, time="started"), label="double", features=inputs, split=by_time(test="1d"))
    report = build_training_set(made, sources=sources, artifacts=artifacts).report
    assert [leak.split()[0] for leak in report.leaks] == ["fare"]
    assert report.counts["rows to train on whose label came after the first row to test with"] == 2
    assert "leak? fare" in report.render()


def test_a_look_up_of_the_label_that_could_be_the_rows_own_is_a_leak(
    folder: Path, sources: Sources, artifacts: ArtifactStore
) -> None:
    rides = source("trips", "trips.parquet", time="ended")

    @features(rides, by=entity("zone", zone=int))
    class Zone:
        last_fare = lookup("fare")

    inputs = service("inputs", Zone)
    safe = training_set("safe", spine=spine(rides, time="started"), label="fare", features=inputs)
    assert build_training_set(safe, sources=sources, artifacts=artifacts).train.num_rows == 240
    leaky = training_set("leaky", spine=spine(rides, time="ended"), label="fare", features=inputs)
    with pytest.raises(FutureLeak, match=r"last_fare.*240 rows"):
        build_training_set(leaky, sources=sources, artifacts=artifacts)


def test_rows_that_end_before_they_start_are_reported(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    rows = trips().to_pylist()
    rows[5]["ended"] = rows[5]["started"] - timedelta(hours=2)
    write(folder, pa.Table.from_pylist(rows, schema=trips().schema))
    (leak,) = build(sources, artifacts).report.leaks
    assert leak.startswith("1 rows end before their started")


def test_a_training_set_names_its_source_and_service() -> None:
    with collecting() as declared:
        made = define(owner="me")
    (one,) = [item for item in declared if item.kind == "training_set"]
    assert one.upstream == ("source:trips", "service:inputs")
    assert one.definition is made
    assert one.meta["owner"] == "me"
    assert one.parameters["split"] == {"by": "time", "test": "3d"}
    assert __file__ in one.where


@pytest.mark.parametrize(
    ("options", "error"),
    [({"label": "miles"}, FutureLeak), ({"label": "zone"}, FutureLeak), ({"label": "hour"}, NameCollision)],
)
def test_a_label_that_is_a_feature_is_refused_at_definition(options: dict[str, str], error: type[Invalid]) -> None:
    with pytest.raises(error):
        define(**options)


def test_columns_of_the_spine_must_exist(folder: Path, sources: Sources, artifacts: ArtifactStore) -> None:
    with pytest.raises(MissingColumns, match="minuts"):
        build(sources, artifacts, label="minuts")
    rides = define().spine.source
    with pytest.raises(NameCollision, match="rating"):
        define(spine=spine(rides, time="started", columns=["rating"]))


@pytest.mark.parametrize("wrong", ["0s", "soon"])
def test_spans_are_above_zero(wrong: str) -> None:
    rides = source("trips", "trips.parquet", time="ended")
    with pytest.raises(Invalid):
        spine(rides, time="started", last=wrong)
    with pytest.raises(Invalid):
        by_time(test=wrong)
    assert by_time(test="1d").test == DAY


def test_every_exported_name_exists() -> None:
    import tidewheel.datasets as datasets

    assert all(getattr(datasets, name) for name in datasets.__all__)
