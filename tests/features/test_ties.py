"""Ranks of tied rows, made from arrays, against the bytes that they stand for."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.features.rows import RowCodec
from tidewheel.features.ties import canonical_ranks
from tidewheel.schema import DataType, Field, Schema

VALUES: dict[DataType, st.SearchStrategy[object]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT32: st.integers(-2, 2),
    DataType.INT64: st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]),
    DataType.FLOAT32: st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.5, math.inf, math.nan]),
    DataType.FLOAT64: st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.5, math.inf, math.nan]),
    DataType.STRING: st.sampled_from(["", "a", "a\0", "b", "same first 8 a", "same first 8 b", "same first 8", "ä"]),
    DataType.BYTES: st.sampled_from([b"", b"\0", b"a", b"same first 8 a", b"same first 8 b", b"\xff"]),
    DataType.TIMESTAMP: st.sampled_from([datetime(1969, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]),
    DataType.DATE: st.sampled_from([date(1969, 1, 1), date(2026, 1, 1)]),
    DataType.DECIMAL: st.sampled_from([Decimal("-1.5"), Decimal(0), Decimal("0.000000001"), Decimal(10) ** 28]),
}


@given(st.data(), st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
def test_ranks_are_those_of_the_canonical_bytes(data: st.DataObject, kinds: list[DataType]) -> None:
    schema = Schema(tuple(Field(f"c{i}", kind) for i, kind in enumerate(kinds)))
    rows = data.draw(st.lists(st.tuples(*(st.one_of(st.none(), VALUES[kind]) for kind in kinds)), min_size=1, max_size=12))
    table = pa.table({one.name: pa.array([row[i] for row in rows], one.type.arrow()) for i, one in enumerate(schema)})
    encoded = [RowCodec(schema).canonical(row) for row in rows]
    place = {piece: rank for rank, piece in enumerate(sorted(set(encoded)))}
    assert canonical_ranks(table, schema).tolist() == [place[piece] for piece in encoded]


def test_many_rows_of_one_time_are_ranked_as_arrays() -> None:
    chance = np.random.default_rng(1)
    table = pa.table({"a": chance.integers(0, 50, 200_000), "b": chance.normal(size=200_000).round(1) + 0.0})
    ranks = canonical_ranks(table, Schema((Field("a", DataType.INT64), Field("b", DataType.FLOAT64))))
    pairs = list(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True))
    assert pairs[int(ranks.argmax())] == max(pairs)
    assert len(np.unique(ranks)) == len(set(pairs))
