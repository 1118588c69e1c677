"""Evaluate a fitted model on a split, by the same code that will answer in serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidewheel.errors import Invalid
from tidewheel.ports.model_format import ModelFormat

Floats = npt.NDArray[np.float64]


class Examples(Protocol):
    """Rows to learn from or to be judged by, such as a training set's ``train`` and ``test``."""

    @property
    def x(self) -> Floats:
        """Shape (rows, features); null is NaN."""
        ...

    @property
    def y(self) -> Floats:
        """Labels, shape (rows,)."""
        ...

    @property
    def features(self) -> Sequence[str]:
        """Names of the columns of ``x``."""
        ...


class _Predicts(Protocol):
    def predict(self, columns: Floats) -> object: ...


def predict_examples(model: object, examples: Examples, formats: Sequence[ModelFormat]) -> Floats:
    """What the model answers for each row: shape (rows,), or (rows, classes) for more than two classes.

    Raises
    ------
    Invalid
        When no model format takes the object and it has no ``predict``.
    """
    for format in formats:
        if format.accepts(model):
            return format.predictor(model, examples.features).predict(examples.x)
    return predict_plainly(model, examples.x)


def predict_plainly(model: object, columns: Floats) -> Floats:
    """What the object's own ``predict`` answers."""
    predicting: _Predicts | None = model if callable(getattr(model, "predict", None)) else None  # type: ignore[assignment]  # just checked
    if predicting is None:
        raise Invalid(f"a {type(model).__name__} cannot predict", fix="return a fitted model: an object with a predict method")
    return np.asarray(predicting.predict(columns), dtype=np.float64)
