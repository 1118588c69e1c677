"""Prepare the feature services that a project declares for answering online, and renew them when the environment moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotMaterialized, TidewheelError, UnknownFeature, near_miss
from tidewheel.features.definition import FeatureView, Output, ServiceDefinition, Use, view_of
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.pointed import Pointed, read_pointed
from tidewheel.serving.served_features import FeatureTable, ServedFeatures

_RETRY_SECONDS = 5.0

Numbers = dict[Digest, int]


def list_services(project: Project) -> dict[str, ServiceDefinition]:
    """Feature services by name, in the order of the graph."""
    nodes = project.graph.nodes.values()
    return {one.name: one.definition for one in nodes if isinstance(one.definition, ServiceDefinition)}


def get_service(project: Project, name: str) -> ServiceDefinition:
    """A feature service by name, with or without ``service:`` before it.

    Raises
    ------
    UnknownFeature
        With the name that is nearest.
    """
    services = list_services(project)
    found = services.get(name.removeprefix("service:"))
    if found is None:
        raise UnknownFeature(f"no feature service {name!r}", where=name, fix=near_miss(name, services))
    return found


def list_views(project: Project) -> dict[str, FeatureView]:
    """Views by name, in the order of the graph."""
    found = [view_of(one.definition) for one in project.graph.nodes.values() if isinstance(one.definition, FeatureView | type)]
    return {view.name: view for view in found}


@dataclass(slots=True)
class ServiceLoader:
    """Loads the table of services: what the environment points at, over the views that are materialised.

    Every service is of the code that it was applied from: who applies a change, promotes or rolls back has it served at once,
    and an edit that nobody applied is not served. In the environment that the project works in, what was never applied is of
    the files as they were at the start, or when the environment moved.

    Parameters
    ----------
    told
        Is told the views that are served, each time they change.
    """

    project: Project
    workspace: Workspace
    pinned: PinnedProjects
    told: Callable[[Sequence[FeatureView]], None]
    environment: str
    _version: int | None = field(init=False, default=None)
    _numbers: Numbers = field(init=False, default_factory=dict)
    _views: dict[str, FeatureView] = field(init=False, default_factory=dict)
    _pointed: Pointed = field(init=False, default_factory=Pointed)
    _retry_at: float = field(init=False, default=0.0)

    def load(self, held: FeatureTable | None) -> FeatureTable:
        """The table as it should be now; the one that is held when nothing has moved."""
        environment = self.workspace.ledger.environment(self.environment)
        version = environment.version
        numbers = OnlineViews(self.workspace.database, self.workspace.clock).list_ids()
        again = held is not None and self._retry_at > 0 and monotonic() >= self._retry_at
        if held is not None and version == self._version and numbers == self._numbers and not again:
            return held
        if self._version is not None and version != self._version and self._works_here:
            with suppress(TidewheelError):  # files in the middle of an edit: they are read when the environment moves again
                self.project = self.pinned.current()
        if version != self._version or again:
            self._pointed = read_pointed(self.workspace.ledger, environment, self.pinned)
        old, self._version, self._numbers = self._numbers, version, numbers
        return self._table(held, old, numbers)

    @property
    def _works_here(self) -> bool:
        return self.environment == self.workspace.environment

    def prepare_views(self, names: Sequence[str]) -> ServedFeatures:
        """Some views as one service, every output called ``View__feature``."""
        uses = tuple(Use(self._views[name], f"{name}__") for name in names)
        outputs = tuple(Output(output, None, f"view:{use.view.name}") for use in uses for output in use.names)
        return self._prepare(ServiceDefinition(",".join(names), uses, outputs, (), ()), self._numbers)

    def bookmarks(self, served: ServedFeatures) -> dict[str, Micros]:
        """Views of a service, and until when the rows of their sources were brought online by a materialisation."""
        views = OnlineViews(self.workspace.database, self.workspace.clock)
        marks = {view.name: views.find_bookmark(view) for view in served.service.views}
        return {name: mark.until for name, mark in marks.items() if mark is not None}

    def _table(self, held: FeatureTable | None, old: Numbers, numbers: Numbers) -> FeatureTable:
        ready: dict[str, ServedFeatures] = {}
        pointed = self._pointed
        files = self.project if self._works_here else None
        self._views = {**({} if files is None else list_views(files)), **pointed.views}
        self.told(list(self._views.values()))
        services = {**({} if files is None else list_services(files)), **pointed.services}
        lost = {node.partition(":")[2]: error for node, error in pointed.trouble.items() if node.startswith("service:")}
        trouble = {name: error for name, error in lost.items() if name not in services}
        for name, service in services.items():
            known = None if held is None else held.ready.get(name)
            versions = [view.online_version for view in service.views]
            if (
                known is not None
                and known.service is service
                # without a number: rows of other types are being written, and those that are served stand until they are
                and all(numbers.get(v, old.get(v)) == old.get(v) for v in versions)
            ):
                ready[name] = known
                continue
            try:
                ready[name] = self._prepare(service, numbers)
            except TidewheelError as error:
                trouble[name] = error
        mends = any(not isinstance(error, NotMaterialized | Invalid) for error in trouble.values())
        self._retry_at = monotonic() + _RETRY_SECONDS if mends else 0.0
        features = {name: [feature.name for feature in view.features] for name, view in self._views.items()}
        return FeatureTable(object(), ready, trouble, features)

    def _prepare(self, service: ServiceDefinition, numbers: Numbers) -> ServedFeatures:
        ws = self.workspace
        schemas = {view.source.name: ws.sources.schema(view.source) for view in service.views}
        prepared = prepare(service, store=ws.online, view_ids=numbers, schemas=schemas)
        return ServedFeatures(service, prepared, prepared.schema)
