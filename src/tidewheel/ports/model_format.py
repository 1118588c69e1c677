"""Port: how one library's models become bytes and answer again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Predictor(Protocol):
    """A loaded model that answers."""

    def predict(self, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Answer a batch.

        Parameters
        ----------
        columns
            Shape (rows, features), in the order of the features the model was trained on; null is NaN.

        Returns
        -------
        Shape (rows,) for one output; (rows, outputs) otherwise.
        """
        ...


class ModelFormat(Protocol):
    """One library's safe way of storing its models. Loading never runs code from the stored bytes."""

    @property
    def name(self) -> str:
        """Name of the format, stored with each model: ``skops``, ``lightgbm``, ..."""
        ...

    def accepts(self, model: object) -> bool:
        """Whether this format stores such an object; must not import the library to say no."""
        ...

    def save(self, model: object) -> Mapping[str, bytes]:
        """File names and bytes."""
        ...

    def load(self, files: Mapping[str, bytes]) -> object:
        """The model object, as it was saved.

        Raises
        ------
        UnsafeFormat
            When the bytes hold types that are not known to be safe.
        """
        ...

    def predictor(self, model: object, features: Sequence[str]) -> Predictor:
        """The quickest way to answer with a loaded model."""
        ...
