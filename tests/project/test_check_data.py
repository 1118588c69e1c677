"""What a check finds behind the definitions: each thing that is wrong by its name, with what mends it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidewheel.clock import parse_instant
from tidewheel.features.keys import view_prefix
from tidewheel.project.check import CheckReport, check_project
from tidewheel.project.check_data import Finding
from tidewheel.project.keep_views import rebuild_view
from tidewheel.project.load import Project, load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.prepare_services import list_views

DEFINITIONS = """
import tidewheel as tw

sales = tw.source(
    "sales", "*.csv", time="at", event_id="id",
    expect=[
        tw.expect("amount", between=(0, 100), otherwise="quarantine"),
        tw.expect("shop", null=False),
        tw.expect("amount", null=False, otherwise="warn"),
    ],
)


@tw.features(sales, by=tw.entity("shop", shop=int))
class Shop:
    last = tw.lookup("amount")
    total_1d = tw.sum("amount", "1d")
"""
ROWS = "id,at,shop,amount\n1,2026-01-01T10:00:00Z,1,5\n2,2026-01-01T11:00:00Z,2,7\n3,2026-01-01T12:00:00Z,2,3\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "tidewheel.toml").write_text('project = "sales"\ndefinitions = ["checked_sales"]\n')
    (tmp_path / "checked_sales.py").write_text(DEFINITIONS)
    (tmp_path / "a.csv").write_text(ROWS)
    return load_project(tmp_path)


@pytest.fixture
def workspace(project: Project) -> Iterator[Workspace]:
    with open_workspace(project.root) as opened:
        materialize(project, opened)
        yield opened


def materialize(project: Project, workspace: Workspace) -> None:
    workspace.materializer.materialize(list_views(project)["Shop"], until=parse_instant("2026-01-01T12:00:00Z"))


def messages(found: CheckReport, level: str) -> list[str]:
    return [one.message for one in found.findings if one.level == level]


def test_rows_that_went_or_were_damaged_are_named_and_written_anew(project: Project, workspace: Workspace) -> None:
    found = check_project(project, workspace)
    (one,) = found.online
    assert (found.clean, one.keys, one.values, one.mismatches) == (True, 2, 24, 0)
    rows = dict(workspace.online.scan(view_prefix(1)))
    key = next(key for key in rows if key.endswith(b"\x02"))
    workspace.online.delete(key)
    found = check_project(project, workspace)
    (one,) = found.online
    at = parse_instant("2026-01-01T12:00:00Z")
    assert not found.clean
    assert [(m.keys, m.feature, m.online, m.computed) for m in one.examples if m.at == at] == [
        ({"shop": 2}, "last", None, 3),
        ({"shop": 2}, "total_1d", 0, 7),
    ]
    workspace.online.write([(key, rows[key][:-1])])
    found = check_project(project, workspace)
    (message,) = messages(found, "error")
    assert message.startswith("view Shop: the online row of shop=2 cannot be read: ")
    assert message.endswith("Next: tidewheel admin rebuild Shop")
    rebuild_view(workspace, list_views(project)["Shop"])
    assert check_project(project, workspace).clean


def test_a_wrong_tile_of_a_window_in_the_past_is_found_before_anybody_reads_it(tmp_path: Path) -> None:
    body = 'earlier = tw.sum("amount", "1d", offset="7d")'
    (tmp_path / "tidewheel.toml").write_text('project = "past"\ndefinitions = ["checked_past"]\n')
    text = DEFINITIONS.replace('last = tw.lookup("amount")', body).replace('    total_1d = tw.sum("amount", "1d")\n', "")
    (tmp_path / "checked_past.py").write_text(text)
    (tmp_path / "a.csv").write_text(ROWS.replace("2026-01-01T10", "2025-12-30T10"))
    past = load_project(tmp_path)
    with open_workspace(tmp_path) as workspace:
        workspace.materializer.materialize(list_views(past)["Shop"], until=parse_instant("2026-01-01T12:00:00Z"))
        assert check_project(past, workspace).clean
        key = next(key for key, _ in workspace.online.scan(view_prefix(1)) if key.endswith(b"\x01"))
        workspace.online.delete(key)
        (one,) = check_project(past, workspace).online
        assert [(m.keys, m.feature, m.online, m.computed) for m in one.examples] == [({"shop": 1}, "earlier", 0, 5)]


def test_files_that_came_or_changed_since_a_view_was_materialised_are_named(project: Project, workspace: Workspace) -> None:
    (project.root / "b.csv").write_text(ROWS.splitlines()[0] + "\n4,2026-01-01T09:00:00Z,1,1\n")  # late, too
    found = check_project(project, workspace)
    (message,) = messages(found, "error")
    assert message.startswith("view Shop is behind its source: 1 files (b.csv) have arrived, since it was materialised at ")
    assert message.endswith("Next: tidewheel run view:Shop")
    assert (found.clean, found.online) == (False, ())
    materialize(project, workspace)
    assert check_project(project, workspace).clean
    (project.root / "b.csv").write_text(ROWS.splitlines()[0] + "\n4,2026-01-01T09:30:00Z,1,1\n")
    (message,) = messages(check_project(project, workspace), "error")
    assert "rows that it had read were changed or removed" in message


def test_rows_that_break_a_rule_and_rows_in_quarantine_are_told(project: Project, workspace: Workspace) -> None:
    more = "4,2026-01-01T09:00:00Z,,1\n5,2026-01-01T09:00:00Z,1,-1\n6,2026-01-01T09:00:00Z,1,\n"
    (project.root / "b.csv").write_text(f"{ROWS.splitlines()[0]}\n{more}")
    found = check_project(project, workspace)
    broken, *_ = messages(found, "error")
    assert broken == "source sales: 1 of 5 rows (20 %) fail 'shop is not null', such as shop=None, in b.csv"
    warned, aside = messages(found, "warning")
    assert "fail 'amount is not null'" in warned
    assert "source sales: 1 rows are in quarantine, by 'amount is between 0 and 100': see " in aside
    assert found.findings[0] == Finding("error", "checked_sales.py:4", broken)
    (project.root / "b.csv").write_text("id,at,shop\n1,2\n")
    assert "source sales cannot be read: " in messages(check_project(project, workspace), "error")[0]
