"""scikit-learn meets the model format contract, and builds nothing that is not known to be safe."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from tidewheel.backends.sklearn.model_format import FILE, SklearnFormat
from tidewheel.backends.sklearn.predictor import EstimatorPredictor
from tidewheel.errors import Corrupt, Incompatible, Invalid, UnsafeFormat
from tidewheel.ports.model_format import ModelFormat
from tidewheel.testing.model_format import FittedModel, Floats, ModelFormatContract

FEATURES = ("a", "b", "c", "d")


def rows(count: int) -> Floats:
    return np.random.default_rng(0).normal(size=(count, len(FEATURES)))


def values(x: Floats) -> Floats:
    return np.asarray(x[:, 0] * 2 + np.sin(x[:, 1] * 3), dtype=np.float64)


def fitted(model: BaseEstimator, y: Floats, name: str = "") -> FittedModel:
    x = rows(150)
    model.fit(x, y)
    asked = rows(8)
    if hasattr(model, "predict_proba"):
        spread = model.predict_proba(asked)
        expected = spread[:, 1] if spread.shape[1] == 2 else spread
    else:
        expected = model.predict(asked)
    return FittedModel(name or type(model).__name__, model, FEATURES, asked, np.asarray(expected, dtype=np.float64))


@cache
def models() -> Sequence[FittedModel]:
    y = values(rows(150))
    two, three = (y > 0).astype(np.float64), np.digitize(y, [-1, 1]).astype(np.float64)
    return (
        fitted(LinearRegression(), y),
        fitted(make_pipeline(StandardScaler(), Ridge()), y),
        fitted(make_pipeline(StandardScaler(), LogisticRegression()), two),
        fitted(LogisticRegression(), three, "three classes"),
        fitted(LinearSVC(), two),
        fitted(RandomForestRegressor(5, random_state=0), y),
        fitted(RandomForestClassifier(5, random_state=0), three),
        fitted(GradientBoostingRegressor(n_estimators=5, random_state=0), y),
        fitted(HistGradientBoostingRegressor(max_iter=5, random_state=0), y),
        fitted(HistGradientBoostingClassifier(max_iter=5, random_state=0), two),
    )


class TestSklearnFormat(ModelFormatContract):
    def make_format(self) -> ModelFormat:
        return SklearnFormat()

    def make_models(self) -> Sequence[FittedModel]:
        return models()


FIT_AND_HASH = """
import hashlib
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tidewheel.backends.sklearn.model_format import SklearnFormat
x = np.random.default_rng(0).normal(size=(150, 4))
for model in (make_pipeline(StandardScaler(), Ridge()), RandomForestClassifier(5, random_state=0)):
    model.fit(x, x[:, 0] > 0)
    print(hashlib.sha256(SklearnFormat().save(model)["model.skops"]).hexdigest())
