"""A registry on both databases, and a small training set with a null, a boolean and integers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.backends.lightgbm.model_format import LightgbmFormat
from tidewheel.backends.sklearn.model_format import SklearnFormat
from tidewheel.clock import Clock
from tidewheel.database.open import Database
from tidewheel.datasets.definition import TrainingSet, by_time, spine, training_set
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.datasets.report import Report
from tidewheel.features.definition import request, service
from tidewheel.models.registry import Registry
from tidewheel.pipelines.calls import CallLog
from tidewheel.runs.record import Runs
from tidewheel.sources.definition import source

FEATURES = ("trips", "distance", "rain")


class Inline:
    """A session without a cache: steps are plain calls."""

    def __init__(self) -> None:
        self.run_ids: list[str] = []

    @contextmanager
    def active(self, *, calls: CallLog) -> Iterator[None]:
        self.run_ids.append(calls.run_id)
        yield


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(f"file://{tmp_path}/artifacts")


@pytest.fixture
def registry(database: Database, artifacts: ArtifactStore, clock: Clock) -> Registry:
    return Registry(database, artifacts, [LightgbmFormat(), SklearnFormat()], clock)


@pytest.fixture
def runs(database: Database, artifacts: ArtifactStore, clock: Clock) -> Runs:
    return Runs(database, artifacts, clock)


@pytest.fixture
def rides() -> TrainingSet:
    inputs = service("eta_inputs", request(trips=int, distance=float, rain=bool))
    trips = source("trips", "data/*.parquet", time="dropoff_time")
    return training_set(
        "rides", spine=spine(trips, time="pickup_time"), label="minutes", features=inputs, split=by_time(test="1d")
    )


def split(artifacts: ArtifactStore, *, rows: int, start: int, classes: bool = False) -> Split:
    random = np.random.default_rng(start)
    distance = random.uniform(1, 20, rows)
    trips = random.integers(0, 50, rows)
    rain = random.integers(0, 2, rows).astype(bool)
    minutes = 2 * distance + 0.1 * trips + 3 * rain + random.normal(size=rows)
    label = (minutes > 25).astype(np.float64) if classes else minutes
    table = pa.table(
        {
            "pickup_time": pa.array(np.arange(rows) * 1_000_000 + start, pa.timestamp("us", tz="UTC")),
            "trips": pa.array(trips, pa.int64()),
            "distance": pa.array(distance, pa.float64()),
            "rain": pa.array(rain, pa.bool_()),
            "minutes": pa.array(label, pa.float64()),
        }
    )
    return Split(Table.write(artifacts, table), features=FEATURES, label="minutes", time="pickup_time")


@pytest.fixture
def dataset(artifacts: ArtifactStore) -> Dataset:
    train = split(artifacts, rows=400, start=0)
    test = split(artifacts, rows=100, start=400_000_000)
    return Dataset("rides", train=train, test=test, report=Report(rows=500))


@pytest.fixture
def classes(artifacts: ArtifactStore) -> Dataset:
    train = split(artifacts, rows=400, start=0, classes=True)
    test = split(artifacts, rows=100, start=400_000_000, classes=True)
    return Dataset("rides", train=train, test=test, report=Report(rows=500))
