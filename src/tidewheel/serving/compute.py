"""One batch on one version: features, then the model; and what is said when either fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from time import perf_counter

import numpy as np
import numpy.typing as npt

from tidewheel.clock import Micros, to_micros
from tidewheel.errors import ModelFailed, ModelRefused, TidewheelError
from tidewheel.serving.border import Border, describe
from tidewheel.serving.live import LiveArm

Prediction = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """Features and prediction of each row, in order; and where the time went, in seconds."""

    features: Sequence[Sequence[object]]
    predictions: Sequence[Prediction]
    transform_errors: Mapping[str, int]
    feature_seconds: float
    model_seconds: float


def as_number(value: object) -> float:
    """A feature value as the model's matrix holds it: null is NaN, an instant its microseconds, a date its days."""
    if value is None:
        return math.nan
    if isinstance(value, datetime):
        return float(to_micros(value))
    if isinstance(value, date):
        return float(value.toordinal() - 719_163)
    return float(value)  # type: ignore[arg-type]  # bool, int, float, Decimal; text raises and is reported


def compute(live: LiveArm, rows: Sequence[Mapping[str, object]], at: Sequence[Micros]) -> Computed:
    """Look features up, run the transforms, ask the model.

    Raises
    ------
    ModelRefused
        When the model's code raises, or answers no finite number, on a row that has nulls: the row is what it cannot take.
    ModelFailed
        When it does so on a row without nulls: the model is what is broken.
    """
    tick = _Timer()
    found = live.served.lookup.answer(rows, at=at)
    values = found.values
    matrix = np.empty((len(values), len(live.served.features)), dtype=np.float64)
    with Border(lambda error: _failure(live, values, f"raised {describe(error)}")):
        for index, row in enumerate(values):
            matrix[index] = [value if type(value) is float else as_number(value) for value in row]
    feature_seconds = tick.lap()
    try:
        predictions = _predict(live, matrix, values)
    except (ModelFailed, ModelRefused):
        if len(matrix) > 1:
            _raise_for_first_bad_row(live, matrix, values)
        raise
    return Computed(values, predictions, found.transform_errors, feature_seconds, tick.lap())


def _raise_for_first_bad_row(live: LiveArm, matrix: npt.NDArray[np.float64], values: Sequence[Sequence[object]]) -> None:
    for index in range(len(matrix)):
        try:
            _predict(live, matrix[index : index + 1], values[index : index + 1])
        except (ModelFailed, ModelRefused) as error:
            error.where = f"inputs[{index}]"
            raise


def _predict(live: LiveArm, matrix: npt.NDArray[np.float64], values: Sequence[Sequence[object]]) -> list[Prediction]:
    with Border(lambda error: _failure(live, values, f"raised {describe(error)}")):
        given = np.asarray(live.served.predictor.predict(matrix), dtype=np.float64)
    if given.ndim not in (1, 2) or len(given) != len(matrix):
        raise ModelFailed(
            f"model {_name(live)} answered shape {given.shape} to {len(matrix)} rows",
            where=_name(live),
            fix="one number, or one list of numbers, per row",
        )
    if not np.isfinite(given).all():
        raise _failure(live, values, "answered NaN or infinity")
    if given.ndim == 1:
        return given.tolist()  # type: ignore[no-any-return]  # NumPy types tolist as Any
    return [tuple(row) if len(row) != 1 else row[0] for row in given.tolist()]


def _name(live: LiveArm) -> str:
    return f"{live.served.model}:{live.served.version}"


def _failure(live: LiveArm, values: Sequence[Sequence[object]], did: str) -> TidewheelError:
    names = live.served.features
    nulls = [name for row in values for name, value in zip(names, row, strict=False) if value is None or value != value]
    if nulls:
        return ModelRefused(
            f"model {_name(live)} {did} on a row where {nulls[0]} is null",
            where=nulls[0],
            fix="send keys that are known, give the feature a default=, or train a model that takes nulls",
        )
    return ModelFailed(
        f"model {_name(live)} {did}", where=_name(live), fix="roll the deployment back, then see the model's code"
    )


class _Timer:
    """Seconds since the last lap."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = perf_counter()

    def lap(self) -> float:
        now = perf_counter()
        spent, self._last = now - self._last, now
        return spent
