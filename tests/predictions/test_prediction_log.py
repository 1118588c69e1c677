"""The log of predictions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidewheel.clock import Micros
from tidewheel.predictions import PredictionLog, PredictionRow

Row = Callable[..., PredictionRow]


def ids(log: PredictionLog) -> list[str]:
    found: list[str] = log.read(columns=["prediction_id"])["prediction_id"].to_pylist()
    return found


def test_a_log_that_was_never_written_reads_as_no_rows_with_its_columns(tmp_path: Path) -> None:
    table = PredictionLog(tmp_path / "none").read()
    assert table.num_rows == 0
    assert table.schema.field("prediction_id").type == pa.string()
    assert not (tmp_path / "none").exists()


def test_rows_come_back_as_they_were_written(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    log.append([row(1), row(2)])
    found = log.read().to_pylist()
    log.close()
    assert found[1] == {
        "prediction_id": "p2",
        "deployment": "eta",
        "model": "eta",
        "version": 1,
        "arm": "champion",
        "at": 2_000,
        "answered_at": 2_007,
        "latency_us": 250,
        "inputs": '{"zone":4,"distance":2.5}',
        "prediction": 1.5,
        "f.trips_1h": 2,
        "f.minutes_1d": 2 / 3,
    }


def test_each_feature_has_a_typed_column_that_keeps_the_bits(tmp_path: Path) -> None:
    moment = datetime(2020, 3, 1, 12, tzinfo=UTC)
    features = {
        "big": 9_007_199_254_740_993,
        "nan": float("nan"),
        "tiny": 5e-324,
        "flag": True,
        "name": "Soho",
        "moment": moment,
        "day": date(2020, 3, 1),
        "price": Decimal("1.50"),
        "narrow": float(np.float32(1.111)),
        "scalar": np.int64(3),
        "null": None,
    }
    log = PredictionLog(tmp_path)
    log.append(
        [
            PredictionRow(
                prediction_id="p",
                deployment="d",
                model="m",
                version=1,
                at=Micros(0),
                answered_at=Micros(1),
                inputs={},
                features=features,  # type: ignore[arg-type]  # a NumPy scalar is forgiven at run time
                prediction=(0.25, 0.75),
            )
        ]
    )
    live = log.read()
    log.compact()
    table = log.read()
    log.close()
    assert str(live.to_pylist()) == str(table.to_pylist())
    assert table.schema.field("f.big").type == pa.int64()
    assert table.schema.field("f.moment").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("f.day").type == pa.date32()
    assert table.schema.field("f.price").type == pa.decimal128(38, 9)
    [found] = table.to_pylist()
    assert found["f.big"] == 9_007_199_254_740_993
    assert found["f.nan"] != found["f.nan"]
    assert found["f.tiny"] == 5e-324
    assert found["f.moment"] == moment
    assert np.float32(found["f.narrow"]) == np.float32(1.111)
    assert found["f.null"] is None
    assert found["prediction"] == [0.25, 0.75]


def test_a_prediction_id_that_was_answered_twice_is_one_row_and_the_first_answer(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    log.append([row(1, answered_at=50, prediction=2.0), row(2)])
    log.compact()
    log.append([row(1, answered_at=40, prediction=1.0), row(1, answered_at=60, prediction=3.0)])
    found = log.read(columns=["prediction_id", "prediction"]).to_pylist()
    log.close()
    assert found == [{"prediction_id": "p1", "prediction": 1.0}, {"prediction_id": "p2", "prediction": 1.5}]


def test_compacting_changes_nothing_that_is_read(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    log.append([row(number) for number in (5, 3, 4)])
    before = log.read()
    done = log.compact()
    log.append([row(number) for number in (2, 9)])
    middle = log.read()
    log.compact()
    after = log.read()
    log.close()
    assert (done.segments, done.rows) == (1, 3)
    assert before.equals(middle.filter(pa.compute.is_in(middle["prediction_id"], pa.array(["p3", "p4", "p5"]))))
    assert middle.equals(after)
    assert not list(tmp_path.glob("*.sealed"))
    assert ids(log) == ["p2", "p3", "p4", "p5", "p9"]


def test_many_small_files_become_one(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    for number in range(20):
        log.append([row(number)])
        log.compact()
    assert len(list(tmp_path.glob("*.parquet"))) < 8
    assert sorted(ids(log)) == sorted(f"p{number}" for number in range(20))
    log.close()


def test_start_and_end_cut_by_the_feature_time(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    log.append([row(number) for number in range(5)])
    log.compact()
    log.append([row(number) for number in range(5, 10)])
    found = log.read(start=3_000, end=7_000, columns=["prediction_id"])["prediction_id"].to_pylist()
    log.close()
    assert found == ["p3", "p4", "p5", "p6"]


def test_a_feature_of_a_later_version_is_null_in_earlier_rows_and_a_changed_type_is_text(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path)
    first = row(1)
    log.append([first])
    log.compact()
    changed = {"trips_1h": "many", "new": 1}
    fields = {name: getattr(row(2, version=2), name) for name in PredictionRow.__struct_fields__}
    log.append([PredictionRow(**(fields | {"features": changed}))])
    found = log.read(columns=["f.trips_1h", "f.new", "f.minutes_1d"]).to_pylist()
    log.close()
    assert found == [
        {"f.trips_1h": "1", "f.new": None, "f.minutes_1d": 1 / 3},
        {"f.trips_1h": "many", "f.new": 1, "f.minutes_1d": None},
    ]


def test_reading_while_writers_write_and_a_compaction_runs_loses_and_doubles_nothing(tmp_path: Path, row: Row) -> None:
    log = PredictionLog(tmp_path, segment_bytes=20_000)
    log.start_compaction(0.01)
    written = [0, 0]

    def write(writer: int) -> None:
        for number in range(300):
            log.append([row(writer * 1_000 + number)])
            written[writer] = number + 1

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in threads:
        thread.start()
    other = PredictionLog(tmp_path)
    while any(thread.is_alive() for thread in threads):
        low = sum(written)
        found = ids(other)
        high = sum(written)
        assert len(set(found)) == len(found)
        assert low <= len(found) <= high + 2
    for thread in threads:
        thread.join()
    log.close()
    log.compact()
    assert log.failure is None
    assert len(ids(other)) == 600
    other.close()


@pytest.mark.parametrize("columns", [["prediction"], ["f.trips_1h", "version"], ["nothing", "at"]])
def test_only_the_columns_asked_for_come_back_in_that_order(tmp_path: Path, columns: list[str], row: Row) -> None:
    log = PredictionLog(tmp_path)
    log.append([row(1)])
    assert log.read(columns=columns).schema.names == [name for name in columns if name != "nothing"]
    log.close()
