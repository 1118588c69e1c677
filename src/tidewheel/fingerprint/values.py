"""Canonical bytes of live constants, so that a constant is what it *is*, not how it was written."""

from __future__ import annotations

import copyreg
import functools
import math
import pickle
import re
import struct
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import cast

from tidewheel.digest import digest_bytes

Follow = Callable[[object], str]
"""Takes a function, class or module met inside of a value, follows it, and answers its name."""

_FAILURES = (
    TypeError,
    AttributeError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    ImportError,
    pickle.PicklingError,
)
CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    functools.partialmethod,
    functools.singledispatchmethod,
    staticmethod,
    classmethod,
    property,
    type,
)
"""Types of what is followed rather than described."""
_LONG = 4096
_LAZY = ("polars.lazyframe.", "pyarrow._dataset.", "pyarrow.parquet.", "pyarrow._parquet.", "pyarrow.lib.NativeFile")
"""Beginnings of the names of types that hold a path, and read what is there when they are used."""


class Opaque(Exception):
    """A value whose content cannot be seen from outside."""


def describe(value: object, follow: Follow, *, roots: Sequence[str] = ()) -> bytes:
    """Bytes that differ when the value does; the order of a dict counts, as code that iterates over it sees the order.

    Parameters
    ----------
    roots
        Names of one folder that stand for the same in texts and paths, wherever the folder lies.

    Raises
    ------
    Opaque
        When the value, or a part of it, shows neither a known type nor a state: an open socket, a lock, a generator.

    Examples
    --------
    >>> describe({"a": 1, "b": 2}, str) == describe({"b": 2, "a": 1}, str)
    False
    >>> describe((1, 2), str) == describe([1, 2], str)
    False
    """
    writer = _Describer(follow, roots)
    writer.write(value)
    return bytes(writer.out)


def is_plain(value: object) -> bool:
    """Whether a value is of a type that can neither change nor hold anything else.

    Examples
    --------
    >>> is_plain(3), is_plain([3])
    (True, False)
    """
    return type(value) in _PLAIN


