"""What the platform does by itself in a running server, by hand: compaction of logs, and what nobody needs any more."""

from __future__ import annotations

from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.sources.compact_pushes import compact_pushes
from tidewheel.sources.definition import Source


def compact_logs(project: Project, workspace: Workspace) -> dict[str, int]:
    """Turn closed segments of prediction, label and push logs into Parquet; answer rows by log."""
    done: dict[str, int] = {}
    for declaration in project.graph.nodes.values():
        if isinstance(declaration.definition, Source):
            folder = workspace.sources.pushes / declaration.name
            done[f"pushes to {declaration.name}"] = compact_pushes(folder, least_segments=1).rows
        if declaration.kind == "deployment":
            name = declaration.name
            done[f"predictions of {name}"] = workspace.prediction_log(name).compact().rows
            done[f"labels of {name}"] = workspace.label_log(name).compact().rows
    return {name: rows for name, rows in done.items() if rows}
