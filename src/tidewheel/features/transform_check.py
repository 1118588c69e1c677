"""What a transform does on rows at the border of its types: the same twice, and the same in both of its forms."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa

from tidewheel.errors import ImpureTransform, TransformDiverges
from tidewheel.features.compiled import RETURN_TYPES, RETURNS, run_compiled, settled, why_interpreted
from tidewheel.features.definition import Parameter, Transform
from tidewheel.features.sql_dialect import DIALECTS
from tidewheel.features.sql_form import RELATION, sql_of
from tidewheel.features.transform import Computed, run_transform
from tidewheel.ports.query_engine import InMemory, QueryEngine
from tidewheel.schema import DataType

Rows = Mapping[str, Sequence[object]]
_MOST = 1_000
_PLACE = "row of the check"
_SEED = 20260101
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
_BOUNDARY: Mapping[DataType, tuple[object, ...]] = {
    DataType.BOOL: (False, True),
    DataType.INT32: (0, 1, -1, 7, (1 << 31) - 1, -(1 << 31)),
    DataType.INT64: (0, 1, -1, 7, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63)),
    DataType.FLOAT32: (0.0, -0.0, 1.0, -1.5, 0.100000001490116, 3.0e38),
    DataType.FLOAT64: (0.0, -0.0, 1.0, -1.5, 0.1, 1e16, 5e-324, 1.7e308, -1.7e308),
    DataType.STRING: ("", "a", "Ä\u0301 x", "0", " 12 "),
    DataType.BYTES: (b"", b"a", b"\x00\xff"),
    DataType.TIMESTAMP: (
        _ZERO,
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        _LEAP,
    ),
    DataType.DATE: (date(1970, 1, 1), date(2024, 2, 29), date(2026, 12, 31)),
    DataType.DECIMAL: (Decimal(0), Decimal("0.000000001"), Decimal("-12.5"), Decimal("99999999999999999999")),
}


@dataclass(frozen=True, slots=True)
class TransformFacts:
    """What was seen: rows tried, whether it runs by column offline or is ``interpreted`` row by row, and what a row costs.

    ``microseconds`` is of one call in Python, as a request makes it. ``why`` names what made it interpreted; ``query`` the SQL
    dialects in which it has a form.
    """

    transform: str
    rows: int
    interpreted: bool
    microseconds: float
    why: str | None = None
    query: tuple[str, ...] = ()

    @property
    def offline(self) -> str:
        """How a training set computes it, in words."""
        return _in_words(self.why, self.query)


def offline_form(transform: Transform) -> str:
    """How a training set computes a transform, in words.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def later(hour: int) -> int:
    ...     return hour + 1
    >>> offline_form(later)
    'by column, by query in duckdb, by query in spark'
    """
    return _in_words(why_interpreted(transform), _dialects(transform))


def _in_words(why: str | None, dialects: Sequence[str]) -> str:
    if why is not None:
        return f"row by row (interpreted): {why}"
    return f"by column{''.join(f', by query in {one}' for one in dialects)}"


def _dialects(transform: Transform) -> tuple[str, ...]:
    return tuple(one for one in DIALECTS if sql_of([transform], one) is not None)


def check_transform(transform: Transform, rows: Rows | None = None, *, engine: QueryEngine | None = None) -> TransformFacts:
    """Run a transform on generated rows, twice, and in its other forms where it has them.

    Parameters
    ----------
    rows
        Columns to try instead, by input: real ones.
    engine
        Runs the form that the transform has in its dialect.

    Raises
    ------
    ImpureTransform
        When it answers one row in two ways.
    TransformDiverges
        When its forms differ on a row.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def later(hour: int) -> int:
    ...     return hour + 1
    >>> check_transform(later).rows
    7
    """
    columns = boundary_rows(transform.inputs) if rows is None else rows
    columns = {one.name: _as_stored(columns[one.name], one.type) for one in transform.inputs}
    count = len(next(iter(columns.values()), ()))
    quiet = replace(transform, on_error="null")
    started = time.perf_counter()
    first = run_transform(quiet, columns, count)
    spent = time.perf_counter() - started
    again = run_transform(quiet, {name: column[::-1] for name, column in columns.items()}, count)
    for row, (one, other) in enumerate(zip(first.values, again.values[::-1], strict=True)):
        if not _same(one, other):
            raise ImpureTransform(
                f"transform {transform.name} answers {_told(columns, row)} with {one!r} and then with {other!r}",
                where=transform.name,
                fix="let it depend on its arguments only",
            )
    why = why_interpreted(transform)
    if why is None:
        compare_forms(transform, columns, first)
    dialects = _dialects(transform)
    if engine is not None and engine.dialect in dialects:
        compare_query(transform, columns, first, engine=engine)
    return TransformFacts(transform.name, count, why is not None, 1e6 * spent / max(count, 1), why, dialects)


def boundary_rows(inputs: Sequence[Parameter]) -> dict[str, list[object]]:
    """Rows that combine the values at the border of each input's type; all combinations, or a fixed choice of 1,000.

    Examples
    --------
    >>> boundary_rows((Parameter("yes", DataType.BOOL, True),))
    {'yes': [None, False, True]}
    """
    choices = [[*((None,) if one.optional else ()), *_boundary(one.type)] for one in inputs]
    total = 1
    for values in choices:
        total *= len(values)
    if total <= _MOST:
        made = list(itertools.product(*choices))
    else:
        chance = random.Random(_SEED)
        made = [tuple(chance.choice(values) for values in choices) for _ in range(_MOST)]
    return {one.name: [row[place] for row in made] for place, one in enumerate(inputs)}


def _as_stored(values: Sequence[object], kind: DataType) -> Sequence[object]:
    """Floats of 32 bits as a column would hand them over."""
    return pa.array(values, kind.arrow()).to_pylist() if kind is DataType.FLOAT32 else values


def _boundary(kind: DataType) -> tuple[object, ...]:
    return ([], [*_BOUNDARY[kind.element]]) if kind.is_list else _BOUNDARY[kind]


def compare_forms(transform: Transform, columns: Rows, expected: Computed) -> None:
    """Hold the compiled form of a transform to what the function answered on some rows.

    Raises
    ------
    TransformDiverges
        For the first row that differs.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def twice(x: float) -> float:
    ...     return 2 * x
    >>> compare_forms(twice, {"x": [1.5]}, Computed([3.0]))
    """
    arrays = {one.name: pa.array(columns[one.name], one.type.arrow()) for one in transform.inputs}
    made = run_compiled(replace(transform, on_error="null"), arrays)
    assert made is not None
    _compare(transform, columns, expected, made[0], "by column")


def compare_query(transform: Transform, columns: Rows, expected: Computed, *, engine: QueryEngine) -> None:
    """Hold the form of a transform in an engine's SQL to what the function answered on some rows.

    Raises
    ------
    TransformDiverges
        For the first row that differs.
    """
    form = sql_of([transform], engine.dialect)
    assert form is not None
    arrays = {one.name: pa.array(columns[one.name], one.type.arrow()) for one in transform.inputs}
    table = pa.table({**{name: arrays[name] for name in form.inputs}, _PLACE: pa.array(range(len(expected.values)))})
    found = engine.stream(form.query(keep=[_PLACE]), {RELATION: InMemory(table)}, order_by=[_PLACE]).read_all()
    result = found.column("r0").combine_chunks().cast(RETURN_TYPES[RETURNS[transform.returns.type]])
    made, _ = settled(replace(transform, on_error="null"), arrays, result)
    _compare(transform, columns, expected, made, f"by query in {engine.dialect}")


def _compare(transform: Transform, columns: Rows, expected: Computed, made: pa.Array, how: str) -> None:
    for row, (value, wanted) in enumerate(zip(made.to_pylist(), expected.values, strict=True)):
        if not _same(value, wanted):
            raise TransformDiverges(
                f"transform {transform.name} answers {_told(columns, row)} with {wanted!r}, {how} with {value!r}",
                where=transform.name,
                fix="write the expression with calls of your own, which is never compiled, and report this",
            )


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    return type(one) is type(other) and one == other


def _told(columns: Rows, row: int) -> str:
    return ", ".join(f"{name}={column[row]!r}" for name, column in columns.items())
