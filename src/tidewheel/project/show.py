"""Describe what there is: the project, one node, the difference of two environments, and why a node would be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tidewheel.clock import format_instant
from tidewheel.features.definition import FeatureView, Transform
from tidewheel.features.statistics import ColumnStatistics
from tidewheel.features.transform_check import check_transform
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.models.version import ModelVersion
from tidewheel.project.load import Project
from tidewheel.project.node_description import NodeDescription
from tidewheel.project.open import Workspace
from tidewheel.project.plan import Change, Plan, Reason, differences
from tidewheel.project.pointed import check_environment, list_answering
from tidewheel.project.sample_rows import find_sample
from tidewheel.project.show_sweep import describe_sweep
from tidewheel.project.survey import Surveyor, make_plan, plan_and_survey, read_environment
from tidewheel.project.used_columns import used_columns
from tidewheel.project.wording import describe
from tidewheel.sources.definition import Source

_MAX_BUILDS = 5
_WHOLE = 10_000
"""Characters of a parameter that are shown: all of any that a person has written."""
_DAYS = 7


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """One line about a node."""

    id: NodeId
    state: str
    owner: str | None
    where: str
    summary: str


@dataclass(frozen=True, slots=True)
class ProjectDescription:
    """All nodes of a project, with their state in an environment."""

    name: str
    environment: str
    version: int
    nodes: tuple[NodeSummary, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """A node that differs between two environments."""

    node: NodeId
    state: str
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a node would be built, or would not."""

    node: NodeId
    verdict: str
    reasons: tuple[Reason, ...]
    causes: tuple[tuple[NodeId, str], ...]
    passed: tuple[tuple[NodeId, str], ...] = ()
    """Changes above it that do not reach it, and why."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def describe_project(project: Project, workspace: Workspace) -> ProjectDescription:
    """Every node with its state: up to date, or what a plan would do with it."""
    environment = project.configuration.environment
    plan = make_plan(project, workspace, environment)
    states = {change.node: change.action for change in plan.changes}
    nodes = tuple(
        NodeSummary(
            declaration.id,
            states.get(declaration.id, "up to date"),
            _owner(declaration),
            declaration.where,
            _summary(workspace, declaration),
        )
        for declaration in project.graph.nodes.values()
    )
    return ProjectDescription(project.configuration.project, environment, plan.base_version, nodes)


def _owner(declaration: Declaration) -> str | None:
    owner = declaration.meta.get("owner")
    return str(owner) if owner else None


def _summary(workspace: Workspace, declaration: Declaration) -> str:
    if declaration.kind == "model":
        versions = workspace.registry.list(declaration.name)
        return f"{len(versions)} versions" if versions else "never trained"
    if declaration.kind == "deployment":
        route = workspace.routes.current(declaration.name)
        arms = [f"{arm.role} {arm.model}:{arm.version} at {arm.weight / 100:g} %" for arm in route.arms]
        return ", ".join(arms) or "not routed"
    description = str(declaration.meta.get("description") or "")
    return description.splitlines()[0] if description else ""


def describe_node(project: Project, workspace: Workspace, name: str) -> NodeDescription:
    """One node: definition, recipe, builds, who needs it, and what its kind adds."""
    if name not in project.graph.nodes:
        swept = describe_sweep(workspace, name)
        if swept is not None:
            return swept
    declaration = project.graph.find(name)
    surveyor = Surveyor(project, workspace)
    survey = surveyor.survey()
    recipe = survey.state.recipes[declaration.id]
    builds = workspace.ledger.list_builds(declaration.id, limit=_MAX_BUILDS)
    parts = {key: f"{part.note or part.value}  {part.where or ''}".rstrip() for key, part in recipe.components.items()}
    currency = project.configuration.rates.currency
    costs = {b.id: "" if b.cost is None else f", {b.cost:.2g} {currency}".rstrip() for b in builds}
    built = {
        format_instant(b.started_at): f"{b.seconds:.2f} s{costs[b.id]} by {b.actor}, content {b.content[:16]}" for b in builds
    }
    users = {node: _owner(project.graph.nodes[node]) or "" for node in project.graph.downstream(declaration.id)}
    sections = [
        ("meta", tuple((key, str(value)) for key, value in declaration.meta.items() if value)),
        ("parameters", tuple((key, describe(value, width=_WHOLE)) for key, value in declaration.parameters.items())),
        ("recipe", tuple(parts.items())),
        ("builds", tuple(built.items())),
        ("upstream", tuple((node, "") for node in declaration.upstream)),
        ("downstream", tuple(users.items())),
        *_of_kind(project, workspace, declaration),
    ]
    return NodeDescription(declaration.id, declaration.where, tuple((title, pairs) for title, pairs in sections if pairs))


def _of_kind(project: Project, workspace: Workspace, declaration: Declaration) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    if declaration.kind == "model":
        versions: list[ModelVersion] = list(workspace.registry.list(declaration.name))
        lines = [(v.name, " ".join(f"{key}={value:.4g}" for key, value in sorted(v.metrics.items()))) for v in versions]
        aliases = [(f"@{alias}", str(version)) for alias, version in workspace.registry.aliases(declaration.name).items()]
        return [("versions", tuple(lines)), ("aliases", tuple(aliases))]
    if isinstance(declaration.definition, Transform):
        sample = find_sample(project.graph, workspace, declaration.definition)
        facts = check_transform(declaration.definition, None if sample is None else sample.rows)
        kind = "generated" if sample is None else "real"
        return [
            ("runs", (("offline", facts.offline), ("one call", f"{facts.microseconds:.1f} us on {facts.rows} {kind} rows")))
        ]
    if isinstance(declaration.definition, Source | FeatureView):
        return _of_rows(workspace, declaration.definition)
    if declaration.kind == "deployment":
        history = workspace.routes.history(declaration.name, limit=10)
        routes = [
            (
                f"revision {route.revision}",
                ", ".join(f"{a.role} {a.model}:{a.version} {a.weight / 100:g} %" for a in route.arms)
                + f"  by {route.actor} at {format_instant(route.at)}: {route.reason}",
            )
            for route in history
        ]
        return [("routes", tuple(routes))]
    return []


def _of_rows(workspace: Workspace, definition: Source | FeatureView) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """How the rows are, against what is expected of them."""
    source = definition if isinstance(definition, Source) else definition.source
    verdict = workspace.sources.verdict(source)
    lines = [
        (
            one.rule,
            f"{one.otherwise}: {one.failed} of {one.rows} fail" + (f", such as {one.examples[0]}" if one.examples else ""),
        )
        for one in verdict.findings
    ]
    if verdict.quarantined:
        lines.append(("in quarantine", f"{verdict.quarantined} rows, in {verdict.kept}"))
    sections = [("expectations", tuple(lines))]
    if isinstance(definition, FeatureView):
        workspace.statistics.record(definition)  # what came since the last apply or materialisation
        windows = workspace.statistics.windows(definition)
        sections.append(("statistics", tuple(_told(workspace.statistics.total(definition)).items())))
        sections.append(("last days", tuple(_by_day(windows, [one.name for one in definition.features]))))
    return sections


def _by_day(windows: Mapping[int, Mapping[str, ColumnStatistics]], features: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The features of the last days that had rows: how many keys, how many null, and the mean of numbers."""
    for start in sorted(windows)[-_DAYS:]:
        told = []
        for name in features:
            one = windows[start].get(f"f.{name}")
            if one is not None:
                mean = f" mean {one.mean:.4g}" if one.finite else ""
                told.append(f"{name} {one.count} values, {one.nulls} null{mean}")
        yield format_instant(start)[:10], "; ".join(told)


