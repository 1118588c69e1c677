"""Training makes a version once per recipe, with everything that monitors and gates need."""

from __future__ import annotations

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.models.conftest import FEATURES, Inline

from tidewheel.datasets.definition import TrainingSet
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.digest import digest
from tidewheel.errors import Invalid, UnsafeFormat
from tidewheel.ledger.definition import collecting
from tidewheel.models import train as train_module
from tidewheel.models.definition import ModelDefinition, model
from tidewheel.models.profile import choose_rows
from tidewheel.models.registry import Registry
from tidewheel.models.train import train_model
from tidewheel.models.version import ModelVersion
from tidewheel.runs.definition import RunStatus
from tidewheel.runs.record import Run, Runs
from tidewheel.schema import DataType


def train(definition: ModelDefinition, dataset: Dataset, runs: Runs, registry: Registry, recipe: object = 1) -> ModelVersion:
    return train_model(
        definition,
        dataset,
        runs=runs,
        session=Inline(),
        registry=registry,
        recipe=digest(recipe),
        project_snapshot=digest("code"),
        actor="ann",
    )


def linear(rides: TrainingSet) -> ModelDefinition:
    @model("eta", data=rides, owner="ann")
    def eta(train: Split, test: Split, run: Run) -> object:
        """Minutes of a ride."""
        fits = [LinearRegression(fit_intercept=intercept).fit(train.x, train.y) for intercept in (False, True)]
        return min(fits, key=lambda fitted: run.evaluate(fitted, test)["mae"])

    return eta


def test_a_trained_model_is_registered_with_all_that_is_known(
    rides: TrainingSet, dataset: Dataset, runs: Runs, registry: Registry
) -> None:
    version = train(linear(rides), dataset, runs, registry)
    assert version.name == "eta:1"
    assert version.features == FEATURES
    assert [field.type for field in version.signature.inputs] == [DataType.INT64, DataType.FLOAT64, DataType.BOOL]
    assert version.training_set == dataset.content
    assert (version.service, version.views) == ("eta_inputs", {})
    assert version.provenance.owner == "ann"
    predicted = registry.load(version).predict(dataset.test.x)
    assert version.metrics["mae"] == pytest.approx(float(np.mean(np.abs(predicted - dataset.test.y))))
    run = runs.get(version.run_id)
    assert (run.status, run.recipe, run.tags) == (RunStatus.FINISHED, digest(1), {"model": "eta:1"})
    assert run.metrics["mae"] == version.metrics["mae"]
    assert len(runs.history(run.id, "mae")) == 3
    assert b"# eta, version 1" in runs.artifacts.get(run.artifacts["model_card.md"])


def test_the_baseline_holds_what_monitors_need(rides: TrainingSet, dataset: Dataset, runs: Runs, registry: Registry) -> None:
    version = train(linear(rides), dataset, runs, registry)
    table = registry.baseline(version)
    assert table is not None
    held = table.arrow()
    assert held.column_names == ["f.trips", "f.distance", "f.rain", "prediction", "label", "at", "split"]
    assert held.schema.field("f.trips").type == pa.int64()
    assert held.schema.field("f.rain").type == pa.bool_()
    assert held.schema.field("at").type == pa.int64()
    assert held["split"].to_pylist() == ["test"] * 100 + ["train"] * 400
    test = held.slice(0, 100)
    assert np.array_equal(test["at"].to_numpy(), dataset.test.times)
    assert np.array_equal(test["label"].to_numpy(), dataset.test.y)
    assert np.array_equal(test["prediction"].to_numpy(), registry.load(version).predict(dataset.test.x))
    assert set(version.provenance.profile) == {*FEATURES, "prediction", "label", "error"}
    assert version.provenance.profile["distance"].quantiles[4] == pytest.approx(float(np.median(dataset.test.x[:, 1])))


def test_a_large_split_is_represented_by_a_sample_in_order_of_time() -> None:
    rows = choose_rows(1_000_000, 500)
    assert len(set(rows.tolist())) == 500
    assert np.array_equal(rows, np.sort(rows))
    assert np.array_equal(rows, choose_rows(1_000_000, 500))
    assert train_module.TEST_ROWS >= train_module.TRAIN_ROWS


