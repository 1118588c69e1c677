"""Transforms as SQL: every function of the subset as Python has it, to the bit, or left to Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.sql_functions import GROUPS, HARD, Rows, hard_rows, holds_on

from tidewheel.backends.duckdb import DuckDB
from tidewheel.features import compute_transforms
from tidewheel.features.compute_transforms import Computer
from tidewheel.features.definition import Parameter, Transform, on_request
from tidewheel.features.sql_form import sql_of
from tidewheel.schema import DataType

VALUES: dict[DataType, st.SearchStrategy[object]] = {
    DataType.FLOAT64: st.floats() | st.integers(-20, 20).map(lambda one: one / 2),
    DataType.INT64: st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-9, 9),
    DataType.STRING: st.text(max_size=4) | st.text("abAB ", max_size=4),
    DataType.BOOL: st.booleans(),
    DataType.TIMESTAMP: st.datetimes(timezones=st.just(HARD[DataType.TIMESTAMP][0].tzinfo)),  # type: ignore[attr-defined]
}


def rows_of(inputs: Sequence[Parameter]) -> st.SearchStrategy[Rows]:
    columns = [VALUES[one.type] | st.sampled_from(HARD[one.type]) for one in inputs]
    found = [st.none() | column if one.optional else column for one, column in zip(inputs, columns, strict=True)]
    return st.lists(st.tuples(*found), min_size=1, max_size=50)


@pytest.fixture(scope="module")
def duckdb() -> Iterator[DuckDB]:
    with DuckDB(threads=1) as engine:
        yield engine


@pytest.mark.parametrize("name", GROUPS)
def test_hard_rows_are_pythons_to_the_bit(name: str, duckdb: DuckDB) -> None:
    group = GROUPS[name]
    sure = holds_on(duckdb, group, hard_rows(group[0].inputs, 1_500))
    assert min(sure) > 200, "the query itself answers"


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_any_rows_are_pythons_to_the_bit(name: str, duckdb: DuckDB) -> None:
    group = GROUPS[name]

    @settings(max_examples=12)
    @given(rows_of(group[0].inputs))
    def held(rows: Rows) -> None:
        holds_on(duckdb, group, rows)

    held()


@on_request
def ratio(a: float, b: float) -> float:
    return a / b


@on_request
def above(ratio: float, a: float) -> bool:
    return ratio > a


@on_request
def told(ratio: float | None) -> float:
    return -1.0 if ratio is None else ratio


def test_a_chain_is_one_query_and_a_row_that_was_asked_of_python_goes_on(
    duckdb: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute_transforms, "QUERY_ROWS", 1)
    given = {"a": pa.array([1.0, 1.0, None, 4.0]), "b": pa.array([2.0, 0.0, 1.0, 0.5])}
    with Computer([ratio, above, told], engine=duckdb, rows=4) as computer:
        made = computer.run(given, 4)
    assert made["ratio"].to_pylist() == [0.5, None, None, 8.0]
    assert made["above"].to_pylist() == [False, None, None, True]
    assert made["told"].to_pylist() == [0.5, -1.0, -1.0, 8.0], "a doubt is not told as None"
    assert [(one.transform, one.form, one.errors) for one in computer.reports] == [
        ("ratio", "query", 1),
        ("above", "query", 0),
        ("told", "query", 0),
    ]


@on_request
def swapped(i1: float, i0: float) -> float:
    return i1 * 10 + i0


@on_request
def stepped(swapped: float, s0: float, S1: float) -> float:  # noqa: N803 - engines know no case
    held = swapped if swapped > S1 else s0
    return held * held + s0


def test_inputs_may_be_called_like_the_steps_of_a_query(duckdb: DuckDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_transforms, "QUERY_ROWS", 1)
    names = {"i1": [1.0, 2.0], "i0": [100.0, 200.0], "s0": [7.0, 8.0], "S1": [0.0, 500.0]}
    with Computer([swapped, stepped], engine=duckdb, rows=2) as computer:
        made = computer.run({name: pa.array(values) for name, values in names.items()}, 2)
    assert [one.form for one in computer.reports] == ["query", "query"]
    assert made["swapped"].to_pylist() == [110.0, 220.0]
    assert made["stepped"].to_pylist() == [110.0 * 110.0 + 7.0, 8.0 * 8.0 + 8.0]


@on_request
def powered(a: float) -> float:
    return a**2


@on_request
def remaining(a: float) -> float:
    return a % 2


@on_request
def titled(s: str) -> str:
    return s.title()


@on_request
def placed(s: str) -> str:
    return s[0]


@on_request
def tenth(a: float) -> float:
    return round(a, 1)


@on_request
def surrogate(s: str) -> str:
    return s + "\ud800"


@pytest.mark.parametrize("transform", [powered, remaining, titled, placed, tenth, surrogate], ids=lambda one: one.name)
def test_what_engines_do_not_share_has_no_form(transform: Transform) -> None:
    assert sql_of([transform], "duckdb") is None
    assert sql_of([transform], "spark") is None


def test_an_engine_of_another_dialect_has_no_form() -> None:
    assert sql_of([ratio], "mysql") is None
