"""Columns as the values of an expression: of a kind, and with the rows on which Python itself must be asked. Pure."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Booleans = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]
    Values = npt.NDArray[Any]  # of the part's kind; strings are objects

Kind = Literal["float", "int", "bool", "str", "time", "none"]
"""``none`` is of Python's ``None``, which is in doubt on every row until a choice takes another."""

EXACT = 1 << 53
"""Up to here every integer is a double."""

_COMPARE: Mapping[type[ast.cmpop], Callable[[Values, Values], Values]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class Refused(Exception):
    """An expression says more than both sides mean alike."""


@dataclass(frozen=True, slots=True)
class Part:
    """The values of an expression, and the rows on which the function itself must be asked.

    ``integer``: of floats, whether one may be an integer in Python, since it came from a choice between both.
    ``null``: of an input that may be null, where it is; it is in doubt there.
    """

    kind: Kind
    values: Values
    doubt: Booleans
    integer: bool = False
    null: Booleans | None = None


Columns = Mapping[str, Part]


def named(refused: Refused, node: ast.expr | ast.stmt) -> Refused:
    """The refusal, with the innermost expression that it is about.

    Examples
    --------
    >>> str(named(Refused(), ast.parse("a ** 2", mode="eval").body))
    'line 1: a ** 2'
    """
    return refused if refused.args else Refused(f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node).splitlines()[0]:.80}")


def column(kind: Kind, values: Values) -> Part:
    """A part without a doubt.

    Examples
    --------
    >>> column("int", np.array([1, 2])).doubt.tolist()
    [False, False]
    """
    return Part(kind, values, np.zeros(len(values), dtype=np.bool_))


def choose(test: Part, one: Part, other: Part) -> Part:
    """One part where a test holds, another one where it does not.

    Examples
    --------
    >>> test = column("bool", np.array([True, False]))
    >>> choose(test, column("int", np.array([1, 1])), column("float", np.array([0.5, 0.5]))).values.tolist()
    [1.0, 0.5]
    """
    if test.kind != "bool":
        raise Refused
    one, other = alike(one, other)
    doubt = test.doubt | np.where(test.values, one.doubt, other.doubt)
    return Part(one.kind, np.where(test.values, one.values, other.values), doubt, one.integer or other.integer)


def slice_of(node: ast.Subscript) -> tuple[int | None, int | None]:
    """Both places of a slice, where they are small constants.

    Examples
    --------
    >>> slice_of(ast.parse("s[:-2]", mode="eval").body)
    (None, -2)
    """
    cut = node.slice
    if not isinstance(cut, ast.Slice) or cut.step is not None:
        raise Refused
    return _place(cut.lower), _place(cut.upper)


def _place(node: ast.expr | None) -> int | None:
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    value = node.operand if isinstance(node, ast.UnaryOp) and sign < 0 else node
    if value is None:
        return None
    if not isinstance(value, ast.Constant) or type(value.value) is not int or value.value > 1_000_000:
        raise Refused
    return sign * value.value


def alike(one: Part, other: Part) -> tuple[Part, Part]:
    """Two parts of one kind, so that a choice between them has a type; integers among floats stay integers in Python.

    Examples
    --------
    >>> alike(column("int", np.array([1])), column("float", np.array([0.5])))[0].integer
    True
    """
    if one.kind == other.kind:
        return one, other
    if one.kind == "none":
        return replace(one, kind=other.kind, values=np.full_like(other.values, "" if other.kind == "str" else 0)), other
    if other.kind == "none":
        return alike(other, one)[::-1]
    if {one.kind, other.kind} != {"int", "float"}:
        raise Refused
    return _among_floats(one), _among_floats(other)


def _among_floats(part: Part) -> Part:
    if part.kind == "float":
        return part
    return Part("float", part.values.astype(np.float64), part.doubt | beyond(part), integer=True)


def beyond(part: Part) -> Booleans:
    """Rows whose integer may be no double.

    Examples
    --------
    >>> beyond(column("int", np.array([1, (1 << 53) + 1]))).tolist()
    [False, True]
    """
    if part.kind != "int":
        return np.zeros(len(part.values), dtype=np.bool_)
    found: Booleans = (part.values > EXACT) | (part.values < -EXACT)
    return found


def as_floats(part: Part) -> Floats:
    """The doubles that Python makes of a part's numbers when it computes with floats.

    Examples
    --------
    >>> as_floats(column("int", np.array([1]))).tolist()
    [1.0]
    """
    if part.kind not in ("int", "float"):
        raise Refused
    return part.values.astype(np.float64)


def compared(op: ast.cmpop, left: Part, right: Part) -> tuple[Booleans, Booleans]:
    """A comparison, and the rows on which doubles are not enough for it: Python compares integers and floats exactly.

    Examples
    --------
    >>> compared(ast.Lt(), column("str", np.array(["a"], object)), column("str", np.array(["b"], object)))[0].tolist()
    [True]
    """
    compare = _COMPARE.get(type(op))
    if compare is None or {"time", "none"} & {left.kind, right.kind}:
        raise Refused
    unsure = np.zeros(len(left.values), dtype=np.bool_)
    if left.kind != right.kind:
        if {left.kind, right.kind} != {"int", "float"}:
            raise Refused
        unsure = beyond(left) | beyond(right)
        left, right = replace(left, values=as_floats(left)), replace(right, values=as_floats(right))
    if left.kind == "bool" and not isinstance(op, ast.Eq | ast.NotEq):
        raise Refused
    return compare(left.values, right.values).astype(np.bool_), unsure


def by_row(function: Callable[..., object], columns: Sequence[Values]) -> Values:
    """Python's own function on each row of some columns of strings.

    Examples
    --------
    >>> by_row(len, [np.array(["ab", ""], object)]).tolist()
    [2, 0]
    """
    made: Values = np.frompyfunc(function, len(columns), 1)(*columns)
    return made
