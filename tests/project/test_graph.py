"""The graph of declarations."""

from __future__ import annotations

import graphlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import AlreadyExists, CyclicGraph, NotFound
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.project.graph import Graph


def declared(name: str, *upstream: str) -> Declaration:
    return Declaration(node_id("view", name), object(), f"{name}.py:1", upstream=tuple(node_id("view", u) for u in upstream))


@st.composite
def acyclic(draw: st.DrawFn) -> list[Declaration]:
    count = draw(st.integers(1, 12))
    made = []
    for number in range(count):
        upstream = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        made.append(declared(f"n{number}", *(f"n{u}" for u in sorted(upstream))))
    return draw(st.permutations(made))


@given(acyclic())
def test_every_node_comes_after_its_upstreams_and_closures_agree_with_graphlib(declarations: list[Declaration]) -> None:
    graph = Graph.of(declarations)
    order = list(graph.nodes)
    assert sorted(order) == sorted(graphlib.TopologicalSorter({d.id: d.upstream for d in declarations}).static_order())
    for declaration in declarations:
        assert all(order.index(upstream) < order.index(declaration.id) for upstream in declaration.upstream)
        for other in graph.downstream(declaration.id):
            assert declaration.id in graph.upstream(other)


@given(acyclic(), st.randoms())
def test_order_does_not_depend_on_the_order_of_files(declarations: list[Declaration], random: object) -> None:
    shuffled = list(reversed(declarations))
    assert list(Graph.of(declarations).nodes) == list(Graph.of(shuffled).nodes)


def test_a_circle_is_refused_by_name() -> None:
    with pytest.raises(CyclicGraph, match="view:a, view:b"):
        Graph.of([declared("a", "b"), declared("b", "a")])


def test_two_declarations_of_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(AlreadyExists) as caught:
        Graph.of([Declaration(NodeId("view:a"), object(), "x.py:1"), Declaration(NodeId("view:a"), object(), "y.py:2")])
    assert "x.py:1 and y.py:2" in str(caught.value)


def test_an_unknown_upstream_is_refused_with_a_near_miss() -> None:
    with pytest.raises(NotFound, match="did you mean view:pace"):
        Graph.of([declared("pace"), declared("route", "pase")])


def test_a_bare_name_finds_its_node_and_two_kinds_of_one_name_do_not() -> None:
    one = Declaration(NodeId("model:eta"), object(), "x.py:1")
    two = Declaration(NodeId("view:eta"), object(), "x.py:2")
    uses = [Declaration(NodeId(f"{kind}:eta"), object(), "x.py:3") for kind in ("deployment", "gate", "monitor")]
    assert Graph.of([one]).find("eta") is one
    with pytest.raises(NotFound, match=r"could be model:eta, view:eta.* write model:eta or view:eta"):
        Graph.of([one, two]).find("eta")
    assert Graph.of([one, *uses]).find("eta") is one, "the others bear its name"
    assert Graph.of([one, two]).find("model:eta") is one
    assert Graph.of([one, two]).find("eta", kinds={"model", "step"}) is one
    with pytest.raises(NotFound, match="could be model:eta, view:eta"):
        Graph.of([one, two]).find("eta", kinds={"step"})
