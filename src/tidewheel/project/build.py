"""Builders: how a node of each kind comes to be. One function per kind, chosen by the table at the end."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow.compute as pc

from tidewheel.clock import Micros, format_instant
from tidewheel.datasets.build import build_training_set
from tidewheel.datasets.definition import TrainingSet
from tidewheel.datasets.handle import Dataset
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, MissingExtra
from tidewheel.features.definition import FeatureView, Transform, view_of
from tidewheel.features.transform_check import check_transform
from tidewheel.fingerprint.known import Known
from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.fingerprint.verify_reads import verified
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.ledger.record import Build
from tidewheel.models.definition import ModelDefinition
from tidewheel.models.train import train_model
from tidewheel.models.version import ModelVersion
from tidewheel.pipelines.calls import CallLog
from tidewheel.pipelines.execute import Session
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.origin import Origin, with_origin
from tidewheel.project.pack import pack
from tidewheel.project.plan import CONTENT_KINDS
from tidewheel.project.progress import Progress
from tidewheel.project.release import CHALLENGER, release_built
from tidewheel.project.sample_rows import rows_of
from tidewheel.project.survey import Surveyor
from tidewheel.releases.definition import Gate
from tidewheel.releases.report import GateReport
from tidewheel.runs.observe import find_local, observe_environment, observe_numerics
from tidewheel.serving.definition import Deployment
from tidewheel.sources.definition import Source

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Built:
    """What a builder answers: the content, what is needed to open it (JSON), one line for a person."""

    content: Digest
    output: bytes
    summary: str
    trace: tuple[Read, ...] = ()


@dataclass
class BuildContext:
    """What builders share during one apply."""

    project: Project
    workspace: Workspace
    surveyor: Surveyor
    environment: str
    reason: str
    progress: Progress
    contents: dict[NodeId, Digest] = field(default_factory=dict)
    builds: dict[NodeId, Build] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)
    gate_failed: bool = False

    @cached_property
    def code(self) -> Digest:
        """The project's code, packed once per apply."""
        return pack(self.project.root, self.workspace.artifacts)

    @cached_property
    def origin(self) -> Digest:
        """Versions and machine, stored once per apply."""
        made = Origin(platform.python_version(), observe_environment(), tuple(find_local()), observe_numerics())
        return self.workspace.artifacts.put(made.to_json())

    def output_of(self, declaration: Declaration, built: Built) -> bytes:
        """The output to record: of what can be built again and compared, with what that needs."""
        if declaration.kind not in CONTENT_KINDS or declaration.kind == "source":
            return built.output
        return with_origin(built.output, code=self.code, origin=self.origin)

    def dataset(self, node: NodeId) -> Dataset:
        """A built training set."""
        return Dataset.from_json(self.workspace.artifacts, self.builds[node].output)

    def version(self, node: NodeId) -> ModelVersion:
        """A built model."""
        return self.workspace.registry.get(json.loads(self.builds[node].output)["version"])


