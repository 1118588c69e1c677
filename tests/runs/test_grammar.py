"""The search language: what it reads, and how it says what it cannot read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import Invalid
from tidewheel.runs.grammar import Comparison, Key, Order, parse_filter, parse_order

MAE = Key("metric", "mae")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("metrics.mae < 5", (Comparison(MAE, "<", (5.0,)),)),
        ("metric.mae>=-1.5e3", (Comparison(MAE, ">=", (-1500.0,)),)),
        ("metrics.`val loss` = 1", (Comparison(Key("metric", "val loss"), "=", (1.0,)),)),
        ('metrics."a.b" = 1', (Comparison(Key("metric", "a.b"), "=", (1.0,)),)),
        ("metrics.test.mae <> 1", (Comparison(Key("metric", "test.mae"), "!=", (1.0,)),)),
        ("params.lr = '0.1'", (Comparison(Key("parameter", "lr"), "=", ("0.1",)),)),
        ("params.lr < 0.2", (Comparison(Key("parameter", "lr"), "<", (0.2,)),)),
        ("tags.who = 'O''Hara'", (Comparison(Key("tag", "who"), "=", ("O'Hara",)),)),
        ("tags.team LIKE 'eta%'", (Comparison(Key("tag", "team"), "LIKE", ("eta%",)),)),
        ("tags.team not ilike 'ETA%'", (Comparison(Key("tag", "team"), "ILIKE", ("ETA%",), True),)),
        ("status IN ('failed', 'interrupted')", (Comparison(Key("attribute", "status"), "IN", ("failed", "interrupted")),)),
        ("tags.team IS NOT NULL", (Comparison(Key("tag", "team"), "NULL", (), True),)),
        ("started_at > '1970-01-01T00:00:01Z'", (Comparison(Key("attribute", "started_at"), ">", (1e6,)),)),
        (
            "metrics.mae < 5 and attributes.name = 'eta' AND tags.x != 'y'",
            (
                Comparison(MAE, "<", (5.0,)),
                Comparison(Key("attribute", "name"), "=", ("eta",)),
                Comparison(Key("tag", "x"), "!=", ("y",)),
            ),
        ),
    ],
)
def test_reads(text: str, expected: tuple[Comparison, ...]) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "what", "fix"),
    [
        ("metrics.mae < 'five'", 15, "compared with a text", "a number"),
        ("metrics.mae", 12, "expected a comparison", "LIKE"),
        ("metrics.mae <", 14, "expected a value", "number"),
        ("metrics.mae < 5 OR metrics.mae > 7", 17, "expected AND", "no OR"),
        ("metrics.mae < 5 metrics.rmse > 7", 17, "expected AND", "AND"),
        ("metrix.mae < 5", 1, "no group of keys", "did you mean metrics?"),
        ("experimnt = 'a'", 1, "no attribute", "did you mean experiment?"),
        ("status = 'finishd'", 10, "no status", "did you mean finished?"),
        ("name = eta", 8, "expected a value", "single quotes"),
        ("name = 5", 8, "is a text", "'5'"),
        ("name < 'b'", 8, "not less or greater", "LIKE or IN"),
        ("tags.a IN 'x'", 11, "needs a list", "IN ('a', 'b')"),
        ("tags.a IN ('x'", 15, "not closed", "IN ('a', 'b')"),
        ("params.a IN ('x', 1)", 21, "mixes", "IN"),
        ("metrics.mae LIKE '5%'", 18, "LIKE compares texts", "number"),
        ("metrics.mae < 5; DROP TABLE runs", 16, "';' is not understood", "AND"),
        ("(metrics.mae < 5)", 1, "expected a key", "metrics.NAME"),
        ("tags.a = 'open", 10, "not understood", "comparisons"),
    ],
)
def test_says_where_and_how_to_fix(text: str, position: int, what: str, fix: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filter(text)
    assert what in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"position {position} of")
    assert fix in (caught.value.fix or "")


@given(st.text(alphabet="metrics.params tags=<>!'`\"()%,5eE-+ANDINLIKEnull\n\\;", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except Invalid as error:
        assert error.where
        assert error.fix


def test_orders() -> None:
    assert parse_order("metrics.mae desc") == Order(MAE, True)
    assert parse_order("started_at") == Order(Key("attribute", "started_at"))
    for wrong in ("metrics.mae down", "metrics.mae ASC name", "", "mae"):
        with pytest.raises(Invalid):
            parse_order(wrong)
