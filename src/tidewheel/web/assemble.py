"""Assemble the application that a server serves from a project and its workspace."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from tidewheel.clock import Micros
from tidewheel.errors import NotFound, TidewheelError, Unavailable, near_miss
from tidewheel.features.definition import FeatureView
from tidewheel.features.push import Pusher
from tidewheel.ledger.environment import is_node
from tidewheel.predictions import Label
from tidewheel.predictions.row import PredictionRow
from tidewheel.project.catch_up import catch_up, catch_up_with_the_dead
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.pointed import PointedRoutes, check_environment, list_needed, read_pointed
from tidewheel.project.prepare import open_version
from tidewheel.project.prepare_services import ServiceLoader, list_services, list_views
from tidewheel.serving.answer import Answerer
from tidewheel.serving.answer_features import FeatureAnswerer
from tidewheel.serving.definition import Deployment
from tidewheel.serving.recall import recall
from tidewheel.serving.served import ServedModel
from tidewheel.sources.definition import Source
from tidewheel.web.application import AlertLine, Application, EnvironmentLine, ModelLine, Overview, RunLine

COMPACT_SECONDS = 300.0


_MOST_ASIDE = 100
"""Rows in quarantine that the receipt of a push names; the others are counted."""


def assemble(
    project: Project,
    workspace: Workspace,
    names: Sequence[str],
    *,
    features_only: bool = False,
    environment: str | None = None,
) -> Application:
    """The application for some deployments; for all when none is named. Every feature service is served.

    What is served is what the environment points at, and it follows when that moves; in the environment that the project works
    in, routes say who answers.

    Parameters
    ----------
    environment
        Default: the one that the project works in, which need not have been applied yet.
    names
        Deployments; or feature services, which load no model: then only the deployments that are named beside them.
    features_only
        Load no model at all.

    Raises
    ------
    NotFound
        When there is no such environment, the project declares no such name, or neither a deployment nor a service.
    """
    here = environment or workspace.environment
    pinned = PinnedProjects(project, workspace)
    declared, services = _declared(project, workspace, pinned, here)
    deployments = [] if features_only else _deployments(declared, services, names, where=here)
    pushes = _Pushes(project, workspace)

    def open_(model: str, version: int) -> ServedModel:
        served, views = open_version(workspace, pinned, model=model, version=version)
        pushes.serve(views)
        return served

    def log(rows: Sequence[PredictionRow]) -> None:
        by_deployment: dict[str, list[PredictionRow]] = {}
        for row in rows:
            by_deployment.setdefault(row.deployment, []).append(row)
        for name, held in by_deployment.items():
            workspace.prediction_log(name).append(held)

    def label(deployment: str, labels: Sequence[Label]) -> int:
        return workspace.label_log(deployment).add(labels)

    def explain_(service: str, asked: Mapping[str, object], at: Micros) -> Mapping[str, object]:
        from tidewheel.project.explain import explain  # for people who look: it brings what makes training sets

        return explain(workspace, features.find(service).served.service, asked, at=at).to_json()

    routes = workspace.routes if here == workspace.environment else PointedRoutes(workspace, here)
    answerer = Answerer(deployments, routes=routes, open_version=open_, log=log, clock=workspace.clock)
    with contextlib.suppress(TidewheelError):  # of code that is lost, which is said where it is served
        for views in list_needed(workspace, pinned).values():
            pushes.serve(views)
    pushes.catch_up_with_the_dead()
    loader = ServiceLoader(project, workspace, pinned, pushes.serve, here)
    features = FeatureAnswerer(
        loader.load,
        prepare_views=loader.prepare_views,
        bookmarks=loader.bookmarks,
        clock=workspace.clock,
        measurements=answerer.measurements,
    )
    for deployment in deployments:
        kept = workspace.prediction_log(deployment.name)
        answerer.recall(deployment.name, recall(kept, workspace.clock))
        kept.start_compaction(COMPACT_SECONDS)
        workspace.label_log(deployment.name).start_compaction(COMPACT_SECONDS)
    return Application(
        project=project.configuration.project,
        answerer=answerer,
        features=features,
        push=pushes.push,
        label=label,
        overview=lambda: overview(project, workspace),
        explain=explain_,
        start=_starter(project, workspace),
        clock=workspace.clock,
    )


def _starter(project: Project, workspace: Workspace) -> Callable[[str, str, str], Mapping[str, object]]:
    """What starts a trigger: it brings all that runs steps and models, now where there is a trigger, otherwise when asked."""

    def start(name: str, secret: str, reason: str) -> Mapping[str, object]:
        from tidewheel.project.attend import trigger_by_secret

        return trigger_by_secret(project, workspace, name, secret=secret, reason=reason)

    if any(declaration.kind == "trigger" for declaration in project.graph.nodes.values()):
        import tidewheel.project.attend  # noqa: F401  # so that nobody waits for it

    return start


def _declared(
    project: Project, workspace: Workspace, pinned: PinnedProjects, environment: str
) -> tuple[dict[str, Deployment], set[str]]:
    """The deployments and the names of the services of an environment."""
    if environment != workspace.environment:
        pointed = read_pointed(workspace.ledger, check_environment(workspace, environment), pinned)
        return dict(pointed.deployments), set(pointed.services)
    declared = {}
    for declaration in project.graph.nodes.values():
        if isinstance(declaration.definition, Deployment):
            declared[declaration.name] = declaration.definition
    return declared, set(list_services(project))


def _deployments(
    declared: Mapping[str, Deployment], services: Collection[str], names: Sequence[str], *, where: str
) -> list[Deployment]:
    for name in names:
        if name not in declared and name not in services:
            fix = near_miss(name, [*declared, *services])
            raise NotFound(f"{where} has no deployment or feature service {name!r}", where=name, fix=fix)
    if not declared and not services:
        raise NotFound(
            f"{where} has neither a deployment nor a feature service",
            where=where,
            fix='add tw.service("name", VIEW), or tw.deployment("name", model=...)',
        )
    return [declared[name] for name in names if name in declared] if names else list(declared.values())


class _Pushes:
    """Where pushed rows go: to every view of their source that is declared now or that a loaded version was trained on."""

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self._workspace = workspace
        self._sources: dict[str, Source] = {}
        self._views: dict[str, FeatureView] = {}
        self._pushers: Mapping[str, Pusher] = {}
        self._behind: set[str] = set()
        for declaration in project.graph.nodes.values():
            if isinstance(declaration.definition, Source):
                self._sources[declaration.name] = declaration.definition
        self.serve(list(list_views(project).values()))

    def serve(self, views: Sequence[FeatureView]) -> None:
        self._views.update({view.version: view for view in views})
        self._sources.update({view.source.name: view.source for view in views if view.source.name not in self._sources})
        made = {}
        for name in self._sources:
            fed = [view for view in self._views.values() if view.source.name == name]
            ws = self._workspace
            allowance = Micros(ws.future_allowance)
            made[name] = Pusher(ws.sources, ws.push_log(name), ws.online, fed, ws.database, ws.clock, allowance)
        self._pushers = made

    def catch_up_with_the_dead(self) -> None:
        catch_up_with_the_dead(self._workspace, self._views.values())

    def push(self, source: str, rows: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
        pusher = self._pushers.get(source)
        if pusher is None:
            raise NotFound(f"no source {source!r}", where=source, fix=near_miss(source, self._sources))
        try:
            receipt = pusher.push(self._sources[source], rows)
        except Unavailable:  # its rows may be kept, and not online
            self._behind.add(source)
            raise
        if source in self._behind and catch_up(self._workspace, pusher.views):
            self._behind.discard(source)
        told = {
            "accepted": receipt.accepted,
            "applied": receipt.applied,
            "late": {view: rows for view, rows in receipt.late.items() if rows},
            "quarantined": receipt.quarantined,
        }
        aside = [{"row": one.row, "rules": one.rules} for one in receipt.aside[:_MOST_ASIDE]]
        return told | {"aside": aside} if aside else told


def overview(project: Project, workspace: Workspace) -> Overview:
    """What the status page shows beside the deployments."""
    alerts = [
        AlertLine(a.monitor, a.kind, a.state, a.opened_at, ", ".join(check.column for check in a.checks[:3]))
        for a in workspace.monitors.list_alerts(limit=20)
    ]
    runs = []
    for record in workspace.runs.search(order_by=["started_at desc"], limit=15).runs:
        seconds = None if record.ended_at is None else (record.ended_at - record.started_at) / 1e6
        runs.append(RunLine(record.id, record.name, record.status.value, record.started_at, seconds, record.metrics))
    models = []
    for declaration in project.graph.nodes.values():
        if declaration.kind == "model":
            aliases = workspace.registry.aliases(declaration.name)
            for version in workspace.registry.list(declaration.name):
                held = tuple(alias for alias, number in aliases.items() if number == version.version)
                models.append(
                    ModelLine(version.model, version.version, held, version.created_at, version.metrics, version.format)
                )
    return Overview(alerts, runs, models, [_environment(workspace, name) for name in workspace.ledger.list_environments()])


def _environment(workspace: Workspace, name: str) -> EnvironmentLine:
    found = workspace.ledger.environment(name)
    kinds = Counter(node.partition(":")[0] for node in found.pointers if is_node(node))
    moves = workspace.ledger.history(name)
    last = moves[0] if moves else None
    if last is None:
        return EnvironmentLine(name, found.version, kinds)
    return EnvironmentLine(name, found.version, kinds, last.at, last.actor, last.reason)
