"""Keep what is served fresh, also versions of views that the files have changed since; drop those that nothing points at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tidewheel.clock import DAY, Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, TidewheelError
from tidewheel.features.definition import FeatureView
from tidewheel.features.materialize import MaterializeReport
from tidewheel.features.register import OnlineViews
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.project.build import newest_row
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.pointed import list_needed
from tidewheel.project.prepare_services import list_views

GRACE = DAY
"""How long rows stay that nothing points at."""
_SINCE = "online:unneeded"


def refresh_pinned(project: Project, workspace: Workspace) -> tuple[str, ...]:
    """Bring the views up to date that models which answer were trained on, where the files have other versions of them by now.

    Returns
    -------
    A line for each that had something new, and for each that can no longer read its source, which was accepted by then
    (:mod:`tidewheel.project.protect`): it answers what it had.
    """
    declared = {view.version for view in list_views(project).values()}
    told = []
    for view in {view.version: view for view in _pinned(project, workspace, []) if view.version not in declared}.values():
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
    gone: dict[str, int] = {}
    for one in _unneeded(project, workspace).found:
        gone[one.name] = gone.get(one.name, 0) + _drop(workspace, one)
    return gone


def collect_in_time(project: Project, workspace: Workspace) -> tuple[str, ...]:
    """Drop what :func:`collect_views` drops, once nothing has pointed at it for a day.

    Until then a server that has not noticed yet finds its rows, and so does the apply of somebody else that has written rows
    and not moved its pointers yet. While the code of a model that answers cannot be loaded, nothing is dropped.

    Returns
    -------
    A line for each view of which a version went.
    """
    unneeded = _unneeded(project, workspace)
    if not unneeded.certain:
        return ()
    now = workspace.clock()
    before: dict[str, int] = json.loads(workspace.ledger.recall(_SINCE) or b"{}")
    since = {str(one.number): before.get(str(one.number), now) for one in unneeded.found}
    told = []
    for one in unneeded.found:
        if since[str(one.number)] + GRACE <= now:
            told.append(
                f"{_drop(workspace, one)} keys of an earlier version of view {one.name} are dropped: nothing needs them"
            )
            del since[str(one.number)]
    if since != before:
        workspace.ledger.remember(_SINCE, json.dumps(since).encode())
    return tuple(told)


def rebuild_view(workspace: Workspace, view: FeatureView) -> MaterializeReport:
    """Write all rows of a view anew, beside those that stand, which answer in running servers until the new ones are complete.

    It mends what an incremental materialisation does not look at: rows that were damaged in the store.
    """
    views = OnlineViews(workspace.database, workspace.clock)
    if view.online_version in views.list_numbers():
        views.renew(view)
    until = newest_row(workspace, view.source)
    return workspace.materializer.materialize(view, until=until or Micros(0), full=True)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a view in the online store."""

    version: Digest
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class _Unneeded:
    """Versions that nothing points at; ``certain`` when the views of all models that answer are known."""

    found: tuple[_Version, ...]
    certain: bool


def _unneeded(project: Project, workspace: Workspace) -> _Unneeded:
    lost: list[str] = []
    needed = {view.online_version for view in [*list_views(project).values(), *_pinned(project, workspace, lost)]}
    unclear: set[str] = set()
    for node, output in _environments(workspace):
        version = json.loads(output).get("version")
        if version is None:
            unclear.add(node.partition(":")[2])
        else:
            needed.add(Digest(version))
    online = OnlineViews(workspace.database, workspace.clock).list_names()
    found = (_Version(version, name, number) for version, (name, number) in online.items())
    return _Unneeded(tuple(one for one in found if one.version not in needed and one.name not in unclear), not lost)


def _drop(workspace: Workspace, one: _Version) -> int:
    """Drop a version; who comes back to it has to build it again. How many keys went."""
    for build in workspace.ledger.list_builds(node_id("view", one.name), limit=1_000):
        if json.loads(build.output).get("version") == one.version:
            reason = "no environment and no model that answers points at it"
            workspace.ledger.retire_build(build.recipe, actor=workspace.actor, reason=reason)
    return OnlineViews(workspace.database, workspace.clock).forget(one.number, workspace.online)


def _pinned(project: Project, workspace: Workspace, lost: list[str]) -> Iterator[FeatureView]:
    """Views that the models which answer for a deployment were trained on, and those that other environments serve; what has
    lost its code is added to ``lost``."""
    pinned: PinnedProjects | None = None
    for declaration in project.graph.nodes.values():
        if declaration.kind != "deployment":
            continue
        for arm in workspace.routes.current(declaration.name).arms:
            pinned = pinned or PinnedProjects(project, workspace)
            try:
                yield from pinned.service(workspace.registry.get(f"{arm.model}:{arm.version}")).views
            except TidewheelError:  # which is said where it is served
                lost.append(f"{arm.model}:{arm.version}")
    if any(name != workspace.environment for name in workspace.ledger.list_environments()):
        try:
            for views in list_needed(workspace, pinned or PinnedProjects(project, workspace)).values():
                yield from views
        except TidewheelError as error:
            lost.append(str(error))


def _environments(workspace: Workspace) -> Iterator[tuple[NodeId, bytes]]:
    """What was built for each view that an environment points at."""
    for name in workspace.ledger.list_environments():
        views = {
            node: recipe for node, recipe in workspace.ledger.environment(name).pointers.items() if node.startswith("view:")
        }
        builds = workspace.ledger.find_builds(list(views.values()))
        for node, recipe in views.items():
            yield node, builds[recipe].output if recipe in builds else b"{}"
