"""Survey a project: the recipe of every node as the files, the data and the libraries are now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tidewheel.digest import Digest, digest
from tidewheel.errors import ImpureTransform
from tidewheel.features.definition import Transform
from tidewheel.features.transform_check import check_transform, offline_form
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.ledger.record import Build, Ledger
from tidewheel.project.cost import Rates, estimate
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.plan import BUILT_KINDS, CONTENT_KINDS, Plan, State, classify, compare
from tidewheel.project.protect import find_objections
from tidewheel.project.read_faces import Faces, judge_faces
from tidewheel.project.sample_rows import find_sample
from tidewheel.project.serviceable import is_serviceable
from tidewheel.project.wording import describe
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import Snapshot

ALGORITHMS: Mapping[str, int] = {"source": 1, "view": 1, "training_set": 1, "model": 1}
"""Version of what each kind of build does; raised when the same definition would give another result."""

_MAX_NAMED_FILES = 200
_META = "meta/"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a project is now: recipes, contents, and the builds that exist for them."""

    state: State
    contents: Mapping[NodeId, Digest]
    builds: Mapping[NodeId, Build]
    snapshots: Mapping[NodeId, Snapshot]


class Surveyor:
    """Computes recipes node by node; an apply hands it contents as it builds them.

    Components of code and data are computed once per surveyor, so a survey is of one moment.
    """

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self._project = project
        self.workspace = workspace
        self._own: dict[NodeId, dict[str, Component]] = {}
        self.snapshots: dict[NodeId, Snapshot] = {}

    def recipe(self, declaration: Declaration, contents: Mapping[NodeId, Digest]) -> Recipe:
        """The recipe of a node, with the upstream components whose content is known."""
        components = dict(self._components(declaration))
        for upstream in declaration.upstream:
            content = contents.get(upstream)
            if content is not None:
                components[f"upstream:{upstream}"] = Component(content, where=self._project.graph.nodes[upstream].where)
        return Recipe(declaration.kind, components)

    def _components(self, declaration: Declaration) -> dict[str, Component]:
        found = self._own.get(declaration.id)
        if found is None:
            found = self._own[declaration.id] = self._compute(declaration)
        return found

    def _compute(self, declaration: Declaration) -> dict[str, Component]:
        parts = {"algorithm": Component(str(ALGORITHMS.get(declaration.kind, 1)))}
        for name, value in declaration.parameters.items():
            parts[f"param:{name}"] = Component(digest(value), where=declaration.where, note=describe(value))
        if declaration.functions:
            parts.update(self.workspace.fingerprinter.components(declaration.functions))
            self._refuse_impure(declaration, parts)
        if isinstance(declaration.definition, Source):
            snapshot = self.workspace.sources.snapshot(declaration.definition)
            self.snapshots[declaration.id] = snapshot
            parts.update(_data_components(snapshot))
        return parts

    def _refuse_impure(self, declaration: Declaration, parts: Mapping[str, Component]) -> None:
        """A transform runs in training and in serving: what it reads besides its arguments would differ between the two.

        It is tried on rows at the border of its types once for each state of its code, and on a sample of real rows once for
        each build of a training set that it is part of.
        """
        if declaration.kind != "transform":
            return
        for finding in self.workspace.fingerprinter.impurities(declaration.functions):
            raise ImpureTransform(
                f"transform {declaration.name}: {finding.message}",
                where=finding.where or declaration.where,
                fix="take it as an argument, or compute it in the source's select",
            )
        if isinstance(declaration.definition, Transform):
            ledger = self.workspace.ledger
            engine = self.workspace.sources.engine
            key = f"transform:{engine.dialect}:{digest(sorted((name, part.value) for name, part in parts.items()))}"
            if ledger.recall(key) is None:
                check_transform(declaration.definition, engine=engine)
                ledger.remember(key, b"tried")
            sample = find_sample(self._project.graph, self.workspace, declaration.definition)
            if sample is not None and ledger.recall(f"{key}:{sample.content}") is None:
                check_transform(declaration.definition, sample.rows, engine=engine)
                ledger.remember(f"{key}:{sample.content}", b"tried")

    def survey(self) -> Survey:
        """Recipes of all nodes; those that wait for something unbuilt are pending."""
        graph, ledger = self._project.graph, self.workspace.ledger
        recipes: dict[NodeId, Recipe] = {}
        contents: dict[NodeId, Digest] = {}
        pending: set[NodeId] = set()
        builds: dict[NodeId, Build] = {}
        for node, declaration in graph.nodes.items():
            recipe = recipes[node] = self.recipe(declaration, contents)
            if any(upstream not in contents for upstream in declaration.upstream):
                pending.add(node)
            elif declaration.kind in CONTENT_KINDS:
                build = ledger.find_build(recipe.digest)
                if build is not None:
                    builds[node] = build
                    contents[node] = build.content
            else:
                contents[node] = recipe.digest
        complete = {recipes[n].digest: n for n in recipes if n not in pending and n not in builds and _is_built(graph.nodes[n])}
        for found, build in ledger.find_builds(list(complete)).items():
            if is_serviceable(graph.nodes[complete[found]], build):
                builds[complete[found]] = build
        missing = frozenset(node for node in complete.values() if node not in builds)
        metas = {node: meta_recipe(declaration) for node, declaration in graph.nodes.items()}
        state = State(recipes, metas, frozenset(pending), missing)
        return Survey(state, contents, builds, dict(self.snapshots))


