"""Tell a receiver of OpenLineage what is built from what. It may be slow or gone: work neither waits for it nor fails."""

from __future__ import annotations

import os
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from tidewheel.clock import Clock
from tidewheel.datasets.definition import TrainingSet
from tidewheel.digest import Digest
from tidewheel.features.columns import feature_type
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.view import FeatureView
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.ports.lineage_sink import DatasetFacts, EventKind, LineageEvent, LineageSink, LineageSinkOpener
from tidewheel.project.backend import load_backend
from tidewheel.project.open import Workspace
from tidewheel.project.progress import Progress
from tidewheel.sources.definition import Source
from tidewheel.url import resolve, without_password

Made = dict[str, tuple[tuple[str, str], ...]]
"""Of each column the columns, with their data sets, that it is made from."""

WAITING = 1_000
"""Events that may wait; what is more is dropped, and said at the end."""
_LAST_SECONDS = 3.0
_PATIENCE = 3  # failures one after the other, after which the rest is not tried any more
_TOLD = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")


class LineageEmitter:
    """Sends events from a thread of its own.

    Parameters
    ----------
    open_sink
        Called in the thread.
    """

    def __init__(self, open_sink: Callable[[], LineageSink]) -> None:
        self._open = open_sink
        self._waiting: queue.Queue[LineageEvent | None] = queue.Queue(WAITING)
        self._sent = self._asked = self._failures = 0
        self._why = ""
        self._thread = threading.Thread(target=self._work, name="tidewheel-lineage", daemon=True)
        self._thread.start()

    def emit(self, event: LineageEvent) -> None:
        """Let an event be sent; returns at once."""
        self._asked += 1
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._why = self._why or "the receiver is slow"

    def close(self) -> str:
        """Wait a moment for the last events; answers what to say to a person, if some were not sent."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._why = self._why or "the receiver is slow"
        self._thread.join(_LAST_SECONDS)
        missing = self._asked - self._sent
        if not missing:
            return ""
        return f"lineage: {missing} of {self._asked} events were not delivered: {self._why or 'the receiver is slow'}"

    def _work(self) -> None:
        try:
            sink = self._open()
        except Exception as error:  # noqa: BLE001 - whatever the client does not like: it is said at the end
            self._why = _first_line(error)
            return
        while (event := self._waiting.get()) is not None:
            if self._failures >= _PATIENCE:
                continue
            try:
                sink.emit(event)
            except Exception as error:  # noqa: BLE001 - whatever the client raises: the event was not taken, and work goes on
                self._failures += 1
                self._why = _first_line(error)
            else:
                self._sent += 1
                self._failures = 0
        sink.close()


@contextmanager
def lineage(workspace: Workspace, progress: Progress) -> Iterator[Lineage | None]:
    """What tells of the work in the block, if somebody wants to be told: as ``[lineage]`` or OpenLineage's variables say."""
    settings, variables = workspace.lineage, os.environ
    told = settings.url is not None or any(name in _TOLD or name.startswith("OPENLINEAGE__TRANSPORT") for name in variables)
    if not told or variables.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        yield None
        return

    def open_sink() -> LineageSink:
        opener = cast("LineageSinkOpener", load_backend("lineage_sink", "openlineage"))
        where = "tidewheel.toml [lineage]"
        url = None if settings.url is None else resolve(settings.url, variables, where)
        return opener(url, api_key=None if settings.api_key is None else resolve(settings.api_key, variables, where))

    emitter = LineageEmitter(open_sink)
    namespace = settings.namespace or variables.get("OPENLINEAGE_NAMESPACE") or settings.project
    try:
        yield Lineage(emitter, namespace, workspace.clock)
    finally:
        missing = emitter.close()
        if missing:
            progress.note(missing)


