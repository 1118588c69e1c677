"""A maker of rows for the tests of predictions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidewheel.clock import Micros
from tidewheel.predictions import PredictionRow


def make_row(
    number: int, *, version: int = 1, answered_at: int | None = None, zone: int = 4, prediction: float = 1.5
) -> PredictionRow:
    return PredictionRow(
        prediction_id=f"p{number}",
        deployment="eta",
        model="eta",
        version=version,
        at=Micros(number * 1_000),
        answered_at=Micros(number * 1_000 + 7 if answered_at is None else answered_at),
        latency_us=250,
        inputs={"zone": zone, "distance": 2.5},
        features={"trips_1h": number, "minutes_1d": number / 3 if number % 5 else None},
        prediction=prediction,
    )


@pytest.fixture(scope="session")
def row() -> Callable[..., PredictionRow]:
    """Makes the row of a number: ``row(3)`` has the id ``p3`` and the time 3 ms."""
    return make_row