def test_the_same_recipe_is_not_trained_again(rides: TrainingSet, dataset: Dataset, runs: Runs, registry: Registry) -> None:
    calls: list[str] = []

    @model("eta", data=rides)
    def eta(train: Split, test: Split, run: Run) -> object:
        calls.append(run.id)
        return LinearRegression().fit(train.x, train.y)

    first, again, other = (train(eta, dataset, runs, registry, recipe) for recipe in (1, 1, 2))
    assert (first.name, again.name, other.name) == ("eta:1", "eta:1", "eta:2")
    assert len(calls) == 2
    assert first.content == other.content


def test_a_training_that_was_interrupted_is_said_to_be_resumed(
    rides: TrainingSet, dataset: Dataset, runs: Runs, registry: Registry
) -> None:
    attempts: list[str] = []

    @model("eta", data=rides)
    def eta(train: Split, test: Split, run: Run) -> object:
        attempts.append(run.id)
        if len(attempts) == 1:
            raise KeyboardInterrupt
        return LinearRegression().fit(train.x, train.y)

    with pytest.raises(KeyboardInterrupt):
        train(eta, dataset, runs, registry)
    assert registry.list("eta") == []
    version = train(eta, dataset, runs, registry)
    assert runs.get(version.run_id).tags["resumes"] == attempts[0]


def test_a_lightgbm_classifier_is_judged_by_what_it_will_serve(
    rides: TrainingSet, classes: Dataset, runs: Runs, registry: Registry
) -> None:
    @model("late", data=rides, metric="log_loss")
    def late(train: Split, test: Split, run: Run) -> object:
        fitted = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, num_threads=1, seed=1).fit(train.x, train.y)
        scores = run.evaluate(fitted, test)
        assert 0 < scores["log_loss"] < 0.7
        return fitted

    version = train(late, classes, runs, registry)
    assert version.format == "lightgbm"
    assert {"accuracy", "log_loss", "roc_auc", "n"} == set(version.metrics)
    chances = registry.load(version).predict(classes.test.x)
    assert 0 < chances.min() < chances.max() < 1


def test_a_scikit_learn_classifier_is_judged_the_same_way(
    rides: TrainingSet, classes: Dataset, runs: Runs, registry: Registry
) -> None:
    @model("late", data=rides, metric="accuracy")
    def late(train: Split, test: Split, run: Run) -> object:
        return LogisticRegression(max_iter=1_000).fit(train.x, train.y)

    version = train(late, classes, runs, registry)
    assert version.metrics["accuracy"] > 0.8


def test_what_is_no_model_is_refused_and_the_run_says_so(
    rides: TrainingSet, dataset: Dataset, runs: Runs, registry: Registry
) -> None:
    @model("none", data=rides)
    def none(train: Split, test: Split, run: Run) -> object:
        return None

    @model("odd", data=rides)
    def odd(train: Split, test: Split, run: Run) -> object:
        return {"weights": [1]}

    with pytest.raises(Invalid, match="returned None"):
        train(none, dataset, runs, registry)
    with pytest.raises((Invalid, UnsafeFormat)):
        train(odd, dataset, runs, registry)
    assert {run.status for run in runs.search().runs} == {RunStatus.FAILED}


def test_a_declaration_carries_what_decides_and_what_does_not(rides: TrainingSet) -> None:
    with collecting() as declared:
        definition = linear(rides)
    assert [one.id for one in declared] == ["model:eta"]
    assert declared[0].upstream == ("training_set:rides",)
    assert declared[0].parameters == {"metric": "mae", "allow_pickle": False}
    assert declared[0].functions == (definition.function,)
    assert declared[0].meta["description"] == "Minutes of a ride."
    assert "test_train.py:" in declared[0].where


def test_declarations_that_are_wrong_are_refused(rides: TrainingSet) -> None:
    with pytest.raises(Invalid, match="no metric 'maee'") as caught:
        model("eta", data=rides, metric="maee")
    assert caught.value.fix == "did you mean mae?"
    with pytest.raises(Invalid, match="not a model's name"):
        model("eta:1", data=rides)