def _told(columns: Mapping[str, ColumnStatistics]) -> dict[str, str]:
    told = {}
    for name, one in columns.items():
        parts = [f"{one.count} values, {one.nulls} null"]
        if one.finite:
            spread = "" if one.std is None else f", std {one.std:.4g}"
            parts.append(f"mean {one.mean:.4g}{spread}")
            parts.append(", ".join(f"p{share} {one.quantile(share / 100):.4g}" for share in (1, 50, 99)))
        if one.least is not None:
            parts.append(f"from {one.least} to {one.greatest}")
        if one.top:
            parts.append("most often " + ", ".join(f"{value} ({n})" for value, n in list(one.top.items())[:3]))
        told[name] = "; ".join(parts)
    return told


def diff_environments(workspace: Workspace, left: str, right: str) -> list[Difference]:
    """Nodes whose recipes differ between two environments, with the components that do."""
    for name in (left, right):
        check_environment(workspace, name)
    before, _ = read_environment(workspace.ledger, left)
    after, _ = read_environment(workspace.ledger, right)
    answering = list_answering(workspace, left), list_answering(workspace, right)
    found = []
    for node in sorted({*before.recipes, *after.recipes}):
        one, two = before.recipes.get(node), after.recipes.get(node)
        if one is None:
            found.append(Difference(node, f"only in {right}", ()))
        elif two is None:
            found.append(Difference(node, f"only in {left}", ()))
        elif one.digest != two.digest:
            found.append(Difference(node, "differs", differences(one, two)))
        if node.startswith("deployment:") and one is not None and two is not None:
            name = node.partition(":")[2]
            old, new = answering[0].get(name), answering[1].get(name)
            if old != new:
                found.append(Difference(node, f"{old or 'nothing'} answers in {left}, {new or 'nothing'} in {right}", ()))
    return found


