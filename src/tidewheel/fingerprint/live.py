"""What live objects hold: the cells of closures, the functions of a class's attributes, what was registered where."""

from __future__ import annotations

import abc
import functools
import sys
import types
from abc import ABCMeta
from collections.abc import Iterable, Iterator, Mapping

MISSING = object()
"""In the place of what is not there."""

_CLAIMED = frozenset({"types", "dataclasses", "typing", "enum", "collections", "abc"})
"""Standard modules that classes claim which the project's code has made, such as those of ``make_dataclass``."""


class Cells(Mapping[str, object]):
    """What a function closes over, by name, as it is at the moment of asking."""

    def __init__(self, function: types.FunctionType) -> None:
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def __getitem__(self, name: str) -> object:
        value = _content(self._cells[name])
        if value is MISSING:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, cell in self._cells.items() if _content(cell) is not MISSING)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return MISSING


def functions_of(value: object) -> Iterable[types.FunctionType]:
    """Plain functions inside of the usual wrappers of a class's attribute."""
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, staticmethod | classmethod):
        yield from functions_of(value.__func__)
    elif isinstance(value, property):
        for accessor in (value.fget, value.fset, value.fdel):
            yield from functions_of(accessor)
    elif isinstance(value, functools.partialmethod | functools.cached_property):
        yield from functions_of(value.func)


def registered(kind: type) -> list[type]:
    """Classes that were registered with an abstract one, in order of their names."""
    if not isinstance(kind, ABCMeta):
        return []
    found = [reference() for reference in abc._get_dump(kind)[0]]  # type: ignore[attr-defined]  # the only way to see them
    return sorted((each for each in found if each is not None), key=name_of)


def is_loaded_library(value: object) -> bool:
    ctypes = sys.modules.get("ctypes")
    return ctypes is not None and isinstance(value, ctypes.CDLL)


def is_made(kind: type) -> bool:
    """Whether a class that claims a standard module is not there: the project's code has made it (``make_dataclass``)."""
    return kind.__module__ in _CLAIMED and getattr(sys.modules[kind.__module__], kind.__qualname__, None) is not kind


def name_of(value: object) -> str:
    return f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', None) or getattr(value, '__name__', '')}"
