"""Types, fields and schemas: what a column may hold, written once for Python, Arrow and the wire."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from tidewheel.errors import Invalid, NameCollision, UnknownFeature, near_miss

if TYPE_CHECKING:
    import pyarrow as pa

Timestamp = datetime
"""An instant: an aware ``datetime``. Stored as int64 microseconds UTC."""


class DataType(Enum):
    """What a column may hold. Timestamps are microseconds UTC; the value of each member is its name on the wire."""

    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DATE = "date"
    DECIMAL = "decimal128(38, 9)"
    LIST_BOOL = "list<bool>"
    LIST_INT32 = "list<int32>"
    LIST_INT64 = "list<int64>"
    LIST_FLOAT32 = "list<float32>"
    LIST_FLOAT64 = "list<float64>"
    LIST_STRING = "list<string>"
    LIST_BYTES = "list<bytes>"
    LIST_TIMESTAMP = "list<timestamp>"
    LIST_DATE = "list<date>"
    LIST_DECIMAL = "list<decimal128(38, 9)>"

    @property
    def is_list(self) -> bool:
        """Whether a value is a list of values, any of which may be null.

        Examples
        --------
        >>> DataType.LIST_FLOAT32.is_list, DataType.FLOAT32.is_list
        (True, False)
        """
        return self.value.startswith("list<")

    @property
    def element(self) -> DataType:
        """Type of a list's values; a scalar's own type.

        Examples
        --------
        >>> DataType.LIST_FLOAT32.element
        <DataType.FLOAT32: 'float32'>
        """
        return DataType(self.value[5:-1]) if self.is_list else self

    def arrow(self) -> pa.DataType:
        """The Arrow type.

        Examples
        --------
        >>> DataType.TIMESTAMP.arrow()
        TimestampType(timestamp[us, tz=UTC])
        """
        import pyarrow as pa

        if self.is_list:
            return pa.list_(self.element.arrow())
        if self is DataType.TIMESTAMP:
            return pa.timestamp("us", tz="UTC")
        if self is DataType.DECIMAL:
            return pa.decimal128(38, 9)
        names = {DataType.BYTES: "binary", DataType.DATE: "date32", DataType.BOOL: "bool_"}
        factory = getattr(pa, names.get(self, self.value))
        return factory()


_FROM_PYTHON: Mapping[object, DataType] = {
    bool: DataType.BOOL,
    int: DataType.INT64,
    float: DataType.FLOAT64,
    str: DataType.STRING,
    bytes: DataType.BYTES,
    datetime: DataType.TIMESTAMP,
    date: DataType.DATE,
    Decimal: DataType.DECIMAL,
}

LISTS: Mapping[DataType, DataType] = {kind.element: kind for kind in DataType if kind.is_list}
"""The list type of each scalar type."""


def data_type(annotation: object) -> DataType:
    """The column type for a Python type, a type's name on the wire, or a :class:`DataType` itself.

    Examples
    --------
    >>> data_type(int), data_type("float32"), data_type(list[float])
    (<DataType.INT64: 'int64'>, <DataType.FLOAT32: 'float32'>, <DataType.LIST_FLOAT64: 'list<float64>'>)
    """
    if isinstance(annotation, DataType):
        return annotation
    if isinstance(annotation, str):
        for member in DataType:
            if member.value == annotation:
                return member
    if typing.get_origin(annotation) is list:
        (inner,) = typing.get_args(annotation)
        plain = [one for one in typing.get_args(inner) if one is not type(None)]  # list[float | None]: elements may be null
        return _list_of(data_type(plain[0] if len(plain) == 1 and type(None) in typing.get_args(inner) else inner), annotation)
    found = _FROM_PYTHON.get(annotation) if isinstance(annotation, type) else None
    if found is None:
        known = ", ".join(member.value for member in DataType)
        raise Invalid(
            f"{annotation!r} is not a column type",
            fix=f"use bool, int, float, str, bytes, tw.Timestamp, a list[...] of one, or one of {known}",
        )
    return found


def _list_of(element: DataType, told: object) -> DataType:
    found = LISTS.get(element)
    if found is None:
        raise Invalid(f"{told} is a list of lists, which no column type holds", fix="flatten it in the source's select")
    return found


def data_type_of_arrow(arrow: pa.DataType) -> DataType:
    """The column type that holds an Arrow type without loss: small ints widen, any timestamp becomes microseconds UTC.

    Raises
    ------
    Invalid
        For structs, maps, lists of lists, and ``uint64``, which no type of ours can hold.

    Examples
    --------
    >>> import pyarrow as pa
    >>> data_type_of_arrow(pa.int8()), data_type_of_arrow(pa.list_(pa.float32(), 3))
    (<DataType.INT32: 'int32'>, <DataType.LIST_FLOAT32: 'list<float32>'>)
    """
    import pyarrow as pa

    simple = pa.types
    table: tuple[tuple[object, DataType], ...] = (
        (simple.is_boolean, DataType.BOOL),
        (simple.is_int64, DataType.INT64),
        (simple.is_uint32, DataType.INT64),
        (lambda t: simple.is_integer(t) and t.bit_width <= 32 and not simple.is_uint32(t), DataType.INT32),
        (simple.is_float64, DataType.FLOAT64),
        (lambda t: simple.is_float32(t) or simple.is_float16(t), DataType.FLOAT32),
        (lambda t: simple.is_string(t) or simple.is_large_string(t) or simple.is_string_view(t), DataType.STRING),
        (lambda t: simple.is_binary(t) or simple.is_large_binary(t) or simple.is_binary_view(t), DataType.BYTES),
        (simple.is_timestamp, DataType.TIMESTAMP),
        (simple.is_date, DataType.DATE),
        (simple.is_decimal, DataType.DECIMAL),
    )
    if simple.is_dictionary(arrow):
        return data_type_of_arrow(arrow.value_type)
    if any(test(arrow) for test in (simple.is_list, simple.is_large_list, simple.is_fixed_size_list, simple.is_list_view)):
        return _list_of(data_type_of_arrow(arrow.value_type), arrow)
    for test, found in table:
        if test(arrow):  # type: ignore[operator]
            return found
    raise Invalid(f"Arrow type {arrow} has no column type", fix="cast it in the source's select")


@dataclass(frozen=True, slots=True)
class Field:
    """A named, typed column."""

    name: str
    type: DataType
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns in order, with names that are unique.

    Examples
    --------
    >>> schema = Schema((Field("zone", DataType.INT64), Field("trips", DataType.INT64)))
    >>> schema.names
    ('zone', 'trips')
    >>> schema["trips"].type
    <DataType.INT64: 'int64'>
    """

    fields: tuple[Field, ...]
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """What else stands where the columns come from, with the types that none of ours holds: to tell it from what is missing."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for field in self.fields:
            if field.name in seen:
                raise NameCollision(f"two columns are called {field.name!r}", where=field.name, fix="rename one with an alias")
            seen.add(field.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(field.name for field in self.fields)

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise UnknownFeature(f"no column {name!r}", where=name, fix=near_miss(name, self.names))

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        import pyarrow as pa

        return pa.schema([pa.field(field.name, field.type.arrow(), nullable=field.nullable) for field in self.fields])
