"""Look-ups as Arrow columns: the values that a request as JSON is given, for every type."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.features.test_rows import VALUES, same

from tidewheel.features.found_columns import FoundColumns
from tidewheel.features.row_kernel import read_values
from tidewheel.features.rows import RowCodec
from tidewheel.schema import DataType, Field, Schema

KINDS = list(VALUES)


@given(st.data())
def test_columns_of_found_rows_hold_the_values_of_single_rows(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    codec = RowCodec(Schema(tuple(Field(f"c{i}", kind) for i, kind in enumerate(kinds))))
    looks = data.draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=5))
    plain = [place if kinds[place] is DataType.INT64 else -1 for place in looks]
    defaults = [7 if place >= 0 else None for place in plain]
    ttl = data.draw(st.none() | st.integers(0, 5))
    found: list[bytes | None] = []
    times: list[int] = []
    for _ in range(data.draw(st.integers(0, 5))):
        values = [data.draw(st.none() | VALUES[kind]) for kind in kinds]
        found.append(codec.encode(data.draw(st.integers(0, 9)), 0, values) if data.draw(st.booleans()) else None)
        times.append(9)
    columns = FoundColumns(codec, list(zip(looks, defaults, strict=True)), ttl=ttl).decode(found, times)
    reader = codec.reader(looks, defaults=defaults, ttl=ttl)
    assert [one.type for one in columns] == [kinds[place].arrow() for place in looks]
    for row, at, *own in zip(found, times, *(one.to_pylist() for one in columns), strict=True):
        good = row is not None and (ttl is None or at - codec.decode(row).ts <= ttl)
        expected = read_values(reader, row) if row is not None and good else defaults
        assert isinstance(expected, list)
        assert all(same(a, b) for a, b in zip(expected, own, strict=True)), (expected, own)
    assert all(isinstance(one, pa.Array) for one in columns)
