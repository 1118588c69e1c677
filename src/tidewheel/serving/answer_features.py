"""Answer requests for features: the loaded services, their renewal, and the way of a request from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from time import perf_counter

from tidewheel.clock import MINUTE, Clock, Micros, format_instant
from tidewheel.errors import FutureEvent, TidewheelError
from tidewheel.serving.feature_request import AskedFeatures, FeatureInputs, read_feature_request
from tidewheel.serving.feature_response import shorten, write_features
from tidewheel.serving.measure import Measurements
from tidewheel.serving.served_features import FeatureTable, FeatureValues, ServedFeatures
from tidewheel.serving.shared_response import open_rows

FUTURE = Micros(5 * MINUTE)
_KEPT = 256

LoadTable = Callable[[FeatureTable | None], FeatureTable]
"""What is declared and materialised now; the table that is handed in when nothing has moved."""

PrepareViews = Callable[[Sequence[str]], ServedFeatures]
"""Some views as one service without a name; each output is called ``View__feature``."""


Bookmarks = Callable[[ServedFeatures], Mapping[str, Micros]]
"""Views of a service, and until when their sources' rows were brought online."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A service with what checks its inputs."""

    served: ServedFeatures
    inputs: FeatureInputs


class FeatureAnswerer:
    """Answers of feature services.

    A request takes the table of services once, at its start; a renewal replaces the table by one assignment. A service that
    cannot be prepared keeps nobody else from answering: it says why when it is asked.

    Parameters
    ----------
    bookmarks
        Views of a service, and until when the rows of their sources were brought online by a materialisation.
    prepare_views
        For requests that list features of views instead of naming a service.
    future
        How far ``at`` may lie ahead of the clock, microseconds.
    """

    def __init__(
        self,
        load: LoadTable,
        *,
        prepare_views: PrepareViews,
        bookmarks: Bookmarks,
        clock: Clock,
        measurements: Measurements,
        max_rows: int = 10_000,
        future: Micros = FUTURE,
    ) -> None:
        self._load = load
        self._prepare_views = prepare_views
        self.bookmarks = bookmarks
        self._clock = clock
        self._measurements = measurements
        self._max_rows = max_rows
        self._future = future
        self._loading = Lock()
        self._table = FeatureTable(None, {})
        self._made: tuple[FeatureTable, dict[str | tuple[str, ...], Ready]] = (self._table, {})

    @property
    def max_rows(self) -> int:
        """Most rows of one request."""
        return self._max_rows

    @property
    def table(self) -> FeatureTable:
        """What answers now."""
        return self._table

    def refresh(self) -> None:
        """Load what is declared and materialised now; call it at start, and every now and then."""
        with self._loading:
            held = self._table
            table = self._load(held if held.revision is not None else None)
            if table is not held:
                self._table = table

    def find(self, service: str) -> Ready:
        """A service, ready to answer; see :meth:`FeatureTable.find`."""
        table, made = self._current()
        found = made.get(service)
        if found is None:
            served = table.find(service)
            found = made[service] = Ready(served, FeatureInputs(served.inputs, served.keys))
        return found

    def find_features(self, features: Sequence[str]) -> tuple[Ready, list[int]]:
        """Features named ``View:feature``: their views, ready to answer, and the place of each feature.

        Raises
        ------
        UnknownFeature, NotMaterialized
        """
        table, made = self._current()
        split = table.split(features)
        views = tuple(sorted({view for view, _ in split}))
        found = made.get(views)
        if found is None:
            if len(made) > _KEPT + len(table.ready):  # what strangers ask for must not grow without end
                self._made = (table, {})
            served = self._prepare_views(views)
            found = made[views] = Ready(served, FeatureInputs(served.inputs, served.keys))
        return found, found.served.places([f"{view}__{feature}" for view, feature in split])

    def answer(self, service: str, body: bytes, *, query: Mapping[str, str] | None = None) -> bytes:
        """Answer ``POST /features/{service}``: JSON in, JSON out."""
        started = perf_counter()
        ready = self.find(service)
        asked = read_feature_request(body, query=query or {}, max_rows=self._max_rows)
        written = self._write(ready, asked)
        if written is not None:
            self._measurements.served(service, asked.count, perf_counter() - started)
            return written
        names: Sequence[str] = ready.served.names
        places = None
        if asked.features is not None:
            places, names = ready.served.places(asked.features), asked.features
        answer, at = self.compute(ready, asked)
        told = self.bookmarks(ready.served) if "lag" in asked.include else None
        written = write_features(
            service,
            names,
            answer=shorten(answer, ready.served.narrow),
            at=at,
            include=asked.include,
            columnar=asked.rows is None,
            places=places,
            materialized=told,
        )
        self._measurements.served(service, len(at), perf_counter() - started)
        return written

    def _write(self, ready: Ready, asked: AskedFeatures) -> bytes | None:
        """The answer without making its values, where nothing about the request is out of the ordinary."""
        include, served = asked.include, ready.served
        if not asked.rows or asked.features is not None or "lag" in include:
            return None
        at = self.instants(asked)
        rows = ready.inputs.rows_to_look_up(asked)
        opening = open_rows(served.service.name, served.names, at)
        parts = ("statuses" in include, "event_times" in include)
        return served.reader.write(rows, at=at, parts=parts, ends=(opening, b"}"))

    def compute(
        self, ready: Ready, asked: AskedFeatures, columns: Mapping[str, Sequence[object]] | None = None
    ) -> tuple[FeatureValues, Sequence[Micros]]:
        """Look the features of a request up; answer them and the instant of each row.

        Parameters
        ----------
        columns
            The inputs, when they are checked already.
        """
        at = self.instants(asked)
        rows = ready.inputs.rows(asked) if columns is None else ready.inputs.turned(columns, asked.count)
        answer = ready.served.reader.answer(rows, at=at)
        for transform, failed in answer.transform_errors.items():
            self._measurements.transform_failed(ready.served.service.name, transform, failed)
        return answer, at

    def failed(self, service: str, error: TidewheelError) -> None:
        """Count an error of a service that exists."""
        if service in self._table.ready or service in self._table.trouble:
            self._measurements.refused(service, error.code)

    def _current(self) -> tuple[FeatureTable, dict[str | tuple[str, ...], Ready]]:
        table, made = self._made
        if table is not self._table:
            table, made = self._made = (self._table, {})
        return table, made

    def instants(self, asked: AskedFeatures) -> Sequence[Micros]:
        """The instant of each row: as asked, now where nothing is asked.

        Raises
        ------
        FutureEvent
            When one lies ahead of the clock.
        """
        now, at = self._clock(), asked.at
        if at is None:
            return [now] * asked.count
        if isinstance(at, int):
            return [self._check(at, now)] * asked.count
        return [now if one is None else self._check(one, now) for one in at]

    def _check(self, at: Micros, now: Micros) -> Micros:
        if at > now + self._future:
            raise FutureEvent(
                f"at {format_instant(at)} lies ahead of the clock ({format_instant(now)})",
                where="at",
                fix="send the time of now, or none",
            )
        return at
