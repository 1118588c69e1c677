"""Plans, as pure values."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tidewheel.cli.render import render_plan
from tidewheel.errors import Invalid
from tidewheel.features.aggregations.count import count
from tidewheel.features.aggregations.sum import sum
from tidewheel.features.feature import lookup
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.project.change_class import CLASSES
from tidewheel.project.column_change import ColumnChange, Happening, Measured
from tidewheel.project.graph import Graph
from tidewheel.project.plan import Action, Change, Objection, Plan, Reason, State, compare
from tidewheel.project.plan_file import load_plan, plan_to_json, save_plan
from tidewheel.project.wording import describe

VIEW, MODEL = NodeId("view:pace"), NodeId("model:eta")
GRAPH = Graph.of(
    [
        Declaration(VIEW, object(), "f.py:1", meta={"owner": "ann"}),
        Declaration(MODEL, object(), "m.py:9", upstream=(VIEW,), meta={"owner": "bob"}),
    ]
)


def recipe(kind: str, **parts: str) -> Recipe:
    return Recipe(
        kind, {f"{name.replace('__', ':')}": Component(value, where=f"f.py:{len(value)}") for name, value in parts.items()}
    )


def state(view: Recipe, model: Recipe, **rest: frozenset[NodeId]) -> State:
    meta = Recipe("meta", {})
    return State({VIEW: view, MODEL: model}, {VIEW: meta, MODEL: meta}, **rest)


BEFORE = state(recipe("view", param__ttl="1d"), recipe("model", code__fit="aa", upstream__view="x"))


def plan(old: State, new: State) -> Plan:
    return compare(GRAPH, old, new, environment="dev", base_version=3)


def test_equal_states_give_an_empty_plan() -> None:
    assert plan(BEFORE, BEFORE).empty


def test_everything_is_new_in_an_empty_environment() -> None:
    made = plan(State({}, {}), BEFORE)
    assert [(c.node, c.action, c.kind) for c in made.changes] == [(VIEW, "add", "additive"), (MODEL, "add", "additive")]


def test_a_changed_parameter_names_the_component_its_place_and_all_that_hangs_on_it() -> None:
    after = state(recipe("view", param__ttl="12d"), BEFORE.recipes[MODEL], pending=frozenset({MODEL}))
    first, second = plan(BEFORE, after).changes
    assert (first.node, first.action, first.downstream) == (VIEW, "change", (MODEL,))
    assert [(r.component, r.old, r.new, r.where) for r in first.reasons] == [("param:ttl", "1d", "12d", "f.py:3")]
    assert (second.node, second.action, second.recipe) == (MODEL, "follow", None)


def test_of_a_view_a_plan_shows_the_features_that_differ_in_words() -> None:
    kept = [lookup("zone").parameters | {"name": "zone"}, count().parameters | {"name": "ever"}]

    def of(window: str) -> State:
        features = describe([sum("amount", window, where="ok").parameters | {"name": "spent"}, *kept])
        view = Recipe("view", {"param:features": Component(features, note=features)})
        return state(view, BEFORE.recipes[MODEL])

    shown = render_plan(plan(of("1d"), of("2d"))).splitlines()
    assert [line.strip() for line in shown if line.strip()[:2] in ("- ", "+ ")] == [
        "- spent = sum(amount, window=1d, hop=1h, where='ok')",
        "+ spent = sum(amount, window=2d, hop=1h, where='ok')",
    ]
    assert describe(kept) == "zone = lookup(zone)\never = count(window=forever, hop=1d)"


def test_a_pending_node_whose_own_code_changed_says_so() -> None:
    after = state(recipe("view", param__ttl="2d"), recipe("model", code__fit="bb"), pending=frozenset({MODEL}))
    second = plan(BEFORE, after).changes[1]
    assert second.action == "change"
    assert [r.component for r in second.reasons] == ["code:fit"]


def test_metadata_alone_builds_nothing() -> None:
    after = State(BEFORE.recipes, {VIEW: recipe("meta", meta__owner="cid"), MODEL: BEFORE.metas[MODEL]})
    (change,) = plan(BEFORE, after).changes
    assert (change.action, change.kind, change.builds) == ("metadata", "metadata", False)


def test_a_build_that_never_finished_is_taken_up_again() -> None:
    (change,) = plan(BEFORE, state(BEFORE.recipes[VIEW], BEFORE.recipes[MODEL], missing_builds=frozenset({MODEL}))).changes
    assert (change.node, change.action, change.builds) == (MODEL, "finish", True)


def test_what_is_no_longer_declared_is_removed() -> None:
    old = State({**BEFORE.recipes, NodeId("view:gone"): recipe("view")}, BEFORE.metas)
    (change,) = plan(old, BEFORE).changes
    assert (change.node, change.action) == ("view:gone", "remove")


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"lib__numpy": "2"}, "environment"),
        ({"data__a": "x", "data__snapshot": "y"}, "data"),
        ({"param__ttl": "z"}, "value-changing"),
    ],
)
def test_change_classes(parts: dict[str, str], kind: str) -> None:
    old = state(recipe("view", **dict.fromkeys(parts, "old")), BEFORE.recipes[MODEL])
    new = state(recipe("view", **parts), BEFORE.recipes[MODEL])
    assert plan(old, new).changes[0].kind == kind


def test_a_saved_plan_comes_back_equal_and_an_edited_one_is_refused(tmp_path: Path) -> None:
    made = plan(State({}, {}), BEFORE)
    path = tmp_path / "plan.json"
    save_plan(made, path)
    assert load_plan(path) == load_plan(path, "dev") == made
    with pytest.raises(Invalid, match="is a plan for dev, not for prod"):
        load_plan(path, "prod")
    edited = msgspec.json.decode(path.read_bytes())
    edited["plan"]["changes"].pop()
    path.write_bytes(msgspec.json.encode(edited))
    with pytest.raises(Invalid, match="changed after it was saved"):
        load_plan(path)
    path.write_text("{")
    with pytest.raises(Invalid, match="not a saved plan"):
        load_plan(path)


def shown_plan() -> Plan:
    after = State(
        {VIEW: recipe("view", param__ttl="12d"), MODEL: recipe("model", code__fit="aa")},
        {VIEW: recipe("meta", meta__owner="cid"), MODEL: BEFORE.metas[MODEL]},
        pending=frozenset({MODEL}),
        missing_builds=frozenset({VIEW}),
    )
    made = plan(BEFORE, after)
    first, second = made.changes
    columns = (ColumnChange("fare", "changed", Measured(1000, 250, 0.25, 0.125, 0, 2)), ColumnChange("tip", "added"))
    objection = Objection("IncompatibleChange", VIEW, "it would break somebody", "give it another name")
    return replace(
        made,
        changes=(replace(first, estimate_seconds=2.5, estimate_cost=0.004, columns=columns), second),
        objections=(objection,),
        currency="EUR",
    )


def test_the_json_of_a_plan_is_what_its_page_shows() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "plan_json.md").read_text()
    (shown,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert json.loads(shown) == json.loads(json.dumps(plan_to_json(shown_plan())))


def test_the_page_of_the_json_names_every_field_and_every_word() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "plan_json.md").read_text()
    told = plan_to_json(shown_plan())
    known = {*told, *(one.name for kind in (Change, ColumnChange, Measured, Reason, Objection) for one in fields(kind))}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == known
    assert {*CLASSES, *get_args(Action), *get_args(Happening)} <= set(re.findall(r"`([\w-]+)`", page))
