"""One row through an ensemble of trees, without the preparations that pay for many rows.

For one row scikit-learn spends its time on everything but the trees: a job queue in a forest, a start of OpenMP
threads for each tree of a histogram gradient boosting (15 milliseconds each, on two busy cores). Here the fitted trees
are asked one after the other, in the library's order, with the library's own compiled code, so the sum is the same to
the bit. This reads attributes that the library keeps to itself: where one is absent, or an answer on trial rows
differs, the estimator's own ``predict`` answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Floats = npt.NDArray[np.float64]
Answer = Callable[[Floats], Floats]


def find_quick(model: BaseEstimator, library: Answer, columns: int) -> Answer | None:
    """A quicker way to answer rows without infinities; ``None`` when there is none that is known to be equal.

    Parameters
    ----------
    library
        What the estimator answers, in the same shape.
    """
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )

    exact = type(model)  # a derived class may answer in its own way
    try:
        if exact in (RandomForestRegressor, ExtraTreesRegressor, RandomForestClassifier, ExtraTreesClassifier):
            quick = _forest(model)
        elif exact in (HistGradientBoostingRegressor, HistGradientBoostingClassifier):
            quick = _boosting(model)
        else:
            return None
        trials = np.stack([np.zeros(columns), np.linspace(-1e3, 1e3, columns), np.linspace(1.0, -1.0, columns)])
        if all(np.array_equal(quick(row[None]), library(row[None])) for row in trials):
            return quick
    except (AttributeError, TypeError, ValueError, IndexError):  # the library changed inside
        return None
    return None


def _forest(model: BaseEstimator) -> Answer:
    if model.n_outputs_ != 1:
        raise ValueError("several outputs")
    trees = [estimator.tree_ for estimator in model.estimators_]
    width = trees[0].max_n_classes if hasattr(model, "classes_") else 1

    def answer(columns: Floats) -> Floats:
        narrow = columns.astype(np.float32)
        total = np.zeros((len(columns), width))
        for tree in trees:
            total += tree.predict(narrow)
        total /= len(trees)
        return total if hasattr(model, "classes_") else total[:, 0]

    return answer


def _boosting(model: BaseEstimator) -> Answer:
    if model._preprocessor is not None:
        raise ValueError("categories")
    known, places = model._bin_mapper.make_known_categories_bitsets()
    rounds = model._predictors
    start = model._baseline_prediction
    classifies = hasattr(model, "classes_")
    loss = model._loss

    def answer(columns: Floats) -> Floats:
        raw = np.zeros((len(columns), model.n_trees_per_iteration_), dtype=start.dtype, order="F")
        raw += start
        for trees in rounds:
            for place, tree in enumerate(trees):
                raw[:, place] += tree.predict(columns, known, places, 1)
        found: Floats = loss.predict_proba(raw) if classifies else loss.link.inverse(raw.ravel())
        return found

    return answer
