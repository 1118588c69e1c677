"""Run one node: a model with its gate and deployment, or a monitor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.artifacts.table import Table
from tidewheel.clock import Micros
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.monitors.alert import Alert
from tidewheel.monitors.definition import Monitor
from tidewheel.monitors.window import WindowResult
from tidewheel.predictions.label_log import labels_of_source
from tidewheel.project.apply import Applied, applied_to_json, apply_plan
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.plan import Plan
from tidewheel.project.progress import Progress, silent
from tidewheel.project.release import plan_rollback, roll_back_planned
from tidewheel.project.retrain import retrain
from tidewheel.project.survey import make_plan

_FOLLOWING = frozenset({"gate", "deployment", "monitor"})
"""What goes on with a model that was trained, so that nothing is left to plan behind it."""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What one run of a monitor judged, and what that set off.

    ``lasting`` are the alerts that are open after the run; ``opened`` and ``closed`` those that the run opened and closed.
    """

    monitor: str
    windows: tuple[WindowResult, ...] = ()
    opened: tuple[Alert, ...] = ()
    closed: tuple[Alert, ...] = ()
    lasting: tuple[Alert, ...] = ()
    retrained: tuple[Applied, ...] = ()

    @property
    def reports(self) -> tuple[str, ...]:
        """Reports of the gates that retraining went through."""
        return tuple(report for applied in self.retrained for report in applied.reports)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "monitor": self.monitor,
            "windows": [msgspec.to_builtins(window) for window in self.windows],
            "opened": [msgspec.to_builtins(alert) for alert in self.opened],
            "closed": [msgspec.to_builtins(alert) for alert in self.closed],
            "lasting": [msgspec.to_builtins(alert) for alert in self.lasting],
            "retrained": [applied_to_json(applied) for applied in self.retrained],
        }


def nodes_of_run(project: Project, declaration: Declaration) -> frozenset[NodeId]:
    """The node, all that it needs, and for a model the gates, deployments and monitors that it goes on to."""
    graph = project.graph
    after = [n for n in graph.downstream(declaration.id) if declaration.kind == "model" and graph.nodes[n].kind in _FOLLOWING]
    return frozenset([declaration.id, *graph.upstream(declaration.id), *after])


def plan_node(project: Project, workspace: Workspace, declaration: Declaration, *, environment: str) -> Plan:
    """What running the node would build."""
    return make_plan(project, workspace, environment, only=nodes_of_run(project, declaration))


def run_node(
    project: Project,
    workspace: Workspace,
    declaration: Declaration,
    *,
    environment: str,
    reason: str = "by hand",
    progress: Progress = silent,
) -> Applied:
    """Build a node and what it needs, from the data as it is now, and move those pointers.

    A model that was trained goes on to its gate and, when it passes, to its deployment.
    """
    if declaration.kind in {"step", "monitor"}:
        raise Invalid(
            f"a {declaration.kind} does not run by itself here", where=declaration.where, fix="run the model that calls it"
        )
    plan = plan_node(project, workspace, declaration, environment=environment)
    nodes = nodes_of_run(project, declaration)
    # New data may starve the version that answers: a run is what brings its successor.
    return apply_plan(project, workspace, plan, reason=reason, only=nodes, accept=nodes, progress=progress)


def run_monitor(
    project: Project,
    workspace: Workspace,
    declaration: Declaration,
    *,
    environment: str,
    until: Micros | None = None,
    progress: Progress = silent,
) -> Monitoring:
    """Judge the windows that are complete and not judged yet, for the version that is champion; then do what a breach asks for.

    A monitor that retrains does so when an alert opens, and again after 2, 4, 8 ... windows in breach, since by then there
    is more data of the new kind; the gate decides each time.

    Parameters
    ----------
    until
        "Now", in the time of the predictions; default: the newest prediction's instant.
    """
    monitor = declaration.definition
    assert isinstance(monitor, Monitor)
    log = workspace.prediction_log(monitor.deployment)
    log.compact()  # what is sealed is read as Parquet from here on
    champion = workspace.routes.current(monitor.deployment).champion
    if until is None:
        newest = pc.max(log.read(columns=["at"])["at"]).as_py()
        until = None if newest is None else Micros(newest)
    if champion is None or until is None:
        return Monitoring(monitor.name)
    version = workspace.registry.get(f"{champion.model}:{champion.version}")
    baseline = Table.from_json(workspace.artifacts, version.baseline).arrow() if version.baseline else None
    retrain = _Retraining(project, workspace, environment, monitor, progress)
    before = {alert.id: alert for alert in workspace.monitors.list_alerts(monitor.name)}
    results = workspace.monitors.evaluate_new(
        monitor,
        log,
        labels=_labels(workspace, monitor),
        baseline=baseline,
        until=until,
        version=champion.version,
        on_breach=retrain.answer,
    )
    after = workspace.monitors.list_alerts(monitor.name)
    return Monitoring(
        monitor.name,
        windows=tuple(results),
        opened=tuple(alert for alert in after if alert.id not in before),
        closed=tuple(a for a in after if a.closed_at is not None and a.id in before and before[a.id].closed_at is None),
        lasting=tuple(alert for alert in after if alert.closed_at is None),
        retrained=tuple(retrain.applied),
    )


def _labels(workspace: Workspace, monitor: Monitor) -> list[pa.Table]:
    tables = [workspace.label_log(monitor.deployment).read()]
    if monitor.labels is not None:
        named = monitor.labels
        columns = [name for name in (named.value, *named.by, named.time, named.id) if name]
        tables.append(labels_of_source(named, workspace.sources.scan(named.source, columns)))
    return tables


class _Retraining:
    """Answers alerts as the monitor says, at most once in one run."""

    def __init__(self, project: Project, workspace: Workspace, environment: str, monitor: Monitor, progress: Progress) -> None:
        self._project = project
        self._workspace = workspace
        self._environment = environment
        self._monitor = monitor
        self._progress = progress
        self._done = False
        self.applied: list[Applied] = []

    def answer(self, alert: Alert) -> None:
        if self._done or self._monitor.on_breach is None:
            return
        self._done = True
        reason = f"alert {alert.id} of monitor {self._monitor.name}"
        if self._monitor.on_breach == "rollback":
            roll_back_planned(self._workspace, plan_rollback(self._workspace, self._monitor.deployment, to=None), reason=reason)
            return
        deployment = self._project.graph.nodes[node_id("deployment", self._monitor.deployment)]
        for upstream in deployment.upstream:
            if upstream.startswith("model:"):
                node = self._project.graph.nodes[upstream]
                run = partial(
                    run_node,
                    self._project,
                    self._workspace,
                    node,
                    environment=self._environment,
                    reason=reason,
                    progress=self._progress,
                )
                applied = retrain(self._workspace, node, alert, environment=self._environment, run=run)
                self.applied += [] if applied is None else [applied]
