"""Transforms by column: functions whose meaning arrays share to the bit, over many rows at once.

The body may assign names, branch and return; what it may compute is in :mod:`tidewheel.features.expression`. Where Python would
raise (a division by zero) or leave 64 bits, the row is in doubt, and is left to the function. Everything else is not compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.features.body import body_of, execute, placed
from tidewheel.features.definition import Parameter, Transform
from tidewheel.features.expression import evaluate
from tidewheel.features.expression_part import Columns, Kind, Part, Refused, as_floats, choose, column
from tidewheel.features.transform import Computed, plain_values, run_transform
from tidewheel.schema import DataType

KINDS: Mapping[DataType, Kind] = {
    DataType.BOOL: "bool",
    DataType.INT32: "int",
    DataType.INT64: "int",
    DataType.FLOAT32: "float",
    DataType.FLOAT64: "float",
    DataType.STRING: "str",
    DataType.TIMESTAMP: "time",
}
RETURNS: Mapping[DataType, Kind] = {
    kind: made for kind, made in KINDS.items() if kind not in (DataType.FLOAT32, DataType.TIMESTAMP)
}
_ARRAYS: Mapping[Kind, type] = {"bool": np.bool_, "int": np.int64, "float": np.float64, "str": object, "time": np.int64}
_NOTHING: Mapping[Kind, object] = {"bool": False, "int": 0, "float": 0.0, "str": "", "time": 0}
RETURN_TYPES: Mapping[Kind, pa.DataType] = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
"""Arrow's types of what forms give."""

_TESTS: Mapping[Kind, Callable[[pa.DataType], bool]] = {
    "bool": pa.types.is_boolean,
    "int": lambda kind: pa.types.is_int32(kind) or pa.types.is_int64(kind),
    "float": lambda kind: pa.types.is_float32(kind) or pa.types.is_float64(kind),
    "str": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "time": pa.types.is_timestamp,
}


@dataclass(frozen=True, slots=True)
class _ByColumn:
    """Expressions over so many rows."""

    rows: int

    def evaluate(self, node: ast.expr, columns: Columns) -> Part:
        return evaluate(node, columns, self.rows)

    def choose(self, test: Part, one: Part, other: Part) -> Part:
        return choose(test, one, other)

    def after(self, passed: Part, made: Part) -> Part:
        return replace(made, doubt=made.doubt | passed.doubt)


@dataclass(frozen=True, slots=True)
class CompiledTransform:
    """A transform whose body is computed over columns."""

    transform: Transform
    body: Sequence[ast.stmt]

    def run(self, columns: Columns) -> Part:
        """The value of each row, and which of them are in doubt.

        Parameters
        ----------
        columns
            Inputs by name, of one length.
        """
        rows = len(next(iter(columns.values())).values)
        with np.errstate(all="ignore"):
            return _fitted(execute(self.body, columns, _ByColumn(rows)), self.transform.returns.type)


def compile_transform(transform: Transform) -> CompiledTransform | None:
    """The transform by column; ``None`` where its body says more than is compiled.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def rate(amount: float, hours: float) -> float:
    ...     return amount / hours if hours != 0 else 0.0
    >>> made = compile_transform(rate)
    >>> held = {"amount": column("float", np.array([1.0, 1.0])), "hours": column("float", np.array([2.0, 0.0]))}
    >>> made is None or (made.run(held).values.tolist(), made.run(held).doubt.tolist())
    ([0.5, 0.0], [False, False])
    """
    made = _compiled(transform)
    return made if isinstance(made, CompiledTransform) else None


def why_interpreted(transform: Transform) -> str | None:
    """What of a transform is not computed by column, with its place; ``None`` where all of it is.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def squared(a: list[float]) -> float:
    ...     return a[0] ** 2
    >>> why_interpreted(squared)
    'a is list<float64>'
    """
    made = _compiled(transform)
    return placed(made, transform.function) if isinstance(made, str) else None


@lru_cache(maxsize=256)
def _compiled(transform: Transform) -> CompiledTransform | str:
    try:
        made = CompiledTransform(transform, fit_body(transform))
        nothing = {one.name: _no_rows(one) for one in transform.inputs}
        made.run(nothing)
    except Refused as refused:
        return str(refused)
    return made


def fit_body(transform: Transform) -> Sequence[ast.stmt]:
    """The statements of a transform whose types have forms beside Python's.

    Raises
    ------
    Refused
        With the reason, when one has not.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def first(a: list[float]) -> float:
    ...     return a[0]
    >>> fit_body(first)
    Traceback (most recent call last):
    tidewheel.features.expression_part.Refused: a is list<float64>
    """
    if not transform.inputs:
        raise Refused("takes no input")
    for one in transform.inputs:
        if one.type not in KINDS:
            raise Refused(f"{one.name} is {one.type.value}")
        if one.type is DataType.TIMESTAMP and transform.timezone not in (None, "UTC"):
            raise Refused(f"sees instants in {transform.timezone}")
    if transform.returns.type not in RETURNS:
        raise Refused(f"returns {transform.returns.type.value}")
    return body_of(transform.function)


