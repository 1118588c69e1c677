"""Routes: revisions, conflicts, rollback, on both databases."""

from __future__ import annotations

import pytest

from tidewheel.clock import Micros
from tidewheel.database import Database
from tidewheel.errors import Conflict, Invalid, NotFound
from tidewheel.serving.arm import Arm, bucket
from tidewheel.serving.route import Routes

NOW = Micros(1_000)


@pytest.fixture
def routes(database: Database) -> Routes:
    """Routes on SQLite, and on PostgreSQL where there is a server."""
    return Routes(database, lambda: NOW)


def test_a_deployment_starts_at_revision_0_without_arms(routes: Routes) -> None:
    assert (routes.current("eta").revision, routes.current("eta").arms) == (0, ())


def test_what_is_set_is_what_is_read(routes: Routes) -> None:
    arms = (Arm("eta", 1, 9_000), Arm("eta", 2, 1_000, "challenger"), Arm("eta", 3, 10_000, "shadow"))
    made = routes.set("eta", arms, expected_revision=0, actor="ada", reason="canary")
    assert routes.current("eta") == made
    assert (made.revision, made.arms, made.at, made.actor, made.reason) == (1, arms, NOW, "ada", "canary")
    assert [arm.version for arm in made.answering] == [2, 1]
    assert [arm.version for arm in made.shadows] == [3]
    assert routes.list_deployments() == ["eta"]


def test_setting_on_an_old_revision_conflicts_and_writes_nothing(routes: Routes) -> None:
    routes.set("eta", [Arm("eta", 1)], expected_revision=0, actor="ada", reason="")
    with pytest.raises(Conflict):
        routes.set("eta", [Arm("eta", 2)], expected_revision=0, actor="bob", reason="")
    assert [route.actor for route in routes.history("eta")] == ["ada"]


@pytest.mark.parametrize(
    "arms",
    [
        [],
        [Arm("eta", 1, 9_999)],
        [Arm("eta", 1, 5_000), Arm("eta", 2, 5_000)],
        [Arm("eta", 1, 5_000), Arm("eta", 1, 5_000, "challenger")],
        [Arm("eta", 1, 11_000), Arm("eta", 2, -1_000, "challenger")],
        [Arm("eta", 1, 10_000, "challenger")],
    ],
)
def test_arms_that_make_no_sense_are_refused(routes: Routes, arms: list[Arm]) -> None:
    with pytest.raises(Invalid):
        routes.set("eta", arms, expected_revision=0, actor="ada", reason="")
    assert routes.current("eta").revision == 0


def test_rollback_is_one_more_revision_with_the_arms_of_before(routes: Routes) -> None:
    for revision, version in enumerate((1, 2, 2)):
        routes.set("eta", [Arm("eta", version)], expected_revision=revision, actor="ada", reason="")
    back = routes.rollback("eta", actor="bob", reason="errors")
    assert (back.revision, back.arms, back.reason) == (4, (Arm("eta", 1),), "errors")
    assert routes.rollback("eta", to=2, actor="bob", reason="again").arms == (Arm("eta", 2),)
    assert [route.revision for route in routes.history("eta")] == [5, 4, 3, 2, 1]


def test_rollback_without_a_before_is_refused(routes: Routes) -> None:
    with pytest.raises(NotFound):
        routes.rollback("eta", actor="ada", reason="")
    routes.set("eta", [Arm("eta", 1)], expected_revision=0, actor="ada", reason="")
    with pytest.raises(NotFound):
        routes.rollback("eta", actor="ada", reason="")
    with pytest.raises(NotFound):
        routes.rollback("eta", to=9, actor="ada", reason="")


def test_buckets_do_not_change_between_releases() -> None:
    assert [bucket("eta", b"[132]"), bucket("eta", b"[133]"), bucket("fare", b"[132]")] == [3960, 3835, 1551]
