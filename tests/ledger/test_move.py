"""Environments: compare-and-set moves with append-only history, on both databases."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Ticking

from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.errors import Conflict, NotFound
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.ledger.environment import changes, undo
from tidewheel.ledger.record import Ledger

A, B, C = (node_id("view", name) for name in "abc")


@pytest.fixture
def ledger(database: Database, clock: Ticking) -> Ledger:
    return Ledger(database, clock)


def test_a_new_environment_is_version_zero_and_empty(ledger: Ledger) -> None:
    new = ledger.environment("prod")
    assert (new.name, new.version, new.pointers) == ("prod", 0, {})
    assert ledger.history("prod") == []
    assert ledger.list_environments() == []


def test_moves_merge_and_none_removes(ledger: Ledger) -> None:
    ledger.move("prod", {A: digest(1), B: digest(2)}, expected=0, actor="ann", reason="first")
    after = ledger.move("prod", {B: None, C: digest(3)}, expected=1, actor="bob", reason="second")
    assert after.version == 2
    assert after.pointers == {A: digest(1), C: digest(3)}
    assert ledger.environment("prod") == after


def test_history_tells_who_what_and_why_newest_first(ledger: Ledger) -> None:
    ledger.move("prod", {A: digest(1), B: digest(2)}, expected=0, actor="ann", reason="first")
    ledger.move("prod", {A: digest(1), B: None}, expected=1, actor="bob", reason="second")
    second, first = ledger.history("prod")
    assert (first.version, first.actor, first.reason) == (1, "ann", "first")
    assert first.changes == {A: (None, digest(1)), B: (None, digest(2))}
    assert second.changes == {B: (digest(2), None)}  # A stayed where it was
    assert first.at < second.at


def test_a_stale_move_conflicts_names_the_winner_and_writes_nothing(ledger: Ledger) -> None:
    ledger.move("prod", {A: digest(1)}, expected=0, actor="ann", reason="hotfix")
    before = ledger.environment("prod")
    for stale in (0, 2, 99):
        with pytest.raises(Conflict, match="version 1"):
            ledger.move("prod", {A: digest(2)}, expected=stale, actor="bob", reason="late")
    with pytest.raises(Conflict, match=r"ann moved it first \(hotfix\)"):
        ledger.move("prod", {A: digest(2)}, expected=0, actor="bob", reason="late")
    assert ledger.environment("prod") == before
    assert len(ledger.history("prod")) == 1


def test_environments_do_not_touch_each_other(ledger: Ledger) -> None:
    ledger.move("prod", {A: digest(1)}, expected=0, actor="ann", reason="")
    ledger.move("dev", {A: digest(2)}, expected=0, actor="ann", reason="")
    assert ledger.environment("prod").pointers == {A: digest(1)}
    assert ledger.list_environments() == ["dev", "prod"]


def test_restore_is_one_more_move(ledger: Ledger) -> None:
    ledger.move("prod", {A: digest(1), B: digest(2)}, expected=0, actor="ann", reason="")
    ledger.move("prod", {A: digest(9), B: None, C: digest(3)}, expected=1, actor="ann", reason="")
    back = ledger.restore("prod", version=1, expected=2, actor="bob", reason="rollback")
    assert back.version == 3
    assert back.pointers == {A: digest(1), B: digest(2)}
    assert ledger.history("prod")[0].reason == "rollback"
    assert ledger.restore("prod", version=0, expected=3, actor="bob", reason="empty").pointers == {}
    with pytest.raises(NotFound, match="never had version 9"):
        ledger.restore("prod", version=9, expected=4, actor="bob", reason="")
    with pytest.raises(Conflict):
        ledger.restore("prod", version=1, expected=1, actor="bob", reason="")


pointer_sets = st.dictionaries(st.sampled_from([A, B, C]), st.one_of(st.none(), st.integers(0, 3).map(digest)))


@given(moves=st.lists(pointer_sets, max_size=6))
def test_undoing_all_changes_leads_back_to_every_state(moves: list[dict[NodeId, Digest | None]]) -> None:
    states: list[dict[NodeId, Digest]] = [{}]
    made = []
    for move in moves:
        made.append(changes(states[-1], move))
        merged = {**states[-1], **move}
        states.append({node: recipe for node, recipe in merged.items() if recipe is not None})
    for version, state in enumerate(states):
        assert undo(states[-1], reversed(made[version:])) == state


MOVER = """
import json, sys
from tidewheel.clock import system_clock
from tidewheel.database import Database
from tidewheel.digest import digest
from tidewheel.errors import Conflict
from tidewheel.ledger import Ledger, node_id
url, me, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(Database.open(url), system_clock)
print("ready", flush=True)
sys.stdin.readline()
won, lost = [], 0
while len(won) < rounds:
    seen = ledger.environment("prod").version
    try:
        pointers = {node_id("view", f"{me}{len(won)}"): digest(me)}
        moved = ledger.move("prod", pointers, expected=seen, actor=me, reason=f"{len(won)}")
    except Conflict:
        lost += 1
    else:
        won.append(moved.version)
print(json.dumps({"won": won, "lost": lost}), flush=True)
"""


@pytest.mark.slow
def test_of_processes_that_move_at_once_one_wins_and_the_others_conflict(database: Database, database_url: str) -> None:
    names, rounds = ("p", "q", "r"), 12
    processes = [
        subprocess.Popen([sys.executable, "-c", MOVER, database_url, name, str(rounds)], stdin=-1, stdout=-1, text=True)
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    won = sorted(version for one in told for version in one["won"])
    assert won == list(range(1, len(names) * rounds + 1))  # every version was made once
    ledger = Ledger(database, system_clock)
    assert len(ledger.environment("prod").pointers) == len(names) * rounds  # and nobody's move is lost
    history = {move.version: (move.actor, move.reason) for move in ledger.history("prod")}
    for name, one in zip(names, told, strict=True):
        assert [history[version] for version in one["won"]] == [(name, str(n)) for n in range(rounds)]


KILLED = """
import sys
from tidewheel.clock import system_clock
from tidewheel.database import Database
from tidewheel.digest import digest
from tidewheel.ledger import Ledger, node_id
ledger = Ledger(Database.open(sys.argv[1]), system_clock)
n = ledger.environment("prod").version
while True:
    pointers = {node_id("view", str(k)): digest(n + 1) for k in range(50)}
    n = ledger.move("prod", pointers, expected=n, actor="w", reason="").version
    print(n, flush=True)
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_move_leaves_it_whole_or_absent(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    import time

    ledger = Ledger(database, system_clock)
    for wait in (0.01, 0.033, 0.057, 0.09):
        log = tmp_path / f"{wait}.log"
        with log.open("w") as out, subprocess.Popen([sys.executable, "-c", KILLED, database_url], stdout=out) as process:
            while not log.read_text().count("\n") and process.poll() is None:
                time.sleep(0.005)
            time.sleep(wait)
            process.kill()
        acknowledged = int(log.read_text().split("\n")[-2])
        now = ledger.environment("prod")
        assert now.version in (acknowledged, acknowledged + 1)
        assert set(now.pointers.values()) == {digest(now.version)}
        assert [move.version for move in ledger.history("prod")] == list(range(now.version, 0, -1))
