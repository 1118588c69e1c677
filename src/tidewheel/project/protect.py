"""Protect what answers: find what a plan would break that cannot live beside what it makes.

A deployment pins the features that its model was trained on, so a changed view is a second version beside the first, and
breaks nothing. Three things have no second version: what a service answers to those who read it directly, the data that all
versions read, and a definition that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tidewheel.errors import IncompatibleChange, InUse, TidewheelError
from tidewheel.features.columns import service_schema
from tidewheel.features.definition import ServiceDefinition
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.ledger.record import Ledger
from tidewheel.models.version import ModelVersion
from tidewheel.project.face import broken_promises
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.plan import Change, Objection
from tidewheel.project.read_faces import Faces, recall_faces

_ERRORS: Mapping[str, type[TidewheelError]] = {one.__name__: one for one in (IncompatibleChange, InUse)}


def find_objections(
    project: Project,
    workspace: Workspace,
    changes: Collection[Change],
    *,
    faces: Faces,
    before: Mapping[NodeId, Recipe],
    after: Mapping[NodeId, Recipe],
) -> tuple[Objection, ...]:
    """What speaks against some changes.

    Parameters
    ----------
    faces
        Of the working tree.
    before, after
        Recipes that the environment points at, and those of the working tree.
    """
    if not before:
        return ()
    found = [*_faces(project, workspace.ledger, faces, before, after)]
    answering = list(_answering(project, workspace))
    removed = {change.node for change in changes if change.action == "remove"}
    found += _removed(answering, removed)
    moved = {change.node for change in changes if change.node.startswith("source:") and change.action == "change"}
    if moved and answering:
        found += _starved(project, workspace, answering, moved)
    return tuple(found)


def refuse(objections: Collection[Objection], accept: Collection[NodeId]) -> None:
    """Raise the first objection that nobody has accepted.

    Raises
    ------
    IncompatibleChange, InUse
        As the objection says.
    """
    for one in objections:
        if one.node not in accept:
            raise _ERRORS[one.code](one.what, where=str(one.node), fix=f"{one.fix}; or accept it: --accept {one.node}")


def _faces(
    project: Project, ledger: Ledger, faces: Faces, before: Mapping[NodeId, Recipe], after: Mapping[NodeId, Recipe]
) -> Iterator[Objection]:
    read = {
        node: service
        for node, service in _read_directly(project)
        if node in before and node in after and before[node].digest != after[node].digest
    }
    for node, shown in recall_faces(ledger, {node: before[node] for node in read}).items():
        face = faces.find(node)
        told = () if face is None else broken_promises(shown, face)
        if told:
            name = read[node].name
            yield Objection(
                "IncompatibleChange",
                node,
                f"service {name} is read by requests and no training set pins it: {', '.join(told)}",
                f'leave it as it was, and declare the new one beside it, such as tw.service("{name}_v2", ...) over a '
                "copy of the view with another name",
            )


def _read_directly(project: Project) -> Iterator[tuple[NodeId, ServiceDefinition]]:
    for node, declaration in project.graph.nodes.items():
        if isinstance(declaration.definition, ServiceDefinition) and not any(
            one.startswith("training_set:") for one in project.graph.downstream(node)
        ):
            yield node, declaration.definition


def _answering(project: Project, workspace: Workspace) -> Iterator[tuple[str, ModelVersion]]:
    """Versions that answer for a deployment which the files still declare."""
    for declaration in project.graph.nodes.values():
        if declaration.kind == "deployment":
            for arm in workspace.routes.current(declaration.name).arms:
                yield declaration.name, workspace.registry.get(f"{arm.model}:{arm.version}")


def _removed(answering: Collection[tuple[str, ModelVersion]], removed: Collection[NodeId]) -> Iterator[Objection]:
    users: dict[NodeId, list[str]] = {}
    for deployment, version in answering:
        held = [node_id("view", name) for name in version.views]
        held += [node_id("service", version.service), node_id("model", version.model)]
        for node in held:
            if node in removed:
                users.setdefault(node, []).append(f"{version.name}, which answers for deployment {deployment}")
    for node, told in sorted(users.items()):
        yield Objection(
            "InUse",
            node,
            f"{node} is declared no more and is used by {'; '.join(told)}",
            "declare it until another version answers (tidewheel promote)",
        )


def _starved(
    project: Project, workspace: Workspace, answering: Collection[tuple[str, ModelVersion]], moved: Collection[NodeId]
) -> Iterator[Objection]:
    """Versions whose pinned views cannot read, or read as another type, what their sources hold by now."""
    pinned = PinnedProjects(project, workspace)
    for deployment, version in answering:
        try:
            service = pinned.service(version)
        except TidewheelError:
            continue  # its code is gone, which is said where it is served
        nodes = [node_id("source", view.source.name) for view in service.views]
        touched = [node for node in nodes if node in moved]
        told = _differs(workspace, service, version) if touched else None
        if told is not None:
            yield Objection(
                "IncompatibleChange",
                touched[0],
                f"{version.name}, which answers for deployment {deployment}, reads {touched[0]} as it was: {told}",
                "give the new data a source of its own beside it, or keep the column until another version answers",
            )


def _differs(workspace: Workspace, service: ServiceDefinition, version: ModelVersion) -> str | None:
    try:
        schemas = {view.source.name: workspace.sources.schema(view.source) for view in service.views}
        now = service_schema(service, schemas)
    except TidewheelError as error:
        return error.what
    trained = version.signature.inputs
    for one in trained.fields:
        if one.name in now and now[one.name].type is not one.type:
            return f"{one.name} was {one.type.value} and is {now[one.name].type.value}"
    return None
