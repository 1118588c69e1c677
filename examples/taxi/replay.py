"""Replay real trips against a real server, in the order in which they happened.

A trip is a prediction request when it starts. When it ends it becomes an event for the features, and its duration the
label of its prediction. Six hours at a time: first what has ended is pushed, then what starts is asked. A request says when it
happens (``at``), so the server sees what was known then, not a microsecond more.
"""

from __future__ import annotations

import http.client
import json
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import local
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pyarrow.parquet as pq

STREET = ZoneInfo("America/New_York")
RAW = ("vendor_id", "pickup_time", "dropoff_time", "trip_distance", "pickup_zone", "dropoff_zone", "total_amount")


@dataclass(frozen=True)
class Trip:
    """One trip: the raw record, and its instants."""

    id: str
    raw: dict[str, object]
    start: datetime
    end: datetime

    @property
    def minutes(self) -> float:
        """The label, computed as the source's select does."""
        return (self.raw["dropoff_time"] - self.raw["pickup_time"]).total_seconds() / 60  # type: ignore[operator]


def read_trips(folder: Path, first: str, last: str) -> list[Trip]:
    """Trips that start in the months ``first`` to ``last`` and could be asked about, in order of their start.

    Only what nobody would ask a prediction for is left out: a time outside of its month, a distance that no taxi drives.
    Trips whose record turns out wrong when they end are asked like any other; they get no label.
    """
    trips: list[Trip] = []
    for path in sorted(folder.glob("*.parquet")):
        if not first <= path.stem <= last:
            continue
        table = pq.read_table(path, columns=list(RAW))
        month = pc.strftime(table["pickup_time"], format="%Y-%m")
        keep = pc.and_(
            pc.equal(month, path.stem), pc.and_(pc.greater(table["trip_distance"], 0), pc.less(table["trip_distance"], 200))
        )
        for number, row in enumerate(table.filter(keep).to_pylist()):
            start, end = row["pickup_time"].replace(tzinfo=STREET), row["dropoff_time"].replace(tzinfo=STREET)
            trips.append(Trip(f"{path.stem}-{number}", row, start, end))
    return sorted(trips, key=lambda trip: (trip.start, trip.id))


def is_clean(trip: Trip) -> bool:
    """Whether the finished trip's record makes sense: the same rule as the source's select."""
    minutes, miles = trip.minutes, float(trip.raw["trip_distance"])  # type: ignore[arg-type]
    return 0 < minutes < 180 and 0.1 <= miles <= 100 and 0.5 <= minutes / miles <= 60


class Client:
    """A keep-alive HTTP client per thread."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._local = local()

    def post(self, path: str, body: object) -> dict[str, object]:
        """POST JSON; a status other than 200 is an error. A connection that broke is opened once more."""
        data = json.dumps(body)
        for attempt in (1, 2):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = http.client.HTTPConnection(*self._address, timeout=30)
            try:
                connection.request("POST", path, data, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self._local.connection = None
                if attempt == 2:
                    raise
        if response.status != 200:
            raise RuntimeError(f"POST {path}: {response.status} {answer.decode()[:500]}")
        found: dict[str, object] = json.loads(answer)
        return found


class Replay:
    """Sends trips to the server, six hours at a time."""

    def __init__(self, client: Client, trips: Sequence[Trip], *, threads: int = 4) -> None:
        self._client = client
        self._starting = deque(trips)
        self._ending = deque(sorted(trips, key=lambda trip: (trip.end, trip.id)))
        self._pool = ThreadPoolExecutor(threads)
        self.predictions = self.events = self.labels = 0

    def until(self, moment: datetime, *, step: timedelta = timedelta(hours=6)) -> None:
        """Everything that starts or ends before the moment."""
        while self._starting and self._starting[0].start < moment:
            edge = min(moment, self._starting[0].start + step)
            self._finish(_take_while(self._ending, lambda trip, edge=edge: trip.end < edge))
            self._ask(_take_while(self._starting, lambda trip, edge=edge: trip.start < edge))
        self._finish(_take_while(self._ending, lambda trip: trip.end < moment))

    def _ask(self, trips: Sequence[Trip]) -> None:
        for _ in self._pool.map(self._ask_one, trips):
            self.predictions += 1

    def _ask_one(self, trip: Trip) -> None:
        start = trip.start.isoformat()
        inputs = {name: trip.raw[name] for name in ("pickup_zone", "dropoff_zone", "trip_distance")} | {"pickup_time": start}
        self._client.post("/predict/eta", {"inputs": inputs, "id": trip.id, "at": start})

    def _finish(self, trips: Sequence[Trip]) -> None:
        """Push the finished trips as events, and the durations of those whose record makes sense as labels."""
        if not trips:
            return
        self._client.post("/push/trips", {"rows": [_row(trip) for trip in trips]})
        self.events += len(trips)
        labels = [{"id": trip.id, "value": trip.minutes, "at": trip.end.isoformat()} for trip in trips if is_clean(trip)]
        if labels:
            self._client.post("/labels/eta", {"labels": labels})
            self.labels += len(labels)


def _take_while(trips: deque[Trip], holds: Callable[[Trip], bool]) -> list[Trip]:
    taken = []
    while trips and holds(trips[0]):
        taken.append(trips.popleft())
    return taken


def _row(trip: Trip) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in trip.raw.items()}
