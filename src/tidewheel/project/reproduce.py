"""Reproduce: build a node again from nothing and compare the content with what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from tidewheel.artifacts.table import Table
from tidewheel.datasets.build import build_training_set
from tidewheel.datasets.definition import TrainingSet
from tidewheel.datasets.handle import Dataset
from tidewheel.digest import Digest, digest
from tidewheel.errors import Invalid, NotFound
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.ledger.record import Build
from tidewheel.models.definition import ModelDefinition
from tidewheel.models.version import ModelVersion
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.progress import Progress, silent
from tidewheel.project.survey import Surveyor
from tidewheel.runs.observe import observe_environment


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The outcome: the recorded content, the content now, and what differs."""

    node: NodeId
    equal: bool
    recorded: Digest
    again: Digest
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def reproduce(project: Project, workspace: Workspace, name: str, *, progress: Progress = silent) -> Reproduction:
    """Build a training set or a model again, without any cache, and compare.

    The code, the data and the libraries are those of now: when the node's recipe differs from the recorded one, that is said
    and nothing is built, since equal content could not be expected.

    Raises
    ------
    NotFound
        The node was never built with the recipe that it has now.
    Invalid
        The node is of a kind that has no content of its own.
    """
    declaration = project.graph.find(name)
    if declaration.kind not in {"training_set", "model"}:
        raise Invalid(
            f"{declaration.id} has no content of its own to compare", where=declaration.id, fix="name a training set or a model"
        )
    surveyor = Surveyor(project, workspace)
    survey = surveyor.survey()
    build = survey.builds.get(declaration.id)
    if build is None:
        raise NotFound(
            f"{declaration.id} was never built with the recipe that it has now",
            where=declaration.id,
            fix=f"tidewheel why {declaration.id}",
        )
    with progress.doing(f"build {declaration.id} again"):
        if isinstance(declaration.definition, TrainingSet):
            return _dataset(workspace, surveyor, declaration, build, progress)
        return _model(workspace, declaration, build, survey.builds)


def _dataset(
    workspace: Workspace, surveyor: Surveyor, declaration: Declaration, build: Build, progress: Progress
) -> Reproduction:
    definition = declaration.definition
    assert isinstance(definition, TrainingSet)
    snapshots = {node.partition(":")[2]: snapshot for node, snapshot in surveyor.snapshots.items()}
    sources = replace(workspace.sources, watch=progress.step)
    again = build_training_set(definition, sources=sources, artifacts=workspace.artifacts, snapshots=snapshots)
    recorded = Dataset.from_json(workspace.artifacts, build.output)
    notes = [
        *_columns("train", recorded.train.table, again.train.table),
        *_columns("test", recorded.test.table, again.test.table),
    ]
    return Reproduction(declaration.id, again.content == build.content, build.content, again.content, tuple(notes))


def _columns(part: str, recorded: Table, again: Table) -> list[str]:
    """The columns that differ; the first of them is where the difference begins."""
    before, after = recorded.column_digests, again.column_digests
    return [f"{part}: column {name} differs" for name in before if before[name] != after.get(name)]


def _model(workspace: Workspace, declaration: Declaration, build: Build, builds: Mapping[NodeId, Build]) -> Reproduction:
    """Train again outside of any session: steps are plain calls then, and nothing is looked up."""
    import json

    definition = declaration.definition
    assert isinstance(definition, ModelDefinition)
    version = workspace.registry.get(json.loads(build.output)["version"])
    dataset = Dataset.from_json(workspace.artifacts, builds[node_id("training_set", definition.data.name)].output)
    with workspace.runs.start(
        definition.name, experiment="repro", actor=workspace.actor, tags={"reproduces": version.name}
    ) as run:
        run.judge(workspace.formats, task=definition.task)
        model = definition(dataset.train, dataset.test, run)
    saved = next((f for f in workspace.formats if f.name == version.format and f.accepts(model)), None)
    if saved is None:
        raise NotFound(f"no installed format {version.format} takes what {declaration.id} returned", where=declaration.id)
    files = {name: workspace.artifacts.put(data) for name, data in saved.save(model).items()}
    notes = [f"file {name} differs" for name in sorted(version.files) if files.get(name) != version.files[name]]
    if notes:
        notes += _environment(version)
    again = version.content if files == dict(version.files) else digest([version.format, files])
    return Reproduction(declaration.id, not notes, build.content, again, tuple(notes))


def _environment(version: ModelVersion) -> list[str]:
    """Installed versions that are not those of the recorded training."""
    now = observe_environment()
    before = version.provenance.environment_lock
    return [
        f"{name}: trained with {before.get(name)}, now {now.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
