"""Inputs of a request: JSON values checked against declared types, with messages that name the field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

import msgspec

from tidewheel.clock import format_instant, parse_instant, to_datetime
from tidewheel.errors import Invalid, MissingInput, NotJson, TidewheelError, TypeMismatch, UnknownInput, near_miss
from tidewheel.schema import DataType, Field, Schema

_MAX_DEPTH_FIX = "send JSON that is nested less deeply"
_EARLIEST, _LATEST = parse_instant("0001-01-02T00:00:00Z"), parse_instant("9999-12-30T00:00:00Z")


def decode_json(body: bytes) -> object:
    """The JSON value in a body.

    Raises
    ------
    NotJson
        For anything else: broken text, wrong encoding, numbers and nesting out of range.
    TypeMismatch
        For ``NaN`` and ``Infinity``, with the path of the value.

    Examples
    --------
    >>> decode_json(b'{"inputs": {"zone": 4}}')
    {'inputs': {'zone': 4}}
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise NotJson("the body is nested too deeply", where="body", fix=_MAX_DEPTH_FIX) from error
    except UnicodeDecodeError as error:
        raise NotJson("the body is not UTF-8", where="body", fix="encode the JSON as UTF-8") from error
    except msgspec.DecodeError as error:
        _blame_nan(body)
        raise NotJson(f"the body is not JSON: {error}", where="body", fix="send one JSON object, UTF-8") from error


def _blame_nan(body: bytes) -> None:
    if b"NaN" not in body and b"Infinity" not in body:
        return
    try:
        path = _find_nan(json.loads(body), "")
    except (ValueError, RecursionError):
        return
    if path is not None:
        raise TypeMismatch(
            f"{path} is NaN or infinite, which JSON does not have",
            where=path,
            fix="send a finite number, or null when it is unknown",
        )


