"""Exact search among vectors, against SciPy's distances and a plain sort."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial import distance as scipy_distance
from tests.features.ask import memory, sources, view
from tests.features.online_world import World

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.memory.online_store import MemoryOnlineStore
from tidewheel.database.open import Database
from tidewheel.errors import Invalid, TypeMismatch
from tidewheel.features.definition import FeatureView, entity, lookup, service
from tidewheel.features.read import Features
from tidewheel.features.vector import vector
from tidewheel.features.vectors import find_nearest
from tidewheel.ports.vector_index import Metric
from tidewheel.sources.definition import source

pytestmark = pytest.mark.usefixtures("on_every_engine")

ITEM = entity("item", item=int)
NAMES = {"l2": "euclidean", "cosine": "cosine"}


@pytest.fixture
def read() -> Iterator[Features]:
    reader = sources()
    yield Features(reader)
    reader.engine.close()


def items(vectors: list[list[float] | None], kind: pa.DataType | None = None) -> FeatureView:
    column = pa.array(vectors, pa.list_(kind or pa.float32()))
    held = pa.table({"item": range(len(vectors)), "ts": pa.array([0] * len(vectors), pa.int64()), "v": column})
    return view({"v": lookup("v")}, memory("items", held), ITEM, name="Item")


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("rows", [1, 40, 20_000])
def test_the_nearest_are_those_of_a_plain_sort(metric: Metric, rows: int) -> None:
    chance = np.random.default_rng(rows)
    vectors = chance.normal(size=(rows, 8)).astype(np.float32)
    query = chance.normal(size=8)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 8).cast(pa.list_(pa.float32()))
    places, distances = find_nearest(column, query, k=25, metric=metric, where="v")
    wide = vectors.astype(np.float64)
    if metric == "dot":
        plain = -(wide @ query)
    else:
        plain = scipy_distance.cdist(wide, query[None, :], NAMES[metric])[:, 0]
    assert places.tolist() == np.argsort(plain, kind="stable")[:25].tolist()
    np.testing.assert_allclose(distances, plain[places], rtol=1e-12, atol=1e-12)


def test_equal_distances_are_in_order_of_the_keys_also_over_blocks() -> None:
    many = 40_000
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.tile([0.1, 0.7, 0.3], many)), 3).cast(pa.list_(pa.float64()))
    places, distances = find_nearest(column, np.array([0.3, 0.3, 0.3]), k=many - 1, metric="cosine", where="v")
    assert places.tolist() == list(range(many - 1))
    assert len(set(distances.tolist())) == 1


def test_a_search_answers_keys_as_of_an_instant(read: Features) -> None:
    made = items([[1.0, 0.0], None, [0.0, 1.0], [1.0, 1.0]])
    found = read.nearest(made, [1.0, 0.1], k=2, at=0)
    assert found.column("item").to_pylist() == [0, 3]
    assert read.nearest(made, [1.0, 0.1], k=9, metric="l2", at=0).num_rows == 3
    assert read.nearest(made, [1.0, 0.1], k=2, at=-1).num_rows == 0
    assert read.nearest(items([[0.0, 0.0]]), [1.0, 1.0], at=0).column("distance").to_pylist() == [1.0]


def test_a_declared_width_is_held_to_offline_and_where_rows_come_in(read: Features, tmp_path: Path) -> None:
    declared = {"v": vector("v", 2)}
    kind = pa.schema([("item", pa.int64()), ("ts", pa.int64()), ("v", pa.list_(pa.float32()))])
    wrong = pa.Table.from_pylist([{"item": 1, "ts": 0, "v": [1.0, 0.0]}, {"item": 2, "ts": 0, "v": [1.0]}], kind)
    made = view(declared, memory("items", wrong), ITEM, name="Item")
    with pytest.raises(TypeMismatch, match=r"Item\.v has 2 numbers; 1 rows .* the first of 1 numbers"):
        read.snapshot(made, at=0)
    store, database, engine = MemoryOnlineStore(), Database.open("sqlite://"), DuckDB()
    world = World(tmp_path, store, database, engine)
    world.file("vectors-0.parquet", wrong.slice(0, 1))
    pushed = view(declared, source("vectors", "vectors-*.parquet", time="ts"), ITEM, name="Pushed")
    world.materialize(pushed, until=10)
    with pytest.raises(TypeMismatch, match="1 rows have a vector of another width"):
        world.push(pushed, [{"item": 3, "ts": 1, "v": [1.0, 2.0, 3.0]}])
    world.push(pushed, [{"item": 3, "ts": 1, "v": [1.0, 2.0]}, {"item": 4, "ts": 1, "v": None}])
    assert world.answer(service("near", pushed), [{"item": 3}, {"item": 4}], [10, 10]).values == [[[1.0, 2.0]], [None]]
    world.file("vectors-1.parquet", wrong.slice(1))
    with pytest.raises(TypeMismatch, match=r"Pushed\.v has 2 numbers"):
        world.materialize(pushed, until=20)
    world.close()
    engine.close()
    database.close()
    number = view({"v": vector("item", 2)}, memory("items", wrong), ITEM, name="Item")
    with pytest.raises(TypeMismatch, match="is int64, not a list of floats"):
        read.snapshot(number, at=0)
    right = view(declared, memory("items", wrong.slice(0, 1)), ITEM, name="Item")
    with pytest.raises(TypeMismatch, match=r"a query of 3 numbers for Item\.v, which has 2"):
        read.nearest(right, [1.0, 2.0, 3.0], at=0)
    with pytest.raises(Invalid, match="a vector has 0 numbers"):
        vector("v", 0)


def test_what_cannot_be_searched_is_refused(read: Features) -> None:
    with pytest.raises(TypeMismatch, match=r"1 of 2 vectors of Item\.v have not the 2 numbers"):
        read.nearest(items([[1.0, 0.0], [1.0]]), [1.0, 0.0], at=0)
    with pytest.raises(TypeMismatch, match="has a null in it"):
        read.nearest(items([[1.0, None]]), [1.0, 0.0], at=0)  # type: ignore[list-item]  # a null on purpose
    with pytest.raises(Invalid, match="is no metric"):
        read.nearest(items([[1.0]]), [1.0], metric="hamming", at=0)  # type: ignore[arg-type]  # an unknown one on purpose
    with pytest.raises(Invalid, match="k > 0"):
        read.nearest(items([[1.0]]), [1.0], k=0, at=0)
    with pytest.raises(Invalid, match="which vector of view Item"):
        read.nearest(items([[1]], pa.int64()), [1.0], at=0)
