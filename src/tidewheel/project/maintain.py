"""What the platform does by itself in a running server, by hand: compaction of logs."""

from __future__ import annotations

from tidewheel.project.load import Project
from tidewheel.project.open import Workspace


def compact_logs(project: Project, workspace: Workspace) -> dict[str, int]:
    """Turn closed segments of prediction and label logs into Parquet; answer rows by log."""
    done: dict[str, int] = {}
    for declaration in project.graph.nodes.values():
        if declaration.kind == "deployment":
            name = declaration.name
            done[f"predictions of {name}"] = workspace.prediction_log(name).compact().rows
            done[f"labels of {name}"] = workspace.label_log(name).compact().rows
    return {name: rows for name, rows in done.items() if rows}
