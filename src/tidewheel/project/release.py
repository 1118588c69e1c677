"""Promote and roll back a deployment, by its route. Nothing is built. For environments: :mod:`.move_environment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tidewheel.digest import Digest
from tidewheel.errors import GateFailed, NotFound, near_miss
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.models.version import ModelVersion
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.releases.report import GateReport
from tidewheel.serving.arm import WHOLE, Arm, Role
from tidewheel.serving.definition import Deployment

CHALLENGER: Role = "challenger"


@dataclass(frozen=True, slots=True)
class Moves:
    """What would move, in words and as values; made by planning, carried out as planned or refused.

    Parameters
    ----------
    expected
        Revision of the deployment's route, or version of the environment, that the decision is made on.
    pointers
        Of an environment: what becomes of those that move.
    answers
        Of an environment: the version that answers afterwards, for each deployment of which another one does.
    """

    kind: str
    name: str
    title: str
    lines: tuple[str, ...]
    expected: int
    version: str | None = None
    report: str | None = None
    to: int | None = None
    pointers: Mapping[NodeId, Digest | None] | None = None
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing would move."""
        return not self.lines

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def plan_promotion(
    project: Project, workspace: Workspace, name: str, *, version: int | None = None, force: bool = False
) -> Moves:
    """What the promotion of a deployment's challenger, or of a version, would move.

    Raises
    ------
    NotFound
        No such deployment or version, or no challenger.
    GateFailed
        The version's gate was not passed, and ``force`` is not set.
    """
    deployment = _deployment(project, name)
    route = workspace.routes.current(deployment.name)
    chosen = _version(workspace, deployment, version)
    report = _passed(workspace, project, deployment, chosen)
    if report is None and not force and _gates(project, deployment.model):
        raise GateFailed(
            f"{chosen.name} has not passed the gate of {deployment.model}",
            where=deployment.name,
            fix="tidewheel show model:" + deployment.model + " tells how it fared; --force promotes it all the same",
        )
    champion = route.champion
    before = "nothing" if champion is None else f"{champion.model}:{champion.version}"
    same = len(route.answering) == 1 and champion is not None and champion.version == chosen.version
    lines = () if same else (f"champion: {before} -> {chosen.name}, 100 % of the traffic",)
    return Moves(
        "deployment",
        deployment.name,
        f"promote {chosen.name} in {deployment.name}" if lines else f"{chosen.name} answers for {deployment.name} already",
        lines,
        expected=route.revision,
        version=chosen.name,
        report=None if report is None else report.id,
    )


def plan_rollback(workspace: Workspace, name: str, *, to: int | None) -> Moves:
    """What a rollback of a deployment would move: to the version that answered before, or to an earlier revision."""
    route = workspace.routes.current(name)
    where = "the version that answered before" if to is None else f"route revision {to}"
    return Moves("deployment", name, f"roll {name} back", (f"revision {route.revision} -> {where}",), route.revision, to=to)


def promote_planned(workspace: Workspace, moves: Moves, *, reason: str) -> None:
    """Carry a promotion out.

    Raises
    ------
    Conflict
        When the route has moved since the plan; nothing is changed.
    """
    assert moves.version is not None
    version = workspace.registry.get(moves.version)
    report = workspace.releases.find_report(moves.report) if moves.report is not None else None
    release = workspace.releases.promote(
        moves.name, version, evidence=report, actor=workspace.actor, reason=reason, expected_revision=moves.expected
    )
    _no_longer_challenger(workspace, version, reason)
    workspace.audit.record(
        workspace.actor, "promote", f"deployment:{moves.name}", before=release.previous, after=release.version
    )


def roll_back_planned(workspace: Workspace, moves: Moves, *, reason: str) -> None:
    """Carry a rollback out.

    Raises
    ------
    Conflict
        When the route has moved since the plan; nothing is changed.
    """
    if moves.to is None:
        release = workspace.releases.rollback(
            moves.name, actor=workspace.actor, reason=reason, expected_revision=moves.expected
        )
        after = release.version
    else:
        route = workspace.routes.rollback(moves.name, moves.to, actor=workspace.actor, reason=reason)
        champion = route.champion
        assert champion is not None
        workspace.registry.set_alias(champion.model, "champion", champion.version, actor=workspace.actor, reason=reason)
        after = champion.version
    workspace.audit.record(workspace.actor, "rollback", f"deployment:{moves.name}", before=moves.expected, after=after)


def release_built(
    workspace: Workspace, deployment: Deployment, *, version: ModelVersion, report: GateReport | None, reason: str
) -> str:
    """Let a version that was just built answer: at once, or with the first step of the deployment's canary.

    Returns
    -------
    One line for a person.
    """
    route = workspace.routes.current(deployment.name)
    percent = deployment.canary[0]
    champion = route.champion
    if champion is None or percent == 100 or champion.version == version.version:
        release = workspace.releases.promote(
            deployment.name, version, evidence=report, actor=workspace.actor, reason=reason, expected_revision=route.revision
        )
        _no_longer_challenger(workspace, version, reason)
        return f"{version.name} answers, route revision {release.revision}"
    weight = percent * WHOLE // 100
    arms = [Arm(champion.model, champion.version, WHOLE - weight), Arm(version.model, version.version, weight, CHALLENGER)]
    made = workspace.routes.set(
        deployment.name, [*arms, *route.shadows], expected_revision=route.revision, actor=workspace.actor, reason=reason
    )
    return f"{version.name} answers {percent} % beside {champion.model}:{champion.version}, route revision {made.revision}"


def _no_longer_challenger(workspace: Workspace, version: ModelVersion, reason: str) -> None:
    if workspace.registry.aliases(version.model).get(CHALLENGER) == version.version:
        workspace.registry.set_alias(version.model, CHALLENGER, None, actor=workspace.actor, reason=reason)


def _deployment(project: Project, name: str) -> Deployment:
    declaration = project.graph.nodes.get(node_id("deployment", name))
    if declaration is None or not isinstance(declaration.definition, Deployment):
        names = [d.name for d in project.graph.nodes.values() if d.kind == "deployment"]
        raise NotFound(f"the project declares no deployment {name!r}", where=name, fix=near_miss(name, names))
    return declaration.definition


def _version(workspace: Workspace, deployment: Deployment, version: int | None) -> ModelVersion:
    if version is not None:
        return workspace.registry.get(f"{deployment.model}:{version}")
    found = workspace.registry.find(deployment.model, CHALLENGER)
    if found is None:
        raise NotFound(
            f"model {deployment.model} has no challenger",
            where=deployment.name,
            fix=f"tidewheel run model:{deployment.model}, or --version N",
        )
    return found


def _gates(project: Project, model: str) -> list[str]:
    upstream = node_id("model", model)
    return [d.name for d in project.graph.nodes.values() if d.kind == "gate" and upstream in d.upstream]


def _passed(workspace: Workspace, project: Project, deployment: Deployment, version: ModelVersion) -> GateReport | None:
    """The newest report of each gate for the version, when all were passed; the last of them."""
    newest = None
    for gate in _gates(project, deployment.model):
        reports = [r for r in workspace.releases.list_reports(gate) if r.challenger_version == version.version]
        if not reports or not reports[0].passed:
            return None
        newest = reports[0]
    return newest
