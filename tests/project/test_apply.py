"""Apply does what the plan says, and then nothing is left to do: over random projects, and with edits between."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewheel.cli.render import render_plan
from tidewheel.errors import Conflict, ImpureTransform, StalePlan
from tidewheel.ledger.definition import NodeId
from tidewheel.project.apply import Applied, apply_plan
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.plan import Plan
from tidewheel.project.show import describe_node
from tidewheel.project.survey import make_plan

HEAD = 'import tidewheel as tw\n\nshop = tw.entity("shop", shop_id=int)\n'
WINDOWS = ("1h", "2h", "1d", "7d")


@st.composite
def definitions(draw: st.DrawFn) -> list[str]:
    """Statements of a random project: sources, views over them, transforms in chains, services, training sets."""
    sources = draw(st.integers(1, 3))
    parts = [
        f's{number} = tw.source("s{number}", "data/s{number}.csv", time="t", owner="o{draw(st.integers(0, 2))}")\n'
        for number in range(sources)
    ]
    views = draw(st.integers(1, 4))
    for number in range(views):
        of = draw(st.integers(0, sources - 1))
        window, kind = draw(st.sampled_from(WINDOWS)), draw(st.sampled_from(("sum", "mean", "max")))
        feature = f'    f{number} = tw.{kind}("x", "{window}")\n    n{number} = tw.count("{window}")\n'
        parts.append(f"@tw.features(s{of}, by=shop)\nclass V{number}:\n{feature}")
    transforms = draw(st.integers(0, 3))
    for number in range(transforms):
        needed = f"t{draw(st.integers(0, number - 1))}" if number and draw(st.booleans()) else "items"
        parts.append(f"@tw.on_request\ndef t{number}({needed}: int) -> int:\n    return {needed} + {draw(st.integers(0, 9))}\n")
    for number in range(draw(st.integers(0, 2))):
        used = draw(st.sets(st.integers(0, views - 1), min_size=1))
        members = [f"V{view}" for view in sorted(used)] + [f"t{t}" for t in range(transforms)]
        parts.append(f'service{number} = tw.service("service{number}", {", ".join(members)}, tw.request(items=int))\n')
        spine = f"s{draw(st.integers(0, sources - 1))}"
        parts.append(
            f'data{number} = tw.training_set("data{number}", spine=tw.spine({spine}, time="asked"), '
            f'label="y", features=service{number}, split=tw.by_time(test="1d"))\n'
        )
    return parts


def write(root: Path, parts: list[str]) -> None:
    (root / "tidewheel.toml").write_text('project = "made"\n[workspace.local]\nonline = "memory"\n')
    (root / "made").mkdir(exist_ok=True)
    (root / "made" / "__init__.py").touch()
    (root / "made" / "definitions.py").write_text("\n\n".join([HEAD, *parts]))


def write_data(root: Path, name: str, rows: int = 60) -> None:
    (root / "data").mkdir(exist_ok=True)
    with (root / "data" / f"{name}.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["t", "asked", "shop_id", "items", "x", "y"])
        for number in range(rows):
            day, hour = divmod(number * 3, 24)
            stamp, asked = f"2026-01-{day + 1:02}T{hour:02}:30:00Z", f"2026-01-{day + 1:02}T{hour:02}:10:00Z"
            out.writerow([stamp, asked, number % 3, number % 5, number * 1.5, number])


def plan(workspace: Workspace, environment: str = "dev") -> Plan:
    return make_plan(load_project(workspace.root), workspace, environment)


def apply(workspace: Workspace, made: Plan) -> Applied:
    return apply_plan(load_project(workspace.root), workspace, made)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    write(tmp_path, ['s0 = tw.source("s0", "data/s0.csv", time="t")\n', SIMPLE_VIEW, SIMPLE_SERVICE, SIMPLE_DATA])
    write_data(tmp_path, "s0")
    with open_workspace(tmp_path, actor="tester") as opened:
        yield opened


SIMPLE_VIEW = '@tw.features(s0, by=shop)\nclass V0:\n    f0 = tw.sum("x", "1d")\n'
SIMPLE_SERVICE = 'service0 = tw.service("service0", V0, tw.request(items=int))\n'
SIMPLE_DATA = 'data0 = tw.training_set("data0", spine=tw.spine(s0, time="asked"), label="y", features=service0)\n'


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(parts=definitions(), data=st.data())
def test_plan_after_apply_is_empty_also_after_an_edit_and_after_undoing_it(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("random")
    write(root, parts)
    for number in range(3):
        write_data(root, f"s{number}")
    with open_workspace(root, actor="tester") as opened:
        first = plan(opened)
        assert {change.action for change in first.changes} == {"add"}
        apply(opened, first)
        assert plan(opened).empty

        edited = list(parts)
        place = data.draw(st.sampled_from([n for n, part in enumerate(parts) if "class V" in part]))
        window = next(window for window in WINDOWS if f'"{window}"' in parts[place])
        edited[place] = parts[place].replace(f'"{window}"', '"3d"')
        write(opened.root, edited)
        changed = plan(opened)
        assert [c.action for c in changed.changes if c.action == "change"] == ["change"]
        apply(opened, changed)
        assert plan(opened).empty

        write(opened.root, parts)
        back = plan(opened)
        assert not back.empty
        assert not any(change.builds for change in back.changes), "what was built before is found by its recipe"
        apply(opened, back)
        assert plan(opened).empty


def test_a_plan_is_refused_when_files_data_or_environment_have_moved(workspace: Workspace) -> None:
    stale = plan(workspace)
    write_data(workspace.root, "s0", rows=61)
    with pytest.raises(StalePlan):
        apply(workspace, stale)
    assert workspace.ledger.environment("dev").version == 0
    current = plan(workspace)
    apply(workspace, current)
    with pytest.raises(StalePlan):
        apply(workspace, current)


def test_new_data_is_a_data_change_that_names_the_file_and_what_hangs_on_it(workspace: Workspace) -> None:
    apply(workspace, plan(workspace))
    write_data(workspace.root, "s0", rows=70)
    changes = {change.node: change for change in plan(workspace).changes}
    source = changes[NodeId("source:s0")]
    assert (source.action, source.kind) == ("change", "data")
    assert "data:data/s0.csv" in {reason.component for reason in source.reasons}
    assert NodeId("training_set:data0") in source.downstream
    assert changes[NodeId("training_set:data0")].action == "follow"


@pytest.mark.parametrize("body", ["int(time.time())", "random.randint(0, items)"])
def test_a_transform_that_reads_the_clock_or_draws_is_refused_with_its_place(workspace: Workspace, body: str) -> None:
    transform = f"import random, time\n@tw.on_request\ndef t0(items: int) -> int:\n    return {body}\n"
    write(workspace.root, ['s0 = tw.source("s0", "data/s0.csv", time="t")\n', transform])
    with pytest.raises(ImpureTransform, match="t0") as caught:
        plan(workspace)
    assert str(caught.value.where).startswith("made/definitions.py:")


def test_a_transform_that_answers_in_two_ways_is_refused_at_plan(workspace: Workspace) -> None:
    transform = "seen = []\n@tw.on_request\ndef t0(items: int) -> int:\n    seen.append(items)\n    return len(seen)\n"
    write(workspace.root, ['s0 = tw.source("s0", "data/s0.csv", time="t")\n', transform])
    with pytest.raises(ImpureTransform, match="transform t0"):
        plan(workspace)


def test_a_node_shows_how_its_transform_runs(workspace: Workspace) -> None:
    transform = "@tw.on_request\ndef t0(items: float) -> float:\n    return items * 2\n"
    write(workspace.root, ['s0 = tw.source("s0", "data/s0.csv", time="t")\n', transform])
    shown = dict(describe_node(load_project(workspace.root), workspace, "t0").sections)
    (change,) = [one for one in plan(workspace).changes if one.node == "transform:t0"]
    assert change.note == "runs by column, by query in duckdb, by query in spark"
    assert change.note in render_plan(plan(workspace))
    assert dict(shown["runs"])["offline"] == "by column, by query in duckdb, by query in spark"


def test_a_transform_is_held_to_real_rows_when_a_training_set_is_built_and_when_it_changes(workspace: Workspace) -> None:
    calls = "seen = {}\n@tw.on_request\ndef t0(f0: float, items: int) -> int:\n    return %s\n"
    unsteady = "len(seen) if 1.5 < f0 < 1e6 and getattr(seen, 'upd' + 'ate')({len(seen): 0}) is None else items"
    source = 's0 = tw.source("s0", "data/s0.csv", time="t")\n'
    service = SIMPLE_SERVICE.replace("V0,", "V0, t0,")
    write(workspace.root, [source, SIMPLE_VIEW, calls % "items + round(f0)", service, SIMPLE_DATA])
    assert not [report for report in apply(workspace, plan(workspace)).reports if "row by row" in report]
    shown = dict(describe_node(load_project(workspace.root), workspace, "t0").sections)
    assert "real rows" in dict(shown["runs"])["one call"]
    write(workspace.root, [source, SIMPLE_VIEW, calls % "items + int(f0 ** 2)", service, SIMPLE_DATA])
    reports = apply(workspace, plan(workspace)).reports
    assert any(
        report.startswith("transform t0 runs row by row (interpreted): definitions.py:") and "f0 ** 2, " in report
        for report in reports
    )
    write(workspace.root, [source, SIMPLE_VIEW, calls % unsteady, service, SIMPLE_DATA])
    with pytest.raises(ImpureTransform, match=r"t0 answers f0=\d+\.\d, items=\d with"):
        plan(workspace)


def test_of_two_applies_one_wins_and_the_other_gets_a_conflict_and_keeps_its_builds(workspace: Workspace) -> None:
    made = plan(workspace)
    apply(workspace, made)
    write(workspace.root, ['s0 = tw.source("s0", "data/s0.csv", time="t")\n', SIMPLE_VIEW.replace("1d", "2d")])
    project, mine = load_project(workspace.root), plan(workspace)

    class Meanwhile:
        """Lets somebody else win the race at the moment the first build is done."""

        def __init__(self) -> None:
            self.raced = False

        def total(self, count: int) -> None: ...
        def step(self, what: str, done: int, of: int | None) -> None: ...
        def note(self, text: str) -> None: ...

        def doing(self, what: str) -> Meanwhile:
            return self

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            if not self.raced:
                self.raced = True
                ledger = workspace.ledger
                ledger.move("dev", {NodeId("source:s0"): None}, expected=1, actor="other", reason="first")

    with pytest.raises(Conflict):
        apply_plan(project, workspace, mine, progress=Meanwhile())
    assert workspace.ledger.history("dev")[0].actor == "other"
    again = plan(workspace)
    assert not any(change.builds for change in again.changes), "its builds were kept"
    apply(workspace, again)
    assert plan(workspace).empty


@pytest.mark.slow
def test_builds_keep_what_they_cost_and_a_plan_says_what_it_would(workspace: Workspace) -> None:
    toml = workspace.root / "tidewheel.toml"
    toml.write_text(toml.read_text() + '[cost]\ncpu_hour = 36\nmachine_hour = 3.6\ncurrency = "EUR"\n')
    first = plan(workspace)
    assert first.estimate_cost is None
    apply(workspace, first)
    node = NodeId("training_set:data0")
    (build,) = workspace.ledger.list_builds(node)
    assert build.cpu_seconds and build.cost == pytest.approx(build.cpu_seconds * 0.01 + build.seconds * 0.001)
    assert f"{build.cost:.2g} EUR" in str(describe_node(load_project(workspace.root), workspace, node).sections)
    write_data(workspace.root, "s0", rows=70)
    again = plan(workspace)
    (change,) = [one for one in again.changes if one.node == node]
    assert change.estimate_cost == pytest.approx(build.cost)
    toml.write_text(toml.read_text().replace("cpu_hour = 36", "cpu_hour = 72"))
    dearer = plan(workspace).estimate_cost
    assert dearer is not None and again.estimate_cost is not None and dearer > again.estimate_cost
    assert f"{dearer:.2g} EUR" in render_plan(plan(workspace))
