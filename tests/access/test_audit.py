"""The audit trail: one line per change, in the change's own transaction."""

from __future__ import annotations

import math

import pytest
from tests.conftest import Ticking

from tidewheel.access import Actor, AuditTrail
from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.errors import Invalid


@pytest.fixture
def trail(database: Database, clock: Ticking) -> AuditTrail:
    return AuditTrail(database, clock)


def test_a_line_comes_back_as_it_was_recorded(trail: AuditTrail) -> None:
    state = {"arms": [["eta", 3]], "note": "é\x00😀", "weight": 0.25, "none": None}
    recorded = trail.record(Actor("ann"), "promote", "deployment:eta", before=None, after=state)
    assert (recorded.before, recorded.after) == (None, state)
    assert trail.list() == [recorded]


def test_lines_are_listed_newest_first_by_page_and_filter(trail: AuditTrail) -> None:
    for n in range(6):
        trail.record("ann" if n % 2 else "bob", "promote" if n < 3 else "rollback", f"model:{n % 3}", after=n)
    newest = trail.list(limit=2)
    assert [line.after for line in newest] == [5, 4]
    assert [line.after for line in trail.list(before=newest[-1].number)] == [3, 2, 1, 0]
    assert [line.after for line in trail.list(actor="ann")] == [5, 3, 1]
    assert [line.after for line in trail.list(verb="rollback", object="model:0")] == [3]
    assert [line.after for line in trail.list(since=newest[-1].at)] == [5, 4]
    assert trail.list(since=Micros(newest[0].at + 1)) == []


def test_a_change_that_fails_leaves_no_line(trail: AuditTrail, database: Database) -> None:
    with pytest.raises(RuntimeError), database.write():
        trail.record("ann", "promote", "model:eta")
        raise RuntimeError
    assert trail.list() == []


@pytest.mark.parametrize("state", [object(), math.nan, {1, 2}])
def test_a_state_that_is_not_plain_is_refused(trail: AuditTrail, state: object) -> None:
    with pytest.raises(Invalid, match="not plain"):
        trail.record("ann", "promote", "model:eta", after=state)
    assert trail.list() == []


def test_nobody_acts_without_a_name(trail: AuditTrail) -> None:
    with pytest.raises(Invalid, match="has a name"):
        trail.record(" ", "promote", "model:eta")
