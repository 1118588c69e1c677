"""Search through an index against the exact search: the same distances, nearly all of the nearest, never a row that does not
stand at the instant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.features.ask import memory, sources, view

from tidewheel.backends.memory.vector_index import MemoryVectorIndex
from tidewheel.backends.usearch import UsearchIndex
from tidewheel.clock import HOUR
from tidewheel.errors import Invalid, TypeMismatch
from tidewheel.features.definition import FeatureView, entity, lookup
from tidewheel.features.index_vectors import VectorIndexes
from tidewheel.features.read import Features
from tidewheel.features.vectors import METRICS
from tidewheel.ports.vector_index import IndexOpener, Metric

ITEM = entity("item", item=int)
WIDTH = 8
OPENERS: dict[str, IndexOpener] = {"memory": MemoryVectorIndex, "usearch": UsearchIndex}


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Features]:
    reader = sources()
    yield Features(reader, VectorIndexes(tmp_path, OPENERS.__getitem__))
    reader.engine.close()


def moving(items: int, *, seed: int, ttl: str | None = None, **options: str) -> FeatureView:
    """Items whose vectors are told several times, some of them as null, with delays and deletions."""
    draw = np.random.default_rng(seed)
    rows = items * 3
    vectors = draw.normal(size=(rows, WIDTH)).astype(np.float32).tolist()
    ts = draw.integers(0, 100, rows) * HOUR
    held = {
        "item": pa.array(draw.integers(0, items, rows)),
        "ts": pa.array(ts, pa.int64()),
        "made": pa.array(ts + draw.integers(0, 5, rows) * HOUR, pa.int64()),
        "gone": pa.array(draw.random(rows) < 0.05),
        "v": pa.array([None if draw.random() < 0.05 else one for one in vectors], pa.list_(pa.float32())),
    }
    return view({"v": lookup("v")}, memory(f"items{seed}", pa.table(held), **options), ITEM, name=f"Item{seed}", ttl=ttl)


@pytest.mark.parametrize(("technology", "metric"), [("memory", "cosine"), *(("usearch", metric) for metric in METRICS)])
def test_an_index_finds_what_the_exact_search_finds(read: Features, technology: str, metric: Metric) -> None:
    made = moving(400, seed=1, ttl="30h", available="made", deleted="gone")
    draw = np.random.default_rng(2)
    found = wanted = 0
    for at in (-1, 40 * HOUR, 99 * HOUR, 110 * HOUR, 500 * HOUR):
        query = draw.normal(size=WIDTH).tolist()
        exact = read.nearest(made, query, k=10, metric=metric, at=at)
        near = read.nearest(made, query, k=10, metric=metric, at=at, index=technology)
        assert near.schema == exact.schema
        assert near.num_rows == exact.num_rows
        assert near["distance"].to_pylist() == sorted(near["distance"].to_pylist())
        everything = read.nearest(made, query, k=10_000, metric=metric, at=at)
        right = dict(zip(everything["item"].to_pylist(), everything["distance"].to_pylist(), strict=True))
        for item, distance in zip(near["item"].to_pylist(), near["distance"].to_pylist(), strict=True):
            assert right[item] == distance, "to the bit, and of the vector that stood at the instant"
        found += len(set(near["item"].to_pylist()) & set(exact["item"].to_pylist()))
        wanted += exact.num_rows
        assert technology != "memory" or near.equals(exact)
    assert wanted >= 30
    assert found / wanted >= 0.97


def test_an_index_is_kept_and_made_again_when_rows_come_or_it_is_damaged(tmp_path: Path) -> None:
    built: list[int] = []

    class Counting(MemoryVectorIndex):
        def add(self, vectors: object) -> None:
            built.append(len(vectors))  # type: ignore[arg-type]
            super().add(vectors)  # type: ignore[arg-type]

    def search(items: int) -> list[object]:
        reader = sources()  # another process: nothing is held
        read = Features(reader, VectorIndexes(tmp_path, lambda _: Counting))
        held = pa.table({"item": range(items), "ts": [0] * items, "v": [[float(n), 1.0] for n in range(items)]})
        made = view({"v": lookup("v")}, memory("kept", held), ITEM, name="Kept")
        answers = [read.nearest(made, [3.0, 1.0], k=1, metric="l2", at=at, index="memory")["item"].to_pylist() for at in (5, 9)]
        reader.engine.close()
        return answers

    assert search(3) == [[2], [2]]
    assert search(3) == [[2], [2]]
    assert built == [3]
    assert search(5) == [[3], [3]]
    assert built == [3, 5]
    (folder,) = tmp_path.glob("*/*")
    (folder / "index").write_bytes(b"torn")
    assert search(5) == [[3], [3]]
    assert built == [3, 5, 5]


def test_vectors_that_cannot_be_compared_are_told_as_without_an_index(read: Features) -> None:
    held = pa.table({"item": [1, 1, 2], "ts": [0, 10, 0], "v": [[1.0], [1.0, 2.0], [3.0, 4.0]]})
    made = view({"v": lookup("v")}, memory("odd", held), ITEM, name="Odd")
    with pytest.raises(TypeMismatch, match="1 of 2 vectors"):
        read.nearest(made, [1.0, 2.0], at=5, index="usearch")
    assert read.nearest(made, [1.0, 2.0], at=10, index="usearch")["item"].to_pylist() == [1, 2]
    with pytest.raises(Invalid, match="no folder"):
        Features(read.sources).nearest(made, [1.0, 2.0], at=10, index="usearch")
    with pytest.raises(Invalid, match="k > 0"):
        read.nearest(made, [1.0, 2.0], at=10, k=0, index="usearch")
    with pytest.raises(Invalid, match="is no metric"):
        read.nearest(made, [1.0, 2.0], metric="hamming", at=10, index="usearch")  # type: ignore[arg-type]


def test_nothing_is_near_where_nothing_is(read: Features) -> None:
    kind = pa.schema([("item", pa.int64()), ("ts", pa.int64()), ("v", pa.list_(pa.float64()))])
    made = view({"v": lookup("v")}, memory("none", pa.Table.from_pylist([], kind)), ITEM, name="None_")
    assert read.nearest(made, [1.0], at=5, index="usearch").num_rows == 0