class Lineage:
    """Tells of jobs and their data."""

    def __init__(self, emitter: LineageEmitter, namespace: str, clock: Clock) -> None:
        self._emitter = emitter
        self._namespace = namespace
        self._clock = clock

    @contextmanager
    def job(
        self, name: str, kind: str, *, run: str = "", parent: Job | None = None, inputs: tuple[DatasetFacts, ...] = ()
    ) -> Iterator[Job]:
        """A run of a job: it starts with the block, and has failed or was stopped when the block raises."""
        made = Job(name, kind, run or str(uuid.uuid4()), parent)
        made.inputs.extend(inputs)
        self._tell("START", made)
        try:
            yield made
        except Exception as error:
            self._tell("FAIL", made, error=f"{type(error).__name__}: {error}")
            raise
        except BaseException as error:
            self._tell("ABORT", made, error=type(error).__name__)
            raise
        self._tell("COMPLETE", made)

    def _tell(self, kind: EventKind, job: Job, *, error: str = "") -> None:
        above = job.parent
        self._emitter.emit(
            LineageEvent(
                kind,
                self._clock(),
                job.run,
                job.name,
                self._namespace,
                job.kind,
                parent_run=above.run if above is not None else "",
                parent_job=above.name if above is not None else "",
                inputs=tuple(job.inputs),
                outputs=tuple(job.outputs),
                error=error,
            )
        )


class Job:
    """A run of a job; what it reads and writes is added as it is known."""

    def __init__(self, name: str, kind: str, run: str, parent: Job | None) -> None:
        self.name, self.kind, self.run, self.parent = name, kind, run, parent
        self.inputs: list[DatasetFacts] = []
        self.outputs: list[DatasetFacts] = []


def dataset_of(declaration: Declaration, workspace: Workspace, version: Digest | None = None) -> DatasetFacts:
    """A node as a dataset: its columns, and what they are made from where that is declared."""
    definition = declaration.definition
    columns: dict[str, str] = {}
    made: Made = {}
    uri = ""
    if isinstance(definition, Source):
        columns = {one.name: one.type.value for one in workspace.sources.schema(definition)}
        data = definition.data
        uri = data if isinstance(data, str) else str(getattr(data, "url", ""))
    elif isinstance(definition, FeatureView):
        columns, made = _view(definition, workspace)
    elif isinstance(definition, ServiceDefinition):
        columns, made = _service(definition)
    elif isinstance(definition, TrainingSet):
        columns, made = _training_set(definition)
    return DatasetFacts(
        str(declaration.id),
        columns=tuple(columns.items()),
        made_from=made,
        uri=without_password(uri),
        version=str(version or ""),
    )


def _view(view: FeatureView, workspace: Workspace) -> tuple[dict[str, str], Made]:
    source, schema = str(node_id("source", view.source.name)), workspace.sources.schema(view.source)
    columns = {key.name: key.type.value for key in view.keys}
    made: Made = {key.name: ((source, key.name),) for key in view.keys if key.name in schema.names}
    for feature in view.features:
        columns[feature.name] = feature_type(feature, schema).value
        parts = feature.inputs if feature.kind == "window" else (feature,)
        taken = [(source, part.column) for part in parts if part.column is not None]
        if taken:
            made[feature.name] = tuple(dict.fromkeys(taken))
    return columns, made


def _service(service: ServiceDefinition) -> tuple[dict[str, str], Made]:
    columns = {one.name: "" if one.type is None else one.type.value for one in service.outputs}
    made: Made = {}
    for one in service.uses:
        view = str(node_id("view", one.view.name))
        made |= {name: ((view, feature.name),) for name, feature in zip(one.names, one.view.features, strict=True)}
    for transform in service.transforms:
        taken = [pair for given in transform.inputs for pair in made.get(given.name, ())]
        if taken:
            made[transform.name] = tuple(dict.fromkeys(taken))
    return columns, {name: pairs for name, pairs in made.items() if name in columns}


def _training_set(data: TrainingSet) -> tuple[dict[str, str], Made]:
    service = str(node_id("service", data.features.name))
    columns = dict.fromkeys([*data.features.names, data.label], "")
    made: Made = {name: ((service, name),) for name in data.features.names}
    return columns, made | {data.label: ((str(node_id("source", data.spine.source.name)), data.label),)}


def upstream_of(
    declaration: Declaration, nodes: Mapping[NodeId, Declaration], workspace: Workspace
) -> tuple[DatasetFacts, ...]:
    """What a node is built from."""
    return tuple(dataset_of(nodes[each], workspace) for each in declaration.upstream if each in nodes)


def _first_line(error: BaseException) -> str:
    return without_password(f"{type(error).__name__}: {error}".partition("\n")[0])[:300]
