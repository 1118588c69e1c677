"""The bytes of one row, which sort the way rows win: event time, created time, values.

A store that keeps the bytewise greatest value of a key therefore keeps the latest row, with no knowledge of what a
row is, and the offline path breaks ties between rows of one key, event time and created time by comparing the very
same bytes (:meth:`RowCodec.canonical`). Layout, big-endian so that bytes order as values do::

    i64 event time, sign flipped | i64 created, sign flipped              16 bytes, ``order_prefix``
    u8 layout version | u8 flags (1 = tombstone) | u32 schema fingerprint
    presence bitmap, first column in the highest bit                      so a value is larger than a null
    one fixed slot per column: integers sign flipped, floats order flipped,
        decimals as 16-byte integers, strings, bytes and lists by their first 8 bytes
    the bytes of strings, bytes and lists (:mod:`tidewheel.features.list_bytes`), one after the other
    u32 end offset of each of them                                         at the end, found from the row's length;
                                                                           the last one XOR the schema fingerprint

The offsets stand behind the bytes, because before them a longer string would beat a larger one. So the last four bytes of a row
say how long it is, and no four bytes of a value say so by accident: a row that was cut short is known for it.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation
from functools import partial

import msgspec

from tidewheel.clock import to_datetime, to_micros
from tidewheel.digest import digest
from tidewheel.errors import Corrupt, TypeMismatch
from tidewheel.features import json_kernel, row_kernel
from tidewheel.features.float_kernel import shorten
from tidewheel.features.list_bytes import pack_list, unpack_list
from tidewheel.schema import LISTS, DataType, Field, Schema

VERSION = 2
TOMBSTONE = 1
_SIGN64 = 1 << 63
_SIGN32 = 1 << 31
_SIGN128 = 1 << 127
_ALL64 = (1 << 64) - 1
_ALL32 = (1 << 32) - 1
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EXACT = Context(prec=60)
_SCALE = Decimal("1e-9")
_ORDER = struct.Struct(">QQ")
_HEAD = struct.Struct(">QQBBI")
_NAN64 = struct.unpack(">Q", struct.pack(">d", math.nan))[0]
_NAN32 = struct.unpack(">I", struct.pack(">f", math.nan))[0]
_F64 = struct.Struct(">d")
_Q = struct.Struct(">Q")
_F32 = struct.Struct(">f")
_L = struct.Struct(">I")


def order_prefix(ts: int, created: int) -> bytes:
    """The first 16 bytes of a row, by which rows of a key are ordered first.

    Examples
    --------
    >>> order_prefix(-1, 0) < order_prefix(0, 0) < order_prefix(0, 1)
    True
    """
    return _ORDER.pack(ts + _SIGN64, created + _SIGN64)


def split_order(row: bytes) -> tuple[int, int]:
    """Event time and created time of an encoded row.

    Examples
    --------
    >>> split_order(order_prefix(7, -3))
    (7, -3)
    """
    ts, created = _ORDER.unpack_from(row)
    return ts - _SIGN64, created - _SIGN64


@dataclass(frozen=True, slots=True)
class Row:
    """A decoded row: times in microseconds UTC, and one value or ``None`` per column of the schema."""

    ts: int
    created: int
    tombstone: bool
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Byte and mask of a column's presence, and the offset and size of its slot."""

    presence: int
    mask: int
    offset: int
    size: int


