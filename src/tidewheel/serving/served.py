"""One version of a model, ready to answer: everything that the answer path is handed for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tidewheel.clock import Micros
from tidewheel.schema import Schema

if TYPE_CHECKING:
    from tidewheel.ports.model_format import Predictor
    from tidewheel.predictions import PredictionRow


class FeatureAnswer(Protocol):
    """Feature values of a batch."""

    @property
    def values(self) -> Sequence[Sequence[object]]:
        """One row per request, in the order of the service's outputs."""
        ...

    @property
    def transform_errors(self) -> Mapping[str, int]:
        """Transforms that failed on a row and gave null there, and on how many rows."""
        ...


class FeatureLookup(Protocol):
    """Looks features up and runs the transforms: a prepared feature service."""

    def answer(self, rows: Sequence[Mapping[str, object]], *, at: Sequence[Micros]) -> FeatureAnswer:
        """Features of each row at its instant; rows hold entity keys and request values."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """One version, loaded.

    Parameters
    ----------
    features
        Names of the service's outputs, in the order the model was trained on.
    inputs
        What a caller must send: entity keys (not nullable) and request values.
    keys
        Those of the inputs that are entity keys; they decide the arm unless the deployment says otherwise.
    width
        Numbers in one prediction.
    """

    model: str
    version: int
    features: tuple[str, ...]
    inputs: Schema
    keys: tuple[str, ...]
    lookup: FeatureLookup
    predictor: Predictor
    width: int = 1


OpenVersion = Callable[[str, int], ServedModel]
"""Load a version of a model; raises ``NotFound`` or ``Corrupt``."""

Log = Callable[[Sequence["PredictionRow"]], None]
"""Write rows so that they survive a kill of this process before it returns."""
