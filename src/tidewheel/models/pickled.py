"""Pickle, for what no safe format stores. Reading a pickle runs code from it, so this format is used on explicit
permission only."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tidewheel.errors import Corrupt, Invalid
from tidewheel.ports.model_format import Predictor
from tidewheel.runs.evaluate import predict_plainly

FILE = "model.pickle"


class PickleFormat:
    """Any object that pickle takes.

    Examples
    --------
    >>> format = PickleFormat()
    >>> format.load(format.save({"weights": [1, 2]}))
    {'weights': [1, 2]}
    """

    @property
    def name(self) -> str:
        """``pickle``."""
        return "pickle"

    def accepts(self, model: object) -> bool:
        """Everything but nothing."""
        return model is not None

    def save(self, model: object) -> Mapping[str, bytes]:
        """One file; ``Invalid`` when pickle cannot."""
        try:
            return {FILE: pickle.dumps(model, protocol=5)}
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            fix = "define its class at the top of a module of the project"
            raise Invalid(f"a {type(model).__name__} cannot be pickled: {error}", fix=fix) from error

    def load(self, files: Mapping[str, bytes]) -> object:
        """The object. Runs whatever the file says: the caller has asked for permission."""
        if FILE not in files:
            raise Corrupt(f"a pickled model holds {sorted(files)} and no {FILE}", fix="train and register it again")
        return pickle.loads(files[FILE])

    def predictor(self, model: object, features: Sequence[str]) -> Predictor:
        """Its own ``predict``."""
        return _Plain(model)


class _Plain:
    def __init__(self, model: object) -> None:
        self._model = model

    def predict(self, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return predict_plainly(self._model, columns)
