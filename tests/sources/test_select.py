"""Selects are row-wise, or refused."""

from __future__ import annotations

import pytest

from tidewheel.errors import Invalid
from tidewheel.sources.select import parse_select


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM this",
        "SELECT sum(a) OVER () FROM this",
        "SELECT a FROM this QUALIFY 1 = 1",
        "SELECT DISTINCT a FROM this",
        "SELECT a FROM this ORDER BY a",
        "SELECT a FROM this LIMIT 3",
        "SELECT a FROM this GROUP BY a",
        "SELECT unnest(a) FROM this",
        "SELECT a FROM this, that",
        "SELECT a FROM this JOIN that USING (a)",
        "SELECT a FROM (SELECT * FROM this)",
        "SELECT (SELECT max(a) FROM this) FROM this",
        "WITH x AS (SELECT 1) SELECT * FROM this",
        "SELECT a FROM this UNION ALL SELECT a FROM this",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM other.this",
        "SELECT * FROM that",
        "SELECT 1",
        "SELECT a FROM this; SELECT b FROM this",
        "DELETE FROM this",
        "SELECT random() AS r FROM this",
        "SELECT now() AS n FROM this",
        "SELECT current_date AS n FROM this",
        "SELEC a FROM this",
        "SELECT (a FROM this",
    ],
)
def test_what_is_not_row_wise_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_select(text, "taxi.py:3")
    assert caught.value.where == "taxi.py:3"
    assert caught.value.fix


def test_columns_that_are_read_are_known() -> None:
    select = parse_select("SELECT a, b + c AS d FROM this WHERE E > 1 -- note")
    assert select.reads(("a", "b", "c", "e", "f")) == ("a", "b", "c", "e")
    assert parse_select("SELECT * FROM this").reads(("a", "f")) == ("a", "f")
    assert parse_select(None).reads(("a", "f")) == ("a", "f")


def test_a_column_is_followed_to_the_raw_one_only_where_nothing_changed_it() -> None:
    select = parse_select("SELECT *, a AS b, c + 1 AS d FROM this")
    assert [select.raw_column(name) for name in ("a", "b", "d", "z")] == ["a", "a", None, "z"]
    assert parse_select("SELECT * REPLACE (x + 1 AS x) FROM this").raw_column("x") is None
    assert parse_select("SELECT t.a FROM this AS t").raw_column("a") == "a"
