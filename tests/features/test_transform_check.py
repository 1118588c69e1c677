"""Transforms on rows at the border of their types: by column as row by row, and the same twice."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.errors import ImpureTransform, Invalid, TransformDiverges
from tidewheel.features.compiled import compile_transform, run_compiled
from tidewheel.features.definition import Parameter, Transform, on_request
from tidewheel.features.transform import Computed, run_transform
from tidewheel.features.transform_check import boundary_rows, check_transform, compare_forms
from tidewheel.schema import DataType


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


@on_request
def several(a: float, b: float) -> float:
    twice = a * 2
    if b > twice:
        return twice / b
    elif b == 0:
        twice = 1.5
    return twice + b


@on_request
def lesser_zero(a: float) -> float:
    return -(0 if a > 0 else 1)


@on_request
def constant(a: float) -> float:
    return a if a > 0 else 2 / 3 + 9007199254740993


@on_request
def rounded(a: float, b: float) -> int:
    return round(a) + int(b) * 3 - math.floor(a / b)


@on_request
def root(a: float, b: float) -> float:
    return math.sqrt(a) if math.isfinite(b) else math.fabs(a) + math.ceil(b)


COMPILED = [mixed, safe, within, steps, several, lesser_zero, constant, rounded, root]
numbers = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 0.5, 1.0, 5e-324, math.inf]))


@pytest.mark.parametrize("transform", COMPILED, ids=[one.name for one in COMPILED])
@settings(max_examples=40)
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


@on_request
def whole(a: int, b: int, c: int) -> int:
    return (a + b) * c - a // b + abs(c) % b


@on_request
def shares(a: int, b: int, c: int) -> float:
    return a / b if a > c else float(b) - c


@on_request
def narrow(a: int, b: int, c: int) -> bool:
    return a in (1, 2, 4611686018427387904) or not (-a < b <= max(a, c, 7))


@on_request
def least(a: int, b: int, x: float) -> float:
    return min(a, x, b) if a < x else max(x, b)


integers = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-9, 9),
    st.sampled_from([(1 << 53) + 1, -(1 << 53) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63)]),
)
WHOLE = [whole, shares, narrow]


@pytest.mark.parametrize("transform", WHOLE, ids=[one.name for one in WHOLE])
@settings(max_examples=40)
@given(rows=st.lists(st.tuples(integers, integers, integers), min_size=1, max_size=20))
def test_integers_by_column_are_pythons_and_what_leaves_64_bits_is_told(
    transform: Transform, rows: list[tuple[int | None, int | None, int | None]]
) -> None:
    columns = {one.name: [row[place] for row in rows] for place, one in enumerate(transform.inputs)}
    held_to_python(transform, columns, {name: pa.array(column, pa.int64()) for name, column in columns.items()})


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(integers, integers, numbers), min_size=1, max_size=20))
def test_integers_among_floats_compare_exactly(rows: list[tuple[int | None, int | None, float | None]]) -> None:
    columns = {one.name: [row[place] for row in rows] for place, one in enumerate(least.inputs)}
    kinds = {"a": pa.int64(), "b": pa.int64(), "x": pa.float64()}
    held_to_python(least, columns, {name: pa.array(column, kinds[name]) for name, column in columns.items()})


@on_request
def code(s: str, t: str) -> str:
    if s.strip().lower() in ("", "none") or t == s:
        return "?"
    return s.upper() + "-" + t.removeprefix("x").replace("a", s)


@on_request
def size(s: str, t: str) -> int:
    return len(s) * 10 + t.count(s) if s < t and s in t else t.find("b") - len(t)


@on_request
def looks_like(s: str, t: str) -> bool:
    return s.startswith(t) or t.isdigit() or "ß" in s


STRINGS = [code, size, looks_like]


@pytest.mark.parametrize("transform", STRINGS, ids=[one.name for one in STRINGS])
@settings(max_examples=40)
@given(rows=st.lists(st.tuples(*[st.none() | st.text(max_size=4) | st.sampled_from(["ß", "İa", " x", "ab"])] * 2), min_size=1))
def test_strings_by_column_are_pythons(transform: Transform, rows: list[tuple[str | None, str | None]]) -> None:
    columns = {one.name: [row[place] for row in rows] for place, one in enumerate(transform.inputs)}
    held_to_python(transform, columns, {name: pa.array(column, pa.string()) for name, column in columns.items()})


@on_request
def hour_of_week(at: datetime) -> int:
    return at.weekday() * 24 + at.hour


@on_request
def calendar(at: datetime) -> int:
    return (
        ((at.year * 100 + at.month) * 100 + at.day) * 100_000_000 + at.minute * 1_000_000 + at.second * 1_000 + at.microsecond
    )


@pytest.mark.parametrize("transform", [hour_of_week, calendar], ids=["hour_of_week", "calendar"])
@settings(max_examples=40)
@given(times=st.lists(st.none() | st.datetimes(timezones=st.just(UTC)), min_size=1))
def test_fields_of_instants_by_column_are_pythons(transform: Transform, times: list[datetime | None]) -> None:
    held_to_python(transform, {"at": times}, {"at": pa.array(times, pa.timestamp("us", "UTC"))})


def held_to_python(transform: Transform, columns: Mapping[str, Sequence[object]], arrays: Mapping[str, pa.Array]) -> None:
    """By column every row has the value and the type of the function's own answer, and the same rows fail."""
    expected = run_transform(transform, columns, len(next(iter(columns.values()))))
    made = run_compiled(transform, arrays)
    assert made is not None, "it is compiled"
    column, computed = made
    assert column.type == transform.returns.type.arrow()
    assert column.equals(pa.array(expected.values, column.type))
    assert [type(one) for one in column.to_pylist()] == [type(one) for one in expected.values]
    assert (computed.errors, computed.first_error) == (expected.errors, expected.first_error)


