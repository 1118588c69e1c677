"""One canonical encoding of values, and one hash over it.

Equal values have equal bytes on every machine, and values that differ in type or content have different bytes:
``1``, ``1.0``, ``True`` and ``"1"`` are four things. The algorithm's version is part of every digest
(``tw1-...``); golden digests of each version stay in the tests.

Encoding: a tag byte, then a payload. Strings and bytes carry their length, containers their count, so no two values
can run together. Mappings and sets are sorted by the encoded bytes of their keys. Floats are 8 bytes big-endian, with one
NaN; ``-0.0`` and ``0.0`` differ, as their bits do.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import NewType

from tidewheel.clock import to_micros
from tidewheel.errors import Invalid

Digest = NewType("Digest", str)
"""``tw1-`` and 64 hexadecimal digits (BLAKE2b, 256 bits)."""

PREFIX = "tw1-"
_NAN = struct.pack(">d", math.nan)


def digest(value: object) -> Digest:
    """Digest of a value: see :func:`encode` for what a value may be.

    Examples
    --------
    >>> digest({"b": 1, "a": [1.5, None]}) == digest({"a": [1.5, None], "b": 1})
    True
    >>> digest(1) == digest(True)
    False
    """
    return digest_bytes(encode(value))


def digest_bytes(data: bytes | bytearray | memoryview) -> Digest:
    """Digest of raw bytes.

    Examples
    --------
    >>> digest_bytes(b"")[:12]
    'tw1-0e5751c0'
    """
    return Digest(PREFIX + hashlib.blake2b(data, digest_size=32).hexdigest())


def digest_chunks(chunks: Iterable[bytes | memoryview]) -> Digest:
    """Digest of bytes that arrive in pieces; equal to :func:`digest_bytes` of the whole.

    Examples
    --------
    >>> digest_chunks([b"ab", b"c"]) == digest_bytes(b"abc")
    True
    """
    state = hashlib.blake2b(digest_size=32)
    for chunk in chunks:
        state.update(chunk)
    return Digest(PREFIX + state.hexdigest())


def encode(value: object) -> bytes:
    """The canonical bytes of a value.

    Parameters
    ----------
    value
        ``None``, bool, int, float, str, bytes, Decimal, aware datetime, date, Enum, frozen dataclass, and lists, tuples,
        sets and mappings of these. A list and a tuple of the same items are the same value.

    Raises
    ------
    Invalid
        For any other type: an address or a ``repr`` would make a digest that changes by itself.

    Examples
    --------
    >>> encode(["a", 1])
    b'l2;s1;ai1;'
    """
    out = bytearray()
    _write(value, out)
    return bytes(out)


def _write(value: object, out: bytearray) -> None:
    if type(value) is str:  # most of all values, and asked first
        _sized(b"s", value.encode("utf-8", "surrogatepass"), out)
    elif type(value) is dict:
        _pairs(value, out)
    elif value is None:
        out += b"n"
    elif value is True:
        out += b"T"
    elif value is False:
        out += b"F"
    elif isinstance(value, Enum):
        _tagged(b"e", [type(value).__qualname__, value.value], out)
    elif isinstance(value, int):
        out += b"i%d;" % value
    elif isinstance(value, float):
        out += b"f" + (_NAN if value != value else struct.pack(">d", value))
    elif isinstance(value, str):
        _sized(b"s", value.encode("utf-8", "surrogatepass"), out)
    elif isinstance(value, bytes | bytearray | memoryview):
        _sized(b"b", bytes(value), out)
    elif isinstance(value, Mapping):
        _pairs(value, out)
    elif isinstance(value, list | tuple):
        out += b"l%d;" % len(value)
        for item in value:
            _write(item, out)
    elif isinstance(value, Set):
        out += b"S%d;" % len(value)
        out += b"".join(sorted(encode(item) for item in value))
    elif isinstance(value, datetime):
        out += b"t%d;" % to_micros(value)
    elif isinstance(value, date):
        out += b"D%d;" % value.toordinal()
    elif isinstance(value, Decimal):
        _sized(b"d", str(value).encode(), out)
    elif is_dataclass(value) and not isinstance(value, type):
        _tagged(b"c", [type(value).__qualname__, {f.name: getattr(value, f.name) for f in fields(value)}], out)
    else:
        raise Invalid(
            f"a {type(value).__name__} has no canonical encoding: {value!r:.80}",
            fix="pass plain values: numbers, strings, bytes, times, and lists and dicts of them",
        )


def _sized(tag: bytes, data: bytes, out: bytearray) -> None:
    out += tag + b"%d;" % len(data) + data


def _tagged(tag: bytes, parts: list[object], out: bytearray) -> None:
    out += tag
    for part in parts:
        _write(part, out)


def _first(pair: tuple[bytes, object]) -> bytes:
    return pair[0]


def _pairs(value: Mapping[object, object], out: bytearray) -> None:
    out += b"m%d;" % len(value)
    for key, item in sorted([(encode(key), item) for key, item in value.items()], key=_first):
        out += key
        _write(item, out)