"""


@pytest.mark.slow
def test_equal_models_of_two_processes_are_equal_bytes() -> None:
    command = [sys.executable, "-c", FIT_AND_HASH]
    once, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert once
    assert once == again


def test_types_that_are_not_known_are_named_when_the_model_is_stored() -> None:
    model = make_pipeline(FunctionTransformer(np.exp), LinearRegression()).fit(rows(20), values(rows(20)))
    model.steps[0][1].hook = subprocess.Popen
    with pytest.raises(UnsafeFormat, match=r"subprocess\.Popen"):
        SklearnFormat().save(model)


def test_types_that_are_not_known_are_named_when_the_model_is_read_and_nothing_runs() -> None:
    model = LinearRegression().fit(rows(20), values(rows(20)))
    model.hook = subprocess.Popen
    data = skops.io.dumps(model)
    with pytest.raises(UnsafeFormat, match=r"subprocess\.Popen") as caught:
        SklearnFormat().load({FILE: data})
    assert "allow_pickle" in str(caught.value.fix)


def test_native_search_trees_are_refused_because_nobody_checks_them() -> None:
    with pytest.raises(UnsafeFormat, match="KDTree"):
        SklearnFormat().save(KNeighborsRegressor().fit(rows(60), values(rows(60))))


@pytest.mark.parametrize("model", [RandomForestRegressor(2, random_state=0), HistGradientBoostingRegressor(max_iter=2)])
@pytest.mark.parametrize("field", ["left", "feature"])
def test_trees_that_point_outside_of_themselves_are_corrupt(model: BaseEstimator, field: str) -> None:
    model.fit(rows(80), values(rows(80)))
    forged = skops.io.loads(skops.io.dumps(model), trusted=skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    if isinstance(model, RandomForestRegressor):
        tree = forged.estimators_[1].tree_
        getattr(tree, {"left": "children_left", "feature": "feature"}[field])[0] = 1_000_000
    else:
        forged._predictors[1][0].nodes[{"left": "left", "feature": "feature_idx"}[field]][0] = 1_000_000
    with pytest.raises(Corrupt):
        SklearnFormat().load({FILE: skops.io.dumps(forged)})


def test_trees_that_go_in_a_circle_are_corrupt() -> None:
    model = RandomForestRegressor(1, random_state=0).fit(rows(80), values(rows(80)))
    model.estimators_[0].tree_.children_left[0] = 0
    with pytest.raises(Corrupt):
        SklearnFormat().load({FILE: skops.io.dumps(model)})


def test_other_bytes_are_corrupt() -> None:
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as packed:
        packed.writestr("schema.json", json.dumps({}))
    for data in (b"", b"garbage", empty.getvalue()):
        with pytest.raises(Corrupt):
            SklearnFormat().load({FILE: data})
    with pytest.raises(Corrupt):
        SklearnFormat().load({})


def test_a_null_that_the_model_cannot_take_names_the_feature() -> None:
    asked = rows(2)
    asked[1, 2] = np.nan
    with pytest.raises(Invalid, match="null or infinite value: c"):
        SklearnFormat().predictor(models()[0].model, FEATURES).predict(asked)


def test_a_model_fitted_on_a_frame_answers_arrays_without_a_warning() -> None:
    pandas = pytest.importorskip("pandas")
    x = rows(50)
    frame = pandas.DataFrame(x, columns=list(FEATURES))
    for model in (LinearRegression(), make_pipeline(StandardScaler(), Ridge()), RandomForestRegressor(3, random_state=0)):
        model.fit(frame, values(x))
        answer = SklearnFormat().predictor(model, FEATURES).predict(x)
        np.testing.assert_allclose(answer, model.predict(frame), rtol=1e-12)
        assert tuple(model.feature_names_in_) == FEATURES, "the model itself must keep its names"
        with pytest.raises(Incompatible):
            SklearnFormat().predictor(model, tuple(reversed(FEATURES)))


def test_classes_that_are_not_numbered_from_zero_are_refused() -> None:
    x = rows(50)
    model = LogisticRegression().fit(x, np.where(x[:, 0] > 0, "yes", "no"))
    with pytest.raises(Invalid, match="number the classes"):
        SklearnFormat().predictor(model, FEATURES)


def test_single_rows_equal_the_library_to_the_bit() -> None:
    for found in models():
        predictor = SklearnFormat().predictor(found.model, FEATURES)
        assert isinstance(predictor, EstimatorPredictor)
        for row in found.rows:
            assert np.array_equal(predictor.predict(row[None]), predictor.predict_batch(row[None])), found.name


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(3, random_state=0),
        RandomForestClassifier(3, random_state=0),
        HistGradientBoostingRegressor(max_iter=3, loss="poisson"),
        HistGradientBoostingClassifier(max_iter=3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_ensembles_of_trees_take_the_short_way_for_one_row(model: BaseEstimator) -> None:
    y = (values(rows(150)) > 0).astype(np.float64)
    predictor = SklearnFormat().predictor(model.fit(rows(150), y), FEATURES)
    assert isinstance(predictor, EstimatorPredictor)
    assert predictor.fast
    for row in rows(50)[:10]:
        assert np.array_equal(predictor.predict(row[None]), predictor.predict_batch(row[None]))


def test_a_single_row_with_a_null_is_answered_as_the_library_answers() -> None:
    row = np.array([[0.1, np.nan, 0.2, 0.3]])
    takes = HistGradientBoostingRegressor(max_iter=2).fit(rows(80), values(rows(80)))
    assert SklearnFormat().predictor(takes, FEATURES).predict(row) == takes.predict(row)
    with pytest.raises(Invalid, match="null or infinite value: b"):
        SklearnFormat().predictor(models()[0].model, FEATURES).predict(row)
