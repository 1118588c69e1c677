"""Transforms by column: the small part of Python whose meaning NumPy shares to the bit, over many rows at once.

One returned expression over ``float`` inputs: ``+ - * /``, signs, comparisons, ``and or not`` of these, ``a if b else c``,
``abs``, and ``min`` and ``max`` of several. Both sides compute in the same IEEE doubles, so the values are the same. Where
Python would raise (a division by zero) the row is in doubt, and is left to the function itself. Everything else is not
compiled: powers and remainders round otherwise, integers have no limit in Python, and a name may mean anything.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.definition import Transform
from tidewheel.features.transform import Computed, run_transform
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Booleans = npt.NDArray[np.bool_]
    Value = npt.NDArray[np.float64] | npt.NDArray[np.bool_]

_EXACT = 1 << 53
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Value, Value], Booleans]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_BUILTINS = ("abs", "min", "max")


class _Refused(Exception):
    """An expression says more than both sides mean alike."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The values of an expression, the rows on which the function itself must be asked, and whether one may be an integer."""

    values: Value
    doubt: Booleans
    integer: bool = False


@dataclass(frozen=True, slots=True)
class CompiledTransform:
    """A transform whose body is an expression over columns."""

    transform: Transform
    body: ast.expr

    def run(self, columns: Mapping[str, Floats]) -> tuple[Value, Booleans]:
        """The value of each row, and which of them are in doubt.

        Parameters
        ----------
        columns
            Inputs by name, of one length and without nulls.
        """
        rows = len(next(iter(columns.values())))
        with np.errstate(all="ignore"):
            found = _evaluate(self.body, columns, rows)
        return found.values, found.doubt


@lru_cache(maxsize=256)
def compile_transform(transform: Transform) -> CompiledTransform | None:
    """The transform by column; ``None`` where its body says more than is compiled.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def rate(amount: float, hours: float) -> float:
    ...     return amount / hours if hours != 0 else 0.0
    >>> made = compile_transform(rate)
    >>> made is None or [one.tolist() for one in made.run({"amount": np.array([1.0, 1.0]), "hours": np.array([2.0, 0.0])})]
    [[0.5, 0.0], [False, False]]
    """
    floats = all(one.type is DataType.FLOAT64 and not one.optional and one.required for one in transform.inputs)
    if not floats or not transform.inputs or transform.returns.type not in (DataType.FLOAT64, DataType.BOOL):
        return None
    body = _body(transform.function)
    if body is None or any(name in getattr(transform.function, "__globals__", {}) for name in _BUILTINS):
        return None
    made = CompiledTransform(transform, body)
    try:
        values, _ = made.run({one.name: np.ones(1) for one in transform.inputs})
    except _Refused:
        return None
    boolean = values.dtype == np.bool_
    return made if boolean == (transform.returns.type is DataType.BOOL) else None


def run_compiled(transform: Transform, columns: Mapping[str, pa.Array | None]) -> tuple[pa.Array, Computed] | None:
    """A transform's column, and what failed; ``None`` where it is not compiled or an input is no column of floats.

    Rows that are in doubt are run one by one, so errors are counted, told and raised as by :func:`run_transform`.
    """
    made = compile_transform(transform)
    if made is None or any(column is None or column.type != pa.float64() for column in columns.values()):
        return None
    held = {name: column for name, column in columns.items() if column is not None}
    valid = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in held.values()])
    filled = {name: column.fill_null(0.0).to_numpy(zero_copy_only=False) for name, column in held.items()}
    values, doubt = made.run(filled)
    values, places = values.copy(), np.flatnonzero(doubt & valid)
    computed = Computed([])
    if len(places):
        some = {name: column[places].tolist() for name, column in filled.items()}
        computed = run_transform(transform, some, len(places), numbers=places.tolist())
        valid[places] = [value is not None for value in computed.values]
        values[places] = np.array([0 if value is None else value for value in computed.values], dtype=values.dtype)
    if values.dtype == np.float64:
        valid &= ~np.isnan(values)
    return pa.array(values, mask=~valid), computed


