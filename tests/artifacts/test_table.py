"""Tables: the content decides the digest, not the layout; what is written is read."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.artifacts.columns import ColumnDigest
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.digest import Digest
from tidewheel.errors import Corrupt, Invalid, NotFound


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(f"file://{tmp_path}/artifacts")


UTC = dt.UTC
VALUES: Mapping[pa.DataType, st.SearchStrategy[object]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(st.characters(codec="utf-8"), max_size=6),
    pa.binary(): st.binary(max_size=6),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.timestamp("us", "UTC"): st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(UTC)),
    pa.date32(): st.dates(),
    pa.decimal128(38, 9): st.decimals(-(10**20), 10**20, places=9),
    pa.list_(pa.int64()): st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=4),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.integers(0, 9), "b": st.text("xy", max_size=2)}
    ),
    pa.map_(pa.string(), pa.int64()): st.lists(st.tuples(st.text("xyz", max_size=3), st.integers(0, 9)), max_size=3),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.DataType, list[object]]:
    kind = draw(st.sampled_from(list(VALUES)))
    return kind, draw(st.lists(st.one_of(st.none(), VALUES[kind]), max_size=12))


def column_digest(*chunks: pa.Array) -> Digest:
    sums = ColumnDigest(chunks[0].type)
    for chunk in chunks:
        sums.add(chunk)
    return sums.digest()


@given(column=columns(), cut=st.integers(0, 12), pad=st.integers(0, 3))
def test_chunks_and_offsets_do_not_change_the_digest(column: tuple[pa.DataType, list[object]], cut: int, pad: int) -> None:
    kind, values = column
    whole = pa.array(values, kind)
    inside = pa.array([None] * pad + values + [None] * pad, kind).slice(pad, len(values))
    assert column_digest(whole) == column_digest(whole.slice(0, cut), whole.slice(cut)) == column_digest(inside)


@given(column=columns(), position=st.integers(0, 11), data=st.data())
def test_another_value_or_order_is_another_digest(
    column: tuple[pa.DataType, list[object]], position: int, data: st.DataObject
) -> None:
    kind, values = column
    other = list(values)
    if other:
        other[position % len(other)] = data.draw(st.one_of(st.none(), VALUES[kind]))
    here, there = pa.array(values, kind), pa.array(other, kind)
    # repr distinguishes what == does not (-0.0 and 0.0) and unites what it does not (NaN); Decimals are compared as numbers.
    same = [v if isinstance(v, Decimal) else repr(v) for v in here.to_pylist()] == [
        v if isinstance(v, Decimal) else repr(v) for v in there.to_pylist()
    ]
    assert (column_digest(here) == column_digest(there)) == same
    assert column_digest(here) != column_digest(pa.array([*values, None], kind))


def test_the_layout_of_strings_is_no_content() -> None:
    words = ["a", None, "", "bb", "a"]
    plain = column_digest(pa.array(words, pa.string()))
    assert plain == column_digest(pa.array(words, pa.large_string()))
    assert plain == column_digest(pa.array(words, pa.string_view()))
    assert plain == column_digest(pa.array(words, pa.string()).dictionary_encode())
    assert plain != column_digest(pa.array([w and w.encode() for w in words], pa.binary()))


def test_bytes_under_nulls_are_no_content() -> None:
    valid = pa.py_buffer(b"\x05")  # rows 0 and 2
    one = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, 999, 3]).tobytes())])
    two = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, -7, 3]).tobytes())])
    assert column_digest(one) == column_digest(two) == column_digest(pa.array([1, None, 3]))


def test_types_and_boundaries_of_values_are_content() -> None:
    assert column_digest(pa.array([1], pa.int32())) != column_digest(pa.array([1], pa.int64()))
    assert column_digest(pa.array(["ab", "c"])) != column_digest(pa.array(["a", "bc"]))
    assert column_digest(pa.array([[1], [2, 3]])) != column_digest(pa.array([[1, 2], [3]]))
    assert column_digest(pa.array([0], pa.timestamp("us"))) != column_digest(pa.array([0], pa.timestamp("us", "UTC")))


def test_all_nans_are_one_and_zeros_are_two() -> None:
    other = np.array([0x7FF8_0000_0000_0001], np.uint64).view(np.float64)
    assert column_digest(pa.array(other)) == column_digest(pa.array([float("nan")]))
    assert column_digest(pa.array([0.0])) != column_digest(pa.array([-0.0]))


@given(column=columns())
def test_what_is_written_is_read(column: tuple[pa.DataType, list[object]]) -> None:
    kind, values = column
    source = pa.table({"x": pa.array(values, kind), "n": pa.array(range(len(values)), pa.int32())})
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore.open(f"file://{folder}")
        table = Table.write(store, source)
        read = Table.from_json(store, table.to_json())
        assert read.schema == source.schema
        assert read.num_rows == len(values)
        assert list(map(repr, read.arrow().to_pylist())) == list(map(repr, source.to_pylist()))
        assert Table.write(store, read).digest == table.digest
        assert read.column_digests["x"] == column_digest(pa.array(values, kind))


@pytest.mark.slow
def test_the_digest_is_the_same_in_every_process(store: ArtifactStore) -> None:
    code = (
        "import pyarrow as pa; from tidewheel.artifacts import ArtifactStore, Table\n"
        "print(Table.write(ArtifactStore.open('memory:///'), pa.table({'a': [1, None], 'b': ['x', 'y']})).digest)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Table.write(store, pa.table({"a": [1, None], "b": ["x", "y"]})).digest


def test_digests_of_tables_are_golden(store: ArtifactStore) -> None:
    table = Table.write(store, pa.table({"zone": [1, 2, None], "name": ["a", None, "c"], "x": [0.5, -0.0, float("nan")]}))
    assert table.digest == GOLDEN


GOLDEN = "tw1-d7b9df9b53f144bc2f478163ff004ad8ecb1ee16ccd4e618050a02944ea465b2"


def test_columns_are_chosen_in_the_order_asked(store: ArtifactStore) -> None:
    table = Table.write(store, pa.table({"a": [1, 2], "b": [3, 4], "c": [5, 6]}))
    assert table.arrow(["c", "a"]).to_pydict() == {"c": [5, 6], "a": [1, 2]}
    assert table.arrow(["c", "a"]).column_names == ["c", "a"]
    assert table.arrow([]).column_names == []
    with pytest.raises(NotFound, match="did you mean"):
        table.arrow(["cc"])


@pytest.mark.parametrize("empty", [pa.table({}), pa.table({"a": pa.array([], pa.int64())}), pa.schema([]).empty_table()])
def test_empty_tables_are_tables(store: ArtifactStore, empty: pa.Table) -> None:
    table = Table.write(store, empty)
    assert table.num_rows == 0
    assert table.arrow().schema == empty.schema


@pytest.mark.slow
def test_many_parts_are_one_table(store: ArtifactStore) -> None:
    source = pa.table({"n": pa.array(np.arange(40_000_000, dtype=np.int32) % 7)})
    table = Table.write(store, source.to_reader(100_000))
    assert len(table.parts) == 2
    assert table.num_rows == source.num_rows
    assert table.arrow().equals(source)
    assert table.digest == Table.write(store, source).digest
    assert sum(batch.num_rows for batch in table.batches(batch_rows=1_000_000)) == source.num_rows


def test_two_columns_of_one_name_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(Invalid, match="'a'"):
        Table.write(store, pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))


def test_a_handle_with_parts_of_another_table_is_corrupt(store: ArtifactStore) -> None:
    one, two = Table.write(store, pa.table({"a": [1]})), Table.write(store, pa.table({"a": [2]}))
    with pytest.raises(Corrupt, match="not its own"):
        _ = Table(store, one.digest, two.parts).num_rows


def test_chosen_columns_are_a_handle_whose_content_is_theirs(store: ArtifactStore) -> None:
    rows = pa.table({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.5]})
    table = Table.write(store, rows)
    chosen = table.select(["c", "a"])
    assert chosen.arrow().equals(rows.select(["c", "a"]))
    assert pa.table(chosen).equals(rows.select(["c", "a"]))
    assert chosen.schema.names == ["c", "a"] == list(chosen.column_digests)
    assert chosen == Table.write(store, rows.select(["c", "a"])) != table.select(["a", "c"])
    assert Table.from_json(store, chosen.to_json()).select(["a"]).arrow().to_pydict() == {"a": [1, 2]}
    assert table.select([]).num_rows == 2
    with pytest.raises(NotFound, match="no column 'b'"):
        chosen.arrow(["b"])
    with pytest.raises(NotFound, match="no column 'b'"):
        chosen.select(["b"])
    with pytest.raises(Invalid, match="named twice"):
        table.select(["a", "a"])


def test_damaged_parts_are_corrupt(store: ArtifactStore, tmp_path: Path) -> None:
    table = Table.write(store, pa.table({"a": [1]}))
    next((tmp_path / "artifacts").rglob(table.parts[0])).write_bytes(b"PAR1damagedPAR1")
    with pytest.raises(Corrupt):
        table.arrow()


def test_whole_numbers_with_nulls_stay_whole_in_frames(store: ArtifactStore) -> None:
    table = Table.write(store, pa.table({"n": [9007199254740993, None], "b": [True, None], "f": [1.5, None], "m": [1, 2]}))
    frame = table.pandas()
    assert frame["n"][0] == 9007199254740993
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "n": "Int64",
        "b": "boolean",
        "f": "float64",
        "m": "int64",
    }
    assert table.polars()["n"].to_list() == [9007199254740993, None]


def test_frames_go_in_and_come_out(store: ArtifactStore) -> None:
    import pandas as pd
    import polars as pl

    source = pa.table({"zone": [1, 2, 3], "name": ["a", "b", None]})
    expected = Table.write(store, source).digest
    assert Table.write(store, pl.DataFrame(source.to_pydict())).digest == expected
    assert Table.write(store, pd.DataFrame(source.to_pydict())).digest == expected
    assert pa.table(Table.write(store, source)).equals(source)
