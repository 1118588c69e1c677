"""Vectors side by side, each compared with the query: the reference that proposes exactly the nearest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.errors import Corrupt
from tidewheel.ports.vector_index import Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]


class MemoryVectorIndex:
    """No index: everything is looked at.

    Examples
    --------
    >>> index = MemoryVectorIndex(width=2, metric="l2")
    >>> index.add(np.array([[0, 0], [3, 4], [1, 0]], np.float32))
    >>> sorted(index.search(np.array([0, 0], np.float32), 2).tolist())
    [0, 2]
    """

    def __init__(self, *, width: int, metric: Metric) -> None:
        self._vectors: Floats = np.empty((0, width), dtype=np.float32)
        self._metric = metric

    def add(self, vectors: Floats) -> None:
        """Number more vectors."""
        self._vectors = np.concatenate([self._vectors, vectors])

    def search(self, query: Floats, count: int) -> Integers:
        """Numbers of the nearest vectors."""
        wide, asked = self._vectors.astype(np.float64), query.astype(np.float64)
        distances = -(wide @ asked)
        if self._metric == "l2":
            distances = np.linalg.norm(wide - asked, axis=1)
        elif self._metric == "cosine":
            distances = distances / np.maximum(np.linalg.norm(wide, axis=1), 1e-300)
        found: Integers = np.argsort(distances, kind="stable")[:count]
        return found

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        with path.open("wb") as file:
            np.savez(file, vectors=self._vectors, metric=np.array(self._metric))

    def restore(self, path: Path) -> None:
        """Read what was saved."""
        try:
            with np.load(path, allow_pickle=False) as held:
                vectors, metric = held["vectors"], str(held["metric"])
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise Corrupt(f"{path} is no index of vectors", where=str(path), fix="delete it: it is made again") from error
        if metric != self._metric or vectors.shape[1:] != self._vectors.shape[1:]:
            raise Corrupt(f"{path} is an index of other vectors", where=str(path), fix="delete it: it is made again")
        self._vectors = vectors

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._vectors)


def open_vector_index(*, width: int, metric: Metric) -> MemoryVectorIndex:
    """An empty index.

    Examples
    --------
    >>> len(open_vector_index(width=2, metric="dot"))
    0
    """
    return MemoryVectorIndex(width=width, metric=metric)
