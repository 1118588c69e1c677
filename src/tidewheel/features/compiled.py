"""Transforms by column: functions whose meaning arrays share to the bit, over many rows at once.

The body may assign names, branch and return; what it may compute is in :mod:`tidewheel.features.expression`. Where Python would
raise (a division by zero) or leave 64 bits, the row is in doubt, and is left to the function. Everything else is not compiled.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tidewheel.features.definition import Transform
from tidewheel.features.expression import evaluate
from tidewheel.features.expression_calls import BUILTINS
from tidewheel.features.expression_part import Columns, Kind, Part, Refused, as_floats, choose, column
from tidewheel.features.transform import Computed, run_transform
from tidewheel.schema import DataType

_KINDS: Mapping[DataType, Kind] = {
    DataType.BOOL: "bool",
    DataType.INT32: "int",
    DataType.INT64: "int",
    DataType.FLOAT32: "float",
    DataType.FLOAT64: "float",
    DataType.STRING: "str",
    DataType.TIMESTAMP: "time",
}
_RETURNS: Mapping[DataType, Kind] = {
    kind: made for kind, made in _KINDS.items() if kind not in (DataType.FLOAT32, DataType.TIMESTAMP)
}
_ARRAYS: Mapping[Kind, type] = {"bool": np.bool_, "int": np.int64, "float": np.float64, "str": object, "time": np.int64}
_NOTHING: Mapping[Kind, object] = {"bool": False, "int": 0, "float": 0.0, "str": "", "time": 0}
_MOST_BRANCHES = 16


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
            Inputs by name, of one length and without nulls.
        """
        rows = len(next(iter(columns.values())).values)
        with np.errstate(all="ignore"):
            return _fitted(_execute(self.body, columns, rows, _MOST_BRANCHES), self.transform.returns.type)


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
    >>> held = {"amount": column("float", np.array([1.0, 1.0])), "hours": column("float", np.array([2.0, 0.0]))}
    >>> made is None or (made.run(held).values.tolist(), made.run(held).doubt.tolist())
    ([0.5, 0.0], [False, False])
    """
    inputs = transform.inputs
    if not inputs or any(one.type not in _KINDS or one.optional or not one.required for one in inputs):
        return None
    if transform.returns.type not in _RETURNS:
        return None
    if transform.timezone not in (None, "UTC") and any(one.type is DataType.TIMESTAMP for one in inputs):
        return None
    body = _body(transform.function)
    if body is None:
        return None
    made = CompiledTransform(transform, body)
    kinds = {one.name: _KINDS[one.type] for one in inputs}
    try:
        made.run({name: column(kind, np.full(1, _NOTHING[kind], dtype=_ARRAYS[kind])) for name, kind in kinds.items()})
    except Refused:
        return None
    return made


def run_compiled(transform: Transform, columns: Mapping[str, pa.Array | None]) -> tuple[pa.Array, Computed] | None:
    """A transform's column, and what failed; ``None`` where it is not compiled or an input is a column of another type.

    Rows that are in doubt are run one by one, so errors are counted, told and raised as by :func:`run_transform`.

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
    if made is None:
        return None
    held: dict[str, Part] = {}
    for one in transform.inputs:
        part = _part(columns[one.name], _KINDS[one.type])
        if part is None:
            return None
        held[one.name] = part
    valid = np.logical_and.reduce(
        [found.is_valid().to_numpy(zero_copy_only=False) for found in columns.values() if found is not None]
    )
    part = made.run(held)
    values, places = part.values.copy(), np.flatnonzero(part.doubt & valid)
    computed = Computed([])
    if len(places):
        some = {name: one.values[places].tolist() for name, one in held.items()}
        computed = run_transform(transform, some, len(places), numbers=places.tolist())
        valid[places] = [value is not None for value in computed.values]
        nothing = _NOTHING[part.kind]
        values[places] = np.array([nothing if value is None else value for value in computed.values], dtype=values.dtype)
    if part.kind == "float":
        valid &= ~np.isnan(values)
    values[~valid] = _NOTHING[part.kind]
    return pa.array(values, transform.returns.type.arrow(), mask=~valid), computed


def _part(found: pa.Array | None, kind: Kind) -> Part | None:
    """A column without its nulls; ``None`` when it is of another type than declared, whose values the function would see."""
    if found is None:
        return None
    types = pa.types
    fits = {
        "bool": types.is_boolean(found.type),
        "int": types.is_int32(found.type) or types.is_int64(found.type),
        "float": types.is_float32(found.type) or types.is_float64(found.type),
        "str": types.is_string(found.type) or types.is_large_string(found.type),
        "time": types.is_timestamp(found.type),
    }
    if not fits[kind]:
        return None
    if kind == "time":
        found = found.cast(DataType.TIMESTAMP.arrow()).cast(pa.int64())
    values = found.fill_null(_NOTHING[kind]).to_numpy(zero_copy_only=False)
    return column(kind, values.astype(_ARRAYS[kind], copy=False))


def _body(function: Callable[..., object]) -> Sequence[ast.stmt] | None:
    """The statements of a plain function whose names mean what they say; ``None`` of any other."""
    if inspect.unwrap(function) is not function or getattr(function, "__closure__", None):
        return None
    names, said = getattr(function, "__globals__", {}), getattr(getattr(function, "__code__", None), "co_names", ())
    if any(name in names for name in BUILTINS) or ("math" in said and names.get("math") is not math):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    made = tree.body[0]
    if not isinstance(made, ast.FunctionDef) or len(made.decorator_list) > 1:
        return None
    return made.body


def _execute(body: Sequence[ast.stmt], columns: Columns, rows: int, branches: int) -> Part:
    """What the statements return; every row that passes an assignment in doubt is in doubt."""
    held, doubt = dict(columns), np.zeros(rows, dtype=np.bool_)
    for place, one in enumerate(body):
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
            continue
        if isinstance(one, ast.Return) and one.value is not None:
            made = evaluate(one.value, held, rows)
        elif isinstance(one, ast.If) and branches:
            rest = body[place + 1 :]
            paths = [_execute([*path, *rest], held, rows, branches // 2) for path in (one.body, one.orelse)]
            made = choose(evaluate(one.test, held, rows), *paths)
        elif isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            held[one.targets[0].id] = found = evaluate(one.value, held, rows)
            doubt = doubt | found.doubt
            continue
        else:
            raise Refused
        return replace(made, doubt=doubt | made.doubt)
    raise Refused  # without a return


def _fitted(part: Part, kind: DataType) -> Part:
    """The result in its declared type; what does not fit is in doubt, and told by the function's own run."""
    wanted = _RETURNS[kind]
    if wanted == "float":
        return Part("float", as_floats(part), part.doubt)
    if part.kind != wanted:
        raise Refused
    if kind is DataType.INT32:
        wide = (part.values >= 1 << 31) | (part.values < -(1 << 31))
        return Part("int", np.where(wide, 0, part.values), part.doubt | wide)
    return part
