"""Run requests: what is quick on the event loop, the rest in threads, and too much of it not at all."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from tidewheel.errors import Overloaded, TidewheelError
from tidewheel.web.application import Application
from tidewheel.web.body import inflate
from tidewheel.web.http import Request, handle
from tidewheel.web.problem import Response, problem, protocol_problem

_INLINE_BYTES = 16_384
_INLINE_SECONDS = 0.002
_QUEUE_SECONDS = 2.0
_QUEUE_LENGTH = 256
_THREADS = 4
_COSTS = 1_000  # paths that are measured: the table must not grow with what strangers send
_QUICK = ("predict", "v2", "health", "features", "get-online-features")


class Runner:
    """Runs requests of one process.

    A request that takes well under two milliseconds runs on the event loop: a thread would cost more than it. Larger
    requests, slower models, pushes, labels and pages run in threads. When what waits for a thread would take longer than two
    seconds, by the measured time of such requests, a request is refused at once with 429.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tidewheel-http")
        self._seconds: dict[str, float] = {}
        self._waiting = 0
        self._waiting_seconds = 0.0

    def run_quick(self, request: Request) -> Response | None:
        """The answer, when it is quick to make; ``None`` when :meth:`run` should be awaited."""
        path = request.path
        kind = path[1:].partition("/")[0]
        if kind not in _QUICK or len(request.body) > _INLINE_BYTES or self._seconds.get(path, 0.0) >= _INLINE_SECONDS:
            return None
        if "content-encoding" in request.headers or path.endswith("/explain"):
            return None
        started = perf_counter()
        response = handle(self.app, request)
        self._learn(path, perf_counter() - started, response)
        return response

    async def run(self, request: Request) -> Response:
        """The answer, made in a thread, or a refusal."""
        kind = request.path[1:].partition("/")[0]
        cost = request.path if kind in _QUICK else kind
        expected = self._seconds.get(cost, 0.0 if kind in _QUICK else 0.01)
        try:
            if self._waiting >= _QUEUE_LENGTH or self._waiting_seconds > _QUEUE_SECONDS:
                self.app.answerer.measurements.shed()
                raise Overloaded(
                    f"{self._waiting} requests wait for {self._waiting_seconds:.1f} s of work",
                    where="server",
                    fix="retry in a second",
                )
        except TidewheelError as error:
            return self.refuse(error, request.path)
        self._waiting += 1
        self._waiting_seconds += expected
        try:
            loop = asyncio.get_running_loop()
            response, seconds = await loop.run_in_executor(self._threads, self._timed, request)
            if len(request.body) <= _INLINE_BYTES:
                self._learn(cost, seconds, response)
            return response
        finally:
            self._waiting -= 1
            self._waiting_seconds = max(0.0, self._waiting_seconds - expected)

    def refuse(self, error: TidewheelError, path: str) -> Response:
        """The answer to a request that nobody looks at, counted."""
        write = protocol_problem if path.startswith("/v2") else problem
        response = write(error, "body")
        self.app.answerer.measurements.answered("body", response.status)
        return response

    def close(self) -> None:
        """End the threads when their work is done; idempotent."""
        self._threads.shutdown(wait=True)

    def _timed(self, request: Request) -> tuple[Response, float]:
        started = perf_counter()
        try:
            body = inflate(request.body, request.headers, self.app.body_bytes)
        except TidewheelError as error:
            return self.refuse(error, request.path), 0.0
        if body is not request.body:
            request = Request(request.method, request.path, request.headers, body, request.query)
        response = handle(self.app, request)
        return response, perf_counter() - started

    def _learn(self, cost: str, seconds: float, response: Response) -> None:
        if response.status == 200 and (cost in self._seconds or len(self._seconds) < _COSTS):
            # Near the lower edge of what was measured: what other threads and processes take is not the model's cost.
            known = self._seconds.get(cost, seconds)
            self._seconds[cost] = known + (seconds - known) * (0.5 if seconds < known else 0.02)
