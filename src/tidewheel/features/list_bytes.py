"""The bytes of a list, which sort as lists do: value by value, and of two that begin alike the shorter first.

Layout, big-endian::

    u8 0x01, and every value is there                       or u8 0x00 | u32 count | presence bitmap, first value highest
    one slot per value, as a row's fixed slots are           numbers, instants, decimals: an absent one is zeros
    bytes with 0x00 as 0x00 0xff, then 0x00 0x00             strings and bytes: an absent one is empty
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING

from tidewheel.clock import to_datetime, to_micros
from tidewheel.schema import DataType

if TYPE_CHECKING:  # who answers without lists does without NumPy, which is two thirds of the import
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

_FULL, _GAPS = b"\1", b"\0"
_COUNT = struct.Struct(">I")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SIGN128 = 1 << 127
_EXACT = Context(prec=60)
_SCALE = Decimal("1e-9")
_NAN = {4: int.from_bytes(struct.pack(">f", math.nan), "big"), 8: int.from_bytes(struct.pack(">d", math.nan), "big")}
_END, _ZERO, _ESCAPED = b"\0\0", b"\0", b"\0\xff"


@dataclass(frozen=True, slots=True)
class _Fixed:
    """How numbers of one type are checked, and stand in a slot."""

    check: Callable[[object], object]
    code: str
    size: int
    back: Callable[[Array], list[object]]

    def pack(self, values: Sequence[object]) -> bytes:
        import numpy as np

        slots = [self.check(value) for value in values]
        plain = struct.pack(">" + self.code * len(slots), *slots)
        if self.code in ("B", "16s"):
            return plain
        bits = np.frombuffer(plain, f">u{self.size}").astype(f"u{self.size}")
        sign = bits.dtype.type(1 << (8 * self.size - 1))
        if self.code in ("f", "d"):
            numbers = bits.view(f"f{self.size}")
            bits = np.where(np.isnan(numbers), bits.dtype.type(_NAN[self.size]), bits)
            bits = np.where(bits & sign, ~bits, bits | sign)
        else:
            bits = bits ^ sign
        return bits.astype(f">u{self.size}").tobytes()

    def unpack(self, data: bytes) -> list[object]:
        import numpy as np

        if self.code in ("B", "16s"):
            return self.back(np.frombuffer(data, "u1" if self.code == "B" else "V16"))
        bits = np.frombuffer(data, f">u{self.size}").astype(f"u{self.size}")
        sign = bits.dtype.type(1 << (8 * self.size - 1))
        if self.code in ("f", "d"):
            return self.back(np.where(bits & sign, bits ^ sign, ~bits).view(f"f{self.size}"))
        return self.back((bits ^ sign).view(f"i{self.size}"))


def pack_list(kind: DataType, values: object) -> bytes:
    """The bytes of a list of values of a scalar type.

    Raises
    ------
    TypeError, ValueError, OverflowError, struct.error, decimal.InvalidOperation
        When it is no list, or a value in it is of another type or out of range.

    Examples
    --------
    >>> pack_list(DataType.INT32, [1, 2]) < pack_list(DataType.INT32, [1, 2, 0]) < pack_list(DataType.INT32, [2])
    True
    """
    if not isinstance(values, list | tuple):
        raise TypeError
    there = [value is not None for value in values]
    given = values
    if all(there):
        head = _FULL
    else:
        import numpy as np

        head = _GAPS + _COUNT.pack(len(values)) + np.packbits(np.array(there, dtype=np.bool_)).tobytes()
        given = [_ABSENT[kind] if value is None else value for value in values]
    if kind in _FIXED:
        return head + _FIXED[kind].pack(given)
    pieces = [_text(value) if kind is DataType.STRING else _bytes(value) for value in given]
    return head + b"".join([piece.replace(_ZERO, _ESCAPED) + _END for piece in pieces])


def unpack_list(kind: DataType, data: bytes) -> list[object]:
    """The list that was packed.

    Examples
    --------
    >>> unpack_list(DataType.STRING, pack_list(DataType.STRING, ["a", None, ""]))
    ['a', None, '']
    """
    at, there = 1, None
    if data[:1] == _GAPS:
        import numpy as np

        (count,) = _COUNT.unpack_from(data, 1)
        at = 5 + (count + 7) // 8
        there = np.unpackbits(np.frombuffer(data[5:at], np.uint8), count=count).tolist()
    if kind in _FIXED:
        found = _FIXED[kind].unpack(data[at:])
    else:
        pieces = [piece.replace(_ESCAPED, _ZERO) for piece in data[at:].split(_END)[:-1]]
        found = [piece.decode("utf-8", "surrogatepass") if kind is DataType.STRING else piece for piece in pieces]
    return found if there is None else [value if one else None for value, one in zip(found, there, strict=True)]


def _exactly(*kinds: type) -> Callable[[object], object]:
    def check(value: object) -> object:
        if type(value) not in kinds:
            raise TypeError
        return value

    return check


def _micros(value: object) -> int:
    if isinstance(value, datetime):
        return to_micros(value)
    if type(value) is not int:
        raise TypeError
    return value


def _day(value: object) -> int:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value.toordinal() - _EPOCH_DAY


def _unscaled(value: object) -> bytes:
    if not isinstance(value, Decimal):
        raise TypeError
    exact = value.quantize(_SCALE, context=_EXACT)
    if exact != value:
        raise ValueError
    return (int(exact.scaleb(9, context=_EXACT)) + _SIGN128).to_bytes(16, "big")


def _text(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return value.encode("utf-8", "surrogatepass")


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return bytes(value)


def _plain(numbers: Array) -> list[object]:
    found: list[object] = numbers.tolist()
    return found


_FIXED = {
    DataType.BOOL: _Fixed(_exactly(bool), "B", 1, lambda slots: [bool(one) for one in slots.tolist()]),
    DataType.INT32: _Fixed(_exactly(int), "i", 4, _plain),
    DataType.INT64: _Fixed(_exactly(int), "q", 8, _plain),
    DataType.FLOAT32: _Fixed(_exactly(float, int), "f", 4, _plain),
    DataType.FLOAT64: _Fixed(_exactly(float, int), "d", 8, _plain),
    DataType.TIMESTAMP: _Fixed(_micros, "q", 8, lambda slots: [to_datetime(one) for one in slots.tolist()]),
    DataType.DATE: _Fixed(_day, "i", 4, lambda slots: [date.fromordinal(one + _EPOCH_DAY) for one in slots.tolist()]),
    DataType.DECIMAL: _Fixed(
        _unscaled,
        "16s",
        16,
        lambda slots: [Decimal(int.from_bytes(one, "big") - _SIGN128).scaleb(-9, context=_EXACT) for one in slots.tolist()],
    ),
}
_ABSENT: dict[DataType, object] = {
    DataType.BOOL: False,
    DataType.INT32: 0,
    DataType.INT64: 0,
    DataType.FLOAT32: 0.0,
    DataType.FLOAT64: 0.0,
    DataType.STRING: "",
    DataType.BYTES: b"",
    DataType.TIMESTAMP: 0,
    DataType.DATE: date(1970, 1, 1),
    DataType.DECIMAL: Decimal(0),
}
