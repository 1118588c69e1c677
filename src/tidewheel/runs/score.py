"""Scores of predictions against labels, for regression and classification.

Rows whose label is null are left out; ``n`` says how many counted. A prediction that is not a number makes the scores
NaN rather than vanish from them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidewheel.errors import Incompatible, Invalid

Floats = npt.NDArray[np.float64]


def score(labels: Floats, predictions: Floats, *, task: str | None = None) -> dict[str, float]:
    """Scores by name.

    Parameters
    ----------
    labels
        Shape (rows,); for classification the class 0, 1, ... k-1.
    predictions
        Shape (rows,) of values or, for two classes, of the probability of class 1; (rows, classes) of probabilities.
    task
        ``"regression"`` or ``"classification"``. ``None``: classification when there are several outputs, or when all
        labels are 0 or 1 and all predictions lie in [0, 1].

    Returns
    -------
    Regression: ``mae``, ``rmse``, ``medae``, ``r2``, ``n``. Classification: ``accuracy``, ``log_loss``, ``n``, and for
    two classes ``roc_auc``.

    Raises
    ------
    Invalid
        When no row has a label, or a class is not one of 0 ... k-1.

    Examples
    --------
    >>> scores = score(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0]))
    >>> scores["mae"], scores["medae"], scores["n"]
    (1.0, 1.0, 3.0)
    """
    if len(labels) != len(predictions):
        raise Incompatible(
            f"{len(predictions)} predictions for {len(labels)} labels", fix="predict the rows of the split that is scored"
        )
    known = ~np.isnan(labels)
    labels, predictions = labels[known], predictions[known]
    if not len(labels):
        raise Invalid("no row has a label", fix="choose a split with rows whose label is known")
    if task is None:
        task = "classification" if _looks_like_classes(labels, predictions) else "regression"
    found = _classification(labels, predictions) if task == "classification" else _regression(labels, predictions)
    return {**found, "n": float(len(labels))}


def _looks_like_classes(labels: Floats, predictions: Floats) -> bool:
    if predictions.ndim == 2:
        return True
    binary = bool(np.all((labels == 0) | (labels == 1)))
    return binary and bool(np.all((predictions >= 0) & (predictions <= 1)))


def _regression(labels: Floats, predictions: Floats) -> dict[str, float]:
    if predictions.ndim != 1:
        raise Incompatible(
            f"the model gives {predictions.shape[1]} outputs a row, and regression scores one",
            fix="compare by a metric of classification: @tw.model(..., metric='log_loss')",
        )
    errors = predictions - labels
    squares = float(np.sum(errors**2))
    spread = float(np.sum((labels - np.mean(labels)) ** 2))
    return {
        "mae": float(np.mean(np.abs(errors))),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "medae": float(np.median(np.abs(errors))),
        "r2": 1.0 - squares / spread if spread > 0 else float(squares == 0),
    }


def _classification(labels: Floats, predictions: Floats) -> dict[str, float]:
    spread = predictions if predictions.ndim == 2 else np.column_stack([1.0 - predictions, predictions])
    classes = labels.astype(np.int64)
    if not (np.array_equal(classes, labels) and classes.min() >= 0 and classes.max() < spread.shape[1]):
        raise Invalid(
            f"labels are not the classes 0 ... {spread.shape[1] - 1}", fix="number the classes from 0 in the source's select"
        )
    likely = np.clip(spread[np.arange(len(classes)), classes], np.finfo(np.float64).eps, 1.0)
    found = {
        "accuracy": float(np.mean(np.argmax(spread, axis=1) == classes)) if not np.isnan(spread).any() else float("nan"),
        "log_loss": float(-np.mean(np.log(likely))),
    }
    if spread.shape[1] == 2:
        found["roc_auc"] = _roc_auc(classes, spread[:, 1])
    return found


def _roc_auc(classes: npt.NDArray[np.int64], scores: Floats) -> float:
    """The Mann-Whitney statistic: the chance that a row of class 1 scores above one of class 0, ties counting half."""
    positives = int(classes.sum())
    negatives = len(classes) - positives
    if not positives or not negatives or bool(np.isnan(scores).any()):
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2.0
    return float((ranks[place][classes == 1].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))
