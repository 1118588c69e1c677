"""Handles to frozen training sets: typed tables by content, with the arrays that models are fitted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.clock import Micros
from tidewheel.datasets.report import Report
from tidewheel.digest import Digest, digest
from tidewheel.errors import TypeMismatch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


class Split:
    """Rows to fit on or to test with, in order of time; a handle, so it goes by reference into other processes.

    Examples
    --------
    >>> import pyarrow as pa
    >>> store = ArtifactStore.open("memory:///")
    >>> table = Table.write(store, pa.table({"t": [1, 2], "distance": [0.5, None], "minutes": [3.0, 4.0]}))
    >>> split = Split(table, features=("distance",), label="minutes", time="t")
    >>> split.x.tolist(), split.y.tolist()
    ([[0.5], [nan]], [3.0, 4.0])
    >>> Split.from_json(store, split.to_json()).digest == split.digest
    True
    """

    def __init__(self, table: Table, *, features: Sequence[str], label: str, time: str) -> None:
        self.table = table
        self.features = tuple(features)
        self.label = label
        self.time = time

    @property
    def digest(self) -> Digest:
        """Content: the table's, and which of its columns are features, label and time."""
        return digest(["split-1", self.table.digest, list(self.features), self.label, self.time])

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.table.num_rows

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def x(self) -> npt.NDArray[np.float64]:
        """Features, shape (rows, features), in the order of :attr:`features`; null is NaN, booleans are 0 and 1.

        Raises
        ------
        TypeMismatch
            For a feature that is no number, such as a string: encode it in an on-request transform, or use :meth:`arrow`.
        """
        import numpy as np

        if not self.features:
            return np.empty((self.num_rows, 0))
        held = self.table.arrow(list(self.features))
        return np.column_stack([_floats(held[name], name) for name in self.features])

    @cached_property
    def y(self) -> npt.NDArray[np.float64]:
        """The label, shape (rows,)."""
        return _floats(self.table.arrow([self.label])[self.label], self.label)

    @cached_property
    def times(self) -> npt.NDArray[np.int64]:
        """Time of each row: the instant of prediction, microseconds UTC."""
        import numpy as np
        import pyarrow as pa

        column = self.table.arrow([self.time])[self.time]
        return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All columns, or some: keys, request values, features and label."""
        return self.table.arrow(columns)

    def pandas(self) -> Any:  # a pandas.DataFrame: a technology is named in its own backend only, types included
        """All columns as a pandas frame."""
        return self.table.pandas()

    def polars(self) -> Any:  # a polars.DataFrame
        """All columns as a Polars frame."""
        return self.table.polars()

    def to_json(self) -> str:
        """The handle as text."""
        told = {"table": json.loads(self.table.to_json()), "features": self.features, "label": self.label, "time": self.time}
        return json.dumps(told)

    @classmethod
    def from_json(cls, store: ArtifactStore, text: str | bytes) -> Split:
        """The handle that :meth:`to_json` wrote."""
        found = json.loads(text)
        table = Table.from_json(store, json.dumps(found["table"]))
        return cls(table, features=found["features"], label=found["label"], time=found["time"])

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"Split({self.digest[:12]}, {len(self.features)} features, label {self.label})"


class Dataset:
    """A frozen training set: two splits, and the report of how they came to be.

    ``content`` names it: equal content is equal rows and equal source rows behind them, whatever bytes hold them.

    Examples
    --------
    >>> import pyarrow as pa
    >>> store = ArtifactStore.open("memory:///")
    >>> rows = pa.table({"t": [1, 2], "distance": [0.5, 1.5], "minutes": [3.0, 4.0]})
    >>> parts = [Table.write(store, part) for part in (rows.slice(0, 1), rows.slice(1))]
    >>> train, test = (Split(part, features=["distance"], label="minutes", time="t") for part in parts)
    >>> dataset = Dataset("rides", train=train, test=test, report=Report(2))
    >>> dataset.cut, Dataset.from_json(store, dataset.to_json()).content == dataset.content
    (2, True)
    """

    def __init__(self, name: str, *, train: Split, test: Split, report: Report) -> None:
        self.name = name
        self.train = train
        self.test = test
        self.report = report

    @property
    def content(self) -> Digest:
        """Digest of both splits and of the views' source rows."""
        views = sorted([view.name, view.content] for view in self.report.views)
        return digest(["dataset-1", self.train.digest, self.test.digest, views])

    @property
    def rows(self) -> Digest:
        """Digest of both splits, whatever rows of the sources they were made from: all that a model learns from."""
        return digest(["dataset-rows-1", self.train.digest, self.test.digest])

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the model's order."""
        return self.train.features

    @property
    def label(self) -> str:
        """Name of the label."""
        return self.train.label

    @property
    def cut(self) -> Micros | None:
        """Time of the first row to test with; ``None`` when there is none."""
        return Micros(int(self.test.times.min())) if self.test.num_rows else None

    def to_json(self) -> bytes:
        """The handle with its report, as JSON: what a builder needs to open it again."""
        told = {
            "name": self.name,
            "train": json.loads(self.train.to_json()),
            "test": json.loads(self.test.to_json()),
            "report": json.loads(self.report.to_json()),
        }
        return json.dumps(told).encode()

    @classmethod
    def from_json(cls, store: ArtifactStore, text: str | bytes) -> Dataset:
        """The handle that :meth:`to_json` wrote."""
        found = json.loads(text)
        train = Split.from_json(store, json.dumps(found["train"]))
        test = Split.from_json(store, json.dumps(found["test"]))
        return cls(found["name"], train=train, test=test, report=Report.from_json(json.dumps(found["report"])))

    def __repr__(self) -> str:
        return f"Dataset({self.name}, {self.train.num_rows} + {self.test.num_rows} rows, {len(self.features)} features)"


def _floats(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        fix = "encode it in an on-request transform, or read it with .arrow()"
        raise TypeMismatch(f"column {name} is {kind}, not a number", where=name, fix=fix)
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(numbers, dtype=np.float64)
