"""Profiles: a window's rows as counts over the baseline's bins. Two profiles merge by adding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FINE = 256
"""Bins for the distance test, most."""
GROUPS = 10
"""Groups of bins for PSI, of about as many baseline rows each."""
CATEGORIES = 20
"""Categories that are bins of their own, most; the rest is one bin."""


@dataclass(frozen=True, slots=True)
class Bins:
    """How one column is counted.

    Numbers: bin ``i`` holds ``edges[i-1] < x <= edges[i]``; one more bin lies above the last edge. Texts: a bin per category
    and one for all others. The last bin of both holds nulls and NaN.

    Parameters
    ----------
    groups
        PSI group of each bin.

    Examples
    --------
    >>> import pyarrow as pa
    >>> bins = Bins.of(pa.chunked_array([[1, 2, 2, None]]))
    >>> bins.count(pa.chunked_array([[2, 7, None]])).tolist()
    [0, 1, 1, 1]
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    numeric: bool = True
    groups: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges if self.numeric else self.categories) + 2

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Bins:
        """Bins that cut the baseline's column evenly; a value that holds many rows has a bin of its own."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not _is_numeric(column.type):
            text = column.cast(pa.string()) if not pa.types.is_binary(column.type) else column
            found = pc.value_counts(text.drop_null()).to_pylist()
            top = sorted(found, key=lambda entry: (-entry["counts"], str(entry["values"])))[:CATEGORIES]
            made = cls(categories=tuple(str(entry["values"]) for entry in top), numeric=False)
            return cls(categories=made.categories, numeric=False, groups=tuple(range(made.size)))
        values = numbers(column)
        values = values[~np.isnan(values)]
        edges = np.unique(values)
        if len(edges) > FINE:
            edges = np.unique(np.quantile(values, np.arange(1, FINE + 1) / FINE, method="inverted_cdf"))
        plain = cls(edges=tuple(edges.tolist()))
        return cls(edges=plain.edges, groups=_groups(plain.count(column)))

    def places(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The bin of each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.numeric:
            values = numbers(column)
            found = np.searchsorted(np.asarray(self.edges), values, side="left")
            found[np.isnan(values)] = self.size - 1
            return found.astype(np.int64)
        text = column.cast(pa.string()) if not pa.types.is_binary(column.type) else column
        index = pc.index_in(text, pa.array(self.categories, text.type))
        plain: Counts = pc.fill_null(index, len(self.categories)).to_numpy().astype(np.int64)
        plain[text.is_null().to_numpy()] = self.size - 1
        return plain

    def count(self, column: pa.ChunkedArray) -> Counts:
        """Rows per bin."""
        return np.bincount(self.places(column), minlength=self.size).astype(np.int64)

    def grouped(self, counts: Counts) -> Counts:
        """Counts per PSI group; the last axis of the counts is the bins."""
        out = np.zeros((*counts.shape[:-1], max(self.groups) + 1), np.int64)
        for place, group in enumerate(self.groups):
            out[..., group] += counts[..., place]
        return out


def numbers(column: pa.ChunkedArray) -> Floats:
    """A column as floats; null is NaN, a timestamp its microseconds, a truth value 0 or 1."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.date32()).cast(pa.int32())
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _is_numeric(kind: pa.DataType) -> bool:
    import pyarrow as pa

    simple = pa.types
    tests = (simple.is_boolean, simple.is_integer, simple.is_floating, simple.is_decimal, simple.is_temporal, simple.is_null)
    return any(test(kind) for test in tests)


def _groups(counts: Counts) -> tuple[int, ...]:
    """A group per tenth of the baseline's rows; empty bins go with their left neighbour; nulls are a group of their own."""
    filled = counts[:-1]
    total = max(1, int(filled.sum()))
    middle = (np.cumsum(filled) - filled / 2) / total
    tenth = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    for index in range(1, len(tenth)):
        if filled[index] == 0:
            tenth[index] = tenth[index - 1]
    _, compact = np.unique(tenth, return_inverse=True)
    return (*(int(group) for group in compact), int(compact.max()) + 1)
