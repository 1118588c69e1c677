"""Values come back exactly as they went in, and equal values have equal content."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.errors import Corrupt, Invalid, UnsafeFormat
from tidewheel.pipelines.codec import Codec
from tidewheel.schema import Field

CODEC = Codec(ArtifactStore.open("memory:///"), [])


class Colour(Enum):
    RED = 1


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    label: str


Pair = namedtuple("Pair", "a b")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=50)
    | st.dates()
    | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def back(value: object) -> object:
    return CODEC.unpack(CODEC.pack(value).data)


@given(plain)
def test_plain_values_come_back_equal_and_of_the_same_types(value: object) -> None:
    assert repr(back(value)) == repr(value)
    assert CODEC.pack(back(value)).content == CODEC.pack(value).content


VALUES = [
    math.inf,
    2**200,
    frozenset({1, "a"}),
    datetime(2020, 1, 1, tzinfo=UTC),
    timedelta(microseconds=1),
    date(2020, 1, 1),
    Decimal("1.10"),
    range(3),
    1j,
    Path("a/b"),
    Colour.RED,
    Point(1.0, "a"),
    Pair(1, [2]),
    Point,
    math.floor,
    b"x" * 100_000,
    bytearray(b"a"),
    np.float32(1.5),
    np.int8(-3),
    np.datetime64("2020-01-01", "us"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_other_values_come_back(value: object) -> None:
    assert back(value) == value
    assert type(back(value)) is type(value)


def test_nan_is_nan() -> None:
    assert math.isnan(back(math.nan))  # type: ignore[arg-type]  # the test is that it is a float


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array(["a", "bc"]), np.zeros(0), np.array(3)], ids=str)
def test_arrays_come_back(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    found = back(array)
    assert isinstance(found, np.ndarray)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_frames_come_back() -> None:
    table = pa.table({"a": [1, None], "b": ["x", "y"]})
    assert back(table) == table
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=["x", "y"])
    pd.testing.assert_frame_equal(back(frame), frame)
    series = pd.Series([1, 2], name="n", index=[5, 6])
    pd.testing.assert_series_equal(back(series), series)
    assert pl.DataFrame({"a": [1, 2]}).equals(back(pl.DataFrame({"a": [1, 2]})))  # type: ignore[arg-type]  # the test is its type


def test_the_chunks_of_an_arrow_table_are_no_content() -> None:
    whole = pa.table({"a": [1, 2, 3]})
    parts = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2, 3]})])
    assert CODEC.pack(whole).content == CODEC.pack(parts).content


def test_a_table_goes_by_reference_and_counts_by_content() -> None:
    store = CODEC.store
    table = Table.write(store, pa.table({"a": [1, 2]}))
    assert back(table).digest == table.digest  # type: ignore[attr-defined]  # the test is that it is a table
    assert CODEC.pack({"t": table}).content == CODEC.pack({"t": Table.write(store, pa.table({"a": [1, 2]}))}).content
    assert CODEC.pack(table).content != CODEC.pack(Table.write(store, pa.table({"a": [2, 1]}))).content


def test_code_in_a_value_is_told() -> None:
    assert CODEC.pack([Point(1.0, "a"), Colour.RED, math.floor]).code == [Point, Colour, math.floor]


def test_pickle_needs_permission_on_both_sides() -> None:
    lax = Codec(CODEC.store, [], pickle=True)
    with pytest.raises(UnsafeFormat, match=r"allow pickle on the step"):
        CODEC.pack(object())
    packed = lax.pack(ValueError("a"))
    assert str(lax.unpack(packed.data)) == "a"
    with pytest.raises(UnsafeFormat):
        CODEC.unpack(packed.data)


def test_a_lambda_has_no_name_to_be_found_by() -> None:
    with pytest.raises(Invalid, match="top level"):
        CODEC.pack(lambda: 1)


def test_bytes_that_are_no_value_are_corrupt() -> None:
    for data in (b"{", b'{"$": "dict"}', b'{"$": "nobody", "v": 1}'):
        with pytest.raises(Corrupt):
            CODEC.unpack(data)


def test_a_value_of_our_own_comes_back() -> None:
    from tidewheel.schema import DataType

    assert back(Field("a", DataType.INT64)) == Field("a", DataType.INT64)