class RowCodec:
    """Encodes and decodes rows of one schema.

    Values are ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``Decimal`` (at most 9 decimal places), ``date`` and aware
    ``datetime`` (or integer microseconds), lists of one of these and ``None``, or ``None``. All NaN are one NaN, above
    infinity; ``-0.0`` is below ``0.0``.

    Examples
    --------
    >>> codec = RowCodec(Schema((Field("zone", DataType.STRING), Field("trips", DataType.INT64))))
    >>> old, new = codec.encode(10, 0, ("Harlem", 3)), codec.encode(10, 0, ("Harlem", 4))
    >>> codec.decode(max(old, new)).values
    ('Harlem', 4)
    >>> codec.canonical(("Harlem", None)) < codec.canonical(("Harlem", -5))
    True
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        names = [(field.name, field.type.value) for field in schema]
        self.fingerprint = int(digest(names)[4:12], 16)
        self._columns = len(schema)
        self._bitmap_bytes = (self._columns + 7) // 8
        self._pad = self._bitmap_bytes * 8 - self._columns
        self._slots = struct.Struct(">" + "".join(_FORMATS[field.type] for field in schema))
        self._start = _HEAD.size + self._bitmap_bytes
        self._var_start = self._start + self._slots.size
        self._var = tuple(i for i, field in enumerate(schema) if field.type in _VARIABLE)
        self._lists = tuple((i, field) for i, field in enumerate(schema) if field.type.is_list)
        self._ends = struct.Struct(f">{len(self._var)}I")
        self._to_slot = tuple(_TO_SLOT[field.type] for field in schema)
        self._empty = tuple(_EMPTY[field.type] for field in schema)
        self._from_slot = tuple(_FROM_SLOT[field.type] for field in schema)
        self._full = ((1 << self._columns) - 1) << self._pad

    def encode(self, ts: int, created: int, values: Sequence[object], *, tombstone: bool = False) -> bytes:
        """The bytes of a row.

        Parameters
        ----------
        ts, created
            Microseconds UTC; ``created`` is 0 where the source has none.
        values
            One per column of the schema, in its order.
        tombstone
            The key ceases to exist at ``ts``; larger than any values of the same times.

        Raises
        ------
        TypeMismatch
            Naming the column whose value does not fit its type.
        """
        return order_prefix(ts, created) + self.canonical(values, tombstone=tombstone)

    def canonical(self, values: Sequence[object], *, tombstone: bool = False) -> bytes:
        """The part of a row after its times: of two rows with equal times the one with the larger of these wins."""
        if self._lists:
            values = self._packed(values)
        present = 0
        slots: list[object] = []
        for value, to_slot, empty in zip(values, self._to_slot, self._empty, strict=True):
            present <<= 1
            if value is None:
                slots.append(empty)
                continue
            present |= 1
            try:
                slots.append(to_slot(value))
            except (TypeError, ValueError, AttributeError, OverflowError, InvalidOperation, struct.error) as error:
                raise self._mismatch(self.schema.fields[len(slots)], value) from error
        head = struct.pack(">BBI", VERSION, TOMBSTONE if tombstone else 0, self.fingerprint)
        try:
            packed = self._slots.pack(*slots)
        except struct.error as error:
            raise self._out_of_range(values) from error
        fixed = head + (present << self._pad).to_bytes(self._bitmap_bytes, "big") + packed
        if not self._var:
            return fixed
        data = [_as_bytes(values[i]) for i in self._var]
        ends, end = [], 0
        for piece in data:
            end += len(piece)
            ends.append(end)
        ends[-1] ^= self.fingerprint
        return fixed + b"".join(data) + self._ends.pack(*ends)

    def decode(self, row: bytes) -> Row:
        """The row that was encoded.

        Raises
        ------
        Corrupt
            When the bytes are of another layout or another schema, or not all of a row.
        """
        fix = "materialise the view again"
        if len(row) < self._var_start + self._ends.size:
            raise Corrupt(f"a stored row has {len(row)} bytes, fewer than any", fix=fix)
        ts, created, version, flags, fingerprint = _HEAD.unpack_from(row)
        if version != VERSION or fingerprint != self.fingerprint:
            expected = f"expected {VERSION} and {self.fingerprint:08x}"
            raise Corrupt(f"a stored row has layout {version} and schema {fingerprint:08x}, {expected}", fix=fix)
        behind = len(row) - self._ends.size
        end = self._var_start + (_L.unpack_from(row, len(row) - 4)[0] ^ self.fingerprint if self._var else 0)
        if end != behind:
            raise Corrupt(f"a stored row has {len(row)} bytes, and says that it has {end + self._ends.size}", fix=fix)
        return Row(ts - _SIGN64, created - _SIGN64, bool(flags & TOMBSTONE), self._values(row))

    def decode_many(self, rows: Iterable[bytes]) -> list[list[object]]:
        """Values of many rows, one list per column of the schema."""
        columns: list[list[object]] = [[] for _ in range(self._columns)]
        for row in rows:
            for column, value in zip(columns, self.decode(row).values, strict=True):
                column.append(value)
        return columns

    def _packed(self, values: Sequence[object]) -> list[object]:
        """The values with the bytes of lists in place of them."""
        made = list(values)
        for place, field in self._lists:
            if made[place] is None:
                continue
            try:
                made[place] = pack_list(field.type.element, made[place])
            except (TypeError, ValueError, AttributeError, OverflowError, InvalidOperation, struct.error) as error:
                raise self._mismatch(field, values[place]) from error
        return made

    def _values(self, row: bytes) -> tuple[object, ...]:
        present = int.from_bytes(row[_HEAD.size : self._start], "big")
        slots = self._slots.unpack_from(row, self._start)
        values: list[object] = [convert(slot) for convert, slot in zip(self._from_slot, slots, strict=True)]
        if self._var:
            behind = len(row) - self._ends.size
            ends = self._ends.unpack_from(row, behind)[:-1]
            start = self._var_start
            for i, end in zip(self._var, (*ends, behind - start), strict=True):
                piece = row[start : self._var_start + end]
                values[i] = piece.decode("utf-8", "surrogatepass") if self.schema.fields[i].type is DataType.STRING else piece
                start = self._var_start + end
            for i, field in self._lists:
                packed = values[i]
                assert isinstance(packed, bytes)
                values[i] = unpack_list(field.type.element, packed) if packed else None
        if present != self._full:
            bit = 1 << (self._bitmap_bytes * 8)
            for i in range(self._columns):
                bit >>= 1
                if not present & bit:
                    values[i] = None
        return tuple(values)

    def reader(
        self,
        places: Sequence[int],
        *,
        defaults: Sequence[object],
        available: int | None = None,
        after: int = 0,
        ordered: bool = False,
        ttl: int | None = None,
    ) -> row_kernel.RowPlan:
        """How the kernel reads some columns of a row (:func:`tidewheel.features.row_kernel.read_values`).

        Parameters
        ----------
        places, defaults
            Places of the columns, and what stands for null in each.
        available, after
            Place of the column that says from when a row is visible, or how long after its time it is.
        ordered
            Whether of two rows the one with the greater bytes wins.
        ttl
            Microseconds after which a row counts for nothing.

        Examples
        --------
        >>> codec = RowCodec(Schema((Field("zone", DataType.STRING), Field("trips", DataType.INT64))))
        >>> row_kernel.read_values(codec.reader([1, 0], defaults=[0, ""]), codec.encode(10, 0, ("Harlem", None)))
        [0, 'Harlem']
        """
        return row_kernel.RowPlan(
            *self._told(places),
            list(defaults),
            layout=(VERSION, self.fingerprint, self.size, len(self._var)),
            visible=(-1 if available is None else self.slot(available).offset, after),
            whole=ordered,
            ttl=-1 if ttl is None else ttl,
        )

    def writer(
        self, places: Sequence[int], *, defaults: Sequence[object], reader: row_kernel.RowPlan, ttl: int | None = None
    ) -> json_kernel.JsonPlan:
        """How the kernel writes the JSON of some columns of a row (:func:`tidewheel.features.json_kernel.write_rows`).

        Parameters
        ----------
        reader
            Reads the same columns: of types for which JSON has no word of its own, the value that it reads is encoded.

        Examples
        --------
        >>> codec = RowCodec(Schema((Field("zone", DataType.STRING), Field("trips", DataType.INT64))))
        >>> plan = codec.writer([1, 0], defaults=[0, ""], reader=codec.reader([1, 0], defaults=[0, ""]))
        >>> row = codec.encode(10, 0, ("Harlem", None))
        >>> json_kernel.write_rows([plan], [[row]], times=[10], parts=(True, False), ends=(b"{", b"}"))
        b'{,"values":[[0,"Harlem"]],"statuses":[["NULL_VALUE","PRESENT"]]}'
        """
        narrow = [self.schema.fields[place].type is DataType.FLOAT32 for place in places]
        told = [
            msgspec.json.encode(shorten(default) if short and isinstance(default, float) else default)
            for default, short in zip(defaults, narrow, strict=True)
        ]
        layout, read = (self.size, len(self._var)), partial(row_kernel.read_values, reader)
        return json_kernel.JsonPlan(self._told(places)[0], told, layout=layout, ttl=-1 if ttl is None else ttl, read=read)

    def _told(self, places: Sequence[int]) -> tuple[array[int], list[Callable[..., object] | None]]:
        """Some columns as kernels are told of them, and what makes a value of what is stored in each."""
        columns: list[int] = []
        converters: list[Callable[..., object] | None] = []
        for place in places:
            kind, slot = self.schema.fields[place].type, self.slot(place)
            read, convert = _READ.get(kind, (row_kernel.BYTES, None))
            if kind.is_list:
                convert = partial(unpack_list, kind.element)
            behind = self._var.index(place) if place in self._var else 0
            columns += [read, slot.offset, slot.presence, slot.mask, behind, convert is not None]
            converters.append(convert)
        return array("q", columns), converters

    def slot(self, place: int) -> Slot:
        """Where a column of the schema stands in a row's bytes."""
        before = struct.Struct(">" + "".join(_FORMATS[field.type] for field in self.schema.fields[:place]))
        size = struct.calcsize(">" + _FORMATS[self.schema.fields[place].type])
        return Slot(_HEAD.size + (place >> 3), 0x80 >> (place & 7), self._start + before.size, size)

    @property
    def strings(self) -> tuple[int, ...]:
        """Places of the columns (lists too) whose bytes stand behind the slots, from :attr:`size` on."""
        return self._var

    @property
    def size(self) -> int:
        """Bytes of a row without those of strings and lists."""
        return self._var_start

    def _mismatch(self, field: Field, value: object) -> TypeMismatch:
        return TypeMismatch(
            f"{field.name} is {value!r:.60}, a {type(value).__name__}, declared {field.type.value}",
            where=field.name,
            fix=f"send a {field.type.value}",
        )

    def _out_of_range(self, values: Sequence[object]) -> TypeMismatch:
        for field, value, to_slot in zip(self.schema, values, self._to_slot, strict=True):
            try:
                struct.pack(">" + _FORMATS[field.type], to_slot(value) if value is not None else _EMPTY[field.type])
            except struct.error:
                return self._mismatch(field, value)
        return TypeMismatch("a value is out of the range of its type", fix="widen the column in the source's select")


