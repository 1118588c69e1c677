"""Look-ups as Arrow columns: the values that a request as JSON is given, for every type."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.features.test_rows import VALUES, same

from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.clock import Micros
from tidewheel.features.definition import entity, features, lookup, service, view_of
from tidewheel.features.found_columns import FoundColumns
from tidewheel.features.online import Mark, OnlineLayout
from tidewheel.features.prepare import prepare
from tidewheel.features.row_kernel import read_values
from tidewheel.features.rows import RowCodec
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source

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


def test_many_answers_are_columns_of_the_values_that_rows_have() -> None:
    @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    class Rating:
        rating = lookup("rating")
        name = lookup("name", default="nobody")

    fields = (Field("driver", DataType.INT64), Field("rating", DataType.FLOAT32), Field("name", DataType.STRING))
    layout = OnlineLayout(view_of(Rating), 1, Schema(fields))
    store = MemoryOnlineStore()
    items = []
    for key in range(0, 1_500, 2):
        held = {"rating": None if key % 3 == 0 else key / 8, "name": None if key % 5 == 0 else f"n\u00e4me {key}"}
        row = layout.row(key % 7, 0, available=0, values=[held[name] for name in layout.columns])
        items += [(layout.keys.encode((key,)), item) for item in layout.numbered([row])]
    store.write([(layout.mark_key, Mark(1, 0, 0).encode())], items)
    numbers = {view_of(Rating).online_version: 1}
    ready = prepare(service("pickup", Rating), store=store, view_ids=numbers, schemas={"ratings": Schema(fields)})
    answer = ready.answer([{"driver": key} for key in range(1_500)], at=[Micros(5)] * 1_500)
    columns = answer.columns()
    assert [columns[place].to_pylist() for place in range(2)] == [list(one) for one in zip(*answer.values, strict=True)]
    assert [columns[place].type for place in range(2)] == [pa.float32(), pa.string()]
    assert ready.answer([{"driver": 2}], at=[Micros(5)]).columns() == {}
