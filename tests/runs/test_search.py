"""Searches find what they say, in order, a page at a time."""

from __future__ import annotations

import math

import pytest
from tests.runs.conftest import Ticks

from tidewheel.errors import Invalid
from tidewheel.runs.record import Runs


@pytest.fixture
def five(runs: Runs, clock: Ticks) -> Runs:
    """Five runs: metric mae 5, 3, NaN, inf and none."""
    for place, mae in enumerate((5.0, 3.0, math.nan, math.inf, None)):
        tags = {"team": "Eta*[1]"} if place == 0 else {"team": "fares"} if place == 1 else {}
        parameters = {"lr": 0.1 * place, "kind": f"k{place}"}
        with runs.start(f"run{place}", experiment="taxi", parameters=parameters, environment_lock={}, tags=tags) as run:
            if mae is not None:
                run.log(mae=9.0)
                run.log(mae=mae)
    return runs


def names(runs: Runs, filter: str = "", *order_by: str) -> str:
    return " ".join(run.name[3:] for run in runs.search(filter, order_by=order_by or ["name"]).runs)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("", "0 1 2 3 4"),
        ("metrics.mae < 5", "1"),
        ("metrics.mae <= 5", "0 1"),
        ("metrics.mae > 5", "3"),
        ("metrics.mae = 3", "1"),
        ("metrics.mae != 3", "0 2 3 4"),
        ("metrics.mae IN (3, 5)", "0 1"),
        ("metrics.mae NOT IN (3, 5)", "2 3 4"),
        ("metrics.mae IS NULL", "4"),
        ("metrics.mae IS NOT NULL", "0 1 2 3"),
        ("params.kind = 'k1'", "1"),
        ("params.kind != 'k1'", "0 2 3 4"),
        ("params.lr > 0.15", "2 3 4"),
        ("params.lr = '0.1'", "1"),
        ("params.lr = 0.1", "1"),
        ("params.kind IN ('k1', 'k2')", "1 2"),
        ("tags.team = 'fares'", "1"),
        ("tags.team != 'fares'", "0 2 3 4"),
        ("tags.team IS NULL", "2 3 4"),
        ("tags.team LIKE 'Eta%'", "0"),
        ("tags.team LIKE 'eta%'", ""),
        ("tags.team ILIKE 'eta%'", "0"),
        ("tags.team LIKE 'Eta*[1]'", "0"),
        ("tags.team LIKE '%*%'", "0"),
        ("tags.team LIKE 'far_s'", "1"),
        ("tags.team LIKE 'far%_s'", "1"),
        ("tags.team NOT LIKE 'far%'", "0 2 3 4"),
        ("name LIKE 'run%' AND status = 'finished' AND experiment = 'taxi'", "0 1 2 3 4"),
        ("name IN ('run1', 'run3')", "1 3"),
        ("name NOT IN ('run1', 'run3')", "0 2 4"),
        ("recipe IS NULL", "0 1 2 3 4"),
        ("recipe != 'x'", "0 1 2 3 4"),
        ("recipe = 'x'", ""),
        ("started_at < '2020-01-01T00:00:02Z'", "0"),
        ("metrics.mae < 6 AND tags.team IS NOT NULL AND params.kind != 'k0'", "1"),
        ("tags.nothing = 'x'", ""),
    ],
)
def test_filters(five: Runs, filter: str, expected: str) -> None:
    assert names(five, filter) == expected


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ((), "4 3 2 1 0"),
        (("metrics.mae", "name"), "1 0 3 2 4"),
        (("metrics.mae DESC", "name"), "3 0 1 2 4"),
        (("params.lr DESC",), "4 3 2 1 0"),
        (("tags.team", "name DESC"), "0 1 4 3 2"),
        (("started_at",), "0 1 2 3 4"),
    ],
)
def test_orders_and_pages(five: Runs, order_by: tuple[str, ...], expected: str) -> None:
    assert " ".join(run.name[3:] for run in five.search(order_by=order_by).runs) == expected
    for limit in (1, 2, 3, 5):
        turned: list[str] = []
        token: str | None = None
        while True:
            page = five.search(order_by=order_by, limit=limit, token=token)
            assert len(page.runs) <= limit
            turned += [run.name[3:] for run in page.runs]
            token = page.token
            if token is None:
                break
        assert " ".join(turned) == expected


def test_a_run_that_starts_while_pages_are_turned_neither_hides_nor_repeats_others(five: Runs) -> None:
    first = five.search(limit=2)
    with five.start("new", experiment="taxi", environment_lock={}):
        pass
    second = five.search(limit=10, token=first.token)
    assert [run.name for run in (*first.runs, *second.runs)] == ["run4", "run3", "run2", "run1", "run0"]


@pytest.mark.parametrize("token", ["garbage", "", "bnVsbA==", "é"])
def test_a_token_of_another_search_is_refused(five: Runs, token: str) -> None:
    other = five.search("metrics.mae < 9", limit=1).token
    assert other is not None
    for wrong in (token, other):
        with pytest.raises(Invalid, match="token"):
            five.search("", token=wrong)


def test_limits_are_bounded(runs: Runs) -> None:
    for limit in (0, -1, 1_001):
        with pytest.raises(Invalid, match="limit"):
            runs.search(limit=limit)
