"""Consume the streams that a project's sources name: what ``tidewheel consume`` and ``tidewheel dev`` run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotFound, TidewheelError, near_miss
from tidewheel.features.consume import Consumer
from tidewheel.features.definition import FeatureView, view_of
from tidewheel.features.push import Pusher
from tidewheel.features.take_again import Place, TakenAgain, take_again
from tidewheel.ports.event_stream import EventStreamOpener
from tidewheel.project.backend import load_backend, technology
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.pointed import list_needed
from tidewheel.sources.definition import Source
from tidewheel.sources.push_log import PushLog
from tidewheel.sources.quarantine import Quarantine
from tidewheel.url import resolve

_LAG_SECONDS = 5.0
_VIEWS_SECONDS = 30.0
_LEAST_WAIT, _MOST_WAIT = 0.2, 10.0


def list_streams(project: Project, workspace: Workspace) -> dict[str, str]:
    """URL of each source's stream: what ``tidewheel.toml`` says for the workspace, else what the source says."""
    found = {}
    for declaration in project.graph.nodes.values():
        source = declaration.definition
        if isinstance(source, Source):
            url = workspace.configuration.streams.get(source.name, source.stream)
            if url is not None:
                found[source.name] = resolve(url, os.environ, f"the stream of {source.name}")
    return found


def open_consumers(project: Project, workspace: Workspace, names: Sequence[str] = ()) -> dict[str, Consumer]:
    """A consumer for each source; for all that have a stream when none is named.

    Raises
    ------
    NotFound
        When the project declares no such source.
    Invalid
        When a source has no stream, or no ``event_id``.
    """
    sources = {d.name: d.definition for d in project.graph.nodes.values() if isinstance(d.definition, Source)}
    streams = list_streams(project, workspace)
    for name in names:
        if name not in sources:
            raise NotFound(f"the project declares no source {name!r}", where=name, fix=near_miss(name, sources))
        if name not in streams:
            fix = f'give it stream="redis://host/0/{name}", or a line under [workspace.{workspace.configuration.name}.streams]'
            raise Invalid(f"source {name} has no stream", where=sources[name].where, fix=fix)
    opened: dict[str, Consumer] = {}
    try:
        for name in names or sorted(streams):
            opened[name] = _open(project, workspace, sources[name], streams[name])
    except BaseException:
        for consumer in opened.values():
            consumer.close()
        raise
    return opened


def _open(project: Project, workspace: Workspace, source: Source, url: str) -> Consumer:
    if source.event_id is None:
        fix = "name the column that identifies an event: event_id="
        raise Invalid(f"source {source.name} has a stream and no event_id", where=source.where, fix=fix)
    workspace.sources.schema(source)  # a source that cannot be read is no fault of the events
    feed = _Feed(project, workspace, source)
    opener = cast("EventStreamOpener", load_backend("event_stream", technology(url)))
    parts = urlsplit(url)
    return Consumer(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
        opener(url),
        push=feed.push,
        quarantine=quarantine(workspace, source.name),
        clock=workspace.clock,
        probe=lambda: workspace.online.read([b"\0"]),
        finish=feed.close,
    )


def quarantine(workspace: Workspace, source: str) -> Quarantine:
    """Events of a source's stream that were refused."""
    return Quarantine(workspace.home / "quarantine" / source)


def rows_aside(project: Project, workspace: Workspace, names: Sequence[str] = ()) -> dict[str, pa.Table]:
    """Rows of sources that rules put aside, with the rules that each fails in a column ``__reason``, by source and by view.

    A view's own rules put rows aside for it alone; those that its source puts aside are told of the source.

    Raises
    ------
    NotFound
        When the project declares no such source.
    """
    nodes = project.graph.nodes.values()
    sources = {d.name: d.definition for d in nodes if isinstance(d.definition, Source)}
    for name in names:
        if name not in sources:
            raise NotFound(f"the project declares no source {name!r}", where=name, fix=near_miss(name, sources))
    views = [view_of(d.definition) for d in nodes if isinstance(d.definition, FeatureView | type)]
    asked = {name: source for name, source in sources.items() if not names or name in names}
    asked |= {
        f"view:{view.name}": view.source
        for view in views
        if view.source.name in asked and view.source.quarantine != asked[view.source.name].quarantine
    }
    found = {}
    for name, source in asked.items():
        verdict = workspace.sources.verdict(source) if source.quarantine else None
        if verdict is not None and verdict.kept is not None:
            found[name] = pq.read_table(str(verdict.kept))
    return found


def take_quarantined(
    project: Project, workspace: Workspace, name: str, *, mended: Mapping[Place, bytes | None] | None = None
) -> TakenAgain:
    """Push what is in a source's quarantine again, all of it or what was mended (:func:`tidewheel.features.take_again`).

    Raises
    ------
    NotFound
        When the project declares no such source, or a mended event is not in quarantine.
    """
    sources = {d.name: d.definition for d in project.graph.nodes.values() if isinstance(d.definition, Source)}
    if name not in sources:
        raise NotFound(f"the project declares no source {name!r}", where=name, fix=near_miss(name, sources))
    feed, held = _Feed(project, workspace, sources[name]), quarantine(workspace, name)
    try:
        return take_again(held, push=feed.push, clock=workspace.clock, mended=mended)
    finally:
        held.close()
        feed.close()


