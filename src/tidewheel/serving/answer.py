"""Answer requests: the loaded versions, the swap, and the way of a request from bytes to a logged prediction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol

from tidewheel.clock import MINUTE, Clock, Micros, format_instant
from tidewheel.errors import BodyTooLarge, FutureEvent, NotFound, TidewheelError, Unavailable, near_miss
from tidewheel.predictions import PredictionRow
from tidewheel.serving.arm import Route
from tidewheel.serving.compute import Computed, compute
from tidewheel.serving.envelope import Asked, read_request, write_answer
from tidewheel.serving.live import LiveArm, LiveDeployment, LiveTable
from tidewheel.serving.load import load_route
from tidewheel.serving.measure import Measurements
from tidewheel.serving.memory import Given, Memory, content_of
from tidewheel.serving.served import Log, OpenVersion
from tidewheel.serving.shadow import Shadows

if TYPE_CHECKING:
    from tidewheel.serving.definition import Deployment

FUTURE = Micros(5 * MINUTE)
_RETRY_LOAD_SECONDS = 5.0


class RouteSource(Protocol):
    """Where routes are read: :class:`tidewheel.serving.route.Routes`."""

    def current(self, deployment: str) -> Route:
        """The newest revision."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask.

    Parameters
    ----------
    future
        How far ``at`` may lie ahead of the clock, microseconds.
    """

    rows: int = 10_000
    future: Micros = FUTURE


class Answerer:
    """Answers for a set of deployments.

    A request takes the table of loaded versions once, at its start, and keeps it: a swap replaces the table by one assignment
    and meets no request half-way. An old version is freed when the last request that holds it has ended. A version that
    cannot be loaded changes nothing: the old ones go on, and :meth:`trouble` tells why.

    Every answer is in the log before it is returned. Nothing is logged for a request that gets an error.

    Parameters
    ----------
    log
        Must have the rows safe from a kill of this process when it returns; raises ``OSError`` when it cannot.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        *,
        routes: RouteSource,
        open_version: OpenVersion,
        log: Log,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self._deployments = {deployment.name: deployment for deployment in deployments}
        self._routes = routes
        self._open = open_version
        self._log = log
        self._clock = clock
        self._limits = limits or Limits()
        self._live: LiveTable = {}
        self._trouble: dict[str, tuple[int, float, TidewheelError]] = {}
        self._loading = Lock()
        self._memory = Memory()
        self._shadows = Shadows()
        self.measurements = Measurements()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the deployments."""
        return tuple(self._deployments)

    def ready(self) -> bool:
        """Whether every deployment has a version that answers."""
        return all(name in self._live for name in self._deployments)

    def trouble(self, deployment: str) -> TidewheelError | None:
        """Why the newest route of a deployment is not the one that answers."""
        found = self._trouble.get(deployment)
        return None if found is None else found[2]

    def refresh(self) -> None:
        """Load what the routes say now; call it at start, when a route was set, and every now and then."""
        with self._loading:
            for name, deployment in self._deployments.items():
                route = self._routes.current(name)
                live = self._live.get(name)
                if not route.arms or (live is not None and live.route.revision == route.revision):
                    continue
                failed = self._trouble.get(name)
                if failed is not None and failed[0] == route.revision and monotonic() < failed[1]:
                    continue
                try:
                    loaded = load_route(deployment, route, live=live, open_version=self._open)
                except TidewheelError as error:
                    self._trouble[name] = (route.revision, monotonic() + _RETRY_LOAD_SECONDS, error)
                    continue
                self._live = {**self._live, name: loaded}
                self._trouble.pop(name, None)
                self.measurements.routed(name, route.revision)

    def find(self, deployment: str) -> LiveDeployment:
        """The loaded deployment.

        Raises
        ------
        NotFound
            When there is none of that name.
        Unavailable
            When it has no version that answers yet.
        """
        live = self._live.get(deployment)
        if live is not None:
            return live
        if deployment not in self._deployments:
            raise NotFound(
                f"no deployment {deployment[:100]!r}", where="deployment", fix=near_miss(deployment[:100], self._deployments)
            )
        trouble = self.trouble(deployment)
        raise Unavailable(
            f"deployment {deployment!r} has no version that answers" + (f": {trouble.what}" if trouble else ""),
            where=deployment,
            fix=(trouble.fix if trouble else None) or "promote a version: tidewheel promote",
        )

    def predict(self, deployment: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Answer ``POST /predict/{deployment}``: JSON in, JSON out.

        Parameters
        ----------
        headers
            Names in lower case. ``x-tidewheel-key`` chooses the arm, like ``key`` in the body.
        """
        started = perf_counter()
        live = self.find(deployment)
        try:
            asked = read_request(body, max_rows=self._limits.rows)
            key = asked.key if asked.key is not None else (headers or {}).get("x-tidewheel-key")
            given = self.answer(live, asked, key=key, started=started)
            return write_answer(given, single=asked.single, model=given[0].model)
        except TidewheelError as error:
            self.measurements.failed(deployment, error.code, perf_counter() - started)
            raise

    def answer(
        self, live: LiveDeployment, asked: Asked, *, key: str | None, started: float, pinned: LiveArm | None = None
    ) -> list[Given]:
        """Answer rows, each on the arm of its key, or all on one that is pinned; log them; return them in order."""
        if len(asked.rows) > self._limits.rows:
            fix = f"send at most {self._limits.rows} rows at a time"
            raise BodyTooLarge(f"{len(asked.rows)} rows in one request", where="inputs", fix=fix)
        now = self._clock()
        at = [now if instant is None else self._check_future(instant, now) for instant in asked.at]
        picked = [(pinned, 0) if pinned is not None else live.pick(row, key) for row in asked.rows]
        where = ["inputs"] if asked.single else [f"inputs[{index}]" for index in range(len(asked.rows))]
        typed = [arm.reader.read(row, where=place) for (arm, _), row, place in zip(picked, asked.rows, where, strict=True)]
        batch = _Batch(live, asked.rows, typed, [arm for arm, _ in picked], at)
        given, fresh = self._claim(live.name, asked, at)
        try:
            self._answer_fresh(batch, fresh, given, started)
        finally:
            for index, (id, _) in fresh.items():
                if index not in given:
                    self._memory.release(live.name, id)
        if live.shadows:
            self._cast_shadows(batch, [place for _, place in picked], fresh)
        return [given[index] for index in range(len(at))]

    def recall(self, deployment: str, logged: Iterable[tuple[Given, object]]) -> None:
        """Be told answers of an earlier process, with their inputs, so that a retry after a restart gets the logged answer."""
        for given, inputs in logged:
            self._memory.keep(deployment, content_of(inputs), given)

    def close(self) -> None:
        """Finish the shadows that run; idempotent."""
        self._shadows.close()

    def _check_future(self, instant: Micros, now: Micros) -> Micros:
        if instant > now + self._limits.future:
            shown = format_instant(instant) if instant < 2**57 else str(instant)
            raise FutureEvent(
                f"at {shown} lies ahead of the clock ({format_instant(now)})", where="at", fix="send the time of now, or none"
            )
        return instant

    def _claim(
        self, deployment: str, asked: Asked, at: Sequence[Micros]
    ) -> tuple[dict[int, Given], dict[int, tuple[str, bytes]]]:
        given: dict[int, Given] = {}
        fresh: dict[int, tuple[str, bytes]] = {}
        try:
            for index, id in enumerate(asked.ids):
                if id is None:
                    fresh[index] = (_new_id(at[index]), b"")
                    continue
                content = content_of(asked.rows[index])
                repeated = self._memory.claim(deployment, id, content=content, at=asked.at[index])
                if repeated is None:
                    fresh[index] = (id, content)
                else:
                    given[index] = repeated
        except TidewheelError:
            for id, _ in fresh.values():
                self._memory.release(deployment, id)
            raise
        return given, fresh

    def _answer_fresh(
        self, batch: _Batch, fresh: Mapping[int, tuple[str, bytes]], given: dict[int, Given], started: float
    ) -> None:
        groups: dict[LiveArm, list[int]] = {}
        for index in fresh:
            groups.setdefault(batch.arms[index], []).append(index)
        name, rows = batch.live.name, list[PredictionRow]()
        counts: dict[tuple[str, str, str], int] = {}
        for arm, indexes in groups.items():
            computed = batch.compute(arm, indexes)
            self.measurements.spent(name, "features", computed.feature_seconds)
            self.measurements.spent(name, "model", computed.model_seconds)
            for transform, failed in computed.transform_errors.items():
                self.measurements.transform_failed(name, transform, failed)
            counts[arm.arm.model, str(arm.arm.version), arm.arm.role] = len(indexes)
            latency = int((perf_counter() - started) * 1e6)
            rows += batch.log_rows(
                arm, indexes, computed=computed, ids=[fresh[i][0] for i in indexes], when=(self._clock(), latency)
            )
        before = perf_counter()
        self._write(rows)
        self.measurements.spent(name, "log", perf_counter() - before)
        position = [index for indexes in groups.values() for index in indexes]
        for index, row in zip(position, rows, strict=True):
            assert not isinstance(row.prediction, str)
            one = Given(row.prediction_id, row.prediction, row.model, row.version, row.arm, row.at)
            given[index] = one
            if fresh[index][1]:
                self._memory.keep(name, fresh[index][1], one)
        self.measurements.predicted(name, counts, perf_counter() - started)

    def _write(self, rows: Sequence[PredictionRow]) -> None:
        if not rows:
            return
        try:
            self._log(rows)
        except OSError as error:
            raise Unavailable(
                f"the prediction log cannot be written: {error}", where="log", fix="see the disk of the workspace; then retry"
            ) from error

    def _cast_shadows(self, batch: _Batch, places: Sequence[int], fresh: Mapping[int, tuple[str, bytes]]) -> None:
        for shadow in batch.live.shadows:
            indexes = [index for index in fresh if places[index] < shadow.arm.weight]
            if not indexes:
                continue

            def cast(shadow: LiveArm = shadow, indexes: Sequence[int] = indexes) -> None:
                started = perf_counter()
                try:
                    computed = batch.compute(shadow, indexes)
                    ids = [f"{fresh[index][0]}~{shadow.arm.model}:{shadow.arm.version}" for index in indexes]
                    spent = int((perf_counter() - started) * 1e6)
                    self._write(batch.log_rows(shadow, indexes, computed=computed, ids=ids, when=(self._clock(), spent)))
                except TidewheelError as error:
                    self.measurements.failed(f"{batch.live.name}~shadow", error.code, perf_counter() - started)

            if not self._shadows.submit(cast):
                self.measurements.dropped_shadow()


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rows of one request: as sent, as read, the arm and the instant of each."""

    live: LiveDeployment
    sent: Sequence[object]
    typed: Sequence[Mapping[str, object]]
    arms: Sequence[LiveArm]
    at: Sequence[Micros]

    def compute(self, arm: LiveArm, indexes: Sequence[int]) -> Computed:
        return compute(arm, [self.typed[index] for index in indexes], [self.at[index] for index in indexes])

    def log_rows(
        self, arm: LiveArm, indexes: Sequence[int], *, computed: Computed, ids: Sequence[str], when: tuple[Micros, int]
    ) -> list[PredictionRow]:
        features = arm.served.features
        return [
            PredictionRow(
                prediction_id=id,
                deployment=self.live.name,
                model=arm.arm.model,
                version=arm.arm.version,
                arm=arm.arm.role,
                at=self.at[index],
                answered_at=when[0],
                latency_us=when[1],
                inputs=self.sent[index],  # type: ignore[arg-type]  # the reader has refused what is no object
                features=dict(zip(features, values, strict=True)),  # type: ignore[arg-type]  # scalars, by the service's types
                prediction=prediction,
            )
            for index, id, values, prediction in zip(indexes, ids, computed.features, computed.predictions, strict=True)
        ]


def _new_id(at: Micros) -> str:
    # Time first, so that ids of one log sort roughly by time and compress; then 80 random bits.
    return f"{at // 1000:011x}{os.urandom(10).hex()}"
