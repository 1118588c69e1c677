"""Run one node: a model with its gate and deployment, or a monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.monitors.alert import Alert
from tidewheel.monitors.window import WindowResult
from tidewheel.project.apply import Applied, apply_plan
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.plan import Plan
from tidewheel.project.progress import Progress, silent
from tidewheel.project.survey import make_plan

_RELEASING = frozenset({"gate", "deployment"})


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What one run of a monitor judged, and what that set off."""

    monitor: str
    windows: tuple[WindowResult, ...]
    opened: tuple[Alert, ...]
    closed: tuple[Alert, ...]
    reports: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "monitor": self.monitor,
            "windows": [
                {"start": w.start, "end": w.end, "rows": w.rows, "state": w.state, "breaches": list(w.breaches)} for w in self.windows
            ],
            "opened": [{"id": alert.id, "summary": alert.summary} for alert in self.opened],
            "closed": [alert.id for alert in self.closed],
            "reports": list(self.reports),
        }


def nodes_of_run(project: Project, declaration: Declaration) -> frozenset[NodeId]:
    """The node, all that it needs, and for a model the gates and deployments that it goes on to."""
    graph = project.graph
    after = [n for n in graph.downstream(declaration.id) if declaration.kind == "model" and graph.nodes[n].kind in _RELEASING]
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
    return apply_plan(
        project, workspace, plan, reason=reason, only=nodes_of_run(project, declaration), progress=progress
    )
