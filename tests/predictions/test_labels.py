"""Labels: by id, by key and time, from a source; in any order; the latest correction holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.clock import Micros, parse_instant
from tidewheel.errors import Invalid, MissingColumns
from tidewheel.predictions import Label, LabelLog, PredictionLog, PredictionRow, join_labels
from tidewheel.predictions.definition import LabelSource, labels
from tidewheel.predictions.label_log import labels_of_source
from tidewheel.sources.definition import source

Row = Callable[..., PredictionRow]

TRIPS = source("trips", "data/*.parquet", time="dropoff_time", timezone="America/New_York")


def joined(predictions: PredictionLog, *tables: pa.Table) -> dict[str, float | None]:
    table = join_labels(predictions.read(), tables)
    return dict(zip(table["prediction_id"].to_pylist(), table["label"].to_pylist(), strict=True))


@pytest.fixture
def predictions(tmp_path: Path, row: Row) -> PredictionLog:
    log = PredictionLog(tmp_path / "predictions")
    log.append([row(1, zone=4), row(2, zone=4), row(3, zone=5)])
    log.close()
    return log


def test_a_label_by_id_and_one_by_key_and_time_reach_their_predictions(tmp_path: Path, predictions: PredictionLog) -> None:
    log = LabelLog(tmp_path / "labels")
    log.add([Label(value=9, prediction_id="p1"), Label(value=8, keys={"zone": 4}, time=Micros(2_000))])
    log.close()
    assert joined(predictions, log.read()) == {"p1": 9.0, "p2": 8.0, "p3": None}


def test_whatever_the_order_the_latest_correction_holds(tmp_path: Path, predictions: PredictionLog) -> None:
    given = [
        Label(value=1, prediction_id="p1", at=Micros(10)),
        Label(value=2, keys={"zone": 4}, time=Micros(1_000), at=Micros(30)),
        Label(value=3, prediction_id="p1", at=Micros(20)),
    ]
    for number, order in enumerate(itertools.permutations(given)):
        log = LabelLog(tmp_path / f"labels{number}")
        for label in order:
            log.add([label])
            log.compact()
        log.close()
        assert joined(predictions, log.read())["p1"] == 2.0


def test_of_two_labels_of_one_time_the_one_that_arrived_last_holds(tmp_path: Path, predictions: PredictionLog) -> None:
    now = [Micros(100)]
    log = LabelLog(tmp_path / "labels", clock=lambda: now[0])
    log.add([Label(value=1, prediction_id="p1", at=Micros(10)), Label(value=2, prediction_id="p1", at=Micros(10))])
    assert joined(predictions, log.read())["p1"] == 2.0
    now[0] = Micros(101)
    log.add([Label(value=3, prediction_id="p1", at=Micros(10))])
    assert joined(predictions, log.read())["p1"] == 3.0
    log.close()


def test_the_same_label_twice_is_one_label(tmp_path: Path, predictions: PredictionLog) -> None:
    log = LabelLog(tmp_path / "labels")
    for _ in range(3):
        log.add([Label(value=9, prediction_id="p1", at=Micros(1))])
    table = join_labels(predictions.read(), log.read())
    log.close()
    assert table.num_rows == 3
    assert table["label"].null_count == 2


def test_a_label_may_come_before_its_prediction(tmp_path: Path, predictions: PredictionLog, row: Row) -> None:
    log = LabelLog(tmp_path / "labels")
    log.add([Label(value=9, prediction_id="p77")])
    log.close()
    predictions.append([row(77)])
    predictions.close()
    assert joined(predictions, log.read())["p77"] == 9.0


def test_rows_of_a_source_are_labels_in_the_local_time_of_the_source(predictions: PredictionLog) -> None:
    asked = parse_instant("2020-03-01T10:00:00-05:00")
    inputs = '{"pickup_zone":132,"pickup_time":"2020-03-01T10:00:00-05:00"}'
    table = pa.table({"prediction_id": ["a", "b"], "at": [asked, asked + 5], "inputs": [inputs, inputs]})
    rows = pa.table(
        {
            "minutes": [12.0, None, 9.0],
            "pickup_zone": [132, 132, 7],
            "pickup_time": pa.array([datetime(2020, 3, 1, 10)] * 3, pa.timestamp("us")),
            "__ts": pa.array([asked + 720_000_000] * 3, pa.int64()),
        }
    )
    definition = labels(TRIPS, value="minutes", by=["pickup_zone"], time="pickup_time")
    found = join_labels(table, labels_of_source(definition, rows))
    # b was asked 5 us later, but its input pickup_time is the same instant
    assert found["label"].to_pylist() == [12.0, 12.0]
    assert found["label_at"].to_pylist() == [asked + 720_000_000] * 2


def test_a_source_by_id_and_what_it_lacks(predictions: PredictionLog) -> None:
    definition = LabelSource(TRIPS, "minutes", id="ride")
    rows = pa.table({"ride": ["p1", "p3"], "minutes": [4, 5], "__ts": [1, 2]})
    assert joined(predictions, labels_of_source(definition, rows)) == {"p1": 4.0, "p2": None, "p3": 5.0}
    with pytest.raises(MissingColumns, match="ride"):
        labels_of_source(definition, rows.drop_columns(["ride"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 1.0},
        {"value": 1.0, "keys": {"zone": 1}},
        {"value": 1.0, "time": 0},
        {"value": 1.0, "prediction_id": "p", "keys": {"zone": 1}, "time": 0},
        {"value": float("nan"), "prediction_id": "p"},
        {"value": float("inf"), "prediction_id": "p"},
        {"value": "many", "prediction_id": "p"},
        {"value": True, "prediction_id": "p"},
    ],
)
def test_a_label_that_is_none_is_refused_with_its_field(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        Label(**wrong)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.where in ("id", "value")
    assert caught.value.fix


def test_labels_of_a_source_need_one_way_to_find_the_prediction() -> None:
    for wrong in ({}, {"id": "a", "by": ["b"], "time": "c"}, {"by": ["b"]}, {"time": "c"}):
        with pytest.raises(Invalid):
            labels(TRIPS, value="minutes", **wrong)