def test_a_zone_other_than_utc_is_left_to_the_function() -> None:
    assert compile_transform(hour_of_week) is not None
    assert compile_transform(replace(hour_of_week, timezone="America/New_York")) is None


def test_a_column_of_another_type_than_declared_is_left_to_the_function() -> None:
    assert run_compiled(hour_of_week, {"at": pa.array([5])}) is None
    assert run_compiled(whole, {"a": pa.array([1.5]), "b": pa.array([1]), "c": pa.array([1])}) is None


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
def outside(a: float) -> float:
    return a + SHIFT


@on_request
def truthy(a: float, b: float) -> float:
    return a or b


@on_request
def decimals(a: float) -> float:
    return round(a, 1)


@on_request
def logarithm(a: float) -> float:
    return math.log(a)


@on_request
def looped(a: float) -> float:
    total = 0.0
    for _ in range(3):
        total = total + a
    return total


@on_request
def zeroed(a: int, b: float) -> float:
    return -(a if b > 0 else b)


REFUSED = [power, remainder, outside, truthy, decimals, logarithm, looped, zeroed]


@pytest.mark.parametrize("transform", REFUSED, ids=[one.name for one in REFUSED])
def test_what_the_two_sides_do_not_share_is_not_compiled(transform: Transform) -> None:
    assert compile_transform(transform) is None
    assert check_transform(transform).interpreted


ALL = [*COMPILED, *WHOLE, least, *STRINGS, hour_of_week, calendar]


@pytest.mark.parametrize("transform", ALL, ids=[one.name for one in ALL])
def test_both_forms_agree_on_boundary_rows(transform: Transform) -> None:
    facts = check_transform(transform)
    assert not facts.interpreted
    assert facts.rows >= 3
    assert facts.microseconds > 0


def test_boundary_rows_are_the_same_each_time_and_bounded() -> None:
    inputs = [Parameter(name, DataType.FLOAT64, optional=False) for name in "abcd"]
    many = boundary_rows(inputs)
    assert len(many["b"]) == 1_000
    assert many == boundary_rows(inputs)


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
