"""Recipes, builds, lineage, search and memory, on both databases."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.conftest import Ticking

from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.errors import NotFound
from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.build import Build
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.ledger.record import Ledger


@pytest.fixture
def ledger(database: Database, clock: Ticking) -> Ledger:
    return Ledger(database, clock)


def recipe(kind: str = "view", **components: str) -> Recipe:
    return Recipe(kind, {f"param:{name}": Component(value) for name, value in components.items()})


def uses(kind: str, upstream: Mapping[NodeId, str]) -> Recipe:
    return Recipe(kind, {f"upstream:{node}": Component(content) for node, content in upstream.items()})


def build(of: Recipe, node: NodeId, name: str, *, content: str = "content") -> Build:
    reads = (Read("file", "data/a.csv", digest("a")), Read("env", "TZ", None))
    return Build(of.digest, node, digest(content), b'{"path": "x"}', reads, Micros(1), Micros(2_000_001), "ann", name)


VIEW = node_id("view", "ZonePace")


def test_a_recipe_comes_back_whole(ledger: Ledger) -> None:
    odd = "line\x00with \udcff and \n é 😀"
    whole = Recipe("view", {"code:f": Component("1", "taxi/f.py:3", "def f(): ..."), "read:x": Component(odd, odd, odd)})
    ledger.put_recipe(VIEW, whole)
    ledger.put_recipe(VIEW, whole)
    assert ledger.get_recipe(whole.digest) == whole
    assert ledger.get_recipes([whole.digest]) == {whole.digest: whole}


def test_an_unknown_recipe_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match=digest("nothing")):
        ledger.get_recipe(digest("nothing"))


def test_two_nodes_may_have_one_recipe(ledger: Ledger) -> None:
    same = recipe(ttl="1d")
    other = node_id("view", "RoutePace")
    ledger.put_recipe(VIEW, same)
    ledger.put_recipe(other, same)
    assert ledger.search("pace") == [other, VIEW]


def test_a_build_is_found_by_its_recipe_with_all_that_it_holds(ledger: Ledger) -> None:
    made = build(recipe(ttl="1d"), VIEW, "b1")
    assert ledger.find_build(made.recipe) is None
    assert ledger.record_build(made) == made
    assert ledger.find_build(made.recipe) == made


def test_the_first_build_of_a_recipe_stands(ledger: Ledger) -> None:
    first = build(recipe(ttl="1d"), VIEW, "b1", content="one")
    second = build(recipe(ttl="1d"), VIEW, "b2", content="two")
    ledger.record_build(first)
    assert ledger.record_build(second) == first
    assert ledger.record_build(first) == first
    assert ledger.list_builds(VIEW) == [first]


def test_a_retired_build_makes_room_for_another(ledger: Ledger) -> None:
    first, second = build(recipe(), VIEW, "b1", content="one"), build(recipe(), VIEW, "b2", content="two")
    ledger.record_build(first)
    assert ledger.retire_build(first.recipe, actor="ann", reason="artifact damaged")
    assert not ledger.retire_build(first.recipe, actor="ann", reason="again")
    assert ledger.find_build(first.recipe) is None
    assert ledger.record_build(second) == second
    assert ledger.list_builds(VIEW) == [second]


def test_builds_are_listed_newest_first_and_found_many_at_once(ledger: Ledger) -> None:
    made = [ledger.record_build(build(recipe(ttl=str(n)), VIEW, f"b{n}")) for n in range(5)]
    assert ledger.list_builds(VIEW, limit=3) == made[:1:-1]
    wanted = [one.recipe for one in made[:2]]
    assert ledger.find_builds([*wanted, digest("absent")]) == {one.recipe: one for one in made[:2]}
    assert ledger.find_builds([]) == {}


def test_many_recipes_are_asked_for_at_once(ledger: Ledger) -> None:
    made = ledger.record_build(build(recipe(), VIEW, "b1"))
    asked = [Digest(f"{n}") for n in range(40_000)] + [made.recipe]
    assert ledger.find_builds(asked) == {made.recipe: made}


def test_lineage_goes_up_and_down_by_content(ledger: Ledger) -> None:
    # source -> view -> training set (built) -> model (built) ; a second source feeds nothing
    source, data, model = node_id("source", "trips"), node_id("training_set", "rides"), node_id("model", "eta")
    of_source = recipe("source", data="1")
    of_view = uses("view", {source: of_source.digest})  # nothing to build: its recipe is its content
    of_data = uses("training_set", {VIEW: of_view.digest, source: of_source.digest})
    built_data = build(of_data, data, "b1", content="rows")
    of_model = uses("model", {data: built_data.content})
    for node, one in ((source, of_source), (VIEW, of_view), (data, of_data), (model, of_model)):
        ledger.put_recipe(node, one)
    ledger.put_recipe(node_id("source", "zones"), recipe("source", data="2"))
    ledger.record_build(built_data)

    up = ledger.upstream(of_model.digest)
    assert [(edge.node, edge.recipe, edge.depth) for edge in up] == [
        (data, of_data.digest, 1),
        (source, of_source.digest, 2),
        (VIEW, of_view.digest, 2),
    ]
    assert up[0].content == built_data.content
    down = ledger.downstream(of_source.digest)
    assert {(edge.node, edge.recipe, edge.content, edge.depth) for edge in down} == {
        (VIEW, of_view.digest, None, 1),
        (data, of_data.digest, built_data.content, 1),
        (model, of_model.digest, None, 2),
    }
    assert ledger.downstream(of_model.digest) == []
    assert ledger.upstream(of_source.digest) == []


def test_lineage_says_when_a_content_is_of_unknown_origin(ledger: Ledger) -> None:
    one = uses("model", {node_id("training_set", "gone"): digest("bytes")})
    ledger.put_recipe(node_id("model", "eta"), one)
    (edge,) = ledger.upstream(one.digest)
    assert (edge.content, edge.recipe) == (digest("bytes"), None)


def test_another_node_of_the_same_content_is_not_downstream(ledger: Ledger) -> None:
    left, right = node_id("training_set", "left"), node_id("training_set", "right")
    of_left, of_right = uses("training_set", {VIEW: "1"}), uses("training_set", {VIEW: "2"})
    for node, one, name in ((left, of_left, "b1"), (right, of_right, "b2")):
        ledger.put_recipe(node, one)
        ledger.record_build(build(one, node, name, content="equal"))
    model = uses("model", {right: digest("equal")})
    ledger.put_recipe(node_id("model", "eta"), model)
    assert ledger.downstream(of_left.digest) == []
    assert [edge.node for edge in ledger.downstream(of_right.digest)] == ["model:eta"]


def test_search_finds_ids_first_then_owners_and_descriptions_whatever_the_case(ledger: Ledger) -> None:
    told = Recipe(
        "meta", {"meta:owner": Component("1", note="Pace Team"), "meta:description": Component("2", note="100% of zones_x")}
    )
    ledger.put_recipe(node_id("view", "other"), told)
    ledger.put_recipe(VIEW, recipe())
    assert ledger.search("PACE") == [VIEW, "view:other"]
    assert ledger.search("100%") == ["view:other"]
    assert ledger.search("zones_x") == ["view:other"]
    assert ledger.search("zonesax") == []  # an underscore is an underscore
    assert ledger.search("view", limit=1) == [VIEW]


def test_what_is_remembered_is_recalled_until_it_is_replaced(ledger: Ledger) -> None:
    assert ledger.recall("k") is None
    for value in (b"one", b"two", b"two", b"\x00\xff"):
        ledger.remember("k", value)
        assert ledger.recall("k") == value


def test_calls_inside_of_one_block_are_one_transaction(ledger: Ledger, database: Database) -> None:
    with pytest.raises(RuntimeError), database.write():
        ledger.put_recipe(VIEW, recipe())
        ledger.move("prod", {VIEW: recipe().digest}, expected=0, actor="ann", reason="")
        raise RuntimeError
    assert ledger.environment("prod").version == 0
    assert ledger.search("ZonePace") == []
