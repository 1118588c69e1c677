"""Transforms as SQL: one query computes a chain of them for all rows, with null where Python itself must be asked. Pure."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tidewheel.features.body import execute
from tidewheel.features.compiled import KINDS, RETURNS, fit_body
from tidewheel.features.definition import Transform
from tidewheel.features.expression_part import Kind, Refused
from tidewheel.features.sql_dialect import DIALECTS, SqlDialect
from tidewheel.features.sql_expression import SqlExpressions
from tidewheel.features.sql_part import SqlPart, SqlSteps
from tidewheel.schema import DataType

RELATION = "given"
_MEANINGS: Mapping[Kind, str] = {"float": "double", "int": "bigint", "time": "time"}


@dataclass(frozen=True, slots=True)
class SqlForm:
    """Some transforms in one query.

    Parameters
    ----------
    inputs
        Columns that it reads.
    levels
        Select lists, each over what the one before it gives; the first one alone reads the inputs, whatever they are called.
    results
        The last one: ``r0``, ``r1``, ... in the transforms' order. Where an input is null they mean nothing.
    """

    dialect: SqlDialect
    inputs: tuple[str, ...]
    levels: tuple[str, ...]
    results: str

    def query(self, *, keep: Sequence[str] = ()) -> str:
        """SQL over the relation ``given``.

        Parameters
        ----------
        keep
            Columns of it to hand on, before the results.
        """
        kept = "".join(f"{self.dialect.name_of(name)}, " for name in keep)
        first, *others = self.levels
        text = f"(SELECT {kept}{first} FROM {RELATION})"  # an input called s0 or i1 must not be taken for what is made here
        for level in others:
            text = f"(SELECT *, {level} FROM {text})"
        return f"SELECT {kept}{self.results} FROM {text}"


def sql_of(transforms: Sequence[Transform], dialect: str) -> SqlForm | None:
    """Transforms as one query in an engine's dialect; ``None`` where that does not mean the same to the bit.

    Parameters
    ----------
    transforms
        Each after those that it takes.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def total(amount: float, fee: float) -> float:
    ...     return amount + fee
    >>> made = sql_of([total], "duckdb")
    >>> made is None or made.query().partition(" FROM ")[0]
    'SELECT (i0 + i1) AS r0'
    """
    return _sql_of(tuple(transforms), dialect)


@lru_cache(maxsize=256)
def _sql_of(transforms: tuple[Transform, ...], dialect: str) -> SqlForm | None:
    if dialect not in DIALECTS:
        return None
    steps = SqlSteps(DIALECTS[dialect])
    inputs: dict[str, tuple[str, SqlPart]] = {}
    made: dict[str, SqlPart] = {}
    results: list[str] = []
    try:
        for one in transforms:
            body = fit_body(one)
            columns = {}
            for taken in one.inputs:
                if taken.name in made:
                    if taken.optional or KINDS[taken.type] != made[taken.name].kind:
                        return None  # a doubt would be told as None
                    columns[taken.name] = made[taken.name]
                    continue
                kind = KINDS[taken.type]
                text = steps.dialect.name_of(taken.name)
                if kind in _MEANINGS:
                    text = steps.dialect.write(_MEANINGS[kind], text)
                name, part = inputs.setdefault(taken.name, (text, SqlPart(kind, f"i{len(inputs)}", simple=True)))
                if name != text or part.kind != kind:
                    return None
                columns[taken.name] = part
            result = _result(one, body, columns, steps)
            results.append(f"{result.text} AS r{len(results)}")
            made[one.name] = _taken(result, steps) if one is not transforms[-1] else result
    except Refused:
        return None
    first = ", ".join(f"{text} AS {part.text}" for text, part in inputs.values())
    levels = (first, *(f"{step} AS s{place}" for place, step in enumerate(steps.steps)))
    return SqlForm(DIALECTS[dialect], tuple(inputs), levels, ", ".join(results))


def _result(transform: Transform, body: Sequence[ast.stmt], columns: Mapping[str, SqlPart], steps: SqlSteps) -> SqlPart:
    """The result in its declared type."""
    nullable = {one.name: columns[one.name] for one in transform.inputs if one.optional}
    part = execute(body, columns, SqlExpressions(steps, nullable))
    wanted = RETURNS[transform.returns.type]
    if wanted == "float":
        part = steps.as_float(part)
    if part.kind != wanted:
        raise Refused
    if transform.returns.type is DataType.INT32:
        part = steps.once(part)
        part = SqlPart("int", f"CASE WHEN {part.text} BETWEEN -2147483648 AND 2147483647 THEN {part.text} END")
    return part


def _taken(result: SqlPart, steps: SqlSteps) -> SqlPart:
    """A result as the input of another transform: as it is there, NaN is null."""
    result = steps.once(result)
    if result.kind != "float":
        return result
    return steps.once(SqlPart("float", f"CASE WHEN NOT {steps.dialect.write('isnan', result.text)} THEN {result.text} END"))
