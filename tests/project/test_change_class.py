"""What a change is called, by what it does to those who use the node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project.test_apply import apply, plan, write, write_data

from tidewheel.project.open import Workspace, open_workspace

SOURCE = 's0 = tw.source("s0", "data/s0.csv", time="t", select="SELECT *, x * 2 AS twice FROM this", owner="ann")\n'
VIEW = '@tw.features(s0, by=shop)\nclass V0:\n    f0 = tw.sum("x", "1d")\n    f1 = tw.lookup("items")\n'
TRANSFORM = "@tw.on_request\ndef pairs(items: int) -> int:\n    return items // 2\n"
SERVICE = 'service0 = tw.service("service0", V0, pairs, tw.request(items=int))\n'
DATA = 'data0 = tw.training_set("data0", spine=tw.spine(s0, time="asked"), label="y", features=service0)\n'
PROJECT = "\n\n".join([SOURCE, VIEW, TRANSFORM, SERVICE, DATA])

EDITS: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "metadata": ('owner="ann"', 'owner="bob"', {"source:s0": "metadata"}),
    "a column more": (
        "AS twice FROM",
        "AS twice, x * 3 AS thrice FROM",
        {"source:s0": "additive", "training_set:data0": None},
    ),
    "a column computed in another way": (
        "x * 2 AS twice",
        "x + x AS twice",
        {"source:s0": "value-changing", "view:V0": None, "training_set:data0": None},
    ),
    "a column of another type": ("x * 2 AS twice", "x > 2 AS twice", {"source:s0": "schema-breaking"}),
    "a column less": (", x * 2 AS twice", "", {"source:s0": "schema-breaking"}),
    "other rows": ("FROM this", "FROM this WHERE x > 3", {"source:s0": "value-changing", "view:V0": "value-changing"}),
    "a feature more": (
        '"1d")',
        '"1d")\n    f2 = tw.count("1d")',
        {"view:V0": "additive", "service:service0": "additive", "training_set:data0": "additive"},
    ),
    "a feature defined in another way": (
        '"1d")',
        '"2d")',
        {"view:V0": "value-changing", "service:service0": "value-changing", "training_set:data0": "value-changing"},
    ),
    "a feature less": (
        '\n    f1 = tw.lookup("items")',
        "",
        {"view:V0": "schema-breaking", "service:service0": "schema-breaking", "training_set:data0": "schema-breaking"},
    ),
    "a feature of another type": (
        'tw.lookup("items")',
        'tw.lookup("x")',
        {"view:V0": "schema-breaking", "service:service0": "schema-breaking"},
    ),
    "one more value to send": (
        "tw.request(items=int)",
        "tw.request(items=int, z=float)",
        {"service:service0": "schema-breaking"},
    ),
    "code": ("items // 2", "items // 3", {"transform:pairs": "value-changing", "service:service0": "value-changing"}),
}


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("classes")
    write(root, [PROJECT])
    write_data(root, "s0")
    with open_workspace(root, actor="tester") as opened:
        apply(opened, plan(opened))
        yield opened


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_has_the_class_of_what_it_does_to_the_readers(applied: Workspace, edit: str) -> None:
    old, new, expected = EDITS[edit]
    assert PROJECT.count(old) == 1
    write(applied.root, [PROJECT.replace(old, new)])
    kinds = {str(change.node): change.kind for change in plan(applied).changes}
    assert {node: kinds.get(node) for node in expected} == expected


def test_other_data_is_a_data_change_down_to_the_training_set(applied: Workspace) -> None:
    write(applied.root, [PROJECT])
    path: Path = applied.root / "data" / "s0.csv"
    before = path.read_bytes()
    write_data(applied.root, "s0", rows=70)
    kinds = {str(change.node): change.kind for change in plan(applied).changes}
    assert kinds == dict.fromkeys(("source:s0", "view:V0", "service:service0", "training_set:data0"), "data")
    path.write_bytes(before)
    assert plan(applied).empty
