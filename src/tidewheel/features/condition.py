"""Conditions of ``where=``: a small part of SQL, evaluated here and not by an engine, so that it means the same everywhere.

Columns, literals, comparisons, ``AND OR NOT``, ``IN``, ``BETWEEN``, ``LIKE``, ``IS NULL``, with SQL's three values: an event is
folded when its condition is true, not when it is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tidewheel.errors import Invalid, TypeMismatch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FIX = "compare columns with literals: \"status = 'ok' AND amount > 0\"; compute anything else in the source's select"

Value: TypeAlias = "pa.Array | pa.ChunkedArray | pa.Scalar"

_BINARY: Mapping[type[exp.Expr], Callable[[Value, Value], Value]] = {
    exp.EQ: pc.equal,
    exp.NEQ: pc.not_equal,
    exp.LT: pc.less,
    exp.LTE: pc.less_equal,
    exp.GT: pc.greater,
    exp.GTE: pc.greater_equal,
    exp.And: pc.and_kleene,
    exp.Or: pc.or_kleene,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition: the columns it reads, and which rows of a table meet it."""

    text: str
    columns: tuple[str, ...]
    tree: exp.Expr

    def mask(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows meet the condition: shape (rows,), null counts as false.

        Raises
        ------
        TypeMismatch
            When columns and literals do not compare.
        """
        flat: npt.NDArray[np.bool_] = pc.fill_null(self.truth(table), False).to_numpy()
        return flat

    def truth(self, table: pa.Table) -> pa.ChunkedArray:
        """The three values of SQL: true, false, and null for unknown.

        Raises
        ------
        TypeMismatch
            When columns and literals do not compare.
        """
        try:
            met = _evaluate(self.tree, table)
            if isinstance(met, pa.Scalar):
                met = pa.chunked_array([pa.array([met.as_py()] * table.num_rows, pa.bool_())])
            return met
        except pa.ArrowException as error:
            raise TypeMismatch(f"where {self.text!r}: {error}", where=self.text, fix="compare values of one type") from error


@cache
def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    Invalid
        When it does not parse, or says more than conditions may.

    Examples
    --------
    >>> parse_condition("status = 'ok' AND amount > 0").columns
    ('amount', 'status')
    >>> parse_condition("amount IN (1, NULL) OR NOT amount < 3").mask(pa.table({"amount": [1, 2, 3, None]})).tolist()
    [True, False, True, False]
    """
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        raise Invalid(f"where {text!r} does not parse", where=text, fix=_FIX) from error
    _check(tree, text)
    names = sorted({str(column.name) for column in tree.find_all(exp.Column)})
    return Condition(text, tuple(names), tree)


_ALLOWED = (
    *_BINARY,
    exp.Not,
    exp.Paren,
    exp.In,
    exp.Between,
    exp.Is,
    exp.Like,
    exp.Neg,
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
)


def _check(tree: exp.Expr, text: str) -> None:
    for node in tree.walk():
        if not isinstance(node, _ALLOWED) or (isinstance(node, exp.In) and not node.args.get("expressions")):
            raise Invalid(f"where {text!r}: {node.sql('duckdb')} is more than a condition may say", where=text, fix=_FIX)


def _evaluate(node: exp.Expr, table: pa.Table) -> Value:
    if type(node) in _BINARY:
        return _BINARY[type(node)](_evaluate(node.this, table), _evaluate(node.args["expression"], table))
    if isinstance(node, exp.Column):
        return table.column(str(node.name))
    if isinstance(node, exp.Literal | exp.Boolean | exp.Null | exp.Neg):
        return _literal(node)
    inner = _evaluate(node.this, table)
    if isinstance(node, exp.Paren):
        return inner
    if isinstance(node, exp.Not):
        return pc.invert(inner)
    if isinstance(node, exp.Is):
        return (
            pc.is_null(inner)
            if isinstance(node.args["expression"], exp.Null)
            else pc.equal(inner, _evaluate(node.args["expression"], table))
        )
    if isinstance(node, exp.Like):
        return pc.match_like(inner, str(_literal(node.args["expression"]).as_py()))
    if isinstance(node, exp.Between):
        low, high = (_evaluate(node.args[side], table) for side in ("low", "high"))
        return pc.and_kleene(pc.greater_equal(inner, low), pc.less_equal(inner, high))
    return reduce(pc.or_kleene, (pc.equal(inner, _evaluate(one, table)) for one in node.args["expressions"]))


def _literal(node: exp.Expr) -> pa.Scalar:
    if isinstance(node, exp.Null):
        return pa.scalar(None, pa.null())
    if isinstance(node, exp.Boolean):
        return pa.scalar(bool(node.this))
    if isinstance(node, exp.Neg):
        return pa.scalar(-_literal(node.this).as_py())
    text = str(node.this)
    if node.args.get("is_string"):
        return pa.scalar(text)
    return pa.scalar(int(text) if text.isdigit() else float(text))
