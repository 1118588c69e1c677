"""LightGBM meets the model format contract, and keeps its own promises."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import lightgbm
import numpy as np
import pytest
from tests.counting import calls

from tidewheel.backends.lightgbm.model_format import LightgbmFormat
from tidewheel.backends.lightgbm.predictor import BoosterPredictor
from tidewheel.errors import Corrupt, Incompatible, Invalid
from tidewheel.ports.model_format import ModelFormat
from tidewheel.testing.model_format import FittedModel, Floats, ModelFormatContract

FEATURES = ("a", "b", "c", "d", "e")
SETTINGS: dict[str, object] = {
    "verbose": -1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "num_leaves": 7,
}


def rows(count: int) -> Floats:
    found = np.random.default_rng(0).normal(size=(count, len(FEATURES)))
    found[::7, 2] = np.nan
    return found


def values(x: Floats) -> Floats:
    return np.asarray(x[:, 0] * 2 + np.sin(x[:, 1] * 3) + np.nan_to_num(x[:, 2]), dtype=np.float64)


def classifier(trees: int) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=7, random_state=1, n_jobs=1, verbose=-1)


@cache
def models() -> Sequence[FittedModel]:
    x = rows(400)
    y = values(x)
    asked = rows(60)
    regressor = lightgbm.train({**SETTINGS, "objective": "regression"}, lightgbm.Dataset(x, y), 20)
    two = classifier(10).fit(x, (y > 0).astype(int))
    three = classifier(10).fit(x, np.digitize(y, [-1, 1]))
    stopped = lightgbm.train(
        {**SETTINGS, "objective": "regression", "learning_rate": 0.5},
        lightgbm.Dataset(x, y),
        200,
        valid_sets=[lightgbm.Dataset(x[:50], y[:50][::-1])],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    assert 0 < stopped.best_iteration < 200
    return (
        FittedModel("regressor", regressor, FEATURES, asked, np.asarray(regressor.predict(asked))),
        FittedModel("two classes", two, FEATURES, asked, np.asarray(two.booster_.predict(asked))),
        FittedModel("three classes", three, FEATURES, asked, np.asarray(three.booster_.predict(asked))),
        FittedModel("stopped early", stopped, FEATURES, asked, np.asarray(stopped.predict(asked))),
    )


class TestLightgbmFormat(ModelFormatContract):
    def make_format(self) -> ModelFormat:
        return LightgbmFormat()

    def make_models(self) -> Sequence[FittedModel]:
        return models()


def test_single_rows_equal_batches_to_the_bit() -> None:
    for fitted in models():
        predictor = LightgbmFormat().predictor(fitted.model, FEATURES)
        assert isinstance(predictor, BoosterPredictor)
        assert predictor.fast, "the C interface's single-row functions are not used"
        singly = np.concatenate([predictor.predict(fitted.rows[place : place + 1]) for place in range(len(fitted.rows))])
        assert np.array_equal(singly, fitted.expected), fitted.name


def test_an_answer_stays_when_the_next_row_is_asked() -> None:
    fitted = models()[0]
    predictor = LightgbmFormat().predictor(fitted.model, FEATURES)
    first = predictor.predict(fitted.rows[:1])
    predictor.predict(fitted.rows[1:2])
    assert first[0] == fitted.expected[0]


def test_columns_fitted_in_another_order_are_refused() -> None:
    x = rows(100)
    booster = lightgbm.train(SETTINGS, lightgbm.Dataset(x, values(x), feature_name=list(reversed(FEATURES))), 2)
    with pytest.raises(Incompatible, match="fitted on the columns e, d, c, b, a"):
        LightgbmFormat().predictor(booster, FEATURES)


def test_classes_that_are_not_numbered_from_zero_are_refused() -> None:
    x = rows(100)
    model = classifier(2).fit(x, np.where(x[:, 0] > 0, 5, 3))
    with pytest.raises(Invalid, match=r"classes are"):
        LightgbmFormat().save(model)


def test_an_estimator_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(Invalid, match="not fitted"):
        LightgbmFormat().save(lightgbm.LGBMRegressor())


def test_other_bytes_are_corrupt() -> None:
    with pytest.raises(Corrupt):
        LightgbmFormat().load({"model.txt": b"garbage"})
    with pytest.raises(Corrupt):
        LightgbmFormat().load({})


def test_seeded_training_gives_the_same_bytes() -> None:
    x = rows(200)
    one, two = (lightgbm.train(SETTINGS, lightgbm.Dataset(x, values(x)), 5) for _ in range(2))
    assert LightgbmFormat().save(one) == LightgbmFormat().save(two)


def test_a_single_row_takes_a_shorter_way_than_the_library_call() -> None:
    fitted = models()[0]
    predictor = LightgbmFormat().predictor(fitted.model, FEATURES)
    assert isinstance(predictor, BoosterPredictor)
    row = fitted.rows[:1]

    assert calls(lambda: predictor.predict(row)) * 3 < calls(lambda: predictor.predict_batch(row))