def _find_nan(value: object, path: str) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return path
    if isinstance(value, dict):
        parts = [(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
    elif isinstance(value, list):
        parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        return None
    return next((found for item, inner in parts if (found := _find_nan(item, inner)) is not None), None)


class InputReader:
    """Reads the inputs of one version's schema; made once per version, called once per row."""

    def __init__(self, schema: Schema) -> None:
        self._names = schema.names
        self._fields = tuple((field.name, field, _reader(field.type)) for field in schema)

    def read(self, sent: object, *, where: str = "inputs") -> dict[str, object]:
        """Typed values by name, in the order of the schema.

        Raises
        ------
        MissingInput, UnknownInput, TypeMismatch
            With the path of the field, such as ``inputs[3].pickup_zone``.
        """
        if not isinstance(sent, dict):
            raise TypeMismatch(
                f"{where} is {_kind(sent)}, not an object", where=where, fix=f"send {{{', '.join(map(repr, self._names))}}}"
            )
        read: dict[str, object] = {}
        for name, field, reader in self._fields:
            value = sent.get(name)
            if value is None:
                if name not in sent or not field.nullable:
                    raise self._missing(name, field, where, absent=name not in sent)
                read[name] = None
            else:
                read[name] = reader(value, field, where)
        if len(sent) != len(self._names):
            extra = next(name for name in sent if name not in read)
            raise UnknownInput(f"{extra!r} is not an input", where=f"{where}.{extra}", fix=near_miss(extra, self._names))
        return read

    def _missing(self, name: str, field: Field, where: str, *, absent: bool) -> TidewheelError:
        what = f"input {name!r} is missing" if absent else f"input {name!r} is null and may not be"
        null = ", null when it is unknown" if field.nullable else ""
        return MissingInput(what, where=f"{where}.{name}", fix=f"send {name} as {field.type.value}{null}")


def read_rows(reader: InputReader, sent: Sequence[object]) -> list[dict[str, object]]:
    """Read a batch; errors name the row."""
    return [reader.read(row, where=f"inputs[{index}]") for index, row in enumerate(sent)]


def read_value(value: object, field: Field, where: str) -> object:
    """One value of JSON in its declared type.

    Raises
    ------
    TypeMismatch
        Naming ``where`` and the field.

    Examples
    --------
    >>> read_value("2020-01-01", Field("day", DataType.DATE), "rows[0]")
    datetime.date(2020, 1, 1)
    """
    return _READERS[field.type](value, field, where)


Reader = Callable[[object, Field, str], object]


def _wrong(value: object, field: Field, where: str, fix: str | None = None) -> TypeMismatch:
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    return TypeMismatch(
        f"input {field.name!r} must be {field.type.value}, not {shown}",
        where=f"{where}.{field.name}",
        fix=fix or f"send {'an array, each value ' if field.type.is_list else ''}{_EXAMPLES[field.type.element]}",
    )


def _integer(low: int, high: int) -> Reader:
    def read(value: object, field: Field, where: str) -> object:
        if type(value) is int and low <= value <= high:
            return value
        raise _wrong(value, field, where)

    return read


def _float(value: object, field: Field, where: str) -> object:
    if type(value) is float or type(value) is int:
        try:
            number = float(value)
        except OverflowError as error:
            raise _wrong(value, field, where) from error
        if math.isfinite(number):
            return number
        raise _wrong(value, field, where, "send a finite number, or null when it is unknown")
    raise _wrong(value, field, where)


def _float32(value: object, field: Field, where: str) -> object:
    number = _float(value, field, where)
    assert isinstance(number, float)
    if abs(number) > 3.4028235677973366e38:
        raise _wrong(value, field, where)
    return number


def _exactly(kind: type) -> Reader:
    def read(value: object, field: Field, where: str) -> object:
        if type(value) is kind:
            return value
        raise _wrong(value, field, where)

    return read


def _timestamp(value: object, field: Field, where: str) -> object:
    if type(value) is str:
        try:
            return to_datetime(parse_instant(value))
        except (Invalid, OverflowError) as error:
            raise _wrong(value, field, where) from error
    if type(value) is int and _EARLIEST <= value <= _LATEST:
        return to_datetime(value)
    raise _wrong(value, field, where)


def _date(value: object, field: Field, where: str) -> object:
    if type(value) is str:
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise _wrong(value, field, where) from error
    raise _wrong(value, field, where)


def _decimal(value: object, field: Field, where: str) -> object:
    if type(value) in (str, int) and len(str(value)) <= 60:
        try:
            number = Decimal(str(value))
        except InvalidOperation as error:
            raise _wrong(value, field, where) from error
        if number.is_finite() and abs(number) < Decimal(10) ** 29:
            return number
    raise _wrong(value, field, where)


def _bytes(value: object, field: Field, where: str) -> object:
    if type(value) is str:
        try:
            return msgspec.convert(value, bytes)
        except msgspec.ValidationError as error:
            raise _wrong(value, field, where) from error
    raise _wrong(value, field, where)


def _reader(kind: DataType) -> Reader:
    return _list(_READERS[kind.element]) if kind.is_list else _READERS[kind]


def _list(element: Reader) -> Reader:
    def read(value: object, field: Field, where: str) -> object:
        if type(value) is not list:
            raise _wrong(value, field, where)
        return [None if one is None else element(one, field, where) for one in value]

    return read


_READERS: Mapping[DataType, Reader] = {
    DataType.BOOL: _exactly(bool),
    DataType.INT32: _integer(-(2**31), 2**31 - 1),
    DataType.INT64: _integer(-(2**63), 2**63 - 1),
    DataType.FLOAT32: _float32,
    DataType.FLOAT64: _float,
    DataType.STRING: _exactly(str),
    DataType.BYTES: _bytes,
    DataType.TIMESTAMP: _timestamp,
    DataType.DATE: _date,
    DataType.DECIMAL: _decimal,
}

_EXAMPLES: Mapping[DataType, str] = {
    DataType.BOOL: "true or false",
    DataType.INT32: "a whole number of 32 bits, without quotes or decimal point",
    DataType.INT64: "a whole number of 64 bits, without quotes or decimal point",
    DataType.FLOAT32: "a finite number",
    DataType.FLOAT64: "a finite number",
    DataType.STRING: "a string",
    DataType.BYTES: "base64 in a string",
    DataType.TIMESTAMP: f"ISO 8601 such as {format_instant(1_577_880_000_000_000)}, or whole microseconds UTC",
    DataType.DATE: "a date such as 2020-01-01",
    DataType.DECIMAL: 'a decimal in a string such as "12.50"',
}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
