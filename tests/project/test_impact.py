"""What does not use a column that changed is not built again, and never answers with what is not true any more."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.project.test_apply import apply, plan, write, write_data

from tidewheel.cli.render import render_plan
from tidewheel.clock import parse_instant
from tidewheel.datasets.handle import Dataset
from tidewheel.errors import Invalid
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.ledger.definition import NodeId
from tidewheel.project.choose_rows import choose_rows, read_chosen
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.plan import Plan
from tidewheel.project.prepare_services import list_services
from tidewheel.project.show import explain_node
from tidewheel.project.survey import make_plan


@dataclass(frozen=True)
class Shop:
    """A small graph, by what of it can be edited."""

    columns: Mapping[str, str] = field(default_factory=lambda: {"double": "x * 2", "spare": "y + 1", "kind": "items % 3"})
    condition: str = "x >= 0"
    more: str = ""
    summed: str = "double"
    looked: str = "kind"
    folded: str = ""
    spine: str = ""
    label: str = "y"
    called: str = "items + 1"
    window: str = "1d"
    rows: int = 40

    def parts(self) -> list[str]:
        made = "".join(f", {text} AS {name}" for name, text in self.columns.items())
        select = f"SELECT *{made} FROM this WHERE {self.condition}"
        return [
            f's0 = tw.source("s0", "data/s0.csv", time="t", select="{select}"{self.more})\n',
            f'@tw.features(s0, by=shop)\nclass V0:\n    f0 = tw.sum("{self.summed}", "{self.window}"{self.folded})\n'
            '    n0 = tw.count("2d")\n',
            f'@tw.features(s0, by=shop, ttl="3d")\nclass V1:\n    latest = tw.lookup("{self.looked}")\n',
            f"@tw.on_request\ndef t0(items: int) -> int | None:\n    return {self.called}\n",
            'service0 = tw.service("service0", V0, V1, t0, tw.request(items=int))\n',
            f'data0 = tw.training_set("data0", spine=tw.spine(s0, time="asked"{self.spine}), label="{self.label}", '
            "features=service0)\n",
        ]


SHOP = Shop()
DATA = NodeId("training_set:data0")


def put(root: Path, shop: Shop) -> None:
    write(root, shop.parts())
    write_data(root, "s0", rows=shop.rows)


def frozen(workspace: Workspace) -> Dataset:
    """The training set that the environment points at."""
    build = workspace.ledger.find_build(workspace.ledger.environment("dev").pointers[DATA])
    assert build is not None
    return Dataset.from_json(workspace.artifacts, build.output)


def answers(workspace: Workspace) -> list[object]:
    """All that the project answers: its training set's columns, and its service for each key, online."""
    data = frozen(workspace)
    service = list_services(load_project(workspace.root))["service0"]
    schemas = {view.source.name: workspace.sources.schema(view.source) for view in service.views}
    ids = OnlineViews(workspace.database, workspace.clock).list_ids()
    prepared = prepare(service, store=workspace.online, view_ids=ids, schemas=schemas)
    asked = [{"shop_id": key, "items": 2} for key in range(4)]
    at = [parse_instant("2026-01-09T00:00:00Z")] * len(asked)
    return [data.content, data.train.arrow().to_pydict(), prepared.answer(asked, at=at).values]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("impact")
    put(root, SHOP)
    with open_workspace(root, actor="tester") as opened:
        yield opened


@pytest.fixture
def shop(opened: Workspace) -> Workspace:
    """The shop as it was at first, applied, whatever another test has left."""
    put(opened.root, SHOP)
    apply(opened, plan(opened))
    return opened


def columns(**edits: str) -> dict[str, str]:
    return {**SHOP.columns, **edits}


