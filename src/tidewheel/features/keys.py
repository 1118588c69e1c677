"""Keys of the online store: ``u32 view | u8 number of parts | parts``, in an order that means something.

Integers are 8 bytes big-endian with the sign flipped; strings and bytes have each zero byte escaped (``00`` becomes
``00 FF``) and end with ``00 00``. So keys sort by view and then by the entity's key fields, everything of one view or one
entity stands together, no two entities share a key (("1", "11") and ("11", "1") differ), and nothing is hashed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from tidewheel.clock import to_micros
from tidewheel.errors import Invalid, KeyTypeMismatch, UnsupportedKeyType
from tidewheel.schema import DataType, Schema

MAX_BYTES = 460
"""Longest key of an entity; the store's limit is 480, and records of a view append a few bytes."""

DAYS_BEFORE_EPOCH = date(1970, 1, 1).toordinal()
"""Keys count days from the year 1, Arrow from 1970."""

_HEAD = struct.Struct(">IB")
_Q = struct.Struct(">Q")
_SIGN = 1 << 63


def view_prefix(view: int) -> bytes:
    """What every key of a view starts with.

    Examples
    --------
    >>> view_prefix(7).hex()
    '00000007'
    """
    return struct.pack(">I", view)


class KeyCodec:
    """Encodes the key fields of one view's entity.

    Parameters
    ----------
    view
        The view's number in the store.
    schema
        The entity's key fields. Floats and decimals are no keys.

    Examples
    --------
    >>> from tidewheel.schema import Field
    >>> codec = KeyCodec(1, Schema((Field("city", DataType.STRING), Field("zone", DataType.INT64))))
    >>> codec.encode(("NYC", 4)) < codec.encode(("NYC", 5)) < codec.encode(("Oslo", -1))
    True
    >>> codec.decode(codec.encode(("NYC", 4)))
    ('NYC', 4)
    """

    def __init__(self, view: int, schema: Schema) -> None:
        self.schema = schema
        for field in schema:
            if field.type not in _ENCODE:
                raise UnsupportedKeyType(
                    f"{field.name} is {field.type.value}, which cannot be a key",
                    where=field.name,
                    fix="use an int, a str or a time",
                )
        self.prefix = _HEAD.pack(view, len(schema))
        self._encoders = tuple(_ENCODE[field.type] for field in schema)
        self.one_integer = len(schema) == 1 and schema.fields[0].type is DataType.INT64
        """Whether a key is one int64."""

    def encode(self, parts: Sequence[object]) -> bytes:
        """The key of an entity.

        Parameters
        ----------
        parts
            One value per key field, in the entity's order; none may be ``None``.

        Raises
        ------
        KeyTypeMismatch
            When a part has another type than declared: ``"1"`` and ``1.0`` are not ``1``.
        """
        if self.one_integer:
            part = parts[0]
            if type(part) is int and -_SIGN <= part < _SIGN:
                return self.prefix + _Q.pack(part + _SIGN)
        out = [self.prefix]
        for field, encoder, part in zip(self.schema, self._encoders, parts, strict=True):
            try:
                out.append(encoder(part))
            except (TypeError, struct.error) as error:
                raise KeyTypeMismatch(
                    f"{field.name}: got {_told(part)}, declared {field.type.value}",
                    where=field.name,
                    fix=f"send {field.name} as {field.type.value}",
                ) from error
        key = b"".join(out)
        if len(key) > MAX_BYTES:
            raise Invalid(
                f"the key {list(parts)!r:.80} takes {len(key)} bytes; {MAX_BYTES} is the limit",
                where=self.schema.names[0],
                fix="key by something shorter",
            )
        return key

    def encode_many(self, columns: Sequence[Sequence[object]]) -> list[bytes]:
        """The keys of many entities.

        Parameters
        ----------
        columns
            For each key field the part of every entity.
        """
        if self.one_integer and {int}.issuperset(map(type, columns[0])):
            prefix, pack = self.prefix, _Q.pack
            try:
                return [prefix + pack(part + _SIGN) for part in columns[0]]  # type: ignore[operator]  # all of them are int
            except struct.error:
                pass  # one is out of range: said by name below
        return [self.encode(parts) for parts in zip(*columns, strict=True)]

    def encode_mapping(self, values: Mapping[str, object]) -> bytes:
        """The key of an entity whose parts are given by field name."""
        return self.encode([values[name] for name in self.schema.names])

    def decode(self, key: bytes) -> tuple[object, ...]:
        """The parts of a key; bytes after them (a record's suffix) are ignored."""
        parts: list[object] = []
        at = _HEAD.size
        for field in self.schema:
            if field.type in (DataType.STRING, DataType.BYTES):
                text, at = _unescape(key, at)
                parts.append(text.decode("utf-8", "surrogatepass") if field.type is DataType.STRING else text)
            elif field.type is DataType.BOOL:
                parts.append(key[at] == 1)
                at += 1
            else:
                number = _Q.unpack_from(key, at)[0] - _SIGN
                parts.append(date.fromordinal(number) if field.type is DataType.DATE else number)
                at += 8
        return tuple(parts)


def _told(part: object) -> str:
    names = {
        int: "integer",
        str: "string",
        float: "float",
        bool: "bool",
        bytes: "bytes",
        type(None): "null",
        Decimal: "decimal",
    }
    return f"{names.get(type(part), type(part).__name__)} {part!r:.40}"


def _integer(part: object) -> bytes:
    return _Q.pack(_whole(part) + _SIGN)


def _integer32(part: object) -> bytes:
    encoded = _integer(part)
    if isinstance(part, int) and -(1 << 31) <= part < 1 << 31:
        return encoded
    raise TypeError


def _text(part: object) -> bytes:
    if not isinstance(part, str):
        raise TypeError
    return escape(part.encode("utf-8", "surrogatepass"))


def _bytes(part: object) -> bytes:
    if not isinstance(part, bytes):
        raise TypeError
    return escape(part)


def escape(data: bytes) -> bytes:
    """Bytes so written that they sort as they are, whatever follows them.

    Examples
    --------
    >>> escape(bytes([97, 0, 98])).hex()
    '6100ff620000'
    """
    return data.replace(b"\0", b"\0\xff") + b"\0\0"


def _unescape(key: bytes, start: int) -> tuple[bytes, int]:
    at = start
    while True:
        at = key.index(b"\0", at)
        if key[at + 1] == 0:
            return key[start:at].replace(b"\0\xff", b"\0"), at + 2
        at += 2


def _bool(part: object) -> bytes:
    if part is True:
        return b"\1"
    if part is False:
        return b"\0"
    raise TypeError


def _timestamp(part: object) -> bytes:
    return _Q.pack((to_micros(part) if isinstance(part, datetime) else _whole(part)) + _SIGN)


def _whole(part: object) -> int:
    if isinstance(part, bool) or not isinstance(part, int):
        raise TypeError
    return part


def _date(part: object) -> bytes:
    if isinstance(part, datetime) or not isinstance(part, date):
        raise TypeError
    return _Q.pack(part.toordinal() + _SIGN)


_ENCODE: dict[DataType, Callable[[object], bytes]] = {
    DataType.BOOL: _bool,
    DataType.INT32: _integer32,
    DataType.INT64: _integer,
    DataType.STRING: _text,
    DataType.BYTES: _bytes,
    DataType.TIMESTAMP: _timestamp,
    DataType.DATE: _date,
}