class _Describer:
    def __init__(self, follow: Follow, roots: Sequence[str]) -> None:
        self.follow = follow
        self.roots = [root.encode("utf-8", "surrogatepass") for root in roots]
        self.out = bytearray()
        self.seen: dict[int, int] = {}
        self.kept: list[object] = []

    def write(self, value: object) -> None:
        """Append one value."""
        plain = _PLAIN.get(type(value))
        if plain is not None:
            data = plain(value)
            if self.roots and isinstance(value, str | PurePath):
                for root in self.roots:
                    data = data.replace(root, b"\0root")
            self._tagged(type(value).__name__, data)
            return
        if isinstance(value, CODE):
            self._tagged("ref", self.follow(value).encode())
            return
        known = self.seen.get(id(value))
        if known is not None:
            self._tagged("again", b"%d" % known)
            return
        self.seen[id(value)] = len(self.seen)
        self.kept.append(value)  # an id is only an identity while its object lives
        self._compound(value)

    def _compound(self, value: object) -> None:
        kind = type(value)
        if kind in (list, tuple):
            self._items(kind.__name__, cast("list[object]", value))
        elif kind in (set, frozenset):
            parts = sorted(self._apart(item) for item in cast("set[object]", value))
            self._tagged(kind.__name__, b"".join(parts))
        elif kind is dict or kind is types.MappingProxyType:
            self._items("dict", [part for pair in cast("Mapping[object, object]", value).items() for part in pair])
        elif isinstance(value, Enum):
            self._items("enum", [kind, value.name, value.value])
        elif isinstance(value, functools.partial):
            self._items("partial", [value.func, value.args, value.keywords])
        elif isinstance(value, ContextVar):
            self._items("context", [value.name, *_current(value)])
        elif self._is_array(value):
            self._array(value)
        else:
            self._state(value)

    def _state(self, value: object) -> None:
        kind = type(value)
        if f"{kind.__module__}.{kind.__qualname__}".startswith(_LAZY):
            raise Opaque(f"{kind.__name__}: it is read when it is used")
        ctypes = sys.modules.get("ctypes")
        if ctypes is not None and isinstance(value, ctypes.CDLL):
            self._items("loaded", [str(value._name), self.follow(value)])  # its state holds an address
            return
        version = getattr(value, "version", None) if kind.__module__.partition(".")[0] == "tidewheel" else None
        if isinstance(version, str):
            self._items("definition", [kind.__qualname__, version])
            return
        wrapped = getattr(value, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType):
            self._items("wrapped", [kind, wrapped, dict(getattr(value, "__dict__", {})) if self._is_theirs(kind) else None])
            return
        try:
            reduced = copyreg.dispatch_table[kind](value) if kind in copyreg.dispatch_table else value.__reduce_ex__(4)
        except _FAILURES as error:
            raise Opaque(f"{kind.__name__}: {error}") from error
        if isinstance(reduced, str):
            self._tagged("global", reduced.encode())
            return
        maker, arguments, *rest = reduced
        self._items("object", [maker, arguments])
        for part in rest:
            self.write(list(cast("Iterable[object]", part)) if hasattr(part, "__next__") else part)

    @staticmethod
    def _is_theirs(kind: type) -> bool:
        # Our own wrappers (steps, transforms) hold nothing but their function and what is metadata by definition.
        return kind.__module__.partition(".")[0] not in ("tidewheel", "functools")

    @staticmethod
    def _is_array(value: object) -> bool:
        numpy = sys.modules.get("numpy")
        return numpy is not None and isinstance(value, numpy.ndarray) and value.dtype != object

    def _array(self, value: object) -> None:
        import numpy as np

        array = cast("np.ndarray[tuple[int, ...], np.dtype[np.generic]]", value)
        self._items("array", [str(array.dtype.descr), array.shape])
        self._tagged("data", np.ascontiguousarray(array).tobytes())

    def _items(self, tag: str, items: Iterable[object]) -> None:
        listed = list(items)
        self.out += f"{tag}{len(listed)}(".encode()
        for item in listed:
            self.write(item)
        self.out += b")"

    def _apart(self, item: object) -> bytes:
        start = len(self.out)
        self.write(item)
        part = bytes(self.out[start:])
        del self.out[start:]
        return part

    def _tagged(self, tag: str, data: bytes) -> None:
        # Of long data its digest stands in, so that a table of a gigabyte is never copied.
        self.out += f"{tag}:{len(data)}:".encode() + (data if len(data) <= _LONG else digest_bytes(data).encode())


def _current(variable: ContextVar[object]) -> list[object]:
    try:
        return [variable.get()]
    except LookupError:
        return []


def _float(value: object) -> bytes:
    number = cast(float, value)
    return b"nan" if math.isnan(number) else struct.pack(">d", number)


def _text(value: object) -> bytes:
    return repr(value).encode("utf-8", "surrogatepass")


_PLAIN: dict[type, Callable[[object], bytes]] = dict.fromkeys(
    (
        type(None),
        bool,
        int,
        complex,
        bytes,
        date,
        datetime,
        time,
        timedelta,
        timezone,
        Decimal,
        range,
        slice,
        type(...),
        type(NotImplemented),
    ),
    _text,
)
_PLAIN[float] = _float
_PLAIN[str] = lambda value: cast(str, value).encode("utf-8", "surrogatepass")
_PLAIN[re.Pattern] = lambda value: _text([cast("re.Pattern[str]", value).pattern, cast("re.Pattern[str]", value).flags])
for _path in {
    type(PurePath()),
    *PurePath.__subclasses__(),
    *(sub for each in PurePath.__subclasses__() for sub in each.__subclasses__()),
}:
    _PLAIN[_path] = lambda value: str(value).encode("utf-8", "surrogatepass")
