"""A user's first hour: init, plan, apply, look, change something, go back."""

from __future__ import annotations

import json

import pytest
from tests.journeys.acting import Project

pytestmark = pytest.mark.slow


@pytest.mark.nightly
def test_plan_apply_plan(fresh: Project) -> None:
    before = fresh.json("plan", code=2)
    changes = before["changes"]
    assert isinstance(changes, list)
    assert {change["action"] for change in changes} == {"add"}
    fresh.run("apply", "--yes")
    assert fresh.json("plan")["changes"] == []
    assert fresh.json("apply", "--yes")["changes"] == []


def test_edit_of_a_helper_names_all_that_hangs_on_it_and_a_comment_changes_nothing(fresh: Project) -> None:
    transform = (
        "def rounded(number: float) -> int:\n    return int(number // 2)\n\n\n"
        "@tw.on_request\ndef pairs(items: int) -> int:\n    return rounded(items)\n\n\n"
        'inputs = tw.service("inputs", ShopLately, pairs, '
    )
    fresh.edit("bakery/definitions.py", 'inputs = tw.service("inputs", ShopLately, ', transform)
    fresh.run("apply", "--yes")
    fresh.edit(
        "bakery/definitions.py", "    return int(number // 2)\n", "    # halves, rounded down\n    return int(number // 2)\n"
    )
    assert fresh.json("plan")["changes"] == []

    fresh.edit("bakery/definitions.py", "int(number // 2)", "int(number // 3)")
    told = fresh.json("plan", code=2)
    changes = {change["node"]: change for change in told["changes"]}
    changed = changes["transform:pairs"]
    assert changed["action"] == "change"
    (reason,) = changed["reasons"]
    line = next(
        n for n, text in enumerate((fresh.root / "bakery/definitions.py").read_text().splitlines(), 1) if "def rounded" in text
    )
    assert reason["where"] == f"bakery/definitions.py:{line}"
    assert set(changed["downstream"]) >= {"service:inputs", "training_set:basket", "model:amount", "deployment:amount"}
    text = fresh.run("plan", code=2)
    for name in (
        "transform:pairs",
        "training_set:basket",
        "model:amount",
        "deployment:amount",
        f"bakery/definitions.py:{line}",
    ):
        assert name in text
    why = fresh.json("why", "transform:pairs")
    assert [r["component"] for r in why["reasons"]] == [reason["component"]]


_UNTRACKED = """
import polars


@tw.step
def rows(path: str) -> int:
    return len(polars.read_csv(path))
"""


@pytest.mark.nightly
def test_metadata_rebuilds_nothing(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    fresh.edit("bakery/definitions.py", 'owner="me"', 'owner="you"')
    told = fresh.json("plan", code=2)
    assert [(c["node"], c["action"], c["builds"]) for c in told["changes"]] == [("source:orders", "metadata", False)]
    assert not any(step["built"] for step in fresh.json("apply", "--yes")["steps"])
    assert fresh.json("plan")["changes"] == []


def test_a_model_run_on_new_data_leaves_nothing_to_plan(fresh: Project) -> None:
    fresh.run("apply", "--yes")
    orders = fresh.root / "data" / "orders.csv"
    later = "o9,2026-03-01T10:00:00+00:00,2026-03-01T10:30:00+00:00,3,2,21.5\n"
    (fresh.root / "data" / "march.csv").write_text(orders.read_text().splitlines()[0] + "\n" + later)
    told = fresh.json("run", "model:amount", code=3)  # one order more does not make a better model: the gate says so
    assert "monitor:amount" in {step["node"] for step in told["steps"]}
    assert fresh.json("plan")["changes"] == []
    compared = fresh.json("why", "amount:1", "amount:2")
    assert [reason["component"] for reason in compared["reasons"]] == ["upstream:training_set:basket"]
    assert compared["verdict"] == "1 component differs, and gave other content"
    ids = compared["old"]["id"][:8], compared["new"]["id"][:8]
    assert fresh.json("why", *ids) == compared
    assert "upstream:training_set:basket" in fresh.run("why", *ids)
    assert json.loads(fresh.run("why", "amount:1", "zzzz", "--json", code=1))["code"] == "NotFound"


@pytest.mark.nightly
def test_strict_refuses_what_cannot_be_followed_with_file_and_line(fresh: Project) -> None:
    definitions = (fresh.root / "bakery/definitions.py").read_text()
    fresh.edit("bakery/definitions.py", "import tidewheel as tw\n", f"import tidewheel as tw\n{_UNTRACKED}")
    lines = (fresh.root / "bakery/definitions.py").read_text().splitlines()
    place = f"bakery/definitions.py:{lines.index('    return len(polars.read_csv(path))') + 1}"
    for verb in (("plan",), ("apply", "--yes"), ("run", "model:amount")):
        refused = json.loads(fresh.run(*verb, "--strict", "--json", code=1))
        assert (refused["code"], refused["field"]) == ("UntrackedRead", place)
        assert "read_csv" in refused["error"]
    (fresh.root / "bakery/definitions.py").write_text(definitions)
    fresh.run("plan", "--strict", code=2)


def test_a_saved_plan_is_applied_exactly_or_refused(fresh: Project) -> None:
    fresh.run("plan", "--out", "plan.json", code=2)
    fresh.edit("bakery/definitions.py", '"7d")\n\n\ninputs', '"5d")\n\n\ninputs')
    refused = json.loads(fresh.run("apply", "--plan", "plan.json", "--yes", "--json", code=1))
    assert refused["code"] == "StalePlan"
    fresh.run("plan", "--out", "plan.json", code=2)
    fresh.run("apply", "--plan", "plan.json", "--yes")
    assert fresh.json("plan")["changes"] == []


def test_reproduction_gives_the_same_content(bakery: Project) -> None:
    assert bakery.json("repro", "--here", "basket")["equal"] is True
    assert bakery.json("repro", "--here", "model:amount")["equal"] is True


@pytest.mark.nightly
def test_show_and_why_answer_for_every_node(bakery: Project) -> None:
    described = bakery.json("show")
    nodes = [node["id"] for node in described["nodes"]]
    assert len(nodes) >= 8
    for node in nodes:
        assert node in bakery.run("show", node)
    assert "up to date" in bakery.run("why", "model:amount")


def test_a_wrong_name_is_answered_with_the_right_one(bakery: Project) -> None:
    told = json.loads(bakery.run("show", "model:amonut", "--json", code=1))
    assert told["code"] == "NotFound"
    assert "model:amount" in told["fix"]
