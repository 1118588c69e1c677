"""One row of the prediction log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import msgspec

from tidewheel.clock import Micros

Scalar = None | bool | int | float | str | bytes | datetime | date | Decimal
"""What one cell of a prediction may hold."""


class PredictionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, with everything that made it.

    Parameters
    ----------
    prediction_id
        Unique in the deployment; the name under which a label arrives. Two rows with one id are one prediction: the
        one answered first is kept.
    version
        Number of the model version that answered.
    arm
        ``champion``, ``challenger`` or ``shadow``.
    at
        The instant for which features were looked up, microseconds UTC.
    answered_at
        The wall clock when the answer left, microseconds UTC.
    latency_us
        Time from request to answer, microseconds.
    inputs
        Entity keys and request values as they arrived, JSON-like.
    features
        The model's inputs exactly as it saw them, by name; ``None`` is null.
    prediction
        The answer: a number, or a sequence of numbers when the model has several outputs.

    Examples
    --------
    >>> row = PredictionRow(prediction_id="p1", deployment="eta", model="eta", version=1, at=Micros(0),
    ...                     answered_at=Micros(9), inputs={"zone": 4}, features={"trips_1h": 3}, prediction=12.5)
    >>> row.arm
    'champion'
    """

    prediction_id: str
    deployment: str
    model: str
    version: int
    arm: str = "champion"
    at: Micros
    answered_at: Micros
    latency_us: int = 0
    inputs: Mapping[str, object]
    features: Mapping[str, Scalar]
    prediction: float | tuple[float, ...] | str