def explain_node(project: Project, workspace: Workspace, name: str, *, environment: str) -> Explanation:
    """Which part of a node's recipe changed since the environment's, or why nothing would be built."""
    declaration = project.graph.find(name)
    plan, _ = plan_and_survey(project, Surveyor(project, workspace), ledger=workspace.ledger, environment=environment)
    changes: Mapping[NodeId, Change] = {change.node: change for change in plan.changes}
    change = changes.get(declaration.id)
    if change is None:
        verdict = f"up to date in {environment}: its recipe has a build, and no component differs"
        return Explanation(declaration.id, verdict, (), (), tuple(_passed(project, declaration, changes)))
    causes = []
    for upstream in project.graph.upstream(declaration.id):
        cause = changes.get(upstream)
        if cause is not None and cause.action in {"add", "change"}:
            causes.append((upstream, _because(cause)))
    return Explanation(declaration.id, _verdict(change, plan), change.reasons, tuple(causes))


def _passed(project: Project, declaration: Declaration, changes: Mapping[NodeId, Change]) -> Iterator[tuple[NodeId, str]]:
    """Changes above a node that do not reach it, and why: where on the way their columns are not used."""
    for upstream in project.graph.upstream(declaration.id):
        change = changes.get(upstream)
        if change is None or declaration.id not in change.spared:
            continue
        told = ", ".join(f"{one.name} ({one.what})" for one in change.columns) or "other columns"
        between = [declaration.id, *project.graph.upstream(declaration.id)]
        for node in between:
            used = used_columns(project.graph.nodes[node].definition)
            if used is not None and used.node == upstream:
                yield upstream, f"it changes in {told}; {node} uses {', '.join(used.columns)}"


def _verdict(change: Change, plan: Plan) -> str:
    builds = "would be built" if change.builds else "would be pointed at anew"
    return {
        "add": f"is not in {plan.environment} yet and {builds}",
        "change": f"changed and {builds}",
        "follow": f"has not changed itself; {builds} if its upstream's content changes",
        "finish": "was applied, but its build never finished",
        "metadata": "only its metadata changed; nothing is rebuilt",
        "remove": "is no longer declared",
    }[change.action]


def _because(change: Change) -> str:
    if change.action == "add":
        return f"new ({change.where})"
    return "; ".join(f"{reason.component} ({reason.where or change.where})" for reason in change.reasons[:3])
