"""Survey a project: the recipe of every node as the files, the data and the libraries are now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from tidewheel.datasets.handle import Dataset
from tidewheel.digest import Digest, digest
from tidewheel.errors import ImpureTransform, TidewheelError
from tidewheel.features.columns import check_columns, feature_type
from tidewheel.features.definition import Transform, view_of
from tidewheel.features.transform_check import check_transform, offline_form
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.fingerprint.verify_reads import verify
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.ledger.environment import is_node
from tidewheel.ledger.record import Build, Ledger
from tidewheel.pipelines.definition import Step
from tidewheel.pipelines.recipe import name_secrets, with_reads
from tidewheel.project.armed import arm
from tidewheel.project.cost import Rates, estimate
from tidewheel.project.load import Project
from tidewheel.project.measure_change import measure_plan
from tidewheel.project.open import Workspace
from tidewheel.project.plan import BUILT_KINDS, CONTENT_KINDS, Plan, State, classify, compare
from tidewheel.project.protect import find_objections
from tidewheel.project.read_faces import Faces, compare_faces
from tidewheel.project.sample_rows import find_sample
from tidewheel.project.serviceable import is_serviceable
from tidewheel.project.used_columns import UsedColumns, used_columns
from tidewheel.project.wording import describe
from tidewheel.schema import Schema
from tidewheel.sources.column_basis import basis_of
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import Snapshot

ALGORITHMS: Mapping[str, int] = {"source": 1, "view": 1, "training_set": 1, "model": 2}
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
        self._beside: dict[NodeId, Digest] = {}
        self._rows: dict[NodeId, Digest] = {}
        self.snapshots: dict[NodeId, Snapshot] = {}

    def recipe(self, declaration: Declaration, contents: Mapping[NodeId, Digest]) -> Recipe:
        """The recipe of a node, with the upstream components whose content is known."""
        components = dict(self._components(declaration))
        used = used_columns(declaration.definition)
        for upstream in declaration.upstream:
            content = contents.get(upstream)
            if content is None:
                continue
            above = self._project.graph.nodes[upstream]
            if used is not None and above.id == used.node:
                components.update(self._by_column(above, used, content))
            elif upstream in self._rows and declaration.kind == "model":
                components[f"upstream:{upstream}"] = Component(self._rows[upstream], where=above.where, stands_for=content)
            else:
                components[f"upstream:{upstream}"] = Component(content, where=above.where)
        recipe = Recipe(declaration.kind, components)
        known = declaration.kind == "model" and all(upstream in contents for upstream in declaration.upstream)
        return self._as_read(recipe) if known else recipe

    def learn(self, declaration: Declaration, build: Build) -> None:
        """Take note of what a build made: of a training set its rows, since a model hangs on nothing behind them."""
        if declaration.kind == "training_set":
            self._rows[declaration.id] = Dataset.from_json(self.workspace.artifacts, build.output).rows

    def _as_read(self, recipe: Recipe) -> Recipe:
        """The recipe with what the code's own reads give now, where that is not what they gave when it was built."""
        root = self.workspace.root
        while True:
            build = self.workspace.ledger.find_build(recipe.digest)
            moved = [] if build is None else verify(build.trace, root)
            changed = with_reads(recipe, moved, root)
            if not moved or changed.digest == recipe.digest:
                return recipe
            recipe = changed

    def _by_column(self, above: Declaration, used: UsedColumns, content: Digest) -> dict[str, Component]:
        """What of a source decides the columns that are used: its data and all of its definition but the select, which rows the
        select leaves, and what makes each of the columns. A column that is passed through as it is needs no word."""
        beside = self._beside.get(above.id)
        if beside is None:
            parts = sorted((name, part.value) for name, part in self._components(above).items() if name != "param:select")
            beside = self._beside[above.id] = digest(parts)
        found = basis_of(used.source, used.columns)
        rows = digest([beside, found.rows])
        made = {f"upstream:{above.id}": Component(rows, where=above.where, stands_for=content)}
        for name, text in found.texts.items():
            made[f"column:{above.id}.{name}"] = Component(found.columns[name], where=above.where, note=describe(text))
        return made

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
            code = self.workspace.fingerprinter.components(declaration.functions)
            step = declaration.definition
            parts.update(name_secrets(code, step) if isinstance(step, Step) else code)
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
                    self.learn(declaration, build)
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
        elif is_node(node):
            recipes[node] = found[pointer]
    return State(recipes, metas), environment.version


