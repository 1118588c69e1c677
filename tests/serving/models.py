"""Small models and look-ups for the tests of serving: real implementations of the ports, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidewheel.clock import Micros
from tidewheel.errors import NotFound
from tidewheel.predictions import PredictionRow
from tidewheel.schema import DataType, Field, Schema
from tidewheel.serving.answer import Answerer
from tidewheel.serving.arm import Arm, Route
from tidewheel.serving.definition import Deployment
from tidewheel.serving.served import ServedModel

INPUTS = Schema(
    (
        Field("pickup_zone", DataType.INT64, nullable=False),
        Field("trip_distance", DataType.FLOAT64),
        Field("pickup_time", DataType.TIMESTAMP),
    )
)
GOOD: dict[str, object] = {"pickup_zone": 132, "trip_distance": 2.5, "pickup_time": "2020-01-01T10:00:00-05:00"}
NOW = Micros(1_600_000_000_000_000)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    values: Sequence[Sequence[object]]
    transform_errors: Mapping[str, int] = field(default_factory=dict)


class Pace:
    """Features: trips of the zone (known for zones below 1000), the distance, the hour."""

    def answer(self, rows: Sequence[Mapping[str, object]], *, at: Sequence[Micros]) -> Values:
        assert len(rows) == len(at)
        return Values([self._features(row) for row in rows])

    def _features(self, row: Mapping[str, object]) -> list[object]:
        zone, time = row["pickup_zone"], row["pickup_time"]
        assert isinstance(zone, int)
        hour = None if time is None else time.hour  # type: ignore[attr-defined]  # the reader gives datetimes
        return [zone * 10 if zone < 1000 else None, row["trip_distance"], hour]


@dataclass(frozen=True)
class Linear:
    """trips + 2 * distance + version, nulls as zero."""

    version: int

    def predict(self, columns: Array) -> Array:
        clean = np.nan_to_num(columns)
        given: Array = clean[:, 0] + 2 * clean[:, 1] + self.version / 1000
        return given


@dataclass(frozen=True)
class Calling:
    """A model made of a function."""

    function: Callable[[Array], Array]

    def predict(self, columns: Array) -> Array:
        return self.function(columns)


@dataclass
class Table:
    """Routes in memory."""

    routes: dict[str, Route] = field(default_factory=dict)

    def current(self, deployment: str) -> Route:
        return self.routes.get(deployment, Route(deployment))

    def set(self, deployment: str, *arms: Arm) -> None:
        self.routes[deployment] = Route(deployment, self.current(deployment).revision + 1, arms, NOW, "ada", "test")


@dataclass
class World:
    """One answerer with everything around it."""

    models: dict[tuple[str, int], ServedModel] = field(default_factory=dict)
    table: Table = field(default_factory=Table)
    logged: list[PredictionRow] = field(default_factory=list)
    opened: list[tuple[str, int]] = field(default_factory=list)

    def add(self, version: int, predictor: Linear | Calling | None = None, *, inputs: Schema = INPUTS) -> ServedModel:
        made = ServedModel(
            "eta",
            version,
            ("trips_1h", "trip_distance", "hour"),
            inputs,
            ("pickup_zone",),
            Pace(),
            predictor or Linear(version),
        )
        self.models["eta", version] = made
        return made

    def open(self, model: str, version: int) -> ServedModel:
        self.opened.append((model, version))
        if (model, version) not in self.models:
            raise NotFound(f"no version {model}:{version}")
        return self.models[model, version]

    def log(self, rows: Sequence[PredictionRow]) -> None:
        self.logged.extend(rows)

    def answerer(self, *deployments: Deployment) -> Answerer:
        made = Answerer(
            deployments or (Deployment("eta", "eta"),),
            routes=self.table,
            open_version=self.open,
            log=self.log,
            clock=lambda: NOW,
        )
        made.refresh()
        return made


def one_version(predictor: Linear | Calling | None = None) -> tuple[World, Answerer]:
    """A world with version 1 as champion."""
    world = World()
    world.add(1, predictor)
    world.table.set("eta", Arm("eta", 1))
    return world, world.answerer()
