"""Promote and roll back an environment: one move of its pointers, which its servers follow. Nothing is built."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from tidewheel.digest import Digest
from tidewheel.errors import NotFound, NotMaterialized
from tidewheel.features.register import OnlineViews
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.environment import Environment, changes, is_node, undo
from tidewheel.project.open import Workspace
from tidewheel.project.pointed import (
    answers_id,
    check_environment,
    list_answering,
    point_at_version,
    read_versions,
)
from tidewheel.project.release import Moves

_ROLLBACK = "rollback"


def plan_environment_promotion(workspace: Workspace, source: str, target: str) -> Moves:
    """What pointing an environment at what another one points at would move. Who answers there answers here from then on.

    Raises
    ------
    NotFound
        No environment of the name of the source.
    NotMaterialized
        Rows that it would serve are not online any more.
    """
    after, before = check_environment(workspace, source), workspace.ledger.environment(target)
    wanted = dict(after.pointers)
    answers = list_answering(workspace, source)
    for deployment in {node.partition(":")[2] for node in wanted if node.startswith("deployment:")}:
        wanted.pop(answers_id(deployment), None)
        if deployment in answers:
            wanted[answers_id(deployment)] = point_at_version(workspace.ledger, deployment, answers[deployment])
    title = f"promote {source} (version {after.version}) to {target} (version {before.version})"
    return _moves(workspace, before, wanted, title=title, same=f"{target} is as {source}")


def plan_environment_rollback(workspace: Workspace, name: str, *, to: int | None, others: Collection[str] = ()) -> Moves:
    """What going back to an earlier version of an environment would move.

    Without ``to``, it goes to the version before; after a rollback, to the one before that which was gone back to.

    Parameters
    ----------
    others
        What else the name may have meant.

    Raises
    ------
    NotFound
        No environment of that name, or no such version.
    NotMaterialized
        Rows that it would serve are not online any more.
    """
    environment = check_environment(workspace, name, others=others)
    back = to if to is not None else _before(workspace, environment)
    if not 0 < back < environment.version and not (to == 0 and environment.version):
        raise NotFound(
            f"environment {name!r} has no version {back} to go back to",
            where=name,
            fix=f"it is at version {environment.version}; tidewheel admin history {name} lists them, --to N chooses one",
        )
    later = [move.changes for move in workspace.ledger.history(name) if move.version > back]
    title = f"roll {name} back: version {environment.version} -> the pointers of version {back}"
    same = f"{name} points already at what it pointed at in version {back}"
    return _moves(workspace, environment, undo(environment.pointers, later), title=title, same=same, to=back)


def move_planned(workspace: Workspace, moves: Moves, *, reason: str) -> None:
    """Carry it out, in one transaction.

    Raises
    ------
    Conflict
        When the environment has moved since the plan; nothing is changed.
    """
    assert moves.pointers is not None
    verb = "promote" if moves.to is None else _ROLLBACK
    with workspace.database.write():
        moved = workspace.ledger.move(moves.name, moves.pointers, expected=moves.expected, actor=workspace.actor, reason=reason)
        if moves.name == workspace.environment:  # where routes say who answers
            for deployment, name in moves.answers.items():
                version = workspace.registry.get(name)
                workspace.releases.promote(deployment, version, evidence=None, actor=workspace.actor, reason=reason)
        after = moved.version if moves.to is None else moves.to
        workspace.audit.record(workspace.actor, verb, f"environment:{moves.name}", before=moves.expected, after=after)


def _moves(
    workspace: Workspace, before: Environment, wanted: Mapping[NodeId, Digest], *, title: str, same: str, to: int | None = None
) -> Moves:
    merged = {node: wanted.get(node) for node in {*before.pointers, *wanted}}
    made = changes(before.pointers, merged)
    now, then = list_answering(workspace, before.name), read_versions(workspace.ledger, wanted)
    answers = {deployment: version for deployment, version in then.items() if now.get(deployment) != version}
    lines = [f"{node}: {_short(old)} -> {_short(new)}" for node, (old, new) in sorted(made.items()) if is_node(node)]
    lines += [
        f"deployment {deployment}: {now.get(deployment, 'nothing')} -> {version} answers"
        for deployment, version in sorted(answers.items())
    ]
    if made and not lines:
        lines = ["descriptions, owners and the like"]
    lost = list(_lost(workspace, {node: wanted[node] for node in made if node in wanted}))
    if lost:
        raise NotMaterialized(
            f"the rows of {', '.join(lost)} as it was then are not online any more: they go a day after nothing points at them",
            where=before.name,
            fix=f"bring the files back to that time, then: tidewheel apply {before.name}",
        )
    pointers = {node: new for node, (_, new) in made.items()}
    return Moves(
        "environment", before.name, title if lines else same, tuple(lines), before.version, to=to, pointers=pointers,
        answers=answers,
    )  # fmt: skip


def _short(recipe: Digest | None) -> str:
    return recipe[4:12] if recipe else "nothing"


def _lost(workspace: Workspace, wanted: Mapping[NodeId, Digest]) -> Iterator[str]:
    """Views that something points at and that are not in the online store."""
    views = {node: recipe for node, recipe in wanted.items() if node.startswith("view:")}
    online = OnlineViews(workspace.database, workspace.clock).list_ids()
    builds = workspace.ledger.find_builds(list(views.values()))
    for node, recipe in sorted(views.items()):
        if recipe not in builds or json.loads(builds[recipe].output).get("version") not in online:
            yield node


def _before(workspace: Workspace, environment: Environment) -> int:
    """The version before that which an environment is at, or was brought back to."""
    made = workspace.audit.list(verb=_ROLLBACK, object=f"environment:{environment.name}", limit=1_000)
    back = {int(str(one.before)) + 1: int(str(one.after)) for one in made}
    version = environment.version
    while version in back:
        version = back[version]
    return version - 1
