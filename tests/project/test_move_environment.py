"""Moving an environment: back and further back, one of two at once, and never to where nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project.test_apply import SIMPLE_DATA, SIMPLE_SERVICE, SIMPLE_VIEW, apply, plan, write, write_data

from tidewheel.clock import DAY
from tidewheel.errors import Conflict, NotFound, NotMaterialized
from tidewheel.features.register import OnlineViews
from tidewheel.project.load import load_project
from tidewheel.project.move_environment import move_planned, plan_environment_promotion, plan_environment_rollback
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.pointed import read_pointed

pytestmark = pytest.mark.slow

SOURCE = 's0 = tw.source("s0", "data/s0.csv", time="t")\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Three versions of a view, each of them promoted to prod."""
    write(tmp_path, [SOURCE])
    write_data(tmp_path, "s0")
    with open_workspace(tmp_path, actor="ann") as opened:
        for days in (1, 2, 3):
            write(tmp_path, [SOURCE, SIMPLE_VIEW.replace('"1d"', f'"{days}d"'), SIMPLE_SERVICE, SIMPLE_DATA])
            apply(opened, plan(opened))
            move_planned(opened, plan_environment_promotion(opened, "dev", "prod"), reason=f"{days} days")
        yield opened


def days(workspace: Workspace) -> int:
    """How long the window is that prod serves, by the code that it points at."""
    pinned = PinnedProjects(load_project(workspace.root), workspace)
    pointed = read_pointed(workspace.ledger, workspace.ledger.environment("prod"), pinned)
    assert pointed.services["service0"].views[0].online_version == pointed.views["V0"].online_version
    return max(feature.window for feature in pointed.views["V0"].features) // DAY


def back(workspace: Workspace, to: int | None = None) -> int:
    move_planned(workspace, plan_environment_rollback(workspace, "prod", to=to), reason="back")
    return days(workspace)


def test_a_rollback_goes_back_and_the_next_one_further_back(workspace: Workspace) -> None:
    assert [days(workspace), back(workspace), back(workspace)] == [3, 2, 1]
    with pytest.raises(NotFound, match="no version 0"):
        plan_environment_rollback(workspace, "prod", to=None)
    assert back(workspace, to=3) == 3
    assert [(move.actor, move.reason) for move in workspace.ledger.history("prod")][:2] == [("ann", "back")] * 2
    assert plan_environment_rollback(workspace, "prod", to=3).empty
    with pytest.raises(NotFound, match="did you mean prod"):
        plan_environment_rollback(workspace, "prd", to=None)


def test_of_two_at_once_one_wins_and_the_other_is_told_who(workspace: Workspace) -> None:
    mine, other = (plan_environment_rollback(workspace, "prod", to=to) for to in (1, 2))
    move_planned(workspace, mine, reason="mine")
    before = workspace.ledger.environment("prod")
    with pytest.raises(Conflict, match=r"ann moved it first \(mine\)"):
        move_planned(workspace, other, reason="other")
    assert workspace.ledger.environment("prod") == before


def test_to_where_the_rows_are_gone_is_refused_before_anything_moves(workspace: Workspace) -> None:
    pinned = PinnedProjects(load_project(workspace.root), workspace)
    back(workspace, to=1)
    view = read_pointed(workspace.ledger, workspace.ledger.environment("prod"), pinned).views["V0"]
    back(workspace, to=3)
    online = OnlineViews(workspace.database, workspace.clock)
    online.forget(online.list_ids()[view.online_version], workspace.online)
    with pytest.raises(NotMaterialized, match="rows of view:V0"):
        plan_environment_rollback(workspace, "prod", to=1)
    assert workspace.ledger.environment("prod").version == 5
