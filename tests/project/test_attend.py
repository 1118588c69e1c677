"""What a worker does for a project: it sees news, runs nodes, and keeps going when something cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.errors import Invalid, NotFound
from tidewheel.project.armed import arm
from tidewheel.project.attend import Attendance, attend, list_schedules, trigger_by_hand
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.survey import make_plan

DEFINITIONS = """
import tidewheel as tw

shop = tw.entity("shop", shop_id=int)
orders = tw.source("orders", "data/*.csv", time="paid_time")

@tw.features(orders, by=shop)
class ShopLately:
    orders_1d = tw.count("1d")

@tw.features(orders, by=shop)
class ShopMonth:
    orders_30d = tw.count("30d")

tw.trigger(ShopLately, on=tw.schedule("0 6 * * *"), name="nightly")
tw.trigger(ShopLately, on=tw.new_data(orders, every="5m"), name="news")
tw.trigger("view:ShopMonth", on=tw.built(ShopLately), name="after")
"""


class Shop:
    """A project with a clock of its own, as a worker sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = Micros(1_767_225_600_000_000)  # 2026-01-01T00:00:00Z
        (root / "data").mkdir()
        (root / "tidewheel.toml").write_text('project = "attended_shop"\n')
        self.define(DEFINITIONS)
        self.add_orders("2025-12-31T10:00:00")

    def define(self, text: str) -> None:
        (self.root / "attended_shop.py").write_text(text)

    def add_orders(self, paid: str) -> None:
        number = len(list((self.root / "data").iterdir()))
        (self.root / "data" / f"{number}.csv").write_text(f"shop_id,paid_time\n1,{paid}Z\n2,{paid}Z\n")

    def work(self) -> list[str]:
        """Look once; answer which triggers ran, and how it ended."""
        ran: list[str] = []
        attend(
            self.root,
            how=Attendance(once=True, clock=lambda: self.now),
            stop=threading.Event(),
            told=lambda task: ran.append(f"{task.trigger} {task.state}"),
        )
        return ran

    def move(self, span: int) -> None:
        self.now = Micros(self.now + span)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def workspace(shop: Shop) -> Iterator[Workspace]:
    with open_workspace(shop.root, clock=lambda: shop.now, actor="ann") as opened:
        yield opened


@pytest.mark.slow
def test_a_schedule_new_data_and_a_build_run_their_nodes(shop: Shop, workspace: Workspace) -> None:
    assert shop.work() == [], "what was before the first look is no news"
    shop.move(6 * HOUR)
    assert shop.work() == ["nightly done", "after done"]
    assert shop.work() == []
    shop.move(HOUR)
    shop.add_orders("2026-01-01T05:00:00")
    assert shop.work() == ["news done", "after done"]
    newest = {task.trigger: task for task in workspace.tasks.list()}["news"]
    assert newest.actor == "trigger:news"
    assert newest.run.startswith("dev version ")
    moves = workspace.ledger.history("dev")
    assert any(move.reason == "trigger news: new data in orders" for move in moves)
    shop.move(DAY)
    assert shop.work() == ["nightly done"], "nothing was new, so nothing was built, and nothing follows"


def test_by_hand_is_kept_with_who_and_why(shop: Shop, workspace: Workspace) -> None:
    project = load_project(shop.root)
    task = trigger_by_hand(project, workspace, "nightly", environment="dev", reason="a new broom")
    assert shop.work() == ["nightly done", "after done"]
    assert workspace.tasks.get(task.id).state == "done"
    assert (workspace.tasks.get(task.id).actor, workspace.tasks.get(task.id).reason) == ("ann", "a new broom")
    assert workspace.audit.list(verb="trigger")[0].after == task.id
    with pytest.raises(NotFound, match="no trigger 'nightyl'") as raised:
        trigger_by_hand(project, workspace, "nightyl", environment="dev")
    assert raised.value.fix == "did you mean nightly?"


def test_schedules_are_listed_with_their_next_time_and_last_outcome(shop: Shop, workspace: Workspace) -> None:
    shop.work()
    shop.move(7 * HOUR)
    shop.work()
    listed = list_schedules(load_project(shop.root), workspace, environment="dev")
    nightly = next(one for one in listed if one["trigger"] == "nightly")
    assert (nightly["trigger"], nightly["runs"], nightly["next"]) == ("nightly", "view:ShopLately", "2026-01-02T06:00:00Z")
    assert isinstance(nightly["last"], dict)
    assert (nightly["last"]["state"], nightly["last"]["due"]) == ("done", "2026-01-01T06:00:00Z")


@pytest.mark.slow
def test_a_node_that_fails_is_kept_with_its_error_and_the_worker_goes_on(shop: Shop, workspace: Workspace) -> None:
    shop.work()
    (shop.root / "data" / "9.csv").write_text("shop_id,paid_time\n1,yesterday\n")
    shop.move(6 * HOUR)
    assert sorted(shop.work()) == ["news failed", "nightly failed"]
    failed = workspace.tasks.list(states=["failed"])[0]
    assert "9.csv" in failed.error or "yesterday" in failed.error
    (shop.root / "data" / "9.csv").unlink()
    shop.move(DAY)
    assert "nightly done" in shop.work()