def _no_rows(one: Parameter) -> Part:
    kind = KINDS[one.type]
    part = column(kind, np.full(1, _NOTHING[kind], dtype=_ARRAYS[kind]))
    return replace(part, null=part.doubt) if one.optional else part


def run_compiled(
    transform: Transform, columns: Mapping[str, pa.Array | None], *, first: int = 0
) -> tuple[pa.Array, Computed] | None:
    """A transform's column, and what failed; ``None`` where it is not compiled or an input is a column of another type.

    Rows that are in doubt are run one by one, so errors are counted, told and raised as by :func:`run_transform`; ``first`` is
    what the first row is called in them.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> found = run_compiled(halves, {"items": pa.array([5, None, -5])})
    >>> found is None or found[0].to_pylist()
    [2, None, -3]
    """
    made = compile_transform(transform)
    if made is None or not fits(transform, columns):
        return None
    held = {one.name: _part(columns[one.name], one) for one in transform.inputs}
    part = made.run(held)
    found = pa.array(part.values, RETURN_TYPES[part.kind], mask=part.doubt)
    return settled(transform, columns, found, first=first)


def settled(
    transform: Transform, columns: Mapping[str, pa.Array | None], found: pa.Array, *, first: int = 0
) -> tuple[pa.Array, Computed]:
    """A transform's column, from one in which null is a doubt: such rows are run one by one, where the inputs are there.

    So errors are counted, told and raised as by :func:`run_transform`; ``first`` is what the first row is called in them.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> settled(halves, {"items": pa.array([5, None, -5])}, pa.array([None, None, -3]))[0].to_pylist()
    [2, None, -3]
    """
    valid = np.ones(len(found), dtype=np.bool_)
    for one in transform.inputs:
        given = columns[one.name]
        if given is not None and not one.optional and given.null_count:
            valid &= given.is_valid().to_numpy(zero_copy_only=False)
    doubt = valid & found.is_null().to_numpy(zero_copy_only=False) if found.null_count else np.zeros(len(found), dtype=np.bool_)
    places, computed, kind = np.flatnonzero(doubt), Computed([]), transform.returns.type
    if pa.types.is_float64(found.type):
        found = pc.if_else(pc.is_nan(found), None, found)
    if not valid.all():
        found = pc.if_else(pa.array(valid), found, None)
    found = found.cast(kind.arrow())
    if len(places):
        rows = pa.array(places)
        some = {name: plain_values(given.take(rows)) for name, given in columns.items() if given is not None}
        computed = run_transform(transform, some, len(places), numbers=(places + first).tolist())
        found = pc.replace_with_mask(found, pa.array(doubt), pa.array(computed.values, kind.arrow()))
    return found, computed


def fits(transform: Transform, columns: Mapping[str, pa.Array | None]) -> bool:
    """Whether the inputs are all there, as columns of their declared types; the function would see other values.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> fits(halves, {"items": pa.array([1])}), fits(halves, {"items": pa.array([1.5])})
    (True, False)
    """
    found = {one.name: columns.get(one.name) for one in transform.inputs}
    return all(
        given is not None and _TESTS[KINDS[one.type]](given.type) for one in transform.inputs for given in [found[one.name]]
    )


def _part(found: pa.Array, one: Parameter) -> Part:
    """A column without its nulls, which are in doubt where the function is called with them."""
    kind = KINDS[one.type]
    null = found.is_null().to_numpy(zero_copy_only=False) if one.optional else None
    if kind == "time":
        found = found.cast(DataType.TIMESTAMP.arrow()).cast(pa.int64())
    values = found.fill_null(_NOTHING[kind]).to_numpy(zero_copy_only=False)
    part = column(kind, values.astype(_ARRAYS[kind], copy=False))
    return part if null is None else replace(part, doubt=null, null=null)


def _fitted(part: Part, kind: DataType) -> Part:
    """The result in its declared type; what does not fit is in doubt, and told by the function's own run."""
    wanted = RETURNS[kind]
    if wanted == "float" and part.kind in ("int", "float"):
        return Part("float", as_floats(part), part.doubt)
    if part.kind != wanted:
        raise Refused(f"returns {part.kind}, declared {wanted}")
    if kind is DataType.INT32:
        wide = (part.values >= 1 << 31) | (part.values < -(1 << 31))
        return Part("int", np.where(wide, 0, part.values), part.doubt | wide)
    return part
