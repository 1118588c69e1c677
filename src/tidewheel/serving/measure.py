"""What serving counts: Prometheus metrics for machines, a short memory of each deployment for people."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import ValueClass

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SPAN_SECONDS = 60
_WAITING = 4_096
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """The last minute of a deployment: requests a second, and latency in milliseconds; no latency when nothing was asked.

    Parameters
    ----------
    bars
        Requests in each of the last 60 seconds, oldest first.
    """

    requests_per_second: float
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    bars: tuple[int, ...]


class Measurements:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._http = Counter("tidewheel_http_requests", "Answered HTTP requests.", ["endpoint", "status"], registry=registry)
        self._predictions = Counter(
            "tidewheel_predictions", "Logged predictions.", ["deployment", "model", "version", "arm"], registry=registry
        )
        self._errors = Counter(
            "tidewheel_prediction_errors",
            "Requests for a prediction that got an error.",
            ["deployment", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "tidewheel_prediction_seconds",
            "From the parsed request to the encoded answer.",
            ["deployment"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._phases = Histogram(
            "tidewheel_phase_seconds",
            "Parts of a prediction: features, model, log.",
            ["deployment", "phase"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._transforms = Counter(
            "tidewheel_transform_errors", "Rows on which a transform failed.", ["deployment", "transform"], registry=registry
        )
        self._revision = Gauge(
            "tidewheel_route_revision",
            "Revision of the loaded route.",
            ["deployment"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._features = Histogram(
            "tidewheel_feature_seconds",
            "Requests for features, from their bytes to those of the answer.",
            ["service"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._rows = Counter("tidewheel_feature_rows", "Answered rows of features.", ["service"], registry=registry)
        self._refused = Counter(
            "tidewheel_feature_errors", "Requests for features that got an error.", ["service", "code"], registry=registry
        )
        self._shed = Counter("tidewheel_shed_requests", "Requests refused because too much was queued.", registry=registry)
        self._shadows = Counter("tidewheel_dropped_shadows", "Shadow requests dropped under load.", registry=registry)
        self._recent: dict[str, deque[tuple[float, float, bool]]] = {}
        self._children: dict[tuple[str, ...], Counter | Histogram] = {}
        # A counter takes a microsecond and a histogram three, one answer at a time: both are told of many at once.
        # Of several workers none may keep to itself what it counted: another is asked for it, and any may be killed.
        self._most_waiting = 0 if ValueClass._multiprocess else _WAITING
        self._answers: deque[tuple[str, int]] = deque()
        self._served: deque[tuple[str, int, float]] = deque()

    def answered(self, endpoint: str, status: int) -> None:
        """Count an HTTP answer; ``endpoint`` is a pattern, never a raw path."""
        self._answers.append((endpoint, status))
        if len(self._answers) > self._most_waiting:
            self.settle()

    def settle(self) -> None:
        """Bring the metrics up to what was counted; call it every now and then, where other processes read them."""
        answers = Tally(_taken(self._answers))
        for (endpoint, status), count in answers.items():
            self._counter(self._http, endpoint, str(status)).inc(count)
        rows, spans = Tally[str](), Tally[tuple[str, int]]()
        seconds: dict[str, float] = {}
        for service, many, took in _taken(self._served):
            rows[service] += many
            seconds[service] = seconds.get(service, 0.0) + took
            spans[service, bisect_left(_BUCKETS, took)] += 1
        for service, many in rows.items():
            self._counter(self._rows, service).inc(many)
            self._histogram(self._features, service)._sum.inc(seconds[service])
        for (service, place), count in spans.items():
            self._histogram(self._features, service)._buckets[place].inc(count)

    def predicted(self, deployment: str, counts: dict[tuple[str, str, str], int], seconds: float) -> None:
        """Count a request for predictions that was answered; counts are by model, version and arm."""
        for labels, count in counts.items():
            self._counter(self._predictions, deployment, *labels).inc(count)
        self._histogram(self._seconds, deployment).observe(seconds)
        self._remember(deployment, seconds, failed=False)

    def spent(self, deployment: str, phase: str, seconds: float) -> None:
        """Observe one part of a prediction."""
        self._histogram(self._phases, deployment, phase).observe(seconds)

    def transform_failed(self, deployment: str, transform: str, rows: int) -> None:
        """Count rows on which a transform failed and gave null."""
        self._transforms.labels(deployment, transform).inc(rows)

    def failed(self, deployment: str, code: str, seconds: float) -> None:
        """Count an error of a deployment that exists."""
        self._counter(self._errors, deployment, code).inc()
        self._remember(deployment, seconds, failed=True)

    def served(self, service: str, rows: int, seconds: float) -> None:
        """Count a request for features that was answered."""
        self._served.append((service, rows, seconds))
        if len(self._served) > self._most_waiting:
            self.settle()

    def refused(self, service: str, code: str) -> None:
        """Count an error of a feature service that exists."""
        self._counter(self._refused, service, code).inc()

    def routed(self, deployment: str, revision: int) -> None:
        """Note the revision that answers now."""
        self._revision.labels(deployment).set(revision)

    def shed(self) -> None:
        """Count a request that was refused for load."""
        self._shed.inc()

    def dropped_shadow(self) -> None:
        """Count a shadow request that was dropped."""
        self._shadows.inc()

    def pace(self, deployment: str) -> Pace:
        """The last minute of a deployment."""
        now = monotonic()
        kept = [entry for entry in tuple(self._recent.get(deployment, ())) if entry[0] > now - SPAN_SECONDS]
        bars = [0] * SPAN_SECONDS
        for at, _, _ in kept:
            bars[min(SPAN_SECONDS - 1, int(at - (now - SPAN_SECONDS)))] += 1
        times = sorted(seconds * 1000 for _, seconds, failed in kept if not failed)
        errors = sum(failed for *_, failed in kept)
        covered = SPAN_SECONDS if not kept or len(kept) < _KEPT else max(1.0, now - kept[0][0])

        def quantile(q: float) -> float | None:
            return times[min(len(times) - 1, int(q * len(times)))] if times else None

        return Pace(
            len(kept) / covered, errors / len(kept) if kept else 0.0, quantile(0.5), quantile(0.95), quantile(0.99), tuple(bars)
        )

    def watch(self, collector: Collector) -> None:
        """Show what something else of this process counts, too."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format; where several workers serve one port, what all of them counted."""
        self.settle()
        if not ValueClass._multiprocess:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
        return generate_latest(everyone)

    def _remember(self, deployment: str, seconds: float, *, failed: bool) -> None:
        recent = self._recent.get(deployment)
        if recent is None:
            recent = self._recent.setdefault(deployment, deque(maxlen=_KEPT))
        recent.append((monotonic(), seconds, failed))

    def _counter(self, metric: Counter, *labels: str) -> Counter:
        child = self._children.get((metric._name, *labels))
        if child is None:
            child = self._children[metric._name, *labels] = metric.labels(*labels)
        assert isinstance(child, Counter)
        return child

    def _histogram(self, metric: Histogram, *labels: str) -> Histogram:
        child = self._children.get((metric._name, *labels))
        if child is None:
            child = self._children[metric._name, *labels] = metric.labels(*labels)
        assert isinstance(child, Histogram)
        return child


def _taken(waiting: deque[T]) -> Iterator[T]:
    """What waits in a queue that others append to, until it is empty."""
    with suppress(IndexError):
        while True:
            yield waiting.popleft()


_KEPT = 20_000