def make_plan(
    project: Project,
    workspace: Workspace,
    environment: str,
    *,
    only: Collection[NodeId] | None = None,
    thorough: bool = False,
) -> Plan:
    """Compare the working tree with an environment, and measure what changes on a sample.

    Parameters
    ----------
    only
        Restrict the plan to these nodes; ``None`` plans everything, removals included.
    thorough
        Measure what is computed from sources too, which are read for it: :mod:`tidewheel.project.measure_change`.
    """
    surveyor = Surveyor(project, workspace)
    plan, survey = plan_and_survey(project, surveyor, ledger=workspace.ledger, environment=environment)
    schemas: dict[int, Schema | None] = {}
    for change in plan.changes:
        declaration = project.graph.nodes.get(change.node)
        if change.builds and declaration is not None and (only is None or change.node in only):
            _check_view(workspace, declaration, schemas)
    plan = measure_plan(project, workspace, plan, snapshots=survey.snapshots, thorough=thorough)
    return replace(restrict(plan, only), warnings=tuple(_compared(project, workspace, survey.snapshots, only)))


def _check_view(workspace: Workspace, declaration: Declaration, schemas: dict[int, Schema | None]) -> None:
    """Refuse a view over columns that its source does not have, or that have the wrong types, before anything runs.

    What has been found of sources is kept in ``schemas``: many views share one.
    """
    if declaration.kind != "view":
        return
    view = view_of(cast("type", declaration.definition))
    if id(view.source) not in schemas:
        try:
            schemas[id(view.source)] = workspace.sources.schema(view.source)
        except TidewheelError:  # said by who needs the rows
            schemas[id(view.source)] = None
    schema = schemas[id(view.source)]
    if schema is None:
        return
    try:
        check_columns(view, schema)
        for feature in view.features:
            feature_type(feature, schema)
    except TidewheelError as error:
        error.at(declaration.where)
        raise


def _compared(
    project: Project, workspace: Workspace, snapshots: Mapping[NodeId, Snapshot], only: Collection[NodeId] | None
) -> Iterator[str]:
    """What is to be told of sources whose files do not agree."""
    for node, declaration in project.graph.nodes.items():
        if isinstance(declaration.definition, Source) and (only is None or node in only):
            try:
                yield from workspace.sources.compare_files(declaration.definition, snapshots.get(node))
            except TidewheelError:  # said by who needs the rows
                continue


def plan_and_survey(project: Project, surveyor: Surveyor, *, ledger: Ledger, environment: str) -> tuple[Plan, Survey]:
    """The plan, with the survey that it was made from.

    Raises
    ------
    NotFound, Invalid
        When a trigger names what is not there, or what cannot run: no worker would start after an apply.
    """
    arm(project.graph)
    survey = surveyor.survey()
    before, version = read_environment(ledger, environment)
    plan = compare(project.graph, before, survey.state, environment=environment, base_version=version)
    after = survey.state.recipes
    faces = Faces(project, surveyor.workspace, after)
    moved = [change.node for change in plan.changes if change.action in {"change", "follow"}]
    compared = compare_faces(faces, ledger, nodes=moved, before=before.recipes)
    plan = classify(plan, project.graph, {node: kind for node, (kind, _) in compared.items()})
    objections = find_objections(project, surveyor.workspace, plan.changes, faces=faces, before=before.recipes, after=after)
    plan = with_estimates(plan, ledger, project.configuration.rates)
    changes = tuple(
        replace(change, note=_note(project.graph.nodes.get(change.node)), columns=compared.get(change.node, (None, ()))[1])
        for change in plan.changes
    )
    return replace(plan, changes=changes, objections=objections), survey


def _note(declaration: Declaration | None) -> str:
    definition = None if declaration is None else declaration.definition
    return f"runs {offline_form(definition)}" if isinstance(definition, Transform) else ""


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
