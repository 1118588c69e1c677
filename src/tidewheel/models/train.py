"""Train a declared model: run its function, judge the result, keep it as a version with what monitors need."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import pyarrow as pa

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.digest import Digest
from tidewheel.errors import Invalid
from tidewheel.models.definition import ModelDefinition
from tidewheel.models.profile import Floats, choose_rows, profile_of
from tidewheel.models.registry import Registry
from tidewheel.models.version import FeatureProfile, ModelVersion, Provenance, Signature
from tidewheel.pipelines.calls import CallLog
from tidewheel.runs.evaluate import predict_examples
from tidewheel.runs.observe import observe_environment
from tidewheel.runs.record import Run, Runs
from tidewheel.schema import DataType, Field, Schema, data_type_of_arrow

TEST_ROWS = 200_000
"""Most rows of the test split in a baseline."""

TRAIN_ROWS = 50_000
"""Most rows of the training split in a baseline."""

_SAMPLE_ROWS = 1_000


class Stage(Protocol):
    """Inside of what a model's function runs: a pipelines session, in which steps are cached by recipe."""

    def active(self, *, calls: CallLog) -> AbstractContextManager[object]:
        """Steps called inside of the block belong to the run."""
        ...


def train_model(
    definition: ModelDefinition,
    dataset: Dataset,
    *,
    runs: Runs,
    session: Stage,
    registry: Registry,
    recipe: Digest,
    project_snapshot: Digest,
    actor: str,
) -> ModelVersion:
    """Train a model and register it; a recipe that was trained before gives the version that is there.

    After a kill -9 the call is made again: it starts another run (tagged ``resumes`` with the interrupted one), in
    which the steps that had finished are looked up and not run.

    Raises
    ------
    Invalid
        When the function returns no fitted model.
    UnsafeFormat
        When only pickle could store what it returns, and is not allowed.
    """
    found = registry.find_recipe(definition.name, recipe)
    if found is not None:
        return found
    lock = observe_environment()
    tags = _resumed(runs, recipe)
    with runs.start(
        definition.name, experiment=definition.name, recipe=recipe, actor=actor, environment_lock=lock, tags=tags
    ) as run:
        run.judge(registry.formats, task=definition.task)
        with session.active(calls=run.attach(CallLog(runs.database, run.id, runs.clock))):
            model = definition(dataset.train, dataset.test, run)
        if model is None:
            raise Invalid(
                f"model {definition.name} returned None", where=definition.where, fix="return the fitted model at its end"
            )
        sample = dataset.test.x[:_SAMPLE_ROWS] if len(dataset.test) else dataset.train.x[:_SAMPLE_ROWS]
        baseline, profile = _baseline(model, dataset, registry, runs.artifacts)
        version = registry.register(
            definition.name,
            model,
            Provenance(
                signature=_signature(dataset),
                recipe=recipe,
                run_id=run.id,
                training_set=dataset.content,
                project_snapshot=project_snapshot,
                metric=definition.metric,
                metrics=_judge(model, dataset, run),
                service=definition.data.features.name,
                views={view.name: view.version for view in definition.data.features.views},
                baseline=baseline.to_json(),
                profile=profile,
                environment_lock=lock,
                owner=definition.owner,
                description=definition.description,
                actor=actor,
            ),
            sample=sample,
            allow_pickle=definition.allow_pickle,
        )
        run.artifact("model_card.md", registry.card(version).encode())
        run.tag(model=version.name)
    return version


def _resumed(runs: Runs, recipe: Digest) -> dict[str, str]:
    before = runs.search(f"recipe = '{recipe}' AND status IN ('interrupted', 'cancelled')", limit=1).runs
    return {"resumes": before[0].id} if before else {}


def _judge(model: object, dataset: Dataset, run: Run) -> dict[str, float]:
    return run.evaluate(model, dataset.test) if len(dataset.test) else {}


def _signature(dataset: Dataset) -> Signature:
    held = dataset.train.arrow(dataset.features).schema
    inputs = Schema(tuple(Field(field.name, data_type_of_arrow(field.type)) for field in held))
    return Signature(inputs, Field(dataset.label, DataType.FLOAT64, nullable=False))


def _baseline(
    model: object, dataset: Dataset, registry: Registry, artifacts: ArtifactStore
) -> tuple[Table, dict[str, FeatureProfile]]:
    parts = [
        _reference(model, split, registry, most=most, name=name)
        for split, most, name in ((dataset.test, TEST_ROWS, "test"), (dataset.train, TRAIN_ROWS, "train"))
        if len(split)
    ]
    judged = parts[0]
    split = dataset.test if len(dataset.test) else dataset.train
    profile = {name: profile_of(split.x[:, place]) for place, name in enumerate(dataset.features)}
    prediction, label = (np.asarray(judged[name].to_numpy(), dtype=np.float64) for name in ("prediction", "label"))
    profile |= {"prediction": profile_of(prediction), "label": profile_of(label), "error": profile_of(prediction - label)}
    return Table.write(artifacts, pa.concat_tables(parts)), profile


def _reference(model: object, split: Split, registry: Registry, *, most: int, name: str) -> pa.Table:
    rows = choose_rows(len(split), most)
    rows = rows[np.argsort(split.times[rows], kind="stable")]
    chosen = _Chosen(split.x[rows], split.y[rows], split.features)
    predicted = predict_examples(model, chosen, registry.formats)
    values = predicted if predicted.ndim == 1 else np.argmax(predicted, axis=1).astype(np.float64)
    features = split.arrow(split.features).take(pa.array(rows))
    columns = {f"f.{feature}": features[feature].combine_chunks() for feature in split.features}
    return pa.table(
        {
            **columns,
            "prediction": pa.array(values, pa.float64()),
            "label": pa.array(chosen.y, pa.float64()),
            "at": pa.array(split.times[rows], pa.int64()),
            "split": pa.array([name] * len(rows), pa.string()),
        }
    )


class _Chosen:
    """Some rows of a split."""

    def __init__(self, x: Floats, y: Floats, features: tuple[str, ...]) -> None:
        self.x = x
        self.y = y
        self.features = features