def _is_built(declaration: Declaration) -> bool:
    return declaration.kind in BUILT_KINDS


def meta_recipe(declaration: Declaration) -> Recipe:
    """What of a node must never cause a rebuild, as a recipe of its own, so that it can be pointed at and compared."""
    parts = {
        f"meta:{name}": Component(digest(value), where=declaration.where, note=describe(value))
        for name, value in declaration.meta.items()
    }
    return Recipe("meta", parts)


def meta_id(node: NodeId) -> NodeId:
    """The pointer under which a node's meta is kept in an environment."""
    return NodeId(_META + node)


def read_environment(ledger: Ledger, name: str) -> tuple[State, int]:
    """Recipes and metas that an environment points at, and its version."""
    environment = ledger.environment(name)
    found = ledger.get_recipes(set(environment.pointers.values()))
    recipes: dict[NodeId, Recipe] = {}
    metas: dict[NodeId, Recipe] = {}
    for node, pointer in environment.pointers.items():
        if node.startswith(_META):
            metas[NodeId(node.removeprefix(_META))] = found[pointer]
        else:
            recipes[node] = found[pointer]
    return State(recipes, metas), environment.version


def make_plan(project: Project, workspace: Workspace, environment: str, *, only: Collection[NodeId] | None = None) -> Plan:
    """Compare the working tree with an environment.

    Parameters
    ----------
    only
        Restrict the plan to these nodes; ``None`` plans everything, removals included.
    """
    plan, _ = plan_and_survey(project, Surveyor(project, workspace), ledger=workspace.ledger, environment=environment)
    return restrict(plan, only)


def plan_and_survey(project: Project, surveyor: Surveyor, *, ledger: Ledger, environment: str) -> tuple[Plan, Survey]:
    """The plan, with the survey that it was made from."""
    survey = surveyor.survey()
    before, version = read_environment(ledger, environment)
    plan = compare(project.graph, before, survey.state, environment=environment, base_version=version)
    after = survey.state.recipes
    faces = Faces(project, surveyor.workspace, after)
    moved = [change.node for change in plan.changes if change.action in {"change", "follow"}]
    plan = classify(plan, project.graph, judge_faces(faces, ledger, nodes=moved, before=before.recipes))
    objections = find_objections(project, surveyor.workspace, plan.changes, faces=faces, before=before.recipes, after=after)
    plan = with_estimates(plan, ledger, project.configuration.rates)
    changes = tuple(
        replace(change, note=f"runs {offline_form(definition)}")
        if (node := project.graph.nodes.get(change.node)) is not None and isinstance(definition := node.definition, Transform)
        else change
        for change in plan.changes
    )
    return replace(plan, changes=changes, objections=objections), survey


def restrict(plan: Plan, only: Collection[NodeId] | None) -> Plan:
    """The plan without the changes to other nodes."""
    if only is None:
        return plan
    changes = tuple(change for change in plan.changes if change.node in only)
    return replace(plan, changes=changes, objections=tuple(one for one in plan.objections if one.node in only))


def with_estimates(plan: Plan, ledger: Ledger, rates: Rates) -> Plan:
    """Add to each build what that node's last builds took and would cost, at the median; unknown where it was never built."""
    spent = ledger.list_spent([change.node for change in plan.changes if change.builds], limit=5)
    changes = []
    for change in plan.changes:
        found = estimate(spent.get(change.node, ()), rates)
        changes.append(replace(change, estimate_seconds=found.seconds, estimate_cost=found.cost))
    return replace(plan, changes=tuple(changes), currency=rates.currency)


def _data_components(snapshot: Snapshot) -> dict[str, Component]:
    parts = {}
    if len(snapshot.files) <= _MAX_NAMED_FILES:
        for file in snapshot.files:
            parts[f"data:{file.path}"] = Component(file.digest, note=f"{file.size_bytes} bytes")
    else:
        listed = [[file.path, file.digest] for file in snapshot.files]
        parts["data:files"] = Component(digest(listed), note=f"{len(snapshot.files)} files")
    # The content stands for all of it, so that nothing that was read can be left out of the recipe.
    parts["data:snapshot"] = Component(snapshot.content, note=snapshot.content[:12])
    return parts
