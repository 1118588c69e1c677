"""Transforms on rows at the border of their types: by column as row by row, and the same twice."""

from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import ImpureTransform, Invalid, TransformDiverges
from tidewheel.features.compiled import compile_transform, run_compiled
from tidewheel.features.definition import Transform, on_request
from tidewheel.features.transform import Computed, run_transform
from tidewheel.features.transform_check import boundary_rows, check_transform, compare_forms


@on_request
def mixed(a: float, b: float, c: float) -> float:
    """A docstring is no statement that counts."""
    return (a - b) / c + abs(-b) * 2 if a < b <= c or not c > 0 else min(a, b, 0.5) - max(c, 1)


@on_request
def safe(a: float, b: float, c: float) -> float:
    return a / b if b != 0 and c / b > 0.5 else -c


@on_request
def within(a: float, b: float, c: float) -> bool:
    return a <= b and (b < c or a == c)


@on_request
def steps(a: float, b: float) -> float:
    return (1 if a > 0 else 2) * b


COMPILED = [mixed, safe, within, steps]
numbers = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 0.5, 1.0, 5e-324, math.inf]))


@pytest.mark.parametrize("transform", COMPILED, ids=[one.name for one in COMPILED])
@given(rows=st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=20))
def test_by_column_is_to_the_bit_as_row_by_row(
    transform: Transform, rows: list[tuple[float | None, float | None, float | None]]
) -> None:
    columns = {one.name: [row[place] for row in rows] for place, one in enumerate(transform.inputs)}
    expected = run_transform(transform, columns, len(rows))
    made = run_compiled(transform, {name: pa.array(column, pa.float64()) for name, column in columns.items()})
    assert made is not None
    column, computed = made
    wanted = pa.array(expected.values, column.type)
    assert column.is_null().to_pylist() == wanted.is_null().to_pylist()
    assert np.asarray(column.drop_null()).tobytes() == np.asarray(wanted.drop_null()).tobytes()
    assert (computed.errors, computed.first_error) == (expected.errors, expected.first_error)


def test_a_row_that_raises_is_named_by_its_own_number() -> None:
    @on_request(on_error="raise")
    def rate(a: float, b: float) -> float:
        return a / b

    with pytest.raises(Invalid, match="row 2: ZeroDivisionError"):
        run_compiled(rate, {"a": pa.array([1.0, None, 1.0]), "b": pa.array([1.0, 0.0, 0.0])})


SHIFT = 3.0


@on_request
def power(a: float) -> float:
    return a**2


@on_request
def remainder(a: float) -> float:
    return a % 2


@on_request
def whole(a: int) -> int:
    return a + 1


@on_request
def outside(a: float) -> float:
    return a + SHIFT


@on_request
def constant(a: float) -> float:
    return a if a > 0 else 2 / 3 + 9007199254740993


@on_request
def several(a: float) -> float:
    b = a * 2
    return b + b


@on_request
def truthy(a: float, b: float) -> float:
    return a or b


@on_request
def lesser_zero(a: float) -> float:
    return -(0 if a > 0 else 1)


REFUSED = [power, remainder, whole, outside, constant, several, truthy, lesser_zero]


@pytest.mark.parametrize("transform", REFUSED, ids=[one.name for one in REFUSED])
def test_what_the_two_sides_do_not_share_is_not_compiled(transform: Transform) -> None:
    assert compile_transform(transform) is None
    assert check_transform(transform).interpreted


@pytest.mark.parametrize("transform", COMPILED, ids=[one.name for one in COMPILED])
def test_both_forms_agree_on_boundary_rows(transform: Transform) -> None:
    facts = check_transform(transform)
    assert not facts.interpreted
    assert facts.rows >= 81
    assert facts.microseconds > 0


def test_boundary_rows_are_the_same_each_time_and_bounded() -> None:
    many = boundary_rows([*mixed.inputs, *(one for one in whole.inputs)])
    assert len(many["b"]) == 1_000
    assert many == boundary_rows([*mixed.inputs, *(one for one in whole.inputs)])


def test_a_row_on_which_the_forms_differ_is_named() -> None:
    with pytest.raises(TransformDiverges, match=r"steps answers a=1.0, b=2.0 with 2.5, by column with 2.0"):
        compare_forms(steps, {"a": [-1.0, 1.0], "b": [2.0, 2.0]}, Computed([4.0, 2.5]))


def test_a_transform_that_answers_in_two_ways_is_refused() -> None:
    seen: list[int] = []

    @on_request
    def counting(a: int) -> int:
        seen.append(a)
        return len(seen)

    with pytest.raises(ImpureTransform, match=r"counting answers a=0 with 1 and then with"):
        check_transform(counting)

    @on_request
    def drawing(a: float) -> float:
        return a * random.random()

    with pytest.raises(ImpureTransform, match="drawing answers"):
        check_transform(drawing)
