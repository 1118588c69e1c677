"""Calls of on-request transforms, row by row: the same code for training sets and for requests."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tidewheel.clock import to_datetime
from tidewheel.errors import Invalid, TidewheelError
from tidewheel.features.definition import Transform
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import pyarrow as pa

_SINGLE = struct.Struct("f")
_LIMITS = {DataType.INT32: 1 << 31, DataType.INT64: 1 << 63}


@dataclass(frozen=True, slots=True)
class Computed:
    """A transform's values, one per row, how many rows failed, and the first failure in words."""

    values: list[object]
    errors: int = 0
    first_error: str | None = None


def run_transform(
    transform: Transform, columns: Mapping[str, Sequence[object]], rows: int, *, numbers: Sequence[int] | None = None
) -> Computed:
    """Call a transform once per row.

    Parameters
    ----------
    columns
        Plain Python values by the names of the inputs, ``None`` for null; instants as aware datetimes, or as microseconds.
        An input that is absent takes the function's default.
    numbers
        What to call the rows in errors, where they are a part of others.

    Raises
    ------
    Invalid
        Under ``on_error="raise"``, for the first row that fails, with the row's number.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def rate(amount: float, count: int) -> float:
    ...     return amount / count
    >>> made = run_transform(rate, {"amount": [1.0, 1.0, None], "count": [2, 0, 2]}, 3)
    >>> made.values, made.errors, made.first_error
    ([0.5, None, None], 1, 'row 1: ZeroDivisionError: float division by zero')
    """
    inputs = [one for one in transform.inputs if one.name in columns]
    zone = _zone(transform.timezone)
    names = [one.name for one in inputs]
    given = [_instants(columns[one.name], zone) if one.type is DataType.TIMESTAMP else columns[one.name] for one in inputs]
    required = [place for place, one in enumerate(inputs) if not one.optional]
    function, kind = transform.function, transform.returns.type
    values: list[object] = []
    errors, first = 0, None
    for row in range(rows):
        arguments = [column[row] for column in given]
        if any(arguments[place] is None for place in required):
            values.append(None)
            continue
        try:
            values.append(checked(function(**dict(zip(names, arguments, strict=True))), kind))
        except Exception as error:  # a user's function may raise anything on a row, which must not stop the others
            name = row if numbers is None else numbers[row]
            told = f"row {name}: {type(error).__name__}: {error.what if isinstance(error, TidewheelError) else error}"
            if transform.on_error == "raise":
                raise Invalid(f"transform {transform.name} failed on {told}", where=transform.name, fix="mend it") from error
            values.append(None)
            errors, first = errors + 1, first or told
    return Computed(values, errors, first)


@cache
def _zone(name: str | None) -> tzinfo | None:
    return None if name is None else ZoneInfo(name)


def _instants(column: Sequence[object], zone: tzinfo | None) -> list[object]:
    made = [to_datetime(value) if isinstance(value, int) else value for value in column]
    return made if zone is None else [value.astimezone(zone) if isinstance(value, datetime) else value for value in made]


def plain_values(column: pa.Array) -> Sequence[object]:
    """A column as Python values; instants as microseconds, which transforms take too.

    Examples
    --------
    >>> import pyarrow as pa
    >>> plain_values(pa.array([1.5, None]))
    [1.5, None]
    """
    import pyarrow as pa  # answers in numbers do without it

    if pa.types.is_timestamp(column.type):
        column = column.cast(DataType.TIMESTAMP.arrow()).cast(pa.int64())
    found: list[object] = column.to_pylist()
    return found


def checked(value: object, kind: DataType) -> object:
    """A transform's result in its declared type: an int where a float is declared becomes one, NaN is null, the rest must fit.

    Raises
    ------
    Invalid
        When it does not.

    Examples
    --------
    >>> checked(1, DataType.FLOAT64), checked(float("nan"), DataType.FLOAT64), checked((1, None), DataType.LIST_FLOAT64)
    (1.0, None, [1.0, None])
    """
    if value is None:
        return None
    if kind.is_list:
        return _checked_list(value, kind)
    plain = value.item() if hasattr(value, "item") and not isinstance(value, _PLAIN) else value
    if kind in (DataType.FLOAT32, DataType.FLOAT64) and isinstance(plain, int | float):
        number = float(plain) if kind is DataType.FLOAT64 else _SINGLE.unpack(_SINGLE.pack(plain))[0]
        return None if number != number else number
    if kind in _LIMITS and isinstance(plain, int):
        if -_LIMITS[kind] <= plain < _LIMITS[kind]:
            return int(plain)
        raise Invalid(f"returned {plain}, which does not fit {kind.value}", fix="return a smaller number, or declare float")
    if kind is DataType.DATE and type(plain) is date:
        return plain
    if kind is DataType.TIMESTAMP and isinstance(plain, datetime) and plain.tzinfo is not None:
        return plain
    if isinstance(plain, _EXACTLY.get(kind, ())):
        return plain
    raise Invalid(f"returned {value!r:.60}, a {type(value).__name__}, declared {kind.value}", fix=f"return a {kind.value}")


def _checked_list(value: object, kind: DataType) -> list[object]:
    held = value.tolist() if hasattr(value, "tolist") else value  # an array of NumPy's
    if not isinstance(held, list | tuple):
        raise Invalid(f"returned {value!r:.60}, a {type(value).__name__}, declared {kind.value}", fix=f"return a {kind.value}")
    return [checked(one, kind.element) for one in held]


_PLAIN = (bool, int, float, str, bytes, datetime, date, Decimal)
_EXACTLY: Mapping[DataType, tuple[type, ...]] = {
    DataType.BOOL: (bool,),
    DataType.STRING: (str,),
    DataType.BYTES: (bytes,),
    DataType.DECIMAL: (Decimal,),
}
