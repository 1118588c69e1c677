"""Columns that have one basis have one value, whatever else the select does."""

from __future__ import annotations

from itertools import product

import duckdb
import pyarrow as pa
import pytest

from tidewheel.sources.column_basis import column_bases
from tidewheel.sources.definition import Source, source
from tidewheel.sources.expectation import expect

ROWS = pa.table({"t": [1, 2, 3], "a": [4, 5, 6], "b": [1, 0, 2], "c": [7, 8, 9], "x_1": [0, 1, 0]})
ITEMS = ("*", "* EXCLUDE (c)", "* REPLACE (b + 1 AS b)", "t, a", "t, a, b")
MORE = (
    "",
    ", a + b AS d",
    ", a - b AS d",
    ", d * 2 AS e",
    ", a + b AS d, d * 2 AS e",
    ", a + 1 AS c",
    ", c AS x",
    ", a AS b, b AS g",
)
WHERE = ("", " WHERE b > 0", " WHERE c > 7")
NAMES = ("a", "b", "c", "d", "e", "g", "x", "x_1")


def of(select: str | None, **rest: object) -> Source:
    return source("s", ROWS, time="t", select=select, **rest)  # type: ignore[arg-type]


def test_columns_of_one_basis_hold_the_same_values_in_every_select() -> None:
    seen: dict[str, object] = {}
    connection, compared = duckdb.connect().register("this", ROWS), 0
    for item, more, where in product(ITEMS, MORE, WHERE):
        select = f"SELECT {item}{more} FROM this{where}"
        try:
            found = connection.sql(select).to_arrow_table()
        except duckdb.Error:  # a combination that is no select of these rows
            continue
        bases = column_bases(of(select), NAMES)
        for name in set(NAMES) & set(found.column_names):
            values = found[name].to_pylist() if found.column_names.count(name) == 1 else None
            compared += bases[name] in seen
            assert seen.setdefault(bases[name], values) == values, (select, name)
    assert compared > 50


@pytest.mark.parametrize(
    ("before", "after", "kept", "moved"),
    [
        ("SELECT *, a / 2 AS d FROM this", "SELECT *, a / 2 AS d, b AS e FROM this", "abcd", "e"),
        ("SELECT *, a / 2 AS d FROM this", "SELECT * , a/2 AS d /* half */ FROM this", "abcd", ""),
        ("SELECT *, a / 2 AS d FROM this", "SELECT *, a / 3 AS d FROM this", "abc", "d"),
        (None, "SELECT *, a / 3 AS d FROM this", "abc", "d"),
        ("SELECT *, a AS d, d + 1 AS e FROM this", "SELECT *, b AS d, d + 1 AS e FROM this", "abc", "de"),
        ("SELECT *, a AS d FROM this WHERE d > 1", "SELECT *, b AS d FROM this WHERE d > 1", "", "abcd"),
        ("SELECT * FROM this WHERE a > 1", "SELECT * FROM this WHERE a > 2", "", "abc"),
        ("SELECT * FROM this", "SELECT * REPLACE (a + 1 AS t) FROM this", "", "abc"),
        ("SELECT COLUMNS('.') FROM this", "SELECT COLUMNS('.'), a AS d FROM this", "", "abcd"),
        ("SELECT *, a::INT FROM this", "SELECT *, a::INT, b AS d FROM this", "", "abcd"),
    ],
)
def test_an_edit_moves_the_columns_that_it_may_change(before: str | None, after: str, kept: str, moved: str) -> None:
    names = tuple("abcde")
    old, new = column_bases(of(before), names), column_bases(of(after), names)
    assert all(old[name] == new[name] for name in kept)
    assert all(old[name] != new[name] for name in moved)


def test_columns_that_drop_rows_or_order_them_count_for_all_others() -> None:
    first, second = "SELECT *, a AS d FROM this", "SELECT *, b AS d FROM this"
    for rest in (
        {"deleted": "d > 3"},
        {"created": "d"},
        {"event_id": "b"},
        {"expect": [expect("d", null=False, otherwise="quarantine")]},
    ):
        assert column_bases(of(first, **rest), ("a",)) != column_bases(of(second, **rest), ("a",))
    assert column_bases(of(first), ("a",)) == column_bases(of(second), ("a",))
