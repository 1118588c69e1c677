"""Search what there is: the catalog of an environment, as it was applied, or of the code where nothing was applied yet."""

from __future__ import annotations

from collections.abc import Iterator

from tidewheel.datasets.definition import TrainingSet
from tidewheel.features.definition import FeatureView, ServiceDefinition, Transform
from tidewheel.ledger.catalog import Entry, Hit, Wanted, decode, encode, memory_key, search
from tidewheel.ledger.definition import Declaration
from tidewheel.project.load import Project, find_root, load_project
from tidewheel.project.open import Workspace
from tidewheel.sources.definition import Source


def catalog_of(project: Project, workspace: Workspace) -> list[Entry]:
    """An entry for each node of the project's code."""
    return [_entry(declaration, workspace) for declaration in project.graph.nodes.values()]


def record_catalog(project: Project, workspace: Workspace, environment: str) -> None:
    """Keep the catalog of an environment in the ledger."""
    workspace.ledger.remember(memory_key(environment), encode(catalog_of(project, workspace)))


def search_catalog(workspace: Workspace, environment: str, wanted: Wanted) -> list[Hit]:
    """What matches in an environment; the project's code is loaded only when the environment was never applied."""
    known = workspace.ledger.recall(memory_key(environment))
    entries = decode(known) if known is not None else catalog_of(load_project(find_root(workspace.root)), workspace)
    return search(entries, wanted)


def _entry(declaration: Declaration, workspace: Workspace) -> Entry:
    meta = declaration.meta
    tags = meta.get("tags")
    return Entry(
        declaration.id,
        owner=str(meta.get("owner") or ""),
        description=str(meta.get("description") or ""),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list | tuple) else (),
        columns=tuple(dict(_columns(declaration.definition, workspace)).items()),
        uses=tuple(str(node) for node in declaration.upstream),
        where=declaration.where,
    )


def _columns(definition: object, workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Columns of a node, in order: those it holds, and those it takes."""
    if isinstance(definition, Source):
        for field in workspace.sources.schema(definition):
            yield field.name, field.type.value
    elif isinstance(definition, FeatureView):
        for key in definition.keys:
            yield key.name, key.type.value
        for feature in definition.features:
            yield feature.name, ""
            if feature.column is not None:
                yield feature.column, ""
    elif isinstance(definition, ServiceDefinition):
        for key in definition.keys:
            yield key.name, key.type.value
        for output in definition.outputs:
            yield output.name, "" if output.type is None else output.type.value
    elif isinstance(definition, Transform):
        yield definition.name, definition.returns.type.value
        for taken in definition.inputs:
            yield taken.name, taken.type.value
    elif isinstance(definition, TrainingSet):
        yield definition.label, ""
        for name in definition.features.names:
            yield name, ""
