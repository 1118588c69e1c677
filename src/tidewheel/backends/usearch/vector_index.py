"""The vector index port on USearch: a hierarchical navigable small-world graph over 32-bit floats.

Source: Y. A. Malkov, D. A. Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable
small world graphs", IEEE TPAMI 42(4), 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from usearch.index import Index

from tidewheel.errors import Corrupt
from tidewheel.ports.vector_index import Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

_METRICS: dict[Metric, str] = {"cosine": "cos", "l2": "l2sq", "dot": "ip"}
_CONNECTIVITY, _EXPANSION = 16, 128
"""Neighbours of a node, and how many candidates are followed while one is added: the width that HNSW's authors call good."""


class UsearchIndex:
    """One graph.

    Examples
    --------
    >>> index = UsearchIndex(width=2, metric="l2")
    >>> index.add(np.array([[0, 0], [3, 4], [1, 0]], np.float32))
    >>> sorted(index.search(np.array([0, 0], np.float32), 2).tolist())
    [0, 2]
    """

    def __init__(self, *, width: int, metric: Metric) -> None:
        self._width, self._metric = width, metric
        self._index = Index(
            ndim=width,
            metric=_METRICS[metric],
            dtype="f32",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION,
            expansion_search=_EXPANSION,
        )

    def add(self, vectors: Floats) -> None:
        """Number more vectors; on one thread, since the graph depends on the order."""
        first = len(self._index)
        self._index.add(np.arange(first, first + len(vectors), dtype=np.uint64), np.ascontiguousarray(vectors), threads=1)

    def search(self, query: Floats, count: int) -> Integers:
        """Numbers of about the nearest vectors."""
        if not len(self._index):
            return np.empty(0, dtype=np.int64)
        self._index.expansion_search = max(_EXPANSION, count)  # type: ignore[misc]  # it has a setter, of another name
        found: Integers = self._index.search(query, count, threads=1).keys.astype(np.int64)
        return found

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        self._index.save(str(path))

    def restore(self, path: Path) -> None:
        """Read what was saved."""
        try:
            known = Index.metadata(str(path))
        except (ValueError, RuntimeError) as error:
            raise Corrupt(f"{path} is no index of vectors", where=str(path), fix="delete it: it is made again") from error
        metric = None if known is None else known["kind_metric"]
        if known is None or known["dimensions"] != self._width or metric != self._index.metric_kind:
            raise Corrupt(f"{path} is an index of other vectors", where=str(path), fix="delete it: it is made again")
        self._index.load(str(path))

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._index)


def open_vector_index(*, width: int, metric: Metric) -> UsearchIndex:
    """An empty index.

    Examples
    --------
    >>> len(open_vector_index(width=2, metric="dot"))
    0
    """
    return UsearchIndex(width=width, metric=metric)
