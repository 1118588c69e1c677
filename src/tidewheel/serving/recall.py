"""Read the answers of earlier processes out of a prediction log, for :meth:`tidewheel.serving.answer.Answerer.recall`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from tidewheel.clock import HOUR, Clock, Micros
from tidewheel.serving.memory import Given

if TYPE_CHECKING:
    from tidewheel.predictions import PredictionLog

_COLUMNS = ("prediction_id", "prediction", "model", "version", "arm", "at", "inputs")
SPAN = HOUR
"""How far back: a client that retries later than this gets a new answer, and the log keeps the first."""


def recall(log: PredictionLog, clock: Clock, *, limit: int = 50_000) -> Iterator[tuple[Given, object]]:
    """Answers whose ``at`` lies in the last hour, with their inputs; oldest first, the newest ones when there are too many."""
    table = log.read(start=clock() - SPAN, columns=_COLUMNS)
    for row in table.slice(max(0, table.num_rows - limit)).to_pylist():
        found = row["prediction"]
        prediction = tuple(found) if isinstance(found, list) else found
        if row["arm"] == "shadow" or isinstance(prediction, str):
            continue
        given = Given(row["prediction_id"], prediction, row["model"], row["version"], row["arm"], Micros(row["at"]))
        yield given, msgspec.json.decode(row["inputs"])
