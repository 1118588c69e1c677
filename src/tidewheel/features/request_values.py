"""Values of a request, checked against their declared types: what is wrong is refused by name, nothing is guessed."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from tidewheel.clock import to_datetime
from tidewheel.errors import MissingColumns, TypeMismatch, near_miss
from tidewheel.schema import DataType, Field

_FLOAT = struct.Struct("f")


class _Wrong(Exception):
    """The value does not fit."""


def check_value(field: Field, value: object) -> object:
    """A request's value in its declared type.

    Instants are aware datetimes, ISO 8601 strings (UTC without an offset) or integer microseconds; dates and decimals may be
    strings as well. Lists may hold nulls. NaN and infinities are refused.

    Raises
    ------
    TypeMismatch
        Naming the field.

    Examples
    --------
    >>> check_value(Field("distance", DataType.FLOAT64), 2)
    2.0
    >>> check_value(Field("distance", DataType.FLOAT64), "2")
    Traceback (most recent call last):
    tidewheel.errors.TypeMismatch: distance is '2', a str, declared float64 (at distance). Fix: send a float64
    """
    if value is None:
        if field.nullable:
            return None
        raise TypeMismatch(f"{field.name} is null", where=field.name, fix=f"send a {field.type.value}")
    try:
        return _CHECKS[field.type](value) if field.type in _CHECKS else _list(field.type.element, value)
    except (_Wrong, ValueError, OverflowError, InvalidOperation) as error:
        raise TypeMismatch(
            f"{field.name} is {value!r:.60}, a {type(value).__name__}, declared {field.type.value}",
            where=field.name,
            fix=f"send a {field.type.value}",
        ) from error


def get_value(values: Mapping[str, object], name: str, known: Sequence[str]) -> object:
    """A value by name.

    Raises
    ------
    MissingColumns
        Naming it, and a near miss when there is one.
    """
    try:
        return values[name]
    except KeyError:
        fix = f"send {name}"
        others = [other for other in values if other not in known]
        if others:
            fix += f"; {near_miss(name, others)}"
        raise MissingColumns(f"the request has no {name}", where=name, fix=fix) from None


def _list(element: DataType, values: object) -> object:
    if not isinstance(values, list | tuple):
        raise _Wrong
    check = _CHECKS[element]
    return [None if value is None else check(value) for value in values]


def _integer(low: int, high: int) -> Callable[[object], object]:
    def check(value: object) -> object:
        if type(value) is not int or not low <= value < high:
            raise _Wrong
        return value

    return check


def _float(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong
    return float(value)


def _float32(value: object) -> object:
    number = _float(value)
    assert isinstance(number, float)
    narrow: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    return narrow


def _exactly(kind: type) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not isinstance(value, kind):
            raise _Wrong
        return value

    return check


def _timestamp(value: object) -> object:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
        value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if type(value) is int:
        return to_datetime(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _Wrong
    return value.astimezone(UTC)


def _date(value: object) -> object:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise _Wrong
    return value


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise _Wrong
    number = Decimal(value)
    if not number.is_finite():
        raise _Wrong
    return number


_CHECKS: Mapping[DataType, Callable[[object], object]] = {
    DataType.BOOL: _exactly(bool),
    DataType.INT32: _integer(-(1 << 31), 1 << 31),
    DataType.INT64: _integer(-(1 << 63), 1 << 63),
    DataType.FLOAT32: _float32,
    DataType.FLOAT64: _float,
    DataType.STRING: _exactly(str),
    DataType.BYTES: _exactly(bytes),
    DataType.TIMESTAMP: _timestamp,
    DataType.DATE: _date,
    DataType.DECIMAL: _decimal,
}
