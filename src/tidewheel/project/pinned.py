"""The definitions that a model version was trained with, whatever the files say now."""

from __future__ import annotations

from typing import TypeVar

from tidewheel.digest import Digest
from tidewheel.errors import Corrupt, NotFound
from tidewheel.features.definition import ServiceDefinition
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.models.version import ModelVersion
from tidewheel.project.load import Project, isolated, load_project
from tidewheel.project.open import Workspace
from tidewheel.project.pack import pack, unpack

D = TypeVar("D")


class PinnedProjects:
    """Loads packed projects, each once; the working tree itself when its code is the packed code."""

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self._workspace = workspace
        self._loaded: dict[Digest, Project] = {pack(project.root, workspace.artifacts): project}

    def project(self, version: ModelVersion) -> Project:
        """The project as it was when the version was trained.

        Raises
        ------
        Corrupt
            When the packed code is damaged.
        """
        return self.at(version.project_snapshot)

    def current(self) -> Project:
        """The project as its files are now: the code is packed first, so that later edits do not reach it."""
        return self.at(pack(self._workspace.root, self._workspace.artifacts))

    def at(self, snapshot: Digest) -> Project:
        """A packed project.

        Raises
        ------
        Corrupt
            When the packed code is damaged.
        """
        found = self._loaded.get(snapshot)
        if found is None:
            root = unpack(snapshot, self._workspace.artifacts, self._workspace.home / "code")
            with isolated(root):
                found = load_project(root)
            self._loaded[snapshot] = found
        return found

    def service(self, version: ModelVersion) -> ServiceDefinition:
        """The feature service that the version takes its inputs from."""
        return self.definition(version, node_id("service", version.service), ServiceDefinition)

    def definition(self, version: ModelVersion, node: NodeId, kind: type[D]) -> D:
        """One definition of the version's project.

        Raises
        ------
        NotFound
            When the packed project declares no such node.
        Corrupt
            When it declares something else under that name.
        """
        declaration = self.project(version).graph.nodes.get(node)
        if declaration is None:
            raise NotFound(f"the code of {version.name} declares no {node}", where=version.name, fix="train the model again")
        if not isinstance(declaration.definition, kind):
            raise Corrupt(f"{node} of {version.name} is a {type(declaration.definition).__name__}", where=version.name)
        return declaration.definition
