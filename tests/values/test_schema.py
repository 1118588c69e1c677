"""Column types, the same in Python, in Arrow and on the wire."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from tidewheel.errors import Invalid, NameCollision, UnknownFeature
from tidewheel.schema import DataType, Field, Schema, Timestamp, data_type, data_type_of_arrow


@pytest.mark.parametrize("kind", list(DataType))
def test_a_type_is_the_same_by_name_by_arrow_and_by_itself(kind: DataType) -> None:
    assert data_type(kind) is data_type(kind.value) is kind
    assert data_type_of_arrow(kind.arrow()) is kind


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, DataType.BOOL),
        (int, DataType.INT64),
        (float, DataType.FLOAT64),
        (str, DataType.STRING),
        (bytes, DataType.BYTES),
        (Timestamp, DataType.TIMESTAMP),
        (dt.date, DataType.DATE),
        (Decimal, DataType.DECIMAL),
        (list[float], DataType.LIST_FLOAT64),
        (list[int | None], DataType.LIST_INT64),
        (list[Timestamp], DataType.LIST_TIMESTAMP),
    ],
)
def test_pythons_types_are_column_types(annotation: object, expected: DataType) -> None:
    assert data_type(annotation) is expected


@pytest.mark.parametrize("annotation", [list, list[list[int]], "integer", None, 3, dict[str, int], complex])
def test_what_is_no_type_is_refused_with_those_there_are(annotation: object) -> None:
    with pytest.raises(Invalid) as caught:
        data_type(annotation)
    assert "float32" in str(caught.value) or "list of lists" in str(caught.value)


@pytest.mark.parametrize(
    ("arrow", "expected"),
    [
        (pa.int8(), DataType.INT32),
        (pa.uint16(), DataType.INT32),
        (pa.uint32(), DataType.INT64),
        (pa.float16(), DataType.FLOAT32),
        (pa.large_string(), DataType.STRING),
        (pa.string_view(), DataType.STRING),
        (pa.dictionary(pa.int8(), pa.string()), DataType.STRING),
        (pa.large_binary(), DataType.BYTES),
        (pa.timestamp("ns"), DataType.TIMESTAMP),
        (pa.timestamp("s", "America/New_York"), DataType.TIMESTAMP),
        (pa.date64(), DataType.DATE),
        (pa.decimal128(10, 2), DataType.DECIMAL),
        (pa.list_(pa.int8()), DataType.LIST_INT32),
        (pa.large_list(pa.large_string()), DataType.LIST_STRING),
        (pa.list_(pa.float16(), 3), DataType.LIST_FLOAT32),
        (pa.list_view(pa.timestamp("ns")), DataType.LIST_TIMESTAMP),
    ],
)
def test_arrow_types_widen_without_loss(arrow: pa.DataType, expected: DataType) -> None:
    assert data_type_of_arrow(arrow) is expected


@pytest.mark.parametrize(
    "arrow",
    [
        pa.uint64(),
        pa.list_(pa.uint64()),
        pa.list_(pa.list_(pa.int8())),
        pa.struct([]),
        pa.null(),
        pa.duration("us"),
        pa.time64("us"),
    ],
)
def test_arrow_types_that_no_column_can_hold_are_refused(arrow: pa.DataType) -> None:
    with pytest.raises(Invalid, match="no column type"):
        data_type_of_arrow(arrow)


def test_a_schema_finds_its_fields_by_name() -> None:
    schema = Schema((Field("zone", DataType.INT64, nullable=False), Field("pace", DataType.FLOAT64)))
    assert schema["pace"] == Field("pace", DataType.FLOAT64)
    assert "zone" in schema
    assert "other" not in schema
    assert [field.name for field in schema] == ["zone", "pace"]
    assert len(schema) == 2
    assert schema.arrow() == pa.schema([pa.field("zone", pa.int64(), nullable=False), pa.field("pace", pa.float64())])
    with pytest.raises(UnknownFeature, match="did you mean zone"):
        schema["zones"]


def test_two_columns_of_one_name_collide() -> None:
    with pytest.raises(NameCollision, match="'zone'"):
        Schema((Field("zone", DataType.INT64), Field("zone", DataType.STRING)))
