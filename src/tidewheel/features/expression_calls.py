"""Calls and attributes in expressions over columns: builtins, ``math``, methods of strings, fields of instants. Pure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.expression_part import Kind, Part, Refused, alike, as_floats, by_row, compared

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

BUILTINS = ("abs", "float", "int", "len", "max", "min", "round")
"""Names that a module must not have for its own."""

_NEAR_63 = 9.2e18
_HOUR, _DAY = 3_600_000_000, 86_400_000_000
_METHODS: Mapping[str, tuple[tuple[int, ...], Kind]] = {
    **dict.fromkeys(("capitalize", "casefold", "lower", "swapcase", "title", "upper"), ((0,), "str")),
    **dict.fromkeys(("lstrip", "rstrip", "strip"), ((0, 1), "str")),
    **dict.fromkeys(("removeprefix", "removesuffix"), ((1,), "str")),
    "replace": ((2,), "str"),
    **dict.fromkeys(("endswith", "startswith"), ((1,), "bool")),
    **dict.fromkeys(("isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isspace", "isupper"), ((0,), "bool")),
    **dict.fromkeys(("count", "find", "rfind"), ((1,), "int")),
}
"""Methods of strings that never raise: how many strings they may take, and what they answer."""

_FIELDS: Mapping[str, Callable[[Integers], Integers]] = {
    "year": lambda t: _moments(t).astype("datetime64[Y]").astype(np.int64) + 1970,
    "month": lambda t: _moments(t).astype("datetime64[M]").astype(np.int64) % 12 + 1,
    "day": lambda t: _days(t) - _moments(t).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + 1,
    "hour": lambda t: t // _HOUR % 24,
    "minute": lambda t: t // 60_000_000 % 60,
    "second": lambda t: t // 1_000_000 % 60,
    "microsecond": lambda t: t % 1_000_000,
}
_WEEKDAYS: Mapping[str, int] = {"weekday": 0, "isoweekday": 1}


def field(name: str, held: Part) -> Part:
    """A field of instants.

    Raises
    ------
    Refused
        When they have none of that name.

    Examples
    --------
    >>> from tidewheel.features.expression_part import column
    >>> field("hour", column("time", np.array([0, 90_000_000_000]))).values.tolist()
    [0, 1]
    """
    found = _FIELDS.get(name)
    if found is None or held.kind != "time":
        raise Refused
    return Part("int", found(held.values), held.doubt)


def builtin(name: str, parts: Sequence[Part]) -> Part:
    """A builtin function of some parts.

    Raises
    ------
    Refused
        When it means something else for them.

    Examples
    --------
    >>> from tidewheel.features.expression_part import column
    >>> builtin("round", [column("float", np.array([0.5, 1.5]))]).values.tolist()
    [0, 2]
    """
    if name in ("min", "max"):
        return _extreme(name, parts)
    if len(parts) != 1:
        raise Refused
    (part,) = parts
    if name == "len":
        if part.kind != "str":
            raise Refused
        return Part("int", by_row(len, [part.values]).astype(np.int64), part.doubt)
    if name == "abs":
        if part.kind not in ("int", "float"):
            raise Refused
        least = part.values == np.iinfo(np.int64).min if part.kind == "int" else False
        return replace(part, values=np.abs(part.values), doubt=part.doubt | least)
    if name == "float":
        return Part("float", as_floats(part), part.doubt)
    return _whole(part, np.trunc if name == "int" else np.rint)


def _whole(part: Part, rounding: Callable[[Floats], Floats]) -> Part:
    """A float as an integer; what has none, or none of 64 bits, is in doubt."""
    if part.kind == "int":
        return part
    rounded = rounding(as_floats(part))
    doubt = ~(np.abs(rounded) < _NEAR_63)
    return Part("int", np.where(doubt, 0.0, rounded).astype(np.int64), part.doubt | doubt)


def _extreme(name: str, parts: Sequence[Part]) -> Part:
    if len(parts) < 2:
        raise Refused
    best = parts[0]
    for part in parts[1:]:  # the first of equal ones stays, as in Python: of zeros of both signs, and of NaN
        better, unsure = compared(ast.Lt() if name == "min" else ast.Gt(), part, best)
        part, best = alike(part, best)
        values = np.where(better, part.values, best.values)
        best = Part(best.kind, values, best.doubt | part.doubt | unsure, best.integer or part.integer)
    return best


def mathematics(name: str, parts: Sequence[Part]) -> Part:
    """A function of the module ``math`` that every library computes alike.

    Raises
    ------
    Refused
        For all others.

    Examples
    --------
    >>> from tidewheel.features.expression_part import column
    >>> mathematics("floor", [column("float", np.array([-0.5]))]).values.tolist()
    [-1]
    """
    if len(parts) != 1:
        raise Refused
    (part,) = parts
    numbers = as_floats(part)
    if name == "sqrt":
        return Part("float", np.sqrt(numbers), part.doubt | (numbers < 0))
    if name == "fabs":
        return Part("float", np.abs(numbers), part.doubt)
    if name in ("isfinite", "isinf", "isnan"):
        return Part("bool", getattr(np, name)(numbers), part.doubt)
    if name in ("ceil", "floor", "trunc"):
        return _whole(part, getattr(np, name))
    raise Refused


def method(name: str, held: Part, parts: Sequence[Part]) -> Part:
    """A method of strings or instants.

    Raises
    ------
    Refused
        When it may raise, or is no method of theirs.

    Examples
    --------
    >>> from tidewheel.features.expression_part import column
    >>> method("upper", column("str", np.array(["ab"], object)), []).values.tolist()
    ['AB']
    """
    if held.kind == "time" and name in _WEEKDAYS and not parts:
        return Part("int", (_days(held.values) + 3) % 7 + _WEEKDAYS[name], held.doubt)
    counts, kind = _METHODS.get(name, ((), "str"))
    if held.kind != "str" or len(parts) not in counts or any(one.kind != "str" for one in parts):
        raise Refused
    made = by_row(getattr(str, name), [held.values, *(one.values for one in parts)])
    doubt = np.logical_or.reduce([held.doubt, *(one.doubt for one in parts)])
    if kind == "str":
        return Part("str", made, doubt)
    return Part(kind, made.astype(np.bool_ if kind == "bool" else np.int64), doubt)


def _moments(microseconds: Integers) -> npt.NDArray[np.datetime64]:
    return microseconds.astype("datetime64[us]")


def _days(microseconds: Integers) -> Integers:
    return microseconds // _DAY
