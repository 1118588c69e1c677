"""What an apply would break for those who have no second version is refused with its users, until it is accepted."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project.test_apply import SIMPLE_SERVICE, SIMPLE_VIEW, apply, plan, write, write_data

from tidewheel.cli import main
from tidewheel.errors import IncompatibleChange, InUse
from tidewheel.project.apply import apply_plan
from tidewheel.project.initialize import initialize
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace

SOURCE = 's0 = tw.source("s0", "data/s0.csv", time="t")\n'
DOUBLE = "@tw.on_request\ndef double(items: int) -> int:\n    return items * 2\n"
WITH_DOUBLE = SIMPLE_SERVICE.replace("V0,", "V0, double,")


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("read_directly")
    write(root, [SOURCE, SIMPLE_VIEW, DOUBLE, WITH_DOUBLE])
    write_data(root, "s0")
    with open_workspace(root, actor="tester") as opened:
        apply(opened, plan(opened))
        yield opened


@pytest.fixture
def workspace(applied: Workspace) -> Workspace:
    """As it was applied, once for all: the tests of this file plan, and what they apply is refused."""
    write(applied.root, [SOURCE, SIMPLE_VIEW, DOUBLE, WITH_DOUBLE])
    write_data(applied.root, "s0")
    return applied


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([SIMPLE_VIEW.replace('"1d"', '"2d"'), DOUBLE, WITH_DOUBLE], "f0 would be computed in another way"),
        ([SIMPLE_VIEW.replace('sum("x", ', "count("), DOUBLE, WITH_DOUBLE], "f0 was float64 and would be int64"),
        ([SIMPLE_VIEW.replace("f0", "g0"), DOUBLE, WITH_DOUBLE], "f0 would be gone"),
        ([SIMPLE_VIEW, DOUBLE.replace("* 2", "* 3"), WITH_DOUBLE], "double would be computed in another way"),
        ([SIMPLE_VIEW, DOUBLE, WITH_DOUBLE.replace("items=int", "items=int, more=str")], "more would have to be sent"),
        ([SIMPLE_VIEW, DOUBLE, WITH_DOUBLE.replace("items=int", "items=float")], "items was int64 and would be float64"),
    ],
)
def test_a_feature_that_is_read_directly_is_not_changed_in_place(workspace: Workspace, parts: list[str], told: str) -> None:
    write(workspace.root, [SOURCE, *parts])
    made = plan(workspace)
    assert [one.code for one in made.objections] == ["IncompatibleChange"]
    with pytest.raises(IncompatibleChange, match=told) as caught:
        apply(workspace, made)
    assert "service0_v2" in str(caught.value)
    assert "--accept service:service0" in str(caught.value)
    assert workspace.ledger.environment("dev").version == 1


@pytest.mark.parametrize(
    "parts",
    [
        [SIMPLE_VIEW + '    more = tw.count("1d")\n', DOUBLE, WITH_DOUBLE],
        [
            SIMPLE_VIEW,
            SIMPLE_VIEW.replace("V0", "V1").replace('"1d"', '"2d"'),
            DOUBLE,
            WITH_DOUBLE,
            WITH_DOUBLE.replace("service0", "service0_v2").replace("V0", "V1"),
        ],
        [SIMPLE_VIEW, DOUBLE.replace("return", "# twice\n    return"), WITH_DOUBLE],
        [SIMPLE_VIEW, DOUBLE],
    ],
    ids=["another feature beside it", "a second version beside it", "a comment", "the service itself is taken out"],
)
def test_what_leaves_every_answer_as_it_was_is_no_objection(workspace: Workspace, parts: list[str]) -> None:
    write(workspace.root, [SOURCE, *parts])
    made = plan(workspace)
    assert not made.empty or "# twice" in parts[1]
    assert made.objections == ()


def test_new_data_alone_is_no_objection(workspace: Workspace) -> None:
    write_data(workspace.root, "s0", rows=80)
    made = plan(workspace)
    assert made.changes and not made.objections


def test_a_service_that_a_training_set_pins_may_change(workspace: Workspace) -> None:
    pinned = 'data0 = tw.training_set("data0", spine=tw.spine(s0, time="asked"), label="y", features=service0)\n'
    write(workspace.root, [SOURCE, SIMPLE_VIEW.replace('"1d"', '"2d"'), DOUBLE, WITH_DOUBLE, pinned])
    assert plan(workspace).objections == ()


@pytest.mark.slow
def test_the_command_line_shows_objections_and_applies_what_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--project", str(tmp_path)])
        return ended.value.code, "".join(capsys.readouterr())

    write(tmp_path, [SOURCE, SIMPLE_VIEW, SIMPLE_SERVICE])
    write_data(tmp_path, "s0")
    assert told("apply", "--yes")[0] == 0
    write(tmp_path, [SOURCE, SIMPLE_VIEW.replace('"1d"', '"2d"'), SIMPLE_SERVICE])
    assert "IncompatibleChange: service service0 is read by requests" in told("plan")[1]
    code, text = told("apply", "--yes")
    assert (code, "--accept service:service0" in text) == (1, True)
    assert told("apply", "--yes", "--accept", "service:service0")[0] == 0
    assert told("plan")[0] == 0


@pytest.mark.slow
def test_what_a_deployed_model_reads_is_neither_deleted_nor_starved(tmp_path: Path) -> None:
    root = initialize(tmp_path / "shops")
    code, data = root / "shops" / "definitions.py", root / "data" / "orders.csv"
    with open_workspace(root, actor="tester") as opened:
        apply(opened, plan(opened))
        written = code.read_text()
        code.write_text(written.replace('"1d"', '"2d"'))
        assert plan(opened).objections == (), "a changed view is a second version beside the first"
        code.write_text(written.replace("ShopLately", "ShopRecently"))
        with pytest.raises(InUse, match=r"view:ShopLately .* used by amount:1, which answers for deployment amount"):
            apply(opened, plan(opened))
        with data.open() as file:
            rows = list(csv.reader(file))
        with data.open("w", newline="") as file:
            csv.writer(file).writerows([["paid" if cell == "amount" else cell for cell in row] for row in rows])
        code.write_text(written.replace('"amount", "', '"paid", "').replace('label="amount"', 'label="paid"'))
        made = plan(opened)
        with pytest.raises(IncompatibleChange, match=r"amount:1, which answers .* reads source:orders as it was: .*amount"):
            apply(opened, made)
        applied = apply_plan(load_project(root), opened, made, accept=["source:orders"])  # type: ignore[list-item]
        assert any("is fresh no more" in report and "amount" in report for report in applied.reports)
        assert plan(opened).empty
