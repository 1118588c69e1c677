"""Check the trees of a model that was read from a file.

A fitted tree is arrays of indices that C code follows without looking. Built by ``fit`` they are right; in a file anybody can
write, an index could lead anywhere in memory, or in a circle. Here every child lies after its parent and inside of the tree,
and every feature inside of the row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidewheel.errors import Corrupt

CHECKED_TYPES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types that are safe to read because :func:`check_trees` looks at them afterwards."""


def check_trees(model: object) -> None:
    """Raise ``Corrupt`` when a tree anywhere in the model points outside of itself."""
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
    from sklearn.tree import BaseDecisionTree

    for part in _parts(model):
        if isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
            _check_tree(part.tree_, int(part.n_features_in_))
        elif isinstance(part, BaseForest | BaseGradientBoosting) and hasattr(part, "estimators_"):
            for tree in np.asarray(part.estimators_, dtype=object).ravel():
                _check_tree(tree.tree_, int(part.n_features_in_))
        elif isinstance(part, BaseHistGradientBoosting) and hasattr(part, "_predictors"):
            categorical = getattr(part, "is_categorical_", None)
            columns = int(part.n_features_in_)
            known = np.zeros(columns, dtype=bool) if categorical is None else np.asarray(categorical, dtype=bool)
            for stage in part._predictors:
                for tree in stage:
                    _check_predictor(tree, columns, known)


def _parts(model: object) -> Iterator[object]:
    """The object and everything that it holds, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            if part.dtype == object:
                waiting.extend(part.ravel().tolist())
        elif not isinstance(part, type):
            waiting.extend(getattr(part, "__dict__", {}).values())


def _check_tree(tree: object, columns: int) -> None:
    left, right, feature = (np.asarray(getattr(tree, name)) for name in ("children_left", "children_right", "feature"))
    inner = left != -1
    _check(left[inner], right[inner], np.nonzero(inner)[0], len(left))
    _check_features(feature[inner], columns)
    if getattr(tree, "n_features", None) != columns or not len(left):
        raise Corrupt("a tree in the model does not fit the model's columns", fix=_FIX)


def _check_predictor(tree: object, columns: int, categorical: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    nodes = getattr(tree, "nodes", None)
    if not isinstance(nodes, np.ndarray) or not len(nodes):
        raise Corrupt("a tree in the model has no nodes", fix=_FIX)
    inner = nodes["is_leaf"] == 0
    _check(nodes["left"][inner], nodes["right"][inner], np.nonzero(inner)[0], len(nodes))
    _check_features(nodes["feature_idx"][inner], columns)
    sets = nodes[inner & (nodes["is_categorical"] != 0)]
    count = len(getattr(tree, "raw_left_cat_bitsets", ()))
    if len(sets) and (
        len(categorical) != columns or not categorical[sets["feature_idx"]].all() or (sets["bitset_idx"] >= count).any()
    ):
        raise Corrupt("a tree in the model points to categories that it does not hold", fix=_FIX)


def _check(left: np.ndarray, right: np.ndarray, parent: np.ndarray, count: int) -> None:
    for child in (left, right):
        if ((child <= parent) | (child >= count)).any():
            raise Corrupt("a tree in the model points outside of itself", fix=_FIX)


def _check_features(feature: np.ndarray, columns: int) -> None:
    if ((feature < 0) | (feature >= columns)).any():
        raise Corrupt("a tree in the model asks for a column that the model does not have", fix=_FIX)


_FIX = "train and register it again; find out who could write to the artifacts"
