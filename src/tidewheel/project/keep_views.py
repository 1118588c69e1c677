"""Keep what is served fresh, also versions of views that the files have changed since; drop those that nothing points at."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tidewheel.digest import Digest
from tidewheel.errors import Invalid, TidewheelError
from tidewheel.features.definition import FeatureView
from tidewheel.features.register import OnlineViews
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.project.build import newest_row
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.prepare_services import list_views


def refresh_pinned(project: Project, workspace: Workspace) -> tuple[str, ...]:
    """Bring the views up to date that models which answer were trained on, where the files have other versions of them by now.

    Returns
    -------
    A line for each that had something new, and for each that can no longer read its source, which was accepted by then
    (:mod:`tidewheel.project.protect`): it answers what it had.
    """
    declared = {view.version for view in list_views(project).values()}
    told = []
    for view in {view.version: view for view in _pinned(project, workspace) if view.version not in declared}.values():
        try:
            until = newest_row(workspace, view.source)
            report = None if until is None else workspace.materializer.materialize(view, until=until)
        except Invalid as error:
            told.append(f"an earlier version of view {view.name}, which still answers, is fresh no more: {error.what}")
            continue
        if report is not None and report.keys:
            told.append(f"{report.keys} keys of an earlier version of view {view.name}, which still answers, are online")
    return tuple(told)


def collect_views(project: Project, workspace: Workspace) -> dict[str, int]:
    """Drop versions of views from the online store that nothing points at: not the files, no environment, no answering model.

    Where it cannot be told which version an environment points at, all versions of that view stay.

    Returns
    -------
    How many keys of each view went.
    """
    online = OnlineViews(workspace.database, workspace.clock)
    needed = {view.version for view in [*list_views(project).values(), *_pinned(project, workspace)]}
    unclear: set[str] = set()
    for node, output in _environments(workspace):
        version = json.loads(output).get("version")
        if version is None:
            unclear.add(node.partition(":")[2])
        else:
            needed.add(Digest(version))
    gone: dict[str, int] = {}
    for version, (name, number) in online.list_names().items():
        if version in needed or name in unclear:
            continue
        for build in workspace.ledger.list_builds(node_id("view", name), limit=1_000):
            if json.loads(build.output).get("version") == version:  # who comes back to it has to build it again
                reason = "no environment and no model that answers points at it"
                workspace.ledger.retire_build(build.recipe, actor=workspace.actor, reason=reason)
        gone[name] = gone.get(name, 0) + online.forget(number, workspace.online)
    return gone


def _pinned(project: Project, workspace: Workspace) -> Iterator[FeatureView]:
    """Views that the models which answer for a deployment were trained on."""
    pinned: PinnedProjects | None = None
    for declaration in project.graph.nodes.values():
        if declaration.kind != "deployment":
            continue
        for arm in workspace.routes.current(declaration.name).arms:
            pinned = pinned or PinnedProjects(project, workspace)
            try:
                yield from pinned.service(workspace.registry.get(f"{arm.model}:{arm.version}")).views
            except TidewheelError:
                continue  # its code is gone, which is said where it is served


def _environments(workspace: Workspace) -> Iterator[tuple[NodeId, bytes]]:
    """What was built for each view that an environment points at."""
    for name in workspace.ledger.list_environments():
        views = {
            node: recipe for node, recipe in workspace.ledger.environment(name).pointers.items() if node.startswith("view:")
        }
        builds = workspace.ledger.find_builds(list(views.values()))
        for node, recipe in views.items():
            yield node, builds[recipe].output if recipe in builds else b"{}"
