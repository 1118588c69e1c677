"""Build a node in a folder that was furnished for it: ``python -m tidewheel.project.rebuild ROOT NODE PICKLE``.

The engine's URL is read from stdin.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tidewheel.clock import parse_duration, system_clock
from tidewheel.ledger.definition import NodeId
from tidewheel.project.apply import apply_plan
from tidewheel.project.configuration import WorkspaceConfiguration
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace
from tidewheel.project.survey import make_plan

ENVIRONMENT = "repro"


def rebuild(root: Path, node: NodeId, configuration: WorkspaceConfiguration) -> None:
    """Build a node and what it needs in a workspace of the folder's own, which is empty; servers are not written to."""
    project = load_project(root)
    declaration = project.graph.find(node)
    allowance = parse_duration(project.configuration.future_allowance)
    with Workspace(root, configuration, clock=system_clock, actor="repro", future_allowance=allowance) as workspace:
        only = {declaration.id, *project.graph.upstream(declaration.id)}
        plan = make_plan(project, workspace, ENVIRONMENT, only=only)
        apply_plan(project, workspace, plan, reason="repro", only=only, accept=only)


if __name__ == "__main__":
    rebuild(
        Path(sys.argv[1]),
        NodeId(sys.argv[2]),
        WorkspaceConfiguration(online="memory", engine=sys.stdin.read().strip(), allow_pickle=sys.argv[3] == "pickle"),
    )