def test_a_trigger_of_what_is_not_there_is_refused_by_the_plan(shop: Shop, workspace: Workspace) -> None:
    shop.define(DEFINITIONS.replace('"view:ShopMonth"', '"view:ShopMont"'))
    with pytest.raises(NotFound, match="trigger:after names 'view:ShopMont'"):
        make_plan(load_project(shop.root), workspace, "dev")


def test_triggers_that_name_what_cannot_run_are_refused(shop: Shop) -> None:
    shop.define(DEFINITIONS + '\ntw.trigger("model:eta", name="lost")\n')
    with pytest.raises(NotFound, match="trigger:lost names 'model:eta', which nothing declares"):
        arm(load_project(shop.root).graph)
    shop.define(DEFINITIONS + '\ntw.trigger("trigger:nightly", name="again")\n')
    with pytest.raises(Invalid, match="a trigger does not run by itself"):
        arm(load_project(shop.root).graph)


@pytest.mark.slow
def test_a_pipeline_runs_with_the_arguments_of_its_trigger_and_those_given_by_hand(shop: Shop, workspace: Workspace) -> None:
    text = """
import tidewheel as tw

@tw.step
def double(x: int) -> int:
    return 2 * x

@tw.pipeline
def sums(upto: int, note: str = "") -> int:
    return sum(double(x) for x in range(upto))

tw.trigger(sums, on=tw.schedule("0 6 * * *"), parameters={"upto": 3})
"""
    shop.define(text)
    shop.work()
    shop.move(6 * HOUR)
    assert shop.work() == ["sums done"]
    shop.move(HOUR)
    trigger_by_hand(load_project(shop.root), workspace, "sums", environment="dev", given={"upto": "5", "note": "more"})
    assert shop.work() == ["sums done"]
    outcomes = [task.outcome for task in workspace.tasks.list()]
    assert sorted(outcomes) == ["2 steps ran, 3 known", "3 steps ran, 0 known"]
    run = workspace.runs.get(workspace.tasks.list(limit=1)[0].run)
    assert run.parameters == {"upto": "5", "note": "more"}
    with pytest.raises(Invalid, match="no parameter 'upot'"):
        trigger_by_hand(load_project(shop.root), workspace, "sums", environment="dev", given={"upot": "5"})
    shop.define(text.replace('"upto": 3', '"upto": "three"'))
    with pytest.raises(Invalid, match="three"):
        arm(load_project(shop.root).graph)


@pytest.mark.slow
def test_a_scheduled_pipeline_is_handed_the_time_since_the_scheduled_instant_before(shop: Shop, workspace: Workspace) -> None:
    shop.define("""
import datetime
import tidewheel as tw

@tw.pipeline
def load(day: tw.Partition, table: str) -> str:
    return f"{table} {day.name}"

@tw.pipeline
def sums(start: datetime.datetime, end: datetime.datetime) -> float:
    return (end - start).total_seconds()

tw.trigger(load, on=tw.schedule("0 6 * * *", missed="all"), parameters={"table": "rides"}, name="daily")
tw.trigger(sums, on=tw.schedule("0 2 * * *", timezone="Europe/Berlin"))
""")
    shop.work()
    shop.move(3 * DAY + 9 * HOUR)
    assert sorted(shop.work()) == ["daily done"] * 4 + ["sums done"]
    ran = [workspace.runs.get(task.run).parameters for task in workspace.tasks.list(trigger="daily")]
    times = [f"{day}T06:00:00Z" for day in ("2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")]
    days = [f'{{"start":"{start}","end":"{end}"}}' for start, end in pairwise(times)]
    assert sorted(one["day"] for one in ran) == days
    (last,) = workspace.tasks.list(trigger="sums")
    assert workspace.runs.get(last.run).parameters == {"start": "2026-01-03T01:00:00Z", "end": "2026-01-04T01:00:00Z"}
    by_hand = trigger_by_hand(load_project(shop.root), workspace, "sums", environment="dev")
    assert by_hand.parameters == last.parameters, "the last span that is over"


@pytest.mark.slow
def test_a_trigger_never_causes_a_rebuild(shop: Shop, workspace: Workspace) -> None:
    from tidewheel.project.apply import apply_plan

    project = load_project(shop.root)
    apply_plan(project, workspace, make_plan(project, workspace, "dev"))
    assert make_plan(project, workspace, "dev").empty
    shop.define(DEFINITIONS.replace('"0 6 * * *"', '"0 7 * * *"'))
    (change,) = make_plan(load_project(shop.root), workspace, "dev").changes
    assert (change.node, change.action, change.builds) == ("trigger:nightly", "metadata", False)