def _body(function: Callable[..., object]) -> ast.expr | None:
    """The expression that a function returns, if that is all it does."""
    if inspect.unwrap(function) is not function or getattr(function, "__closure__", None):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    made = tree.body[0]
    if not isinstance(made, ast.FunctionDef) or len(made.decorator_list) > 1:
        return None
    said = [one for one in made.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    if len(said) != 1 or not isinstance(said[0], ast.Return):
        return None
    return said[0].value


def _evaluate(node: ast.expr, columns: Mapping[str, Floats], rows: int) -> _Part:
    if isinstance(node, ast.Name):
        if node.id not in columns:
            raise _Refused
        return _Part(columns[node.id], np.zeros(rows, dtype=np.bool_))
    if isinstance(node, ast.Constant):
        return _constant(node.value, rows)
    if isinstance(node, ast.BinOp):
        return _binary(node, columns, rows)
    if isinstance(node, ast.UnaryOp):
        return _unary(node, columns, rows)
    if isinstance(node, ast.Compare):
        return _compare(node, columns, rows)
    if isinstance(node, ast.BoolOp):
        return _boolean(node, columns, rows)
    if isinstance(node, ast.IfExp):
        return _choice(node, columns, rows)
    if isinstance(node, ast.Call):
        return _call(node, columns, rows)
    raise _Refused


def _numbers(node: ast.expr, columns: Mapping[str, Floats], rows: int) -> _Part:
    found = _evaluate(node, columns, rows)
    if found.values.dtype != np.float64:
        raise _Refused
    return found


def _truths(node: ast.expr, columns: Mapping[str, Floats], rows: int) -> _Part:
    found = _evaluate(node, columns, rows)
    if found.values.dtype != np.bool_:
        raise _Refused
    return found


def _constant(value: object, rows: int) -> _Part:
    if isinstance(value, bool):
        return _Part(np.full(rows, value), np.zeros(rows, dtype=np.bool_))
    if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) > _EXACT):
        raise _Refused
    return _Part(np.full(rows, float(value)), np.zeros(rows, dtype=np.bool_), isinstance(value, int))


def _binary(node: ast.BinOp, columns: Mapping[str, Floats], rows: int) -> _Part:
    left, right = _numbers(node.left, columns, rows), _numbers(node.right, columns, rows)
    if left.integer and right.integer:
        raise _Refused  # integers alone are exact in Python
    doubt = left.doubt | right.doubt
    if isinstance(node.op, ast.Div):
        return _Part(np.divide(left.values, right.values), doubt | (right.values == 0.0))
    operation = _ARITHMETIC.get(type(node.op))
    if operation is None:
        raise _Refused
    return _Part(operation(np.asarray(left.values, np.float64), np.asarray(right.values, np.float64)), doubt)


def _unary(node: ast.UnaryOp, columns: Mapping[str, Floats], rows: int) -> _Part:
    if isinstance(node.op, ast.Not):
        found = _truths(node.operand, columns, rows)
        return _Part(~np.asarray(found.values, np.bool_), found.doubt)
    found = _numbers(node.operand, columns, rows)
    if isinstance(node.op, ast.USub):
        if found.integer and not (isinstance(node.operand, ast.Constant) and node.operand.value):
            raise _Refused  # -0 is 0 among integers
        return _Part(np.negative(found.values), found.doubt, found.integer)
    if isinstance(node.op, ast.UAdd):
        return found
    raise _Refused


def _compare(node: ast.Compare, columns: Mapping[str, Floats], rows: int) -> _Part:
    parts = [_numbers(one, columns, rows) for one in (node.left, *node.comparators)]
    true, doubt = np.ones(rows, dtype=np.bool_), parts[0].doubt
    for operator, left, right in zip(node.ops, parts, parts[1:], strict=False):
        compare = _COMPARE.get(type(operator))
        if compare is None:
            raise _Refused
        doubt = doubt | (true & right.doubt)  # what stands behind a comparison that is false is not looked at
        true = true & compare(left.values, right.values)
    return _Part(true, doubt)


def _boolean(node: ast.BoolOp, columns: Mapping[str, Floats], rows: int) -> _Part:
    every = isinstance(node.op, ast.And)
    made = np.full(rows, every)
    doubt = np.zeros(rows, dtype=np.bool_)
    for one in node.values:
        found = _truths(one, columns, rows)
        open_rows = made if every else ~made
        doubt = doubt | (open_rows & found.doubt)
        made = made & found.values if every else made | found.values
    return _Part(made, doubt)


def _choice(node: ast.IfExp, columns: Mapping[str, Floats], rows: int) -> _Part:
    test = _truths(node.test, columns, rows)
    one, other = _evaluate(node.body, columns, rows), _evaluate(node.orelse, columns, rows)
    if one.values.dtype != other.values.dtype:
        raise _Refused
    doubt = test.doubt | np.where(test.values, one.doubt, other.doubt)
    return _Part(np.where(test.values, one.values, other.values), doubt, one.integer or other.integer)


def _call(node: ast.Call, columns: Mapping[str, Floats], rows: int) -> _Part:
    if not isinstance(node.func, ast.Name) or node.func.id not in _BUILTINS or node.func.id in columns or node.keywords:
        raise _Refused
    if any(isinstance(one, ast.Starred) for one in node.args):
        raise _Refused
    parts = [_numbers(one, columns, rows) for one in node.args]
    if node.func.id == "abs" and len(parts) == 1:
        return _Part(np.abs(parts[0].values), parts[0].doubt, parts[0].integer)
    if node.func.id == "abs" or len(parts) < 2:
        raise _Refused
    best, doubt = parts[0].values, parts[0].doubt
    for part in parts[1:]:  # the first of equal ones stays, as in Python: of zeros of both signs, and of NaN
        better = part.values < best if node.func.id == "min" else part.values > best
        best, doubt = np.where(better, part.values, best), doubt | part.doubt
    return _Part(best, doubt, any(part.integer for part in parts))