_LISTS = tuple(LISTS.values())
_VARIABLE = (DataType.STRING, DataType.BYTES, *_LISTS)
_FORMATS = {
    **dict.fromkeys(_LISTS, "8s"),
    DataType.BOOL: "B",
    DataType.INT32: "I",
    DataType.INT64: "Q",
    DataType.FLOAT32: "I",
    DataType.FLOAT64: "Q",
    DataType.STRING: "8s",
    DataType.BYTES: "8s",
    DataType.TIMESTAMP: "Q",
    DataType.DATE: "I",
    DataType.DECIMAL: "16s",
}


def _as_bytes(value: object) -> bytes:
    if value is None:
        return b""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]  # bytes-like by its slot's check


def _bool(value: object) -> int:
    if value is True:
        return 1
    if value is False:
        return 0
    raise TypeError


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _from_float64(value: object) -> int:
    number = _float(value)
    bits: int = _NAN64 if number != number else _Q.unpack(_F64.pack(number))[0]
    return bits ^ _ALL64 if bits & _SIGN64 else bits | _SIGN64


def _to_float64(slot: int) -> float:
    number: float = _F64.unpack(_Q.pack(slot ^ _SIGN64 if slot & _SIGN64 else slot ^ _ALL64))[0]
    return number


def _from_float32(value: object) -> int:
    number = _float(value)
    bits: int = _NAN32 if number != number else _L.unpack(_F32.pack(number))[0]
    return bits ^ _ALL32 if bits & _SIGN32 else bits | _SIGN32


