"""Expressions over columns: the part of Python whose meaning arrays share to the bit. Pure.

What is here means the same on both sides: doubles are IEEE's, integers are exact as long as they fit 64 bits, and strings are
Python's own, called from arrays. A row on which Python would raise, or would leave 64 bits, is in doubt, and is left to the
function. What rounds otherwise (powers, remainders of floats, logarithms) or can mean anything (other names) is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.features.expression_calls import BUILTINS, builtin, field, mathematics, method
from tidewheel.features.expression_part import (
    Columns,
    Part,
    Refused,
    as_floats,
    beyond,
    by_row,
    choose,
    column,
    compared,
    named,
    slice_of,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_NEAR_63 = 9.2e18
_FLOATS: Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
}


def evaluate(node: ast.expr, columns: Columns, rows: int) -> Part:
    """An expression over columns.

    Raises
    ------
    Refused
        When it says more than is shared, with the part of it that does.

    Examples
    --------
    >>> evaluate(ast.parse("a // 2 + 1", mode="eval").body, {"a": column("int", np.array([-3, 5]))}, 2).values.tolist()
    [-1, 3]
    """
    try:
        return _evaluate(node, columns, rows)
    except Refused as refused:
        raise named(refused, node) from None


def _evaluate(node: ast.expr, columns: Columns, rows: int) -> Part:
    if isinstance(node, ast.Name):
        if node.id not in columns:
            raise Refused
        return columns[node.id]
    if isinstance(node, ast.Constant):
        return _constant(node.value, rows)
    if isinstance(node, ast.BinOp):
        return _binary(node.op, evaluate(node.left, columns, rows), evaluate(node.right, columns, rows))
    if isinstance(node, ast.UnaryOp):
        return _unary(node, columns, rows)
    if isinstance(node, ast.Compare):
        return _compare(node, columns, rows)
    if isinstance(node, ast.BoolOp):
        return _boolean(node, columns, rows)
    if isinstance(node, ast.IfExp):
        test = evaluate(node.test, columns, rows)
        return choose(test, evaluate(node.body, columns, rows), evaluate(node.orelse, columns, rows))
    if isinstance(node, ast.Attribute):
        return field(node.attr, evaluate(node.value, columns, rows))
    if isinstance(node, ast.Subscript):
        return _slice(node, evaluate(node.value, columns, rows))
    if isinstance(node, ast.Call):
        return _call(node, columns, rows)
    raise Refused


def _slice(node: ast.Subscript, held: Part) -> Part:
    """Characters of a string between constant places."""
    first, last = slice_of(node)
    if held.kind != "str":
        raise Refused
    return Part("str", by_row(lambda text: text[first:last], [held.values]), held.doubt)


def _constant(value: object, rows: int) -> Part:
    if value is None:
        return Part("none", np.zeros(rows), np.ones(rows, dtype=np.bool_))
    if isinstance(value, bool):
        return column("bool", np.full(rows, value))
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return column("int", np.full(rows, value, dtype=np.int64))
    if isinstance(value, float):
        return column("float", np.full(rows, value))
    if isinstance(value, str):
        return column("str", np.full(rows, value, dtype=object))
    raise Refused


def _binary(op: ast.operator, left: Part, right: Part) -> Part:
    doubt = left.doubt | right.doubt
    if left.kind == right.kind == "str" and isinstance(op, ast.Add):
        return Part("str", left.values + right.values, doubt)
    if left.kind == right.kind == "int":
        return _integers(op, left, right)
    if (left.integer or left.kind == "int") and (right.integer or right.kind == "int"):
        raise Refused  # some rows may be integers alone, which are exact in Python
    one, other = as_floats(left), as_floats(right)
    if isinstance(op, ast.Div):
        return Part("float", np.divide(one, other), doubt | (other == 0.0))
    operation = _FLOATS.get(type(op))
    if operation is None:
        raise Refused
    return Part("float", operation(one, other), doubt)


def _integers(op: ast.operator, left: Part, right: Part) -> Part:
    one, other, doubt = left.values, right.values, left.doubt | right.doubt
    if isinstance(op, ast.Add):
        made = one + other
        return Part("int", made, doubt | (((one ^ made) & (other ^ made)) < 0))
    if isinstance(op, ast.Sub):
        made = one - other
        return Part("int", made, doubt | (((one ^ other) & (one ^ made)) < 0))
    if isinstance(op, ast.Mult):
        return Part("int", one * other, doubt | (np.abs(one.astype(np.float64) * other.astype(np.float64)) >= _NEAR_63))
    zero = other == 0
    if isinstance(op, ast.Div):  # Python divides exactly and rounds once, and so do doubles that are exact
        made = np.divide(one.astype(np.float64), other.astype(np.float64))
        return Part("float", made, doubt | zero | beyond(left) | beyond(right))
    wraps = (one == np.iinfo(np.int64).min) & (other == -1)
    by = np.where(zero | wraps, 1, other)
    if isinstance(op, ast.FloorDiv):
        return Part("int", np.floor_divide(one, by), doubt | zero | wraps)
    if isinstance(op, ast.Mod):
        return Part("int", np.remainder(one, by), doubt | zero | wraps)
    raise Refused


def _unary(node: ast.UnaryOp, columns: Columns, rows: int) -> Part:
    found = evaluate(node.operand, columns, rows)
    if isinstance(node.op, ast.Not):
        if found.kind != "bool":
            raise Refused
        return replace(found, values=~found.values)
    if found.kind not in ("int", "float") or found.integer:
        raise Refused  # -0 is 0 among integers
    if isinstance(node.op, ast.USub):
        least = found.values == np.iinfo(np.int64).min if found.kind == "int" else False
        return replace(found, values=np.negative(found.values), doubt=found.doubt | least)
    if isinstance(node.op, ast.UAdd):
        return found
    raise Refused


def _compare(node: ast.Compare, columns: Columns, rows: int) -> Part:
    if len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return _is_none(node, columns, rows)
    if len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
        found = _member(evaluate(node.left, columns, rows), node.comparators[0], columns, rows)
        return found if isinstance(node.ops[0], ast.In) else replace(found, values=~found.values)
    parts = [evaluate(one, columns, rows) for one in (node.left, *node.comparators)]
    true, doubt = np.ones(rows, dtype=np.bool_), parts[0].doubt
    for op, left, right in zip(node.ops, parts, parts[1:], strict=False):
        # what stands behind a comparison that is false is not looked at
        values, unsure = compared(op, left, right)
        doubt = doubt | (true & (right.doubt | unsure))
        true = true & values
    return Part("bool", true, doubt)


def _is_none(node: ast.Compare, columns: Columns, rows: int) -> Part:
    """``x is None`` of an input that may be null."""
    other, null = (
        node.comparators[0],
        columns[node.left.id].null if isinstance(node.left, ast.Name) and node.left.id in columns else None,
    )
    if null is None or not isinstance(other, ast.Constant) or other.value is not None:
        raise Refused
    return column("bool", null if isinstance(node.ops[0], ast.Is) else ~null)


def _member(left: Part, among: ast.expr, columns: Columns, rows: int) -> Part:
    """``x in (1, 2)`` with constants, and ``"a" in text``."""
    if isinstance(among, ast.Tuple | ast.List | ast.Set):
        if not all(isinstance(one, ast.Constant) for one in among.elts):
            raise Refused
        values, doubt = np.zeros(rows, dtype=np.bool_), left.doubt
        for one in among.elts:
            equal, unsure = compared(ast.Eq(), left, evaluate(one, columns, rows))
            values, doubt = values | equal, doubt | unsure
        return Part("bool", values, doubt)
    text = evaluate(among, columns, rows)
    if left.kind != "str" or text.kind != "str":
        raise Refused
    return Part("bool", by_row(operator.contains, [text.values, left.values]).astype(np.bool_), left.doubt | text.doubt)


def _boolean(node: ast.BoolOp, columns: Columns, rows: int) -> Part:
    every = isinstance(node.op, ast.And)
    made = np.full(rows, every)
    doubt = np.zeros(rows, dtype=np.bool_)
    for one in node.values:
        found = evaluate(one, columns, rows)
        if found.kind != "bool":
            raise Refused
        open_rows = made if every else ~made
        doubt = doubt | (open_rows & found.doubt)
        made = made & found.values if every else made | found.values
    return Part("bool", made, doubt)


def _call(node: ast.Call, columns: Columns, rows: int) -> Part:
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        raise Refused
    parts = [evaluate(one, columns, rows) for one in node.args]
    if isinstance(node.func, ast.Name):
        if node.func.id not in BUILTINS or node.func.id in columns:
            raise Refused
        return builtin(node.func.id, parts)
    if not isinstance(node.func, ast.Attribute):
        raise Refused
    if isinstance(node.func.value, ast.Name) and node.func.value.id == "math" and "math" not in columns:
        return mathematics(node.func.attr, parts)
    return method(node.func.attr, evaluate(node.func.value, columns, rows), parts)
