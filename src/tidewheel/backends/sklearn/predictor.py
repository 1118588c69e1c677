"""Answer rows with an estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tidewheel.backends.sklearn.ensembles import find_quick
from tidewheel.errors import Incompatible, Invalid

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Floats = npt.NDArray[np.float64]


class EstimatorPredictor:
    """An estimator that answers; safe to call from many threads, as scikit-learn's fitted estimators are."""

    def __init__(self, model: BaseEstimator, features: Sequence[str]) -> None:
        self._features = tuple(features)
        _check_columns(model, self._features)
        self._classes = _check_classes(model)
        nameless = _without_names(model)
        self._answer: Callable[[Floats], Floats] = nameless.predict_proba if self._classes else nameless.predict
        self._quick = find_quick(model, self._answer, len(self._features))

    def predict(self, columns: Floats) -> Floats:
        """Shape (rows,): values, labels, or the probability of class 1 of two; (rows, classes) of probabilities for more.

        Raises
        ------
        Invalid
            When a row holds a null and the estimator cannot take one, naming the features.
        """
        if not len(columns):
            return np.empty(0 if self._classes <= 2 else (0, self._classes))
        if len(columns) == 1 and self._quick is not None and np.isfinite(columns).all():
            return self._shaped(self._quick(columns))
        return self.predict_batch(columns)

    @property
    def fast(self) -> bool:
        """Whether single rows take a short way."""
        return self._quick is not None

    def predict_batch(self, columns: Floats) -> Floats:
        """Through the estimator, however many rows."""
        try:
            found = np.asarray(self._answer(np.ascontiguousarray(columns)), dtype=np.float64)
        except ValueError as error:
            unfit = [name for name, column in zip(self._features, columns.T, strict=True) if not np.isfinite(column).all()]
            if not unfit:
                raise
            names = ", ".join(unfit)
            raise Invalid(
                f"the model cannot take a null or infinite value: {names}",
                where=names,
                fix="give the feature a default, or fit a pipeline that imputes",
            ) from error
        return self._shaped(found)

    def _shaped(self, found: Floats) -> Floats:
        if self._classes == 2:
            return np.ascontiguousarray(found[:, 1])
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _check_columns(model: BaseEstimator, features: tuple[str, ...]) -> None:
    count = getattr(model, "n_features_in_", None)
    if count is not None and count != len(features):
        raise Incompatible(
            f"the model takes {count} columns and there are {len(features)} features",
            fix="fit it on all columns of train.x, in their order",
        )
    names = getattr(model, "feature_names_in_", None)
    if names is not None and tuple(names) != features:
        raise Incompatible(
            f"the model was fitted on the columns {', '.join(names)}, and the features are {', '.join(features)}",
            fix="fit it on train.x, or on columns in the order of train.features",
        )


def _check_classes(model: BaseEstimator) -> int:
    """How many classes it gives probabilities of; 0 when it answers values."""
    from sklearn.base import is_classifier

    if not is_classifier(model):
        return 0
    classes = np.asarray(getattr(model, "classes_", ()))
    if not np.array_equal(classes, np.arange(len(classes))):
        raise Invalid(f"the classes are {classes.tolist()}", fix="number the classes 0, 1, ... k-1 in the source's select")
    return len(classes) if hasattr(model, "predict_proba") else 0


def _without_names(model: BaseEstimator) -> BaseEstimator:
    """The estimator, asked by position: one that was fitted on a data frame warns at each array, which costs more than
    the answer."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return model
    bare = copy.copy(model)
    steps = getattr(bare, "steps", None)
    if steps:
        bare.steps = [(name, _without_names(step) if place == 0 else step) for place, (name, step) in enumerate(steps)]
    else:
        bare.__dict__.pop("feature_names_in_", None)
    return bare
