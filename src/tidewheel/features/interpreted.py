"""Stand-in for the ``cython`` module where Cython is not installed: the names that the kernel uses, without effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

compiled = False

Function = TypeVar("Function")
Value = TypeVar("Value")


def cfunc(function: Function) -> Function:
    """A C function when compiled; the Python function here.

    Examples
    --------
    >>> cfunc(len)([1])
    1
    """
    return function


def inline(function: Function) -> Function:
    """Inlined when compiled; the Python function here.

    Examples
    --------
    >>> inline(len)([1])
    1
    """
    return function


def cclass(kind: Function) -> Function:
    """An extension type when compiled; the Python class here.

    Examples
    --------
    >>> cclass(int)("1")
    1
    """
    return kind


def final(kind: Function) -> Function:
    """A type without subclasses when compiled; the Python class here.

    Examples
    --------
    >>> final(int)("1")
    1
    """
    return kind


def locals(**types: object) -> Callable[[Function], Function]:
    """Types of a function's variables when compiled; nothing here.

    Examples
    --------
    >>> locals(place=Py_ssize_t)(len)([1])
    1
    """
    return inline


def exceptval(*, check: bool) -> Callable[[Function], Function]:
    """Whether callers look for an exception when compiled; nothing here.

    Examples
    --------
    >>> exceptval(check=False)(len)([1])
    1
    """
    return inline if check else cfunc


double = float
longlong = ulonglong = Py_ssize_t = p_const_uchar = p_uchar = bint = uint = int


def cast(kind: Callable[[object], Value], value: object) -> Value:
    """A number as another type of C; here only floats differ from integers.

    Examples
    --------
    >>> cast(double, 2)
    2.0
    """
    return kind(value)
