"""Read what nodes show, as the files and the data are now, and remember it for the plans to come."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping

from tidewheel.clock import Micros
from tidewheel.datasets.definition import TrainingSet
from tidewheel.digest import Digest, digest
from tidewheel.errors import TidewheelError
from tidewheel.features.columns import check_columns, service_schema
from tidewheel.features.definition import FeatureView, ServiceDefinition, Transform
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.ledger.collect import FACE
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.ledger.record import Ledger
from tidewheel.models.definition import ModelDefinition
from tidewheel.project.change_class import ChangeClass
from tidewheel.project.column_change import ColumnChange
from tidewheel.project.face import Face, differing, face_of, face_of_source, face_of_transform, face_of_view, judge
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.schema import Schema
from tidewheel.serving.definition import Deployment
from tidewheel.sources.definition import Source

_FACE = f"{FACE}3:"
_OF_OTHERS = ("lib:", "python", "upstream:", "column:")


class Faces:
    """The faces of a project's nodes as they are now, each read once.

    Parameters
    ----------
    recipes
        Of the nodes, as they are now.
    """

    def __init__(self, project: Project, workspace: Workspace, recipes: Mapping[NodeId, Recipe]) -> None:
        self._project = project
        self._workspace = workspace
        self._recipes = recipes
        self._schemas: dict[Digest, Schema] = {}

    def find(self, node: NodeId) -> Face | None:
        """The face of a node; ``None`` for a kind that has none, and where it cannot be told: what is wrong with the rows, or
        that there are none, is said by who builds it."""
        declaration = self._project.graph.nodes.get(node)
        try:
            return None if declaration is None else self._find(declaration)
        except TidewheelError:
            return None

    def _find(self, declaration: Declaration) -> Face | None:
        definition = declaration.definition
        match definition:
            case Source():
                return face_of_source(definition, self._schema(definition), declaration.parameters)
            case FeatureView():
                schema = self._schema(definition.source)
                check_columns(definition, schema)
                return face_of_view(definition, schema, declaration.parameters)
            case Transform():
                return face_of_transform(definition, self._code(declaration.id))
            case ServiceDefinition():
                return self.service(definition)
            case TrainingSet():
                shown = self.service(definition.features)
                return Face(shown.outputs | {definition.label: self._label(definition)}, {})
            case ModelDefinition():
                shown = self.service(definition.data.features)
                asked = {name: kind for name, (kind, _) in shown.outputs.items()}
                return Face({definition.name: self._label(definition.data)}, asked)
            case Deployment():
                made = self._project.graph.nodes[node_id("model", definition.model)].definition
                if isinstance(made, ModelDefinition):
                    shown = self.service(made.data.features)
                    return Face({definition.name: self._label(made.data)}, shown.inputs)
        return None

    def service(self, service: ServiceDefinition) -> Face:
        """The face of a service."""
        schema = service_schema(service, {view.source.name: self._schema(view.source) for view in service.views})
        used = {one.name: node_id("transform", one.name) for one in service.transforms}
        return face_of(service, schema, {name: self._code(node) for name, node in used.items() if node in self._recipes})

    def _label(self, data: TrainingSet) -> tuple[str, str]:
        return self._schema(data.spine.source)[data.label].type.value, ""

    def _schema(self, source: Source) -> Schema:
        if source.version not in self._schemas:
            self._schemas[source.version] = self._workspace.sources.schema(source)
        return self._schemas[source.version]

    def _code(self, node: NodeId) -> Digest:
        parts = self._recipes[node].components
        return digest(sorted((name, part.value) for name, part in parts.items() if not name.startswith(_OF_OTHERS)))


def remember_faces(faces: Faces, ledger: Ledger, *, recipes: Mapping[NodeId, Recipe]) -> None:
    """Keep what nodes show now, for the next plan to compare with."""
    known = ledger.memory.recall([_key(recipe) for recipe in recipes.values()])
    fresh = {
        _key(recipe): found for node, recipe in recipes.items() if _key(recipe) not in known and (found := faces.find(node))
    }
    ledger.memory.remember({key: face.to_json() for key, face in fresh.items()})


def recall_faces(ledger: Ledger, recipes: Mapping[NodeId, Recipe]) -> dict[NodeId, Face]:
    """What nodes of these recipes showed, of those that are remembered."""
    known = ledger.memory.recall([_key(recipe) for recipe in recipes.values()])
    return {node: Face.from_json(known[key]) for node, recipe in recipes.items() if (key := _key(recipe)) in known}


def compare_faces(
    faces: Faces, ledger: Ledger, *, nodes: Collection[NodeId], before: Mapping[NodeId, Recipe]
) -> dict[NodeId, tuple[ChangeClass | None, tuple[ColumnChange, ...]]]:
    """What becomes of the readers of some nodes, and of which columns, of those whose faces could be compared.

    Parameters
    ----------
    before
        Recipes that the environment points at.
    """
    compared = {}
    for node, shown in recall_faces(ledger, {node: before[node] for node in nodes if node in before}).items():
        now = faces.find(node)
        if now is not None:
            compared[node] = (judge(shown, now), differing(shown, now))
    return compared


def forget_faces(ledger: Ledger, *, keep: Container[str], before: Micros) -> int:
    """Forget what recipes showed that nothing keeps and that were remembered before an instant; how many."""
    keys = ledger.memory.list_keys(FACE, before=before)  # those of earlier forms too
    return ledger.memory.forget([key for key in keys if key.partition(":")[2] not in keep])


def _key(recipe: Recipe) -> str:
    return f"{_FACE}{recipe.digest}"
