"""The contract of the vector index port: subclass it in the backend's tests and give it a fixture ``opener``.

Examples
--------
>>> class TestMine(VectorIndexContract):
...     pass  # and a pytest fixture called opener
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from tidewheel.errors import Corrupt
from tidewheel.ports.vector_index import IndexOpener, Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

METRICS: tuple[Metric, ...] = ("cosine", "l2", "dot")
WIDTH = 16


def clouds(rows: int, seed: int = 7) -> Floats:
    """Vectors in a few dozen clouds, as embeddings lie."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(40, WIDTH))
    made: Floats = (centres[draw.integers(0, 40, rows)] + 0.3 * draw.normal(size=(rows, WIDTH))).astype(np.float32)
    return made


def nearest(vectors: Floats, query: Floats, *, count: int, metric: Metric) -> Integers:
    """The numbers of the nearest by a plain sort in doubles."""
    wide, asked = vectors.astype(np.float64), query.astype(np.float64)
    inner = wide @ asked
    distances = {
        "dot": -inner,
        "l2": np.linalg.norm(wide - asked, axis=1),
        "cosine": 1 - inner / np.maximum(np.linalg.norm(wide, axis=1) * np.linalg.norm(asked), 1e-300),
    }[metric]
    found: Integers = np.argsort(distances, kind="stable")[:count]
    return found


class VectorIndexContract:
    """What every vector index does alike. ``RECALL``: the share of the nearest ten that it finds among a hundred."""

    RECALL: ClassVar[float] = 0.95

    @pytest.mark.parametrize("metric", METRICS)
    def test_it_proposes_nearly_all_of_the_nearest(self, opener: IndexOpener, metric: Metric) -> None:
        vectors, queries = clouds(2_000), clouds(50, seed=8)
        index = opener(width=WIDTH, metric=metric)
        index.add(vectors[:1_500])
        index.add(vectors[1_500:])
        assert len(index) == 2_000
        found = 0
        for query in queries:
            proposed = index.search(query, 100)
            assert len(proposed) <= 100
            assert len(set(proposed.tolist())) == len(proposed)
            found += len(set(proposed.tolist()) & set(nearest(vectors, query, count=10, metric=metric).tolist()))
        assert found / 500 >= self.RECALL

    def test_few_vectors_are_all_proposed(self, opener: IndexOpener) -> None:
        index = opener(width=WIDTH, metric="l2")
        assert index.search(clouds(1)[0], 5).tolist() == []
        index.add(clouds(3))
        assert sorted(index.search(clouds(1)[0], 10).tolist()) == [0, 1, 2]

    def test_equal_vectors_are_several(self, opener: IndexOpener) -> None:
        index = opener(width=WIDTH, metric="cosine")
        index.add(np.repeat(clouds(1), 4, axis=0))
        assert sorted(index.search(clouds(1)[0], 4).tolist()) == [0, 1, 2, 3]

    def test_the_same_rows_make_the_same_answers(self, opener: IndexOpener) -> None:
        first, second = opener(width=WIDTH, metric="cosine"), opener(width=WIDTH, metric="cosine")
        for index in (first, second):
            index.add(clouds(500))
        for query in clouds(10, seed=9):
            assert sorted(first.search(query, 20).tolist()) == sorted(second.search(query, 20).tolist())

    def test_what_is_saved_is_restored(self, opener: IndexOpener, tmp_path: Path) -> None:
        index, again = opener(width=WIDTH, metric="dot"), opener(width=WIDTH, metric="dot")
        index.add(clouds(300))
        index.save(tmp_path / "index")
        again.restore(tmp_path / "index")
        assert len(again) == 300
        query = clouds(1, seed=3)[0]
        assert sorted(again.search(query, 20).tolist()) == sorted(index.search(query, 20).tolist())

    def test_another_file_is_corrupt(self, opener: IndexOpener, tmp_path: Path) -> None:
        (tmp_path / "other").write_bytes(b"no index at all")
        with pytest.raises(Corrupt):
            opener(width=WIDTH, metric="l2").restore(tmp_path / "other")
        other = opener(width=WIDTH, metric="cosine")
        other.add(clouds(5))
        other.save(tmp_path / "cosine")
        with pytest.raises(Corrupt):
            opener(width=WIDTH, metric="l2").restore(tmp_path / "cosine")
