"""Scores agree with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tidewheel.errors import Incompatible, Invalid
from tidewheel.runs.score import score


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40))
def test_regression_agrees_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    found = score(labels, predictions, task="regression")
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(labels, predictions))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(labels, predictions))
    assert found["medae"] == pytest.approx(metrics.median_absolute_error(labels, predictions))
    if np.ptp(labels) > 1e-3:
        assert found["r2"] == pytest.approx(metrics.r2_score(labels, predictions))
    assert found["n"] == len(pairs)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=60))
def test_two_classes_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels = np.array([pair[0] for pair in pairs], dtype=np.float64)
    chances = np.array([pair[1] / 10 for pair in pairs])
    found = score(labels, chances, task="classification")
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, chances > 0.5))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, chances, labels=[0, 1]))
    if len(set(labels)) == 2:
        assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, chances))
    else:
        assert np.isnan(found["roc_auc"])


def test_three_classes_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(3), size=200)
    labels = random.integers(0, 3, 200).astype(np.float64)
    found = score(labels, chances)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, chances.argmax(axis=1)))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, chances))
    assert "roc_auc" not in found


def test_rows_without_a_label_are_left_out_and_counted() -> None:
    found = score(np.array([1.0, np.nan, 3.0]), np.array([2.0, 9.0, 3.0]))
    assert (found["mae"], found["n"]) == (0.5, 2.0)
    with pytest.raises(Invalid, match="no row has a label"):
        score(np.array([np.nan]), np.array([1.0]))


def test_a_prediction_that_is_no_number_does_not_vanish() -> None:
    assert np.isnan(score(np.array([1.0, 2.0]), np.array([1.0, np.nan]))["mae"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Incompatible):
        score(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(Incompatible):
        score(np.array([1.0]), np.array([[0.5, 0.5]]), task="regression")
    with pytest.raises(Invalid, match="classes 0"):
        score(np.array([1.0, 3.0]), np.array([0.5, 0.5]), task="classification")
