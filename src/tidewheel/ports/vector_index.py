"""Port: an index that proposes which of many vectors may be nearest to one.

It proposes, and no more: whoever asks computes the distances of what was proposed, and drops what does not count. So an index
may miss some of the nearest, which is measured as its recall, and can never give a wrong distance.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

Metric = Literal["cosine", "l2", "dot"]
"""One minus the cosine of the angle, the Euclidean distance, or minus the inner product: less is nearer with each."""


class VectorIndex(Protocol):
    """The vectors of one width under one metric, numbered from 0 in the order in which they were added."""

    def add(self, vectors: Floats) -> None:
        """Number more vectors: one per row, finite. The same rows in the same order always make the same index."""
        ...

    def search(self, query: Floats, count: int) -> Integers:
        """Numbers of about the nearest vectors, each once, at most ``count``, in no particular order."""
        ...

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        ...

    def restore(self, path: Path) -> None:
        """Put what :meth:`save` wrote in the place of what is held.

        Raises
        ------
        Corrupt
            When the file is not such an index, of this width and metric.
        """
        ...

    def __len__(self) -> int:
        """How many vectors there are."""
        ...


class IndexOpener(Protocol):
    """What the entry point of a backend is."""

    def __call__(self, *, width: int, metric: Metric) -> VectorIndex:
        """An empty index."""
        ...
