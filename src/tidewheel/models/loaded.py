"""A loaded model that holds its callers to its signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tidewheel.errors import Incompatible, MissingColumns, TypeMismatch, near_miss
from tidewheel.models.version import ModelVersion, Signature
from tidewheel.ports.model_format import Predictor
from tidewheel.schema import DataType, Field, data_type_of_arrow

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]

_TAKES = {
    DataType.BOOL: {DataType.BOOL},
    DataType.INT32: {DataType.INT32},
    DataType.INT64: {DataType.INT32, DataType.INT64},
    DataType.FLOAT32: {DataType.FLOAT32},
    DataType.FLOAT64: {DataType.INT32, DataType.INT64, DataType.FLOAT32, DataType.FLOAT64},
    DataType.DECIMAL: {DataType.INT32, DataType.INT64, DataType.DECIMAL},
}
"""Column types that may stand for the type of a signature's input: those that lose nothing."""


class LoadedModel:
    """A version that answers."""

    def __init__(self, version: ModelVersion, predictor: Predictor) -> None:
        self.version = version
        self.predictor = predictor
        self._width = len(version.features)

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.version.signature

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of the columns."""
        return self.version.features

    def predict(self, columns: Floats) -> Floats:
        """Answer rows.

        Parameters
        ----------
        columns
            Shape (rows, features), float64, in the order of :attr:`features`; null is NaN.

        Returns
        -------
        Shape (rows,) for one output: the value, or the probability of class 1 of two; (rows, classes) otherwise.

        Raises
        ------
        Incompatible
            When the array has another shape or type than the signature says, or the model answers another number of rows.
        """
        if columns.ndim != 2 or columns.shape[1] != self._width or columns.dtype != np.float64:
            given = f"{columns.dtype} of shape {columns.shape}"
            raise Incompatible(
                f"{self.version.name} takes float64 of shape (rows, {self._width}), not {given}",
                where=self.version.name,
                fix=f"give one column for each of {', '.join(self.features)}",
            )
        answer = self.predictor.predict(columns)
        if len(answer) != len(columns):
            raise Incompatible(
                f"{self.version.name} gave {len(answer)} answers for {len(columns)} rows",
                where=self.version.name,
                fix="train it again",
            )
        return answer

    def predict_table(self, table: pa.Table) -> Floats:
        """Answer the rows of a table, whose columns are found by name and may be in any order, with others among them.

        Raises
        ------
        MissingColumns
            Naming the inputs that are absent.
        TypeMismatch
            When a column's type would lose something as the input's type.
        """
        return self.predict(matrix(table, self.signature))


def matrix(table: pa.Table, signature: Signature) -> Floats:
    """Columns of a table as the array that a model takes."""
    missing = [name for name in signature.features if name not in table.column_names]
    if missing:
        raise MissingColumns(
            f"the model takes {', '.join(missing)}, which the table lacks",
            where=missing[0],
            fix=near_miss(missing[0], table.column_names),
        )
    found = np.empty((table.num_rows, len(signature.inputs)))
    for place, field in enumerate(signature.inputs):
        found[:, place] = _floats(table.column(field.name), field)
    return found


def _floats(column: pa.ChunkedArray, field: Field) -> Floats:
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    given = data_type_of_arrow(column.type)
    takes = _TAKES.get(field.type, {field.type})
    if given not in takes or field.type not in _TAKES:
        raise TypeMismatch(
            f"the model takes {field.name} as {field.type.value} and the table has {given.value}",
            where=field.name,
            fix="take numbers out of it in an on-request transform"
            if given.is_list or field.type.is_list
            else f"cast it to {field.type.value}, or encode it as a number in an on-request transform",
        )
    if given is DataType.BOOL:
        column = column.cast(pa.uint8())
    numbers: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers
