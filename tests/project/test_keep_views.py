"""Versions of a view beside each other: both served while something points at them, the old one gone when nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.project.test_apply import SIMPLE_DATA, SIMPLE_SERVICE, SIMPLE_VIEW, apply, plan, write, write_data

from tidewheel.clock import HOUR, Micros, parse_instant
from tidewheel.errors import NotMaterialized
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.ledger.tables import builds
from tidewheel.project.initialize import initialize
from tidewheel.project.keep_views import collect_views
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.prepare_services import list_services, list_views

pytestmark = pytest.mark.slow

SOURCE = 's0 = tw.source("s0", "data/s0.csv", time="t")\n'
WIDER = SIMPLE_VIEW.replace('"1d"', '"2d"')


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    write(tmp_path, [SOURCE, SIMPLE_VIEW, SIMPLE_SERVICE, SIMPLE_DATA])
    write_data(tmp_path, "s0")
    with open_workspace(tmp_path, actor="tester") as opened:
        apply(opened, plan(opened))
        yield opened


def test_both_versions_are_served_until_nothing_points_at_the_old_one(workspace: Workspace) -> None:
    root = workspace.root
    apply(workspace, plan(workspace, "prod"))
    old = list_services(load_project(root))["service0"]
    write(root, [SOURCE, WIDER, SIMPLE_SERVICE, SIMPLE_DATA])
    apply(workspace, plan(workspace))
    new = list_services(load_project(root))["service0"]
    assert old.views[0].version != new.views[0].version

    def ask() -> list[object]:
        numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
        schemas = {"s0": workspace.sources.schema(old.views[0].source)}
        found: list[object] = []
        for one in (old, new):
            try:
                prepared = prepare(one, store=workspace.online, view_ids=numbers, schemas=schemas)
                found.append(prepared.answer([{"shop_id": 1, "items": 1}], at=[at]).values[0][0])
            except NotMaterialized:
                found.append("gone")
        return found

    mark = OnlineViews(workspace.database, workspace.clock).find_bookmark(new.views[0])
    assert mark is not None
    at = mark.until
    both = ask()
    assert both[0] != both[1]
    assert None not in both
    assert collect_views(load_project(root), workspace) == {}, "prod points at the old one"
    assert ask() == both
    apply(workspace, plan(workspace, "prod"))
    gone = collect_views(load_project(root), workspace)
    assert gone.keys() == {"V0"}
    assert gone["V0"] > 1
    assert ask() == ["gone", both[1]]
    assert collect_views(load_project(root), workspace) == {}
    write(root, [SOURCE, SIMPLE_VIEW, SIMPLE_SERVICE, SIMPLE_DATA])
    apply(workspace, plan(workspace))
    assert ask() == both, "who comes back to the old version has it built again"


def test_apply_drops_a_version_that_nothing_has_pointed_at_for_a_day(tmp_path: Path) -> None:
    write(tmp_path, [SOURCE, SIMPLE_VIEW, SIMPLE_SERVICE, SIMPLE_DATA])
    write_data(tmp_path, "s0")
    now = [parse_instant("2030-01-01")]
    with open_workspace(tmp_path, actor="tester", clock=lambda: now[0]) as opened:
        apply(opened, plan(opened))
        (number,) = OnlineViews(opened.database, opened.clock).list_ids().values()
        write(tmp_path, [SOURCE, WIDER, SIMPLE_SERVICE, SIMPLE_DATA])
        told, left = [], []
        for hours in (0, 23, 2, 1):
            now[0] = Micros(now[0] + hours * HOUR)
            told.append([line for line in apply(opened, plan(opened)).reports if "dropped" in line])
            left.append(len(list(opened.online.scan(number.to_bytes(4, "big")))))
    assert [len(one) for one in told] == [0, 0, 1, 0]
    assert [rows > 0 for rows in left] == [True, True, False, False]


@pytest.mark.slow
def test_a_version_that_a_deployed_model_reads_is_kept_fresh_and_kept(tmp_path: Path) -> None:
    root = initialize(tmp_path / "shops")
    code, data = root / "shops" / "definitions.py", root / "data" / "orders.csv"
    with open_workspace(root, actor="tester") as opened:
        apply(opened, plan(opened))
        project = load_project(root)
        arm = opened.routes.current("amount").arms[0]
        version = opened.registry.get(f"{arm.model}:{arm.version}")
        old = PinnedProjects(project, opened).service(version).views[0]
        code.write_text(code.read_text().replace('"1d"', '"2d"'))
        lines = data.read_text().splitlines()
        data.write_text("\n".join([*lines, lines[-1]]) + "\n")
        done = apply(opened, plan(opened))
        assert [one.version for one in opened.routes.current("amount").arms] == [version.version]
        assert old.version not in {view.version for view in list_views(load_project(root)).values()}
        mark = OnlineViews(opened.database, opened.clock).find_bookmark(old)
        assert mark is not None
        assert mark.snapshot.content == opened.sources.snapshot(old.source).content
        assert any("which still answers" in line for line in done.reports)
        assert collect_views(load_project(root), opened) == {}


def test_rows_that_another_tidewheel_keeps_elsewhere_are_written_again(workspace: Workspace) -> None:
    view = next(iter(list_views(load_project(workspace.root)).values()))
    online = OnlineViews(workspace.database, workspace.clock)
    number = online.list_ids()[view.online_version]
    online.forget(number, workspace.online)
    with workspace.database.write() as connection:
        changed = connection.execute(
            update(builds).where(builds.c.node == f"view:{view.name}").values(output=b'{"version":"x"}')
        )
    assert changed.rowcount == 1
    made = plan(workspace)
    assert [(change.node, change.action) for change in made.changes] == [(f"view:{view.name}", "finish")]
    apply(workspace, made)
    assert plan(workspace).empty
    assert view.online_version in online.list_ids()