@dataclass(slots=True)
class _Feed:
    """Pushes to every view of a source that is declared, or that a routed model version was trained on."""

    project: Project
    workspace: Workspace
    source: Source
    _log: PushLog = field(init=False)
    _pinned: PinnedProjects | None = field(init=False, default=None)
    _pusher: Pusher | None = field(init=False, default=None)
    _known: frozenset[Digest] = field(init=False, default=frozenset())
    _looked_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        # On the disk before the position is committed: the stream will not send it again.
        self._log = PushLog(self.workspace.home / "pushes" / self.source.name, sync_seconds=0)

    def push(self, rows: Sequence[Mapping[str, object]]) -> None:
        if self._pusher is None or time.monotonic() - self._looked_at > _VIEWS_SECONDS:
            views = self._views()
            if self._pusher is None or frozenset(views) != self._known:
                ws, fed = self.workspace, list(views.values())
                allowance = Micros(ws.future_allowance)
                self._pusher = Pusher(ws.sources, self._log, ws.online, fed, ws.database, ws.clock, allowance)
            self._known, self._looked_at = frozenset(views), time.monotonic()
        self._pusher.push(self.source, rows)

    def close(self) -> None:
        self._log.close()

    def _views(self) -> dict[Digest, FeatureView]:
        declared = [d.definition for d in self.project.graph.nodes.values() if isinstance(d.definition, FeatureView | type)]
        found = [view_of(one) for one in declared]
        for deployment in self.workspace.routes.list_deployments():
            for arm in self.workspace.routes.current(deployment).arms:
                if self._pinned is None:
                    self._pinned = PinnedProjects(self.project, self.workspace)
                found += self._pinned.service(self.workspace.registry.get(f"{arm.model}:{arm.version}")).views
        if any(name != self.workspace.environment for name in self.workspace.ledger.list_environments()):
            self._pinned = self._pinned or PinnedProjects(self.project, self.workspace)
            found += [view for views in list_needed(self.workspace, self._pinned).values() for view in views]
        return {view.version: view for view in found if view.source.name == self.source.name}


def drain(consumers: Mapping[str, Consumer], *, patience_seconds: float = 60.0) -> None:
    """Consume until everything is committed.

    Parameters
    ----------
    patience_seconds
        For so long wait for events that another consumer of the group holds, which may be dead; then leave them to it.

    Raises
    ------
    TidewheelError
        When a stream or the store cannot be used.
    """
    for consumer in consumers.values():
        until = time.monotonic() + patience_seconds
        while consumer.measure() and time.monotonic() < until:
            while consumer.step(seconds=0.5):
                until = time.monotonic() + patience_seconds


def consume(consumers: Mapping[str, Consumer], stop: threading.Event, tell: Callable[[str], None]) -> list[threading.Thread]:
    """Start to consume, each stream in a thread of its own, until ``stop`` is set; trouble is told, and waited for."""
    threads = []
    for name, consumer in consumers.items():
        thread = threading.Thread(target=_follow, args=(consumer, stop, partial(_say, tell, name)), name=f"consume-{name}")
        thread.daemon = True
        thread.start()
        threads.append(thread)
    return threads


def _say(tell: Callable[[str], None], name: str, text: str) -> None:
    tell(f"{name}: {text}")


def _follow(consumer: Consumer, stop: threading.Event, tell: Callable[[str], None]) -> None:
    state = consumer.state
    wait, measured, refused = _LEAST_WAIT, 0.0, 0
    try:
        while not stop.is_set():
            try:
                consumer.step(seconds=0.5)
                if time.monotonic() - measured > _LAG_SECONDS:
                    consumer.measure()
                    measured = time.monotonic()
            except TidewheelError as error:
                if state.trouble is None:
                    tell(str(error))
                state.trouble = str(error)
                stop.wait(wait)
                wait = min(2 * wait, _MOST_WAIT)
                continue
            if state.trouble is not None:
                tell("goes on")
            state.trouble, wait = None, _LEAST_WAIT
            if state.refused > refused:
                tell(f"{state.refused - refused} events went into quarantine")
                refused = state.refused
    finally:
        consumer.close()


class StreamMetrics(Collector):
    """What consumers have done and how far they are behind, for Prometheus.

    Examples
    --------
    >>> [family.name for family in StreamMetrics({}).collect()]
    ['tidewheel_stream_events', 'tidewheel_stream_quarantined', 'tidewheel_stream_lag', 'tidewheel_stream_up']
    """

    def __init__(self, consumers: Mapping[str, Consumer]) -> None:
        self._consumers = consumers

    def collect(self) -> Iterator[Metric]:
        """Four families, with a sample for each source."""
        taken = CounterMetricFamily("tidewheel_stream_events", "Events of a stream that were pushed.", labels=["source"])
        refused = CounterMetricFamily(
            "tidewheel_stream_quarantined", "Events of a stream that went into quarantine.", labels=["source"]
        )
        lag = GaugeMetricFamily("tidewheel_stream_lag", "Events of a stream that are not committed yet.", labels=["source"])
        up = GaugeMetricFamily("tidewheel_stream_up", "Whether a stream is being consumed without trouble.", labels=["source"])
        for name, consumer in self._consumers.items():
            state = consumer.state
            taken.add_metric([name], state.taken)
            refused.add_metric([name], state.refused)
            up.add_metric([name], float(state.trouble is None))
            if state.lag is not None:
                lag.add_metric([name], state.lag)
        yield from (taken, refused, lag, up)