def build_source(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Record the snapshot that everything downstream reads."""
    snapshot = context.surveyor.snapshots[declaration.id]
    source = declaration.definition
    if isinstance(source, Source) and source.select is not None and (snapshot.files or snapshot.pushes or snapshot.table):
        context.workspace.sources.schema(source)  # who uses none of its new columns would not notice that it cannot be read
    size = sum(file.size_bytes for file in snapshot.files) + sum(push.size_bytes for push in snapshot.pushes)
    parts = [f"{len(snapshot.files)} files"] if snapshot.files else []
    parts += [f"{len(snapshot.pushes)} segments of pushes"] if snapshot.pushes else []
    return Built(snapshot.content, snapshot.to_json(), f"{', '.join(parts) or 'a table'}, {size / 1e6:.1f} MB")


def build_view(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Bring the view into the online store, up to the newest row that is known."""
    view = _view(declaration)
    until = newest_row(context.workspace, view.source)
    materializer = context.workspace.materializer
    materializer.progress = lambda done, of: context.progress.step(f"materialise {view.name}", done, of)
    report = materializer.materialize(view, until=until or Micros(0))
    if until is None:  # online all the same: what a stream or a push brings is served at once
        return Built(recipe.digest, json.dumps({"version": view.online_version}).encode(), "its source has no rows yet")
    context.workspace.statistics.record(view, context.surveyor.snapshots.get(node_id("source", view.source.name)))
    output = json.dumps({"until": until, "keys": report.keys, "version": view.online_version}).encode()
    return Built(recipe.digest, output, f"{report.keys} keys online, as of {format_instant(until)}")


def _view(declaration: Declaration) -> FeatureView:
    definition = declaration.definition
    assert isinstance(definition, FeatureView | type)
    return view_of(definition)


def newest_row(workspace: Workspace, source: Source) -> Micros | None:
    """The time of the newest row of a source, or now where that is earlier; ``None`` without rows."""
    batches = workspace.sources.batches(source, [])
    found = [most for rows in batches if (most := pc.max(rows["__ts"]).as_py()) is not None]
    return Micros(min(max(found), int(workspace.clock()))) if found else None


def build_dataset(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Join, split and freeze a training set."""
    definition = declaration.definition
    assert isinstance(definition, TrainingSet)
    builds = context.workspace.ledger.list_builds(declaration.id, limit=1)
    previous = Dataset.from_json(context.workspace.artifacts, builds[0].output) if builds else None
    dataset = build_training_set(
        definition,
        sources=replace(context.workspace.sources, watch=context.progress.step),
        artifacts=context.workspace.artifacts,
        snapshots={node.partition(":")[2]: snapshot for node, snapshot in context.surveyor.snapshots.items()},
        previous=previous,
    )
    if not len(dataset.train):
        raise Invalid(
            f"training set {declaration.name} has no rows to train on",
            where=declaration.where,
            fix="look at its source, its label, and the span of its spine and test split",
        )
    context.reports.extend(_tried(dataset, definition.features.transforms))
    context.reports.append(dataset.report.render())
    summary = f"{len(dataset.train)} rows to train, {len(dataset.test)} to test"
    return Built(dataset.content, dataset.to_json(), summary)


def _tried(dataset: Dataset, transforms: Sequence[Transform]) -> Iterator[str]:
    """Hold transforms to real rows, before anybody trains on what their two forms may differ in; tell which run row by row."""
    for transform in transforms:
        facts = check_transform(transform, rows_of(dataset, transform))
        if facts.interpreted:
            yield f"transform {transform.name} runs {facts.offline}, {facts.microseconds:.1f} us a row"


@dataclass(frozen=True, slots=True)
class _Traced:
    """A session that takes down what the model's function and its steps read, as far as it stands still."""

    session: Session
    known: Known
    trace: list[Read]

    @contextmanager
    def active(self, *, calls: CallLog) -> Iterator[None]:
        """Steps called inside of the block belong to the run."""
        with self.session.active(calls=calls, known=self.known) as reads:
            yield
        self.trace.extend(verified(reads, self.session.fingerprinter.root))


def build_model(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Train and register a model version; it becomes challenger where there is a champion."""
    definition, workspace = declaration.definition, context.workspace
    assert isinstance(definition, ModelDefinition)
    session = Session(
        workspace.ledger,
        workspace.artifacts,
        fingerprinter=workspace.fingerprinter,
        actor=workspace.actor,
        executor=workspace.executor,
        formats=workspace.formats,
        clock=workspace.clock,
        progress=context.progress.step,
    )
    workspace.equip(session)
    trace: list[Read] = []
    try:
        version = train_model(
            definition,
            context.dataset(node_id("training_set", definition.data.name)),
            runs=workspace.runs,
            session=_Traced(session, workspace.fingerprinter.known([definition.function]), trace),
            registry=workspace.registry,
            recipe=recipe.digest,
            project_snapshot=context.code,
            actor=workspace.actor,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"model {declaration.name} imports {error.name}, which is not installed",
            where=declaration.where,
            fix=f"install what the model needs, such as: pip install 'tidewheel[{error.name}]'",
        ) from error
    champion = workspace.registry.aliases(version.model).get(CHAMPION)
    if champion is not None and champion != version.version:
        workspace.registry.set_alias(
            version.model, CHALLENGER, version.version, actor=workspace.actor, reason=context.reason or "trained"
        )
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(version.metrics.items()))
    output = json.dumps({"version": version.name}).encode()
    return Built(version.content, output, f"{version.name}: {metrics}", tuple(trace))


def build_gate(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Compare the new version with the champion on the held-out rows."""
    gate, workspace = declaration.definition, context.workspace
    assert isinstance(gate, Gate)
    challenger = context.version(node_id("model", gate.model))
    definition = context.project.graph.nodes[node_id("model", gate.model)].definition
    assert isinstance(definition, ModelDefinition)
    report = workspace.releases.evaluate(gate, challenger, context.dataset(node_id("training_set", definition.data.name)).test)
    context.reports.append(report.render())
    summary = "passed" if report.passed else "FAILED"
    return Built(recipe.digest, json.dumps({"report": report.id, "passed": report.passed}).encode(), summary)


def build_deployment(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Route traffic to the version that was built, when its gates let it pass."""
    deployment = declaration.definition
    assert isinstance(deployment, Deployment)
    version = context.version(node_id("model", deployment.model))
    reports = _gate_reports(context, declaration)
    failed = [report.gate for report in reports if not report.passed]
    if failed:
        context.gate_failed = True
        summary = f"{version.name} does not answer: gate {', '.join(failed)} failed"
    else:
        summary = let_answer(context, declaration, version)
    return Built(recipe.digest, json.dumps({"version": version.name, "failed": failed}).encode(), summary)


def let_answer(context: BuildContext, declaration: Declaration, version: ModelVersion) -> str:
    """Let a version answer that its gates let pass: in the environment that the project works in by its route, at once or in
    steps; in another one when the environment moves. One line for a person."""
    deployment, workspace = declaration.definition, context.workspace
    assert isinstance(deployment, Deployment)
    if context.environment != workspace.environment:
        return f"{version.name} is to answer in {context.environment}"
    reports = _gate_reports(context, declaration)
    reason = context.reason or f"apply {context.environment}"
    evidence = reports[-1] if reports else None
    return release_built(workspace, deployment, version=version, report=evidence, reason=reason)


def _gate_reports(context: BuildContext, declaration: Declaration) -> list[GateReport]:
    found = []
    for node in declaration.upstream:
        if node.startswith("gate:"):
            report = context.workspace.releases.find_report(json.loads(context.builds[node].output)["report"])
            if report is not None:
                found.append(report)
    return found


def build_monitor(context: BuildContext, declaration: Declaration, recipe: Recipe) -> Built:
    """Nothing to make: a monitor calibrates itself from the champion's baseline when it runs."""
    window = declaration.parameters.get("window")
    return Built(recipe.digest, b"{}", f"judges windows of {window}")


Builder = Callable[[BuildContext, Declaration, Recipe], Built]

BUILDERS: Mapping[str, Builder] = {
    "source": build_source,
    "view": build_view,
    "training_set": build_dataset,
    "model": build_model,
    "gate": build_gate,
    "deployment": build_deployment,
    "monitor": build_monitor,
}