ALL = {"view:V0", "view:V1", "service:service0", "training_set:data0"}
EDITS: dict[str, tuple[Shop, set[str]]] = {
    "a column that nobody uses": (replace(SHOP, columns=columns(spare="y + 2")), set()),
    "a column more": (replace(SHOP, columns=columns(other="y * y")), set()),
    "a column less": (replace(SHOP, columns={n: t for n, t in SHOP.columns.items() if n != "spare"}), set()),
    "a column of one view": (
        replace(SHOP, columns=columns(double="x * 3")),
        {"view:V0", "service:service0", "training_set:data0"},
    ),
    "a column that a column in use is made of": (
        replace(SHOP, columns=columns(spare="y + 3", kind="spare % 3")),
        {"view:V1", "service:service0", "training_set:data0"},
    ),
    "the label": (replace(SHOP, columns=columns(y="x + 1")), {"training_set:data0"}),
    "which rows there are": (replace(SHOP, condition="x >= 3"), ALL),
    "a column that rows are ordered by": (replace(SHOP, more=', created="asked"'), ALL),
    "an identity of events": (replace(SHOP, more=', event_id="items"'), ALL),
    "a column that rows are left out by": (
        replace(SHOP, more=', expect=[tw.expect("spare", between=(0, 20), otherwise="quarantine")]'),
        ALL,
    ),
    "other data": (replace(SHOP, rows=41), ALL),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_a_source_reaches_those_who_use_what_it_changes(shop: Workspace, edit: str) -> None:
    edited, hit = EDITS[edit]
    put(shop.root, edited)
    made = plan(shop)
    (source,) = [change for change in made.changes if change.node == "source:s0"]
    assert {str(change.node) for change in made.changes} == {"source:s0", *hit}
    assert set(source.spared) == ALL - hit
    assert set(source.downstream) == ALL


def test_a_rule_of_one_view_makes_the_column_that_it_looks_at_one_that_the_view_uses(tmp_path: Path) -> None:
    first, view, *rest = SHOP.parts()
    ruled = view.replace("by=shop", 'by=shop, expect=[tw.expect("spare", between=(0, 20), otherwise="quarantine")]', 1)
    put(tmp_path, SHOP)
    write(tmp_path, [first, ruled, *rest])
    with open_workspace(tmp_path, actor="tester") as opened:
        apply(opened, plan(opened))
        write(tmp_path, [first.replace("y + 1", "y + 9"), ruled, *rest])
        reached = {str(change.node) for change in plan(opened).changes}
    assert reached == {"source:s0", "view:V0", "service:service0", "training_set:data0"}


def test_a_column_that_cannot_be_computed_is_refused_though_nobody_uses_it(shop: Workspace) -> None:
    put(shop.root, replace(SHOP, columns=columns(spare="nothing_of_that_name + 1")))
    with pytest.raises(Invalid, match="nothing_of_that_name"):
        apply(shop, plan(shop))
    put(shop.root, SHOP)
    assert plan(shop).empty


def run(root: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "tidewheel", *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_person_is_told_what_a_change_does_not_reach_and_finds_it_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, SHOP)
    path = tmp_path / "tidewheel.toml"
    path.write_text('project = "made"\n')
    run(tmp_path, "apply", "--yes")
    definitions = tmp_path / "made" / "definitions.py"
    definitions.write_text(definitions.read_text().replace("y + 1 AS spare", "y + 2 AS spare"))
    (change,) = json.loads(run(tmp_path, "plan", "--json"))["changes"]
    assert change["columns"] == [{"name": "spare", "what": "changed", "measured": None}]
    assert set(change["spared"]) == ALL
    told = run(tmp_path, "why", "training_set:data0")
    assert "no component differs" in told
    assert "in spite of source:s0: it changes in spare (changed); view:V0 uses shop_id, double" in told
    assert "training_set:data0 uses asked, shop_id, items, y" in told
    steps = json.loads(run(tmp_path, "apply", "--yes", "--json"))["steps"]
    assert [step["node"] for step in steps if step["built"]] == ["source:s0"]


def test_the_edges_of_lineage_lead_to_every_source_that_gave_the_same(shop: Workspace) -> None:
    before = shop.ledger.environment("dev").pointers
    put(shop.root, replace(SHOP, columns=columns(spare="y + 8")))
    apply(shop, plan(shop))
    after = shop.ledger.environment("dev").pointers
    assert before["view:V0"] == after["view:V0"]  # type: ignore[index]
    assert before["source:s0"] != after["source:s0"]  # type: ignore[index]
    for pointers in (before, after):
        reached = shop.ledger.downstream(pointers["source:s0"])  # type: ignore[index]
        assert {"view:V0", "training_set:data0"} <= {str(edge.node) for edge in reached}
    edges = {edge.recipe for edge in shop.ledger.upstream(after["view:V0"])}  # type: ignore[index]
    assert {before["source:s0"], after["source:s0"]} <= edges  # type: ignore[index]
    told = explain_node(load_project(shop.root), shop, "view:V0", environment="dev")
    assert told.passed == ()


def counted_psi(old: list[object], new: list[object]) -> float:
    """From the definition, over the values themselves as bins, half a row added to each."""
    values = set(old) | set(new)
    p, q = ({value: side.count(value) + 0.5 for value in values} for side in (old, new))
    shares = [(p[v] / sum(p.values()), q[v] / sum(q.values())) for v in values]
    return sum((b - a) * math.log(b / a) for a, b in shares)


def test_what_is_measured_of_a_transform_is_what_the_build_then_gives(shop: Workspace) -> None:
    before = frozen(shop).train.arrow()
    put(shop.root, replace(SHOP, called="None if items == 4 else items + 1 if items else 2"))
    made = plan(shop)
    told = {change.node: {one.name: one.measured for one in change.columns} for change in made.changes}
    apply(shop, made)
    old, new = (table["t0"].to_pylist() for table in (before, frozen(shop).train.arrow()))
    measured = told[NodeId("transform:t0")]["t0"]
    assert measured is not None
    assert measured.rows == len(old)
    assert measured.changed == sum(one != other for one, other in zip(old, new, strict=True)) > 0
    assert measured.share == measured.changed / measured.rows
    assert (measured.nulls_before, measured.nulls_after) == (0, new.count(None)) != (0, 0)
    assert measured.psi == pytest.approx(counted_psi(old, new), abs=1e-12)
    assert told[NodeId("service:service0")]["t0"] == told[DATA]["t0"] == measured


def test_what_is_measured_of_a_window_when_asked_is_what_the_build_then_gives(shop: Workspace) -> None:
    before = frozen(shop).train.arrow()
    put(shop.root, replace(SHOP, window="2d"))
    assert all(one.measured is None for change in plan(shop).changes for one in change.columns)
    made = make_plan(load_project(shop.root), shop, "dev", thorough=True)
    (measured,) = [one.measured for change in made.changes if change.node == "view:V0" for one in change.columns]
    assert "f0" in render_plan(made)
    apply(shop, made)
    old, new = (table["f0"].to_pylist() for table in (before, frozen(shop).train.arrow()))
    assert measured is not None
    assert (measured.rows, measured.changed) == (len(old), sum(a != b for a, b in zip(old, new, strict=True)))
    assert 0 < measured.changed < measured.rows


def test_a_sample_is_of_the_same_rows_wherever_they_stand() -> None:
    rows = [{"shop": n % 7, "city": f"c{n % 5}", "t": n} for n in range(3_000)]
    table, turned = pa.Table.from_pylist(rows), pa.Table.from_pylist(rows[::-1])
    one, other = (each.take(pa.array(choose_rows(each, 500))) for each in (table, turned))
    assert one == other
    assert read_chosen(table.to_batches(max_chunksize=700), choose_rows(table, 500)) == one
    assert abs(sum(one["t"].to_pylist()) / 500 - 1_500) < 150, "the mean of a fair sample: four standard errors are 155"


def edits() -> st.SearchStrategy[Shop]:
    expressions = st.sampled_from(["x * 2", "x * 3", "y + 1", "spare", "items % 3", "items % 2", "x"])
    names = st.sampled_from(["double", "spare", "kind", "other"])
    conditions = st.sampled_from(["x >= 0", "x >= 6", "spare > 4", "items < 4"])
    rules = ["", ', created="asked"', ', expect=[tw.expect("spare", between=(0, 30), otherwise="quarantine")]']
    return st.builds(
        Shop,
        columns=st.dictionaries(names, expressions, max_size=3).map(lambda more: columns(**more)),
        condition=conditions,
        more=st.sampled_from(rules),
        summed=st.sampled_from(["double", "x"]),
        looked=st.sampled_from(["kind", "spare"]),
        called=st.sampled_from(["items + 1", "items * 2"]),
        folded=st.sampled_from(["", ', where="kind > 0"']),
        spine=st.sampled_from(["", ', where="spare > 3"', ', last="4d"', ', columns=["kind"]']),
        label=st.sampled_from(["y", "x"]),
        rows=st.sampled_from([40, 40, 44]),
    )


SPARED: list[int] = []


def applied(workspace: Workspace) -> Plan | None:
    """Apply what the files say; ``None`` for a select that the engine does not take."""
    try:
        made = plan(workspace)
        apply(workspace, made)
    except Exception as error:
        if type(error).__module__ != "tidewheel.errors":
            raise
        return None
    return made


@pytest.mark.slow
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(story=st.lists(edits(), min_size=3, max_size=3))
def test_after_any_edits_the_answers_are_those_of_a_workspace_that_knows_nothing(
    tmp_path_factory: pytest.TempPathFactory, story: list[Shop]
) -> None:
    lived = tmp_path_factory.mktemp("lived")
    put(lived, SHOP)
    with open_workspace(lived, actor="tester") as old:
        for shop in [SHOP, *story]:
            put(lived, shop)
            made = applied(old)
            new_root = tmp_path_factory.mktemp("new")
            put(new_root, shop)
            with open_workspace(new_root, actor="tester") as new:
                told = applied(new)
                assert (made is None) == (told is None)
                if made is not None:
                    assert plan(old).empty
                    assert answers(old) == answers(new)
                    SPARED.append(sum(len(change.spared) for change in made.changes))