def _to_float32(slot: int) -> float:
    number: float = _F32.unpack(_L.pack(slot ^ _SIGN32 if slot & _SIGN32 else slot ^ _ALL32))[0]
    return number


def _from_string(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return value.encode("utf-8", "surrogatepass")[:8]


def _from_bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return bytes(value)[:8]


def _from_timestamp(value: object) -> int:
    return (to_micros(value) if isinstance(value, datetime) else _integer(value)) + _SIGN64


def _from_date(value: object) -> int:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value.toordinal() - _EPOCH_DAY + _SIGN32


def _from_decimal(value: object) -> bytes:
    if not isinstance(value, Decimal):
        raise TypeError
    exact = value.quantize(_SCALE, context=_EXACT)
    if exact != value:
        raise ValueError
    return (int(exact.scaleb(9, context=_EXACT)) + _SIGN128).to_bytes(16, "big")


def _to_decimal(slot: bytes) -> Decimal:
    return Decimal(int.from_bytes(slot, "big") - _SIGN128).scaleb(-9, context=_EXACT)


_TO_SLOT: dict[DataType, Callable[[object], object]] = {
    **dict.fromkeys(_LISTS, _from_bytes),
    DataType.BOOL: _bool,
    DataType.INT32: lambda value: _integer(value) + _SIGN32,
    DataType.INT64: lambda value: _integer(value) + _SIGN64,
    DataType.FLOAT32: _from_float32,
    DataType.FLOAT64: _from_float64,
    DataType.STRING: _from_string,
    DataType.BYTES: _from_bytes,
    DataType.TIMESTAMP: _from_timestamp,
    DataType.DATE: _from_date,
    DataType.DECIMAL: _from_decimal,
}
_FROM_SLOT: dict[DataType, Callable[..., object]] = {
    **dict.fromkeys(_LISTS, bytes),
    DataType.BOOL: bool,
    DataType.INT32: lambda slot: slot - _SIGN32,
    DataType.INT64: lambda slot: slot - _SIGN64,
    DataType.FLOAT32: _to_float32,
    DataType.FLOAT64: _to_float64,
    DataType.STRING: bytes,
    DataType.BYTES: bytes,
    DataType.TIMESTAMP: lambda slot: to_datetime(slot - _SIGN64),
    DataType.DATE: lambda slot: date.fromordinal(slot - _SIGN32 + _EPOCH_DAY),
    DataType.DECIMAL: _to_decimal,
}
_EMPTY: dict[DataType, object] = {
    kind: (b"" if kind in _VARIABLE else bytes(16) if kind is DataType.DECIMAL else _SIGN32 if kind is DataType.DATE else 0)
    for kind in DataType
}
_EMPTY[DataType.TIMESTAMP] = _SIGN64
_READ: dict[DataType, tuple[int, Callable[..., object] | None]] = {
    DataType.BOOL: (row_kernel.BOOL, None),
    DataType.INT32: (row_kernel.INT32, None),
    DataType.INT64: (row_kernel.INT64, None),
    DataType.FLOAT32: (row_kernel.FLOAT32, None),
    DataType.FLOAT64: (row_kernel.FLOAT64, None),
    DataType.STRING: (row_kernel.TEXT, None),
    DataType.TIMESTAMP: (row_kernel.INT64, to_datetime),
    DataType.DATE: (row_kernel.INT32, lambda days: date.fromordinal(days + _EPOCH_DAY)),
    DataType.DECIMAL: (row_kernel.WIDE, _to_decimal),
}
